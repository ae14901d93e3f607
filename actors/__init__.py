"""One model on its GPU: tensors, hooks and scores.

This package must never know a schedule, a store or a cluster; it imports `studies` alone.
"""
