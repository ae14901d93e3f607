"""Processes that hold models, and the machines they are on; Ray itself is in cluster.py."""
