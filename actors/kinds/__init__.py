"""The kinds of cells: how each is computed with a loaded model, one file for each.

A kind's file has the function `answer(loaded, unit, resources)`, which returns what it found for
the cells of a unit; coordinates are added by actors/work.py.
"""
