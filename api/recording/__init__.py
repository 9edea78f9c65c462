"""`record`: runs a command and keeps what happened, whatever becomes of either."""
