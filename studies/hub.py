"""Read rows of a data set from the Hugging Face hub, at a commit that is recorded.

A name moves and files are rewritten in place, so the commit that a revision resolves to is part
of what was read. Without a network, or under HF_HUB_OFFLINE=1, both libraries fall back on their
caches by themselves. `datasets` and `huggingface_hub` take a second to import, hence inside
functions.
"""

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from studies.addresses import Address
from studies.spec import Row

if TYPE_CHECKING:
    from datasets import Dataset


class Fetched(NamedTuple):
    """Rows as the hub has them, and the commit they came from (empty for a local folder)."""

    rows: list[Row]
    commit: str
    origin: str


def fetch(address: Address, *, code: str) -> Fetched:
    """All rows of one language, `code` being the data set's own code for it.

    Raises:
        ValueError: the hub or its cache does not have them; the reason is quoted.
    """
    name = address.config.format(code=code)
    try:
        if address.kind == "parquet":
            return _from_files(address, config=name)
        commit = _commit(address.id, address.revision)
        if address.kind == "wide":
            table = _load(address.id, None, address.split, commit or address.revision)
            rows = _column(table, code=code)
        else:
            table = _load(address.id, name, address.split, commit or address.revision)
            rows = table.to_list()
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(
            f"cannot read {name!r} of {address.id} from the hub: {reason}; "
            "with the files on disk, give --data-root instead"
        ) from error
    return Fetched(rows, commit, f"{address.id} {name} {address.split}")


@cache
def _commit(repository: str, revision: str | None) -> str:
    """The commit a revision stands for now, or stood for when the cache was filled."""
    if Path(repository).is_dir():
        return ""
    if revision and re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    return _snapshot(repository, revision, "README.md").name


def _snapshot(repository: str, revision: str | None, pattern: str) -> Path:
    """The cache folder of a revision, named by its commit, with the files of a pattern in it."""
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        repository, repo_type="dataset", revision=revision, allow_patterns=[pattern]
    )
    return Path(folder)


@lru_cache(maxsize=4)
def _load(repository: str, config: str | None, split: str, revision: str | None) -> "Dataset":
    """One split; kept, as the pivot's and a wide table's are asked for once per language."""
    from datasets import load_dataset

    if Path(repository).is_dir():
        revision = None
    return load_dataset(repository, config, split=split, revision=revision)


def _column(table: "Dataset", *, code: str) -> list[Row]:
    if code not in table.column_names:
        raise ValueError(f"no column {code!r} among {len(table.column_names)}")
    return [{"id": number, "sentence": text} for number, text in enumerate(table[code], start=1)]


def _from_files(address: Address, *, config: str) -> Fetched:
    """Parquet files of one configuration, without the hub's own guess at splits.

    `load_dataset` on that branch finds no configurations and renames the split `eval` to `test`.
    """
    import pyarrow.parquet

    folder, commit = Path(address.id), ""
    pattern = f"{config}/{address.split}/*.parquet"
    if not folder.is_dir():
        folder = _snapshot(address.id, address.revision, pattern)
        commit = folder.name
    found = sorted(folder.glob(pattern))
    if not found:
        raise ValueError(f"no file {pattern}")
    rows = [row for file in found for row in pyarrow.parquet.read_table(file).to_pylist()]
    return Fetched(rows, commit, f"{address.id} {config} {address.split}")
