"""The kinds of cells: how each is answered by a loaded model, one file per kind of content."""
