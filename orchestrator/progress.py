"""Show a plan, the work, and where a run stands; nothing here decides anything."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from orchestrator.plan import Plan
from orchestrator.run import Watcher, result_bytes

CHARACTERS_PER_TOKEN = 3
PLAIN_SECONDS = 10.0


class TerminalWatcher:
    """A bar per model, alive while the work goes on."""

    def __init__(self, plan: Plan, *, console: Console) -> None:
        """Lay out the bars; cells that are there already count as done."""
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("cells"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
        )
        missing = _missing(plan)
        self._bars: dict[str, TaskID] = {
            label: self.progress.add_task(
                label, total=total, completed=total - missing[label], state=""
            )
            for label, total in plan.totals.items()
        }
        self._failed: Counter[str] = Counter()

    def started(self, workers: int) -> None:
        """Nothing to add to the bars."""

    def loading(self, worker: int, model: str) -> None:
        """Say that the model is being loaded."""
        self.progress.update(self._bars[model], state=f"loading on worker {worker}")

    def kept(self, model: str, *, cells: int, failed: int) -> None:
        """Move the bar."""
        self._failed[model] += failed
        state = f"[red]{self._failed[model]} failed[/red]" if self._failed[model] else ""
        self.progress.update(self._bars[model], advance=cells + failed, state=state)


class PlainWatcher:
    """A line now and then, for logs and pipes."""

    def __init__(self, plan: Plan, *, console: Console) -> None:
        """Remember what there is to do."""
        self._console = console
        self._total = plan.missing
        self._done = self._failed = 0
        self._began = self._spoke = time.monotonic()

    def started(self, workers: int) -> None:
        """Say that work begins."""
        self._console.print(f"computing {self._total:,} cells on {workers} worker(s)")

    def loading(self, worker: int, model: str) -> None:
        """Say which model is loaded where."""
        self._console.print(f"loading {model} on worker {worker}")

    def kept(self, model: str, *, cells: int, failed: int) -> None:
        """Say how far the work is, at most every few seconds and at the end."""
        self._done += cells
        self._failed += failed
        now = time.monotonic()
        finished = self._done + self._failed == self._total
        if failed or finished or now - self._spoke > PLAIN_SECONDS:
            self._spoke = now
            failures = f", {self._failed:,} failed" if self._failed else ""
            self._console.print(
                f"{self._done:,} of {self._total:,} cells{failures} "
                f"after {now - self._began:.0f} s (last: {model})"
            )


@contextmanager
def watcher(plan: Plan, *, console: Console) -> Iterator[Watcher]:
    """Bars on a terminal, alive while the context is open; lines elsewhere."""
    if not console.is_terminal:
        yield PlainWatcher(plan, console=console)
        return
    bars = TerminalWatcher(plan, console=console)
    with bars.progress:
        yield bars


def show_plan(plan: Plan, *, console: Console) -> None:
    """Print what a run would do."""
    missing, units = _missing(plan), Counter(unit.model.label for unit in plan.units)
    table = Table(title=f"plan of study {plan.study.name}")
    _columns(table, "layers", "weights", "dtype", "cells", "there", "to do", "units")
    for model in plan.models:
        total, left = plan.totals[model.label], missing[model.label]
        weights = size(model.bytes) if model.bytes else "?"
        counts = (total, total - left, left, units[model.label])
        numbers = (f"{count:,}" for count in counts)
        table.add_row(model.label, str(model.layers), weights, str(model.dtype), *numbers)
    console.print(table)
    console.print(
        f"{plan.cells:,} cells, {plan.done:,} there already, {plan.missing:,} to compute in "
        f"{len(plan.units):,} units with {len(plan.models)} model(s); about "
        f"{plan.characters // CHARACTERS_PER_TOKEN:,} tokens to read and "
        f"{size(result_bytes(plan))} of rows to write"
    )
    if plan.failed:
        console.print(f"{plan.failed:,} cells failed before: --retry-errors takes them up again")
    for note in plan.notes:
        console.print(f"note: {note}")
    for item in plan.too_long:
        console.print(
            f"too long: {item.texts:,} texts of {item.source}/{item.language} exceed the context "
            f"of {item.context:,} tokens of {item.model} (longest {item.longest:,})"
        )


def show_status(rows: Iterable[tuple[str, int, int, int]], *, console: Console) -> None:
    """Print, per model, cells in all, done and failed."""
    table = Table()
    _columns(table, "cells", "done", "failed", "to do")
    for label, total, done, failed in rows:
        table.add_row(label, *(f"{n:,}" for n in (total, done, failed, total - done - failed)))
    console.print(table)


def _columns(table: Table, *names: str) -> None:
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


def _missing(plan: Plan) -> Counter[str]:
    """Cells to compute, by model."""
    missing: Counter[str] = Counter()
    for unit in plan.units:
        missing[unit.model.label] += len(unit.cells)
    return missing
