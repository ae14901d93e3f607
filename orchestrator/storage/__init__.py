"""Every result once, on any file system, for one run at a time."""
