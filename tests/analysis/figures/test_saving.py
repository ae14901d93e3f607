"""Many figures saved by several processes: the same files, in order, whatever becomes of one."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from loky import get_reusable_executor
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
                pool = get_reusable_executor(max_workers=2)
                os.kill(pool.submit(os.getpid).result(), signal.SIGKILL)
            yield one

    found = list(saving.save_all(killing(), count=COUNT))
    assert [f">number {number}" in one.svg for number, one in enumerate(found)] == [True] * COUNT
    assert len(list((tmp_path / "killed").iterdir())) == 2 * COUNT
