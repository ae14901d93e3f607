"""What somebody has put among the files of a run: one sentence, or no difference; never a hang."""

import os
from pathlib import Path

import pytest

from analysis.storage.runs import distinct
from orchestrator.storage.store import Store
from tests.makers.stored import fill
from tests.orchestrator.storage.test_bad_stores import RECORD, command, put


def test_one_address_in_two_object_stores_is_two_runs():
    """And one folder by two names is one."""
    stores = [f"s3://bucket/run?endpoint_override={host}:9000" for host in ("one", "two")]
    assert distinct([*stores, "s3://bucket/run"]) == ((*stores, "s3://bucket/run"), [])
    again, notes = distinct([stores[0], stores[0].replace("s3://", "s3://KEY:SECRET@"), "a", "./a"])
    assert again == (stores[0], "a")
    assert notes == [
        f"{name} was named more than once: it is read once." for name in ("s3://bucket/run", "a")
    ]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of four cells and an artifact."""
    store = Store(tmp_path / "run")
    with store.lock():
        store.write_manifest(RECORD)
        fill(store, 2)
        store.write_artifact("ab", b"tensors")
    return store.files.local


def old(path: Path) -> None:
    put(path)
    os.utime(path, (0, 0))


@pytest.mark.parametrize(
    "name",
    [
        *("leases/notes.txt", "leases/copy of 0a.json", "leases/0a.json.bak", "leases/x/0a.json"),
        *("artifacts/a b.safetensors", "artifacts/-x.safetensors", "artifacts/x/a.safetensors"),
        *("errors/notes.txt", "tables/notes.txt", "tables/alignment/x/y.parquet"),
    ],
)
def test_files_that_are_none_of_ours_change_nothing(run: Path, name: str):
    keys = Store(run).keys()
    old(run / name)
    store = Store(run)
    assert store.holder() is None
    with store.lock():
        assert store.keys(verify=True) == keys and not store.failed()
    assert (run / name).read_bytes() == b"x" and not store.quarantined


@pytest.mark.parametrize("folder", ["tables", "errors", "artifacts", "leases"])
def test_a_file_in_place_of_a_folder_is_one_sentence(
    run: Path, folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    if (run / folder).exists():
        (run / folder).rename(run / "kept.log")
    put(run / folder)
    # A report asks for no artifact and no lease, and the status for no artifact.
    asking = {"artifacts": [], "leases": ["status"]}.get(folder, ["status", "report"])
    for asked in asking:
        status, text = command(asked, str(run), monkeypatch=monkeypatch, capsys=capsys)
        last = text.splitlines()[-1]
        assert status == 2 and last.startswith("error: "), text
        assert f"{run / folder} is a file where a folder is expected: move it away" in last
    with (
        pytest.raises(OSError, match=r"Not a directory|is a file where a folder is expected"),
        Store(run).lock(),
    ):
        pass
    assert (run / folder).read_bytes() == b"x"


@pytest.mark.parametrize("folder", ["tables/alignment", "errors", "leases"])
def test_a_name_that_is_no_text_is_one_sentence(
    run: Path,
    folder: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    (run / folder).mkdir(exist_ok=True)
    os.close(os.open(os.fsencode(run / folder) + b"/\xff.parquet", os.O_CREAT))
    status, text = command("status", str(run), monkeypatch=monkeypatch, capsys=capsys)
    last = text.splitlines()[-1]
    assert status == 2 and last.isprintable() and str(run) in last, text
    assert r"holds a file whose name is no Unicode text, b'\xff.parquet': rename it" in last
