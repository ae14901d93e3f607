"""Show what a model achieves on a device, and whether its fast ways are exact.

Figures go to a table for people or, one JSON object per row, to a file or another program. It needs
no cluster. What is measured, and how, is in actors/.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from orchestrator.sites import OneModel
from studies.flags import flag, model_flag
from studies.values import once

if TYPE_CHECKING:
    from actors.model import LoadedModel
    from actors.speed.bench import Measurement
    from actors.speed.equalities import Equality


@dataclass(frozen=True, kw_only=True)
class Benching(OneModel):
    """What is measured, and how often."""

    model_name: str | None = model_flag("Folder or hub id.", "--model", "-m")
    shape: str = flag(
        "Random weights of this shape, where no --model is given.", default="llama-68m"
    )
    tasks: tuple[str, ...] = flag(
        "Only this task. Repeatable.", "--task", default=(), shown="all", read=once
    )
    rounds: int = flag("How often everything is timed.", default=3, least=1)
    threads: int | None = flag("CPU threads.", shown="as torch finds them", least=1)
    json: bool = flag("One JSON object per row.", default=False)
    check: bool = flag("Compare the fast ways with the obvious one instead.", default=False)


def open_target(options: Benching) -> "LoadedModel":
    """The model to measure: the one named, or random weights of a well-known shape.

    Raises:
        ValueError: there is no such model, shape or device.
    """
    from actors.loading.device import first_device
    from actors.model import load
    from actors.speed.shapes import build
    from studies.models.facts import facts

    device, threads = options.device, options.threads
    if options.model_name is not None:
        return load(facts(options.model(options.model_name)), device=device, threads=threads)
    return build(options.shape, device=first_device(device), dtype=options.dtype, threads=threads)


def show_speed(
    loaded: "LoadedModel", *, tasks: tuple[str, ...], rounds: int, as_json: bool, console: Console
) -> None:
    """Measure and print, each row as soon as it is known when it is JSON."""
    from actors.speed.bench import bench

    measurements = bench(loaded, rounds=rounds, only=tasks)
    if as_json:
        for row in measurements:
            print(json.dumps({**_about(loaded), **asdict(row)}), flush=True)
        return
    about = _about(loaded)
    console.print(", ".join(f"{name} {value}" for name, value in about.items()), markup=False)
    table = Table("task", title=f"Speed, medians of {rounds} rounds")
    for heading in ("tokens/s", "ceiling", "fraction", "plain passes", "naive / this", "seconds"):
        table.add_column(heading, justify="right")
    for name in ("blocks", "per block"):
        table.add_column(name, justify="right")
    with console.status("measuring") as status:
        for row in measurements:
            table.add_row(*_cells(row))
            status.update(f"measured {row.task}")
    console.print(table)
    console.print(
        "tokens/s: through all blocks, only those that cannot be avoided. ceiling: matrix products "
        "measured here over twice the weights. plain passes: against a bare batched pass over the "
        "same prompts. naive: one hooked pass per cell, text or option. blocks: computed over "
        "unavoidable. per block: time for one against the plain pass."
    )


def show_equalities(loaded: "LoadedModel", *, as_json: bool, console: Console) -> bool:
    """Compare and print; whether everything holds."""
    from actors.speed.equalities import check

    if as_json:
        found = list(check(loaded))
        for one in found:
            row = {**_about(loaded), **one._asdict(), "holds": one.holds}
            print(json.dumps(row), flush=True)
        return all(one.holds for one in found)
    with console.status("comparing"):
        found = list(check(loaded))
    console.print(_equality_table(found))
    return all(one.holds for one in found)


def _equality_table(found: Iterable["Equality"]) -> Table:
    table = Table("equality", title="Fast ways against the obvious one")
    for heading in ("largest difference", "allowed", "answers changed", "holds"):
        table.add_column(heading, justify="right")
    for one in found:
        changed = f"{one.changed} of {one.answers}" if one.answers else "-"
        holds = "[green]yes[/green]" if one.holds else "[red]NO[/red]"
        table.add_row(one.name, f"{one.error:.1e}", f"{one.allowed:.0e}", changed, holds)
    return table


def _cells(row: "Measurement") -> tuple[str, ...]:
    naive = "-" if row.naive_ratio is None else f"{row.naive_ratio:.1f} x"
    return (
        row.task,
        f"{row.achieved:,.0f}",
        f"{row.ceiling:,.0f}",
        f"{row.fraction:.0%}",
        f"{row.passes:.2f}",
        naive,
        f"{row.seconds:.2f}",
        f"{row.blocks:.2f}",
        f"{row.per_block:.2f}",
    )


def _about(loaded: "LoadedModel") -> dict[str, object]:
    """What was measured, where."""
    from actors.model import describe

    about = describe(loaded)
    names = ("dtype", "attention", "threads", "torch", "transformers")
    own = {name: getattr(about, name) for name in names}
    return {"model": about.model, "device": about.device_name, **own}
