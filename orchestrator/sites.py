"""Show which module each site name means in one model or in every family, and what proves it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from orchestrator.options import Device
from studies.options import Loading
from studies.spec import Model

if TYPE_CHECKING:
    from actors.families.site_map import SiteRow


@dataclass(frozen=True, kw_only=True)
class OneModel(Loading, Device):
    """How one model is opened, and where."""


def show(model: Model | None, *, families: bool, device: str, console: Console) -> bool:
    """Print the map of a model, or what is proven of every family.

    Raises:
        ValueError: neither or both are asked for, or the model cannot be read.
    """
    if (model is not None) == families:
        found = "both" if families else "neither"
        raise ValueError(f"expected a model or --families, found {found}: give one of the two")
    if model is None:
        return show_families(console=console)
    return show_sites(model, device=device, console=console)


def show_sites(model: Model, *, device: str, console: Console) -> bool:
    """Load the model, print its map and proof; whether every claim holds.

    Raises:
        ValueError: the model cannot be loaded, or a module took no part in a forward pass.
    """
    from actors.families.site_map import site_map
    from actors.model import load
    from actors.passes.check import prove_interventions
    from studies.models.facts import facts

    with console.status("loading the model"):
        loaded = load(facts(model), device=device, proof=False)
        rows = site_map(loaded)
    console.print(_map(rows, title=loaded.facts.label))
    console.print(_proof(rows))
    holds = all(claim.holds for row in rows for claim in row.evidence)
    if not holds:
        console.print("the map is wrong, so studies refuse this model", style="red")
        return False
    prove_interventions(loaded.sites)
    neurons = f", {loaded.sites.width('mlp_hidden')} neurons a block" if loaded.sites.mlps else ""
    sharing = "share their beginning in one row" if loaded.shares else "run apart (a mixed state)"
    console.print(
        f"{loaded.facts.layers} blocks, width {loaded.facts.width}{neurons}; {loaded.facts.dtype}, "
        f"attention backend {loaded.attention}; it can be steered "
        f"(coefficient 0 changes nothing, another does); texts {sharing}"
    )
    return True


def show_families(*, console: Console) -> bool:
    """Prove a small random model of every family, print what holds; whether all of it does.

    Raises:
        ValueError: one of them cannot be read.
    """
    from actors.families.families import FAMILIES, prove_family
    from actors.families.site_map import exceptions

    table = Table("family", "such as", title="Families proven on small random models")
    table.add_column("claims that hold", justify="right")
    table.add_column("exceptions", overflow="fold")
    holds = True
    with console.status("making and proving models"):
        for name in FAMILIES:
            proven = prove_family(name)
            held = sum(claim.holds for claim in proven.claims)
            holds = holds and proven.holds
            table.add_row(
                name,
                proven.models,
                f"{held} of {len(proven.claims)}",
                "; ".join(exceptions(proven)) or "none",
                style=None if proven.holds else "red",
            )
    console.print(table)
    console.print(
        "A model of another family is read too if its structure is proven on loading: "
        "`babelscope sites MODEL` shows it."
    )
    return holds


def _map(rows: Iterable["SiteRow"], *, title: str) -> Table:
    """Which module holds each site."""
    table = Table("site", "is", "layers", title=title)
    table.add_column("module of layer k", overflow="fold")
    for row in rows:
        style = None if row.layers else "dim"
        table.add_row(row.site, row.meaning, row.layers or "none", row.where, style=style)
    return table


def _proof(rows: Iterable["SiteRow"]) -> Table:
    """What must hold of each site on a short random input, and what was found."""
    table = Table("site", "must hold", title="Proof")
    for heading in ("times", "difference", "allowed", "holds"):
        table.add_column(heading, justify="right")
    for row in rows:
        for claim in row.evidence:
            table.add_row(
                row.site,
                claim.text,
                str(claim.layers),
                f"{claim.error:.1e}",
                f"{claim.allowed:.0e}",
                "[green]yes[/green]" if claim.holds else "[red]NO[/red]",
            )
    return table
