"""One file for each feed: a table of what maps to what at its head, and a class that is found by entry point."""
