"""Where samples come from, one family a file."""
