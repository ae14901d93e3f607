"""How a page becomes HTML: cells, files beside it, queries that lead to rows, references."""
