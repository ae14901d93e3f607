"""Which cell is computed where, exactly once: plan, schedule, cluster, store, command line.

This package must never know a tensor: it handles keys, rows and devices.
"""
