"""Questions of one's own: tidy rows in, tables with estimate, interval, p and their meaning out."""
