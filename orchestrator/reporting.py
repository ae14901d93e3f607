"""Write the report of runs, and show its main table in a terminal or a file."""

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from orchestrator import launch, table_width
from orchestrator.storage.store import Store

TABLE = "table.txt"
PAGE = "index.html"


class Written(NamedTuple):
    """Where a report lies, and the names of its files there."""

    folder: str
    files: tuple[str, ...]


def write_or_show(store: Store, *, console: Console, changed: bool) -> None:
    """Write a run's report where there is none or rows have changed, else show its main table."""
    if changed or store.files.entry(f"report/{PAGE}") is None:
        write_in(store, console=console)
        return
    # As it was printed then: reading a million rows again takes longer than all else.
    if store.files.entry(f"report/{TABLE}") is not None:
        shown = store.files.read(f"report/{TABLE}").decode()
        console.print(shown.rstrip(), markup=False, highlight=False, soft_wrap=True)
    console.print(f"report: {store.files.text(f'report/{PAGE}')}")


def write_in(store: Store, *, console: Console) -> Written:
    """Write a run's report into the run, by way of this machine where the run lies elsewhere."""
    if store.files.is_local:
        return write((store.files.local,), out=store.files.local / "report", console=console)
    with tempfile.TemporaryDirectory() as folder:
        written = write((store.files.where,), out=Path(folder), console=console)
        store.files.copy_in(Path(folder), to="report")
    console.print(f"report: copied to {store.files.text(f'report/{PAGE}')}")
    return Written(store.files.text("report"), written.files)


def write(runs: tuple[Path | str, ...], *, out: Path, console: Console) -> Written:
    """Write the report and show its main table."""
    from analysis import report as reports
    from analysis import terminal

    began = time.monotonic()
    with console.status("writing the report"), launch.writing(out):
        report = reports.build(runs)
        files = reports.write(report, out=out)
    with launch.writing(out), (out / TABLE).open("w", encoding="utf-8") as file:
        for shown in terminal.main_tables(report):
            for target in (console, Console(file=file, width=table_width.WIDTH)):
                fitting = (
                    table_width.parts(shown, width=target.width)
                    if isinstance(shown, Table)
                    else [shown]
                )
                for part in fitting:
                    target.print(part, markup=False)
    console.print(f"report: {files.html} ({time.monotonic() - began:.1f} s)")
    there = sorted(path for path in out.rglob("*") if path.is_file())
    return Written(str(out), tuple(path.relative_to(out).as_posix() for path in there))
