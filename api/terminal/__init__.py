"""What the command line asks, reads and prints."""
