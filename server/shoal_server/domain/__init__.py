"""What Shoal knows: pure data and functions, no I/O, no vendor but numpy."""
