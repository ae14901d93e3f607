"""Rows of anyone's: CSV or Parquet, one file or a folder of them, checked before they are a frame.

Ids stay texts: a column that is a text in our own tables (`item`, `model`, `language`, ...) is read
as one, so that `0007` is not 7, and nothing that people write (`NA`, `nan`, a language's code) is
taken for a missing text.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from analysis.questions.answer import require
from analysis.questions.observed import numeric, refuse_repeated
from analysis.read import listed
from analysis.storage.folder import Folder
from analysis.storage.record import NAME
from studies.kinds import tables

SEPARATORS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*SEPARATORS, ".parquet")


def read(
    path: Path | str,
    *,
    unit: Sequence[str] = (),
    numbers: Sequence[str] = (),
    columns: Sequence[str] = (),
) -> pd.DataFrame:
    """The rows of a CSV, TSV or Parquet file, or of all such files in a folder.

    Args:
        path: a file or a folder, here or at an s3:// address. Files of a folder are read in the
            order of their names, those of its folders too, and must be of one kind.
        unit: the columns that together name one row; none may repeat.
        numbers: columns that must hold numbers.
        columns: the columns to read, all where none is named.

    Returns:
        The rows, columns in the order of the first file.

    Raises:
        ValueError: there is no such file, one cannot be read, files differ in columns or types,
            there is no row, a column is missing or holds what is no number, or a unit repeats.

    Example:
        read("scores.csv", unit=("model", "language"), numbers=("accuracy",))
    """
    parts = _files(path)
    wanted = list(dict.fromkeys([*columns, *unit, *numbers])) if columns else []
    found = {name: _table(content, name=name, columns=wanted) for name, content in parts.items()}
    _refuse_mixed({name: table.schema for name, table in found.items()})
    frame: pd.DataFrame = pa.concat_tables(found.values(), promote_options="permissive").to_pandas()
    require(frame, [*wanted, *unit, *numbers] or list(frame.columns), role=f"of {path}")
    for name in numbers:
        numeric(frame, name)
    if unit:
        refuse_repeated(frame, unit, measured=numbers)
    return frame


def _files(path: Path | str) -> dict[str, bytes]:
    """The content of every file by its name.

    Raises:
        ValueError: there is none, or they are of several kinds.
    """
    name = PurePosixPath(str(path)).name
    folder = Folder(path)
    if folder.kind() == "nothing":
        raise ValueError(f"there is no file {folder.address}: name a file or a folder of files")
    if _suffix(name) and (folder.kind() == "file" or not folder.is_local):
        parent = Folder(str(path)[: -len(name)].rstrip("/") or ".")
        return {name: parent.read(name)}
    if folder.kind() == "file":
        raise ValueError(f"{folder.address} is of a kind that is not read: {_expected()}")
    entries = folder.entries("")
    names = [entry.name for entry in entries if _suffix(entry.name)]
    if NAME in folder.children():
        raise ValueError(
            f"{folder.address} is a run: its rows come from items, cells or languages; for a table "
            "of its report name the file"
        )
    if not names:
        held = listed([entry.name for entry in entries], most=4) or "nothing"
        raise ValueError(f"{folder.address} holds {held}: {_expected()}")
    if len(kinds := sorted({_suffix(one) for one in names})) > 1:
        raise ValueError(
            f"{folder.address} holds files of several kinds, {' and '.join(kinds)}: name one file, "
            "or a folder with one kind"
        )
    if hidden := [one for one in names if "=" in one.rpartition("/")[0]]:
        raise ValueError(
            f"{folder.text(hidden[0])} lies in a folder that is itself a value, which is not read: "
            "write it as a column of the file"
        )
    return {folder.text(one): folder.read(one) for one in names}


def _suffix(name: str) -> str:
    """The kind of a file that is read here, empty for others."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in SUFFIXES else ""


def _expected() -> str:
    return f"expected files named {', '.join(f'*{suffix}' for suffix in SUFFIXES)}"


def _table(content: bytes, *, name: str, columns: Sequence[str]) -> pa.Table:
    """One file.

    Raises:
        ValueError: it cannot be read, or has two columns of one name.
    """
    suffix = _suffix(name)
    try:
        if suffix == ".parquet":
            file = pq.ParquetFile(pa.BufferReader(content))
            names = file.schema_arrow.names
            _refuse_twins(names, name=name)
            present = [one for one in columns if one in names]
            return _plain(file.read(columns=present if columns else None))
        return _separated(content, SEPARATORS[suffix], name=name, columns=columns)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise ValueError(
            f"{name} cannot be read as {suffix[1:].upper()}: {str(error).splitlines()[0]}"
        ) from error


def _separated(content: bytes, separator: str, *, name: str, columns: Sequence[str]) -> pa.Table:
    """A file of separated values, ids as texts."""
    if not content.strip():
        raise ValueError(f"{name} is empty: expected a line of column names, and rows")
    parsing = pc_csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    head = pc_csv.open_csv(pa.BufferReader(content), parse_options=parsing).schema.names
    _refuse_twins(head, name=name)
    texts = _texts()
    converting = pc_csv.ConvertOptions(
        column_types={one: pa.string() for one in head if one in texts},
        include_columns=[one for one in columns if one in head] if columns else None,
    )
    return pc_csv.read_csv(
        pa.BufferReader(content), parse_options=parsing, convert_options=converting
    )


def _refuse_twins(names: Sequence[str], *, name: str) -> None:
    """Refuse two columns of one name."""
    if twins := sorted({one for one in names if list(names).count(one) > 1}):
        raise ValueError(f"{name} has several columns called {listed(twins)}: give each its name")


def _texts() -> set[str]:
    """The columns that are texts in our own tables."""
    return {
        name
        for table in tables().values()
        for name, kind in table.types.items()
        if kind == "string"
    }


def _plain(table: pa.Table) -> pa.Table:
    """Texts as plain texts, however the file keeps them."""
    fields = []
    for field in table.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        fields.append(field.with_type(pa.string() if text else kind))
    return table.cast(pa.schema(fields)).replace_schema_metadata()


def _refuse_mixed(schemas: Mapping[str, pa.Schema]) -> None:
    """Refuse files that differ in their columns, or in what one column holds.

    Whole and other numbers are numbers, and a column without any value is of every type.

    Raises:
        ValueError: they differ; the sentence names two files and the column.
    """
    first, *others = schemas
    kinds = {field.name: (first, _kind(field.type)) for field in schemas[first]}
    for name in others:
        schema = schemas[name]
        if lacking := [one for one in kinds if one not in schema.names]:
            raise ValueError(_unlike(lacking, holder=first, other=name))
        if added := [one for one in schema.names if one not in kinds]:
            raise ValueError(_unlike(added, holder=name, other=first))
        for field in schema:
            holder, kind = kinds[field.name]
            own = _kind(field.type)
            if kind == "nothing":
                kinds[field.name] = name, own
            elif own not in ("nothing", kind):
                raise ValueError(
                    f"column {field.name} holds {kind} in {holder} and {own} in {name}: one kind "
                    "is expected in all files"
                )


def _unlike(columns: Sequence[str], *, holder: str, other: str) -> str:
    """The sentence on columns that one file has and another lacks."""
    return (
        f"{holder} has the columns {listed(columns, most=4)} and {other} lacks them: all files are "
        "to have the same columns; name those that they share in columns, or fewer files"
    )


def _kind(of: pa.DataType) -> str:
    """What a column holds, in words."""
    if pa.types.is_null(of):
        return "nothing"
    if pa.types.is_integer(of) or pa.types.is_floating(of) or pa.types.is_decimal(of):
        return "numbers"
    return "texts" if pa.types.is_string(of) else str(of)
