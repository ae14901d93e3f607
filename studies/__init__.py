"""What is asked: specs, languages, data sets, prompts and recipes, all plain data.

This package must never know how an answer is computed: it imports no torch, no ray and none of the
other three packages.
"""
