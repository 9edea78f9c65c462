"""The service: routes, problems and the server around them."""
