"""The kinds of grids: how each is read into cells, one file per kind."""
