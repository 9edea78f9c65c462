"""HTTP and command line; the composition root."""
