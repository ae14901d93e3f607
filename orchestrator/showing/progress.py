"""Print a plan, how far a run is and what it did, as tables for people."""

from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from analysis.storage.redact import redact
from orchestrator.launch import result_bytes
from orchestrator.plan import Plan
from orchestrator.scheduling.cost import Cost
from orchestrator.showing.snapshot import Outcome
from studies.texts import CHARACTERS_PER_TOKEN


def show_plan(plan: Plan, *, cost: Cost, console: Console) -> None:
    """Print what a run would do, and about how long one device would take for it."""
    units = Counter(unit.model.label for unit in plan.units)
    missing = plan.missing_by_model
    table = Table(title=f"plan of study {plan.study.name}")
    columns(table, "layers", "weights", "dtype", "cells", "there", "to do", "units")
    for model in plan.models:
        total, left = plan.totals[model.label], missing[model.label]
        there = total - left - plan.failed_by_model.get(model.label, 0)
        weights = size(model.bytes) if model.bytes else "?"
        counts = (total, there, left, units[model.label])
        numbers = (f"{count:,}" for count in counts)
        table.add_row(model.label, str(model.layers), weights, str(model.dtype), *numbers)
    console.print(table)
    console.print(
        f"{plan.cells:,} cells, {plan.done:,} there already, {plan.missing:,} to compute in "
        f"{len(plan.units):,} units with {len(plan.models)} model(s); about "
        f"{plan.characters // CHARACTERS_PER_TOKEN:,} tokens to read and "
        f"{size(result_bytes(plan))} of rows to write"
    )
    if plan.units:
        device = "GPU" if cost.device == "gpu" else "core"
        seconds = 3600 * cost.hours(plan.units)
        console.print(f"about {span(seconds)} of one {device}, loading included, before measuring")
    if plan.failed:
        console.print(f"{plan.failed:,} cells failed before: --retry-errors takes them up again")
    for sentence in plan.notes:
        note(sentence, console=console)
    for item in plan.too_long:
        console.print(
            f"too long: {item.texts:,} texts of {item.text}/{item.language} exceed the context "
            f"of {item.context:,} tokens of {item.model} (longest {item.longest:,})"
        )


def show_outcome(outcome: "Outcome", *, errors: str, console: Console) -> None:
    """Print what a run did; `errors` is where its tracebacks lie."""
    console.print(
        f"{outcome.cells:,} cells computed in {outcome.units:,} units, {outcome.failed:,} failed, "
        f"{outcome.seconds:.1f} s"
    )
    for error, count in outcome.errors.items():
        console.print(f"failed: {count:,} cells: {error}", markup=False)
    if outcome.failed:
        console.print(f"tracebacks: {errors}; --retry-errors takes them up again")


def show_status(rows: Iterable[tuple[str, int, int, int]], *, console: Console) -> None:
    """Print, per model, cells in all, done and failed."""
    table = Table()
    columns(table, "cells", "done", "failed", "to do")
    for label, total, done, failed in rows:
        table.add_row(label, *(f"{n:,}" for n in (total, done, failed, total - done - failed)))
    console.print(table)


def note(sentence: str, *, console: Console) -> None:
    """Print something that is no error but should be known, without the secrets of addresses."""
    console.print(f"note: {redact(sentence)}", style="yellow", markup=False)


def columns(table: Table, *names: str) -> None:
    """A column for the model, whose name is never cut, and columns of numbers."""
    table.add_column("model", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)


def size(number: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def span(seconds: float) -> str:
    """A length of time for people."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
