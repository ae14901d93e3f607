"""A report fetches every new file once, whatever its size, and parses run.json once."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from analysis import read
from analysis.storage import folder as storage
from analysis.storage import runs
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run


@pytest.mark.parametrize("size", [0, 4_000_000], ids=["large files", "small files"])
def test_every_file_is_fetched_once_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    score = planted(4)
    run = write_run(
        tmp_path, alignment=alignment_rows("m", scores=score), record={"study": "neuronxa"},
        items=item_rows("m", accuracies=follow(score, slope=0.5, start=0.2, noise=0.1, seed=1)),
    )  # fmt: skip
    monkeypatch.setattr(storage, "WHOLE_BYTES", size)
    fetched, parsed = Counter[str](), Counter[str]()
    whole, opened, parse = storage.Folder.read, storage.Folder.opened, runs.parse

    def count_read(place: storage.Folder, name: str) -> bytes:
        fetched[name] += 1
        return whole(place, name)

    def count_opened(place: storage.Folder, entry: storage.Entry) -> Any:
        # Of a small file `read` is called in turn.
        fetched[entry.name] += entry.bytes > size
        return opened(place, entry)

    def count_parse(content: bytes, *, where: str) -> dict[str, object]:
        parsed[where] += 1
        return parse(content, where=where)

    monkeypatch.setattr(storage.Folder, "read", count_read)
    monkeypatch.setattr(storage.Folder, "opened", count_opened)
    monkeypatch.setattr(runs, "parse", count_parse)
    assert len(read.table([run], name="items")) and len(read.table([run], name="alignment"))
    shards = {name: count for name, count in fetched.items() if name.endswith(".parquet")}
    assert len(shards) == 4 and set(shards.values()) == {1}
    read.rows([run])
    assert list(parsed.values()) == [1]


def test_a_run_json_that_changed_is_read_again(tmp_path: Path) -> None:
    run = write_run(tmp_path, record={"study": "one"})
    assert runs.record(storage.Folder(run))["study"] == "one"
    write_run(tmp_path, record={"study": "another"})
    assert runs.record(storage.Folder(run))["study"] == "another"
