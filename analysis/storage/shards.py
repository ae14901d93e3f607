"""What the shards of a table hold: every file that is whole and of its run, its texts as
dictionaries.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.storage import seal
from analysis.storage.folder import Entry, Folder, StorageError
from analysis.storage.record import Record, error_files, parquet, stranger
from analysis.storage.runs import record

Value = TypeVar("Value")
# Files that this process found to be whole and of their run: a report reads each several times.
_INTACT: set[tuple[str, Entry]] = set()


def gathered(
    run: Folder, name: str, *, read: Callable[[pq.ParquetFile], Value]
) -> Iterator[tuple[Entry, Value]]:
    """What `read` makes of every file of a table, each as soon as it is there."""
    own = record(run)
    return run.gather(
        lambda: _files(run, name), read=lambda entry: _shard(run, entry, own=own, read=read)
    )


def _files(run: Folder, name: str) -> list[Entry]:
    """The files that hold a table now."""
    return error_files(run) if name == "errors" else parquet(run.entries(f"tables/{name}"))


def _shard(
    run: Folder, entry: Entry, *, own: Record, read: Callable[[pq.ParquetFile], Value]
) -> Value:
    """What `read` makes of one file.

    Raises:
        ValueError: the file is damaged, or of another run.
    """
    try:
        if (run.where, entry) in _INTACT:
            with run.opened(entry) as source:
                return read(_parquet_file(source))
        content = run.read(entry.name)
        if seal.intact(content) is False:
            raise pa.ArrowInvalid("its bytes are not those that were written")
        file = _parquet_file(pa.BufferReader(content))
        if not (foreign := stranger(file, own if "study" in own else None)):
            _INTACT.add((run.where, entry))
            return read(file)
    except (FileNotFoundError, StorageError):
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{run.text(entry.name)} is damaged ({str(error).splitlines()[0]}): run the study's "
            "command again with --verify, which computes its cells anew, or move it out of tables/"
        ) from error
    raise ValueError(
        f"{run.text(entry.name)} {foreign}: it is of another run; move it out of tables/, or "
        "report both runs together"
    )


def _parquet_file(source: pa.NativeFile) -> pq.ParquetFile:
    """A file for reading, its texts as dictionaries."""
    metadata = pq.read_metadata(source)
    fields = metadata.schema.to_arrow_schema()
    return pq.ParquetFile(
        source,
        metadata=metadata,
        pre_buffer=True,
        page_checksum_verification=True,
        read_dictionary=[field.name for field in fields if pa.types.is_string(field.type)],
    )


def chosen(file: pq.ParquetFile, schema: pa.Schema) -> pa.Table:
    """The columns of the schema, texts as dictionaries; a column that the file lacks is missing.

    `options` are the lengths of the lists `scores`.
    """
    present = set(file.schema_arrow.names)
    wanted = [name for name in schema.names if name in present]
    if "options" in schema.names and "scores" in present.difference(wanted):
        wanted.append("scores")
    found = file.read(columns=wanted, use_threads=False)
    values = []
    for column in schema:
        if column.name == "options" and "scores" in present:
            values.append(pc.list_value_length(found["scores"]).cast(column.type))
        elif column.name in present:
            values.append(found[column.name])
        else:
            values.append(pa.nulls(found.num_rows, column.type))
    return pa.table(values, names=schema.names)
