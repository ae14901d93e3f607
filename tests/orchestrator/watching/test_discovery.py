"""Which checkpoints of folders there are, and what is said of sources that have none."""

import gc
import os
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest

from orchestrator.watching.discover import Discovery, Look
from orchestrator.watching.options import Watching
from orchestrator.watching.state import Record
from tests.makers.watched import checkpoint


def discovery(*sources: str, **asked: object) -> Discovery:
    return Discovery(Watching(once=True, **asked), sources=sources, code=False)  # type: ignore[arg-type]


def look(*sources: str, **asked: object) -> Look:
    return discovery(*sources, **asked).look({})


def names(found: Look) -> list[str]:
    return [one.rpartition("/")[2] for one in found.found]


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """A run with checkpoints under all usual names, and much that is none."""
    run = tmp_path / "run"
    for name in (
        "checkpoint-5",
        "step_6",
        "step-7",
        "iter_0000008",
        "epoch_9",
        "tmp-checkpoint-10",
    ):
        checkpoint(run / name)
    (run / "logs").mkdir()
    (run / "checkpoint-11.zip").write_text("a file")
    (run / "checkpoint-last").symlink_to(run / "checkpoint-5")
    return run


def test_sub_folders_with_usual_names_are_checkpoints_and_links_to_them_are_not(training: Path):
    found = look(str(training))
    assert names(found) == ["run@checkpoint-5", "run@iter_0000008", "run@step-7", "run@step_6"]
    assert [one.step for one in found.found.values()] == [5, 8, 7, 6]
    assert not any(one.lacks for one in found.found.values())
    assert not found.said and not found.unknown


def test_a_pattern_takes_the_place_of_the_usual_names(training: Path):
    assert names(look(str(training), checkpoints="epoch_*")) == ["run@epoch_9"]
    assert names(look(f"{training}@*-[57]")) == ["run@checkpoint-5", "run@step-7"]


def test_a_folder_that_is_itself_a_model_is_one_beside_its_checkpoints(training: Path):
    checkpoint(training)
    found = look(f"{training}/")
    assert names(found)[-1] == "" and list(found.found)[-1] == f"{training}/"
    assert list(found.found.values())[-1].revision is None
    assert names(look(str(training), checkpoints="epoch_*")) == ["run@epoch_9"]


def test_a_pattern_of_folders(tmp_path: Path):
    for name in ("a", "b"):
        checkpoint(tmp_path / f"run-{name}" / "checkpoint-1")
    (tmp_path / "run-file").write_text("")
    found = look(f"{tmp_path}/run-*")
    assert names(found) == ["run-a@checkpoint-1", "run-b@checkpoint-1"]


def test_sources_without_anything_are_waited_for_and_said(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    sources = [f"{tmp_path}/{name}" for name in ("empty", "none/of/it", "pattern-*/x", "file")]
    found = look(*sources)
    assert not found.found and not found.unknown
    usual = "such as checkpoint-* or step_* or step-* or iter_* (--checkpoints names others)"
    assert [sentence.rpartition(": ")[2] for sentence in found.said] == [
        f"nothing there yet with a name {usual}", *["nothing there yet"] * 2,
        "expected a folder or a model of the hub",
    ]  # fmt: skip
    named = look(sources[0], f"{sources[0]}@step-5", checkpoints="epoch_*")
    assert [sentence.partition("such as ")[2] for sentence in named.said] == [
        "epoch_* (--checkpoints names others)", "step-5",
    ]  # fmt: skip


def test_two_folders_that_rows_would_call_the_same_are_told_apart(tmp_path: Path):
    for place in ("one", "two"):
        checkpoint(tmp_path / place / "run" / "checkpoint-1")
    found = look(f"{tmp_path}/one/run", f"{tmp_path}/two/run", f"{tmp_path}/one/../one/run")
    assert names(found) == ["run@checkpoint-1"] * 2
    assert "two/run/checkpoint-1 is left alone: rows call it run@checkpoint-1" in found.said[0]


def test_a_list_in_a_file_is_read_at_every_look(training: Path, tmp_path: Path):
    listed = tmp_path / "models.txt"
    listed.write_text(f"# runs\n\n{training}@step-7\n")
    found = discovery(models_from=str(listed))
    assert names(found.look({})) == ["run@step-7"]
    listed.write_text(f"{training}@step-7\n  {training}@step_6  \nminiworld-llama\n")
    assert names(found.look({})) == ["run@step-7", "run@step_6", "miniworld-llama"]
    listed.unlink()
    lost = found.look({})
    assert len(lost.found) == 3 and "cannot be read: No such file" in lost.said[0]


@pytest.mark.parametrize("lines", ["@x\n", "run@\n"])
def test_a_line_that_is_no_source_is_refused(lines: str, tmp_path: Path):
    (tmp_path / "models.txt").write_text(lines)
    with pytest.raises(ValueError, match="has no"):
        discovery(models_from=str(tmp_path / "models.txt"))


def test_nothing_to_watch_is_refused():
    with pytest.raises(ValueError, match="nothing to watch: name a training run's folder"):
        discovery()


def test_a_marker_says_when_a_checkpoint_is_whole(training: Path):
    (training / "step-7" / "ready").write_text("")
    found = look(str(training), marker="ready").found
    assert {name.rpartition("@")[2]: one.lacks for name, one in found.items()} == {
        "step-7": "", "step_6": "no ready yet", "checkpoint-5": "no ready yet",
        "iter_0000008": "no ready yet",
    }  # fmt: skip
    assert [one.settled for one in found.values()] == [False, False, True, False]


def test_no_file_is_opened_of_steps_that_are_passed_over(
    training: Path, monkeypatch: pytest.MonkeyPatch
):
    opened: list[str] = []

    def lacking(folder: Path, *_: object, **__: object) -> str:
        opened.append(folder.name)
        return ""

    monkeypatch.setattr("orchestrator.watching.discover.lacking", lacking)
    assert len(look(str(training), nth=3, until=7).found) == 4
    assert opened == ["step_6"]


def test_a_folder_that_cannot_be_listed_is_not_taken_for_gone(
    training: Path, monkeypatch: pytest.MonkeyPatch
):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("orchestrator.watching.discover.seen", refused)
    found = look(str(training))
    assert len(found.found) == 4
    assert {one.lacks for one in found.found.values()} == {"it cannot be read (Permission denied)"}
    monkeypatch.setattr("orchestrator.watching.discover._below", refused)
    found = look(str(training))
    assert found.unknown == {str(training)}
    assert found.said == (f"{training} cannot be looked at now: Permission denied",)


def test_a_look_over_a_thousand_that_are_known_is_quick_and_leaves_nothing(tmp_path: Path):
    """What a look leaves behind is less than a pointer for each checkpoint."""
    first = checkpoint(tmp_path / "run" / "checkpoint-1")
    for step in range(2, 1001):
        other = tmp_path / "run" / f"checkpoint-{step}"
        other.mkdir()
        for path in first.iterdir():
            os.link(path, other / path.name)
    watch = discovery(f"{tmp_path}/run")
    records = {
        name: Record(name=name, source=one.source, fingerprint=one.fingerprint, state="done")
        for name, one in watch.look({}).found.items()
    }
    assert len(records) == 1000
    began = time.monotonic()
    watch.look(records)
    assert time.monotonic() - began < 5
    tracemalloc.start()
    try:
        kept = []
        for _ in range(4):
            watch.look(records)
            gc.collect()
            kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # The table of interned names doubles now and then, whoever's name is next.
    assert min(late - early for early, late in pairwise(kept)) < 8 * len(records)
