"""Show a run as it goes on: a live table on a terminal, lines elsewhere, and files for others.

Every viewer is shown a snapshot several times a second and throttles itself; none decides anything.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.showing import status_page
from orchestrator.showing.progress import columns, note, span
from orchestrator.showing.snapshot import ModelProgress, Snapshot, WorkerActivity
from orchestrator.storage.store import Store

PLAIN_SECONDS = 10.0
LIVE_SECONDS = 0.25
FILE_SECONDS = 2.0
SHOWN_WORKERS = 16


class Viewer(Protocol):
    """Whoever is shown how the work goes on; it throttles itself."""

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        """A new snapshot; `last` is the end of the run."""


class LiveViewer:
    """A table per run, alive on a terminal while the work goes on."""

    def __init__(self, live: Live) -> None:
        """Draw into `live`."""
        self._live = live
        self._drawn = 0.0

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        """Draw, a few times a second."""
        if last or time.monotonic() - self._drawn >= LIVE_SECONDS:
            self._drawn = time.monotonic()
            self._live.update(picture(snapshot), refresh=True)


class PlainViewer:
    """A line now and then, for logs and pipes."""

    def __init__(self, *, console: Console) -> None:
        """Print to `console`."""
        self._console = console
        self._spoke = 0.0
        self._failed = 0
        self._noted = 0

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        """Say how far the work is, at most every few seconds, at failures, and at the end; and
        every note once."""
        for sentence in snapshot.notes[self._noted :]:
            note(sentence, console=self._console)
        self._noted = len(snapshot.notes)
        news = snapshot.failed > self._failed
        if not (news or last or time.monotonic() - self._spoke > PLAIN_SECONDS):
            return
        self._spoke, self._failed = time.monotonic(), snapshot.failed
        failures = f", {snapshot.failed:,} failed" if snapshot.failed else ""
        at_work = Counter(f"{worker.doing} {worker.model}" for worker in snapshot.workers)
        doing = ", ".join(f"{count} {what}" for what, count in sorted(at_work.items()))
        left = "" if snapshot.seconds_left is None else f", {span(snapshot.seconds_left)} left"
        self._console.print(
            f"{snapshot.done:,} of {snapshot.cells:,} cells{failures} after "
            f"{span(snapshot.now - snapshot.started)}{left}" + (f" ({doing})" if doing else ""),
            markup=False,
        )


class FileViewer:
    """`status.json` and `status.html` in the run's folder, for other shells, machines, browsers."""

    def __init__(self, store: Store) -> None:
        """Write into `store`."""
        self._store = store
        self._wrote = 0.0

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        """Write, every few seconds."""
        if last or time.monotonic() - self._wrote >= FILE_SECONDS:
            self._wrote = time.monotonic()
            page = status_page.render(snapshot, root=self._store.address)
            # Rows that cannot be written end the run with a sentence; a page never does.
            with suppress(OSError, ValueError):
                self._store.write_status(asdict(snapshot))
                self._store.files.put("status.html", page.encode(), durable=False)


class Viewers:
    """Several viewers as one."""

    def __init__(self, viewers: Sequence[Viewer]) -> None:
        """Show everything to each of `viewers`."""
        self._viewers = tuple(viewers)

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        """Show it to each."""
        for viewer in self._viewers:
            viewer.show(snapshot, last=last)


@contextmanager
def viewer(store: Store, *, console: Console) -> Iterator[Viewer]:
    """Files, and a live table on a terminal while the context is open, or lines elsewhere."""
    files = FileViewer(store)
    if not console.is_terminal:
        yield Viewers([files, PlainViewer(console=console)])
        return
    with Live(console=console, auto_refresh=False) as live:
        yield Viewers([files, LiveViewer(live)])


def picture(snapshot: Snapshot) -> Group:
    """A run as a terminal shows it: models, workers, and how busy the GPUs are."""
    models = Table(box=None, pad_edge=False)
    columns(models, "", "cells", "failed", "cells/s", "workers", "left")
    for model in snapshot.models:
        models.add_row(*_model_cells(model))
    parts: list[Table | Text] = [models]
    if snapshot.workers:
        workers = Table(box=None, pad_edge=False)
        for heading in ("worker", "node", "GPUs", "model", "is", "since", "units"):
            workers.add_column(heading, style="dim")
        for worker in snapshot.workers[:SHOWN_WORKERS]:
            workers.add_row(*_worker_cells(worker))
        parts.append(workers)
    if len(snapshot.workers) > SHOWN_WORKERS:
        parts.append(Text(f"and {len(snapshot.workers) - SHOWN_WORKERS} more workers", "dim"))
    parts += [Text(f"{node}: {busy}", "dim") for node, busy in snapshot.usage.items()]
    parts += [Text(note, "yellow") for note in snapshot.notes]
    left = "?" if snapshot.seconds_left is None else span(snapshot.seconds_left)
    parts.append(
        Text(
            f"{snapshot.state}: {snapshot.done:,} of {snapshot.cells:,} cells, "
            f"{span(snapshot.now - snapshot.started)} so far, {left} left"
        )
    )
    return Group(*parts)


def _model_cells(model: ModelProgress) -> tuple[str | Text | ProgressBar, ...]:
    share = ProgressBar(total=max(1, model.cells), completed=model.done + model.failed, width=24)
    failed = Text(f"{model.failed:,}", "red" if model.failed else "dim")
    left = "?" if model.seconds_left is None else span(model.seconds_left)
    rate = f"{model.rate:.1f}" if model.rate else ""
    return (
        model.model,
        share,
        f"{model.done:,}/{model.cells:,}",
        failed,
        rate,
        str(model.workers),
        left,
    )


def _worker_cells(worker: WorkerActivity) -> tuple[str, ...]:
    gpus = f"{worker.gpus:g}" if worker.gpus else "-"
    since = span(worker.seconds)
    return (
        str(worker.worker),
        worker.node,
        gpus,
        worker.model,
        worker.doing,
        since,
        str(worker.units),
    )
