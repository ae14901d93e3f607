"""Where the named sites of a decoder are, and the arithmetic that proves it."""
