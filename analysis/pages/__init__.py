"""One file per study: its tables and figures, from tidy rows alone."""
