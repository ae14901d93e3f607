"""Many figures saved by several processes: the same files, in order, whatever becomes of one."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import pytest
from matplotlib.figure import Figure

from analysis.figures import saving

COUNT = saving.WORTH_PROCESSES


def drawn(folder: Path) -> Iterator[tuple[Figure, Path]]:
    """Figures with a title of their own, one letter of which no font has."""
    folder.mkdir()
    for number in range(COUNT):
        figure = Figure(figsize=(2, 1.5), layout="constrained")
        axes = figure.subplots()
        axes.plot(range(number + 2))
        axes.set_title(f"number {number}" + "\U00012000" * (number == 7))
        yield figure, folder / f"figure-{number}"


def test_several_processes_write_what_one_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "cpu_count", lambda: 2)
    together = list(saving.save_all(drawn(tmp_path / "together"), count=COUNT))
    monkeypatch.setattr(saving, "cpu_count", lambda: 1)
    alone = list(saving.save_all(drawn(tmp_path / "alone"), count=COUNT))
    assert together == alone
    assert [f">number {number}" in one.svg for number, one in enumerate(alone)] == [True] * COUNT
    assert [len(one.lacking) for one in alone] == [int(number == 7) for number in range(COUNT)]
    files = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert len(files) == 2 * COUNT
    for name in files:
        written = [(tmp_path / folder / name).read_bytes() for folder in ("alone", "together")]
        assert written[0] == written[1]


def test_a_process_that_is_killed_costs_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "cpu_count", lambda: 2)

    def killing() -> Iterator[tuple[Figure, Path]]:
        for number, one in enumerate(drawn(tmp_path / "killed")):
            if number == 9:
                os.kill(saving._pool(2).submit(os.getpid).result(), signal.SIGKILL)
            yield one

    found = list(saving.save_all(killing(), count=COUNT))
    assert [f">number {number}" in one.svg for number, one in enumerate(found)] == [True] * COUNT
    assert len(list((tmp_path / "killed").iterdir())) == 2 * COUNT


ENDLESS = """
import sys
from pathlib import Path
from matplotlib.figure import Figure
from analysis.figures import saving

saving.cpu_count = lambda: 2

def figures():
    for number in range(10_000):
        figure = Figure()
        figure.subplots(3, 3)
        yield figure, Path(sys.argv[1]) / str(number)

list(saving.save_all(figures(), count=10_000))
"""


def test_no_process_outlives_the_one_that_started_it(tmp_path: Path) -> None:
    # Whatever still runs holds the pipe open, and what is read from it has no end.
    running = Popen([sys.executable, "-c", ENDLESS, tmp_path], stdout=PIPE, stderr=DEVNULL)
    began = time.monotonic()
    while len(list(tmp_path.iterdir())) < 4 and time.monotonic() < began + 60:
        time.sleep(0.1)
    assert running.poll() is None and len(list(tmp_path.iterdir())) >= 4
    running.kill()
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL
