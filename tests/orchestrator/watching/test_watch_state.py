"""`watch.json`: whole at any moment, read strictly, taken up where a killed watch left it."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from orchestrator.storage.files import Files
from orchestrator.watching import state
from orchestrator.watching.state import Record, Watched
from tests.makers.world import ROOT


def test_what_is_written_is_read_again(tmp_path: Path):
    files = Files(tmp_path / "store")
    assert state.read(files) == Watched()
    watched = Watched(study="s")
    watched.put(Record(name="run@step-1", source="run", step=1, date="2026-01-01T00:00:00+00:00"))
    watched.webhook.failed = 2
    state.write(files, watched)
    assert state.read(files) == watched
    held = json.loads((tmp_path / "store" / "watch.json").read_text())
    assert held["version"] == 1 and held["checkpoints"][0]["name"] == "run@step-1"


def test_a_later_version_may_know_more_of_a_record_and_less_is_filled_in(tmp_path: Path):
    files = Files(tmp_path)
    record = asdict(Record(name="a", source="b", attempts=2)) | {"new": 1}
    del record["told"]
    files.put("watch.json", json.dumps({"version": 1, "checkpoints": [record]}).encode())
    assert state.read(files).records == {"a": Record(name="a", source="b", attempts=2)}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"version": 1}', b'{"version": 1, "checkpoints": [{"name": 1}]}',
     b'{"version": 1, "checkpoints": {"a": {}}}', b'{"version": "1", "checkpoints": 3}',
     b'{"version": 1, "checkpoints": [{"name": "a", "source": "b", "state": "lost"}]}'],
)  # fmt: skip
def test_a_damaged_file_is_said_and_how_to_mend_it(content: bytes, tmp_path: Path):
    Files(tmp_path).put("watch.json", content)
    with pytest.raises(
        ValueError, match=r"watch\.json is damaged: delete it.*never computed twice"
    ):
        state.read(Files(tmp_path))


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path):
    Files(tmp_path).put("watch.json", b'{"version": 2, "checkpoints": []}')
    with pytest.raises(ValueError, match="written by a newer Babelscope"):
        state.read(Files(tmp_path))


def test_what_a_killed_watch_was_at_is_ready_again_and_costs_no_try():
    watched = Watched(study="s")
    watched.put(Record(name="a", source="x", state="running", attempts=1))
    watched.put(Record(name="b", source="x", state="done", attempts=0))
    assert watched.resume(study="s") == 0
    assert (watched.records["a"].state, watched.records["a"].attempts) == ("ready", 1)
    assert watched.records["b"].state == "done"


def test_another_question_is_asked_of_all_that_are_finished_again():
    watched = Watched(study="s")
    for name, at in (("a", "done"), ("b", "left"), ("c", "gone"), ("d", "rewritten")):
        watched.put(Record(name=name, source="x", state=at, attempts=4))  # type: ignore[arg-type]
    assert watched.resume(study="t") == 2
    found = {name: (one.state, one.attempts) for name, one in watched.records.items()}
    assert found["a"] == found["b"] == ("waiting", 0)
    assert found["c"] == ("gone", 4) and found["d"] == ("rewritten", 4)


WRITER = """
import sys
from orchestrator.storage.files import Files
from orchestrator.watching import state
watched = state.Watched()
for number in range(10**6):
    for name in range(200):
        watched.put(state.Record(name=str(name), source="run", attempts=number))
    state.write(Files(sys.argv[1]), watched)
"""


def test_a_kill_leaves_the_file_before_or_the_one_after(tmp_path: Path):
    for wait in (0.02, 0.11, 0.23):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT)
        while not (tmp_path / "watch.json").exists():
            assert writer.poll() is None
            time.sleep(0.01)
        time.sleep(wait)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        found = state.read(Files(tmp_path)).records
        assert len(found) == 200
        assert len({one.attempts for one in found.values()}) == 1, "half of one, half of another"


def test_a_file_that_a_run_takes_for_a_leftover_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Who takes the store's lock deletes what killed writers left beside its files."""
    files, plainly = Files(tmp_path), Files.put
    tries: list[int] = []

    def swept(self: Files, name: str, content: bytes, *, durable: bool = True) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise FileNotFoundError(name)
        plainly(self, name, content, durable=durable)

    monkeypatch.setattr(Files, "put", swept)
    state.write(files, Watched(study="x"))
    assert state.read(files).study == "x" and len(tries) == 3
