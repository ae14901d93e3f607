"""The kinds of cells: what each is computed from, its keys and its table, one file for each.

What computes a kind is the file of the same name in actors/kinds/.
"""

from functools import cache
from importlib import import_module

from studies.tables import Table

KINDS = (
    *("alignment", "choices", "latent", "vectors", "steering", "generation", "training"),
    *("neurons", "categories", "tuning", "scaled", "scaled_states", "scaled_points"),
    *("option_alignment", "patching", "directions", "steered_options"),
)


@cache
def tables() -> dict[str, Table]:
    """The tables of all kinds, by name."""
    kinds = (import_module(f"{__name__}.{kind}") for kind in KINDS)
    return {table.name: table for kind in kinds for table in kind.TABLES}
