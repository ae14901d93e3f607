"""Rows of any data set: the one path by which they arrive, from disk, the hub or the project.

An embedded data set comes from the project; with a data root every other comes from
`<root>/<data set>/<language>.jsonl` or `.parquet`; without one it comes from the hub. The columns
are those of the Hugging Face data set wherever the rows lie.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from studies import languages as codes
from studies import text_files
from studies.addresses import ADDRESSES, TRAIN, Address, address
from studies.hub import fetch
from studies.spec import Row

# A data set of the user's own: no name leads out of the data root.
OWN_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
SUFFIXES = (".jsonl", ".parquet")
SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where to look for data sets that are not embedded: a folder, or the hub if None.

    It never bears identity: the content does. For no network at all, set HF_HUB_OFFLINE=1.
    `remarks` gathers what is odd in the rows but taken as it is: how many, by data set, what it is,
    and language.
    """

    data_root: Path | None = None
    remarks: dict[tuple[str, str], dict[str, int]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def remark(self, dataset: str, what: str, *, language: str, count: int) -> None:
        """Gather that so many rows of a data set are odd in some way; none is no remark."""
        if count:
            self.remarks.setdefault((dataset, what), {})[language] = count

    def sentences(self) -> list[str]:
        """One sentence for each data set and oddity."""
        found = []
        for (dataset, what), counts in self.remarks.items():
            shown = ", ".join(f"{code} {count}" for code, count in list(counts.items())[:SHOWN])
            more = f" and {len(counts) - SHOWN} more languages" if len(counts) > SHOWN else ""
            found.append(f"{dataset}: {sum(counts.values())} items {what} ({shown}{more})")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of one language in their order. `commit` is the hub's, empty for files on disk.

    `origin` and `places` say where each row came from, for messages to people.
    """

    rows: tuple[Row, ...]
    commit: str
    origin: str
    places: tuple[str, ...]

    def where(self, position: int) -> str:
        """`path/de.jsonl, line 3`."""
        return f"{self.origin}, {self.places[position]}"


def read(dataset: str, *, language: str, source: Source, columns: Sequence[str] = ()) -> Rows:
    """All rows of a data set in one language, each with at least `columns`.

    Raises:
        ValueError: there is no such data set or language, or its rows cannot be read.
    """
    place = _place(dataset, source=source)
    codes.check((language,))
    if place.kind == "embedded":
        found = _embedded(dataset, language=language)
    elif source.data_root is not None:
        found = _local(dataset, language=language, root=source.data_root)
    else:
        found = _hub(dataset, place, language=language)
    if not found.rows:
        raise ValueError(f"{found.origin} is empty: expected at least one row")
    for position, row in enumerate(found.rows):
        if lacking := [column for column in columns if column not in row]:
            raise ValueError(
                f"{found.where(position)}: no column {lacking[0]!r}; found {', '.join(row)}; "
                f"expected {', '.join(columns)}"
            )
    return found


def languages(dataset: str, *, source: Source) -> tuple[str, ...]:
    """All languages a data set has where `source` looks, sorted."""
    place = _place(dataset, source=source)
    if place.kind == "embedded":
        from studies import miniworld

        return tuple(sorted(miniworld.LANGUAGES))
    if source.data_root is not None:
        return tuple(sorted(_files(dataset, root=source.data_root)))
    _check_on_hub(dataset, place)
    missing = {codes.flores_style(dataset, code) for code in place.absent}
    return tuple(code for code in codes.known_languages(dataset) if code not in missing)


def is_own(dataset: str, *, source: Source) -> bool:
    """Whether a name that the project does not know is a folder of the user's data root."""
    known = dataset in ADDRESSES or OWN_NAME.fullmatch(dataset) is None
    return not known and source.data_root is not None and (source.data_root / dataset).is_dir()


def _place(dataset: str, *, source: Source) -> Address:
    """Where a data set lies; one of the user's own is on disk only."""
    return Address(kind="local") if is_own(dataset, source=source) else address(dataset)


def checked_id(row: Row, column: str, *, where: str) -> str:
    """The text of an id; `where` is for the message.

    Raises:
        ValueError: it is a null, blank, or no single value.
    """
    value = row[column]
    if isinstance(value, str | int | float) and str(value).strip():
        return str(value)
    raise ValueError(f"{where}: {column} is {value!r}, expected an id")


def _embedded(dataset: str, *, language: str) -> Rows:
    from studies import miniworld

    if language not in miniworld.LANGUAGES:
        raise ValueError(codes.absent(dataset, language=language, present=miniworld.LANGUAGES))
    name = dataset.removesuffix(TRAIN)
    split: miniworld.Split = "test" if name == dataset else "train"
    rows = tuple(miniworld.rows(name, language=language, split=split))
    return Rows(rows=rows, commit="", origin=f"{dataset} {language}", places=_numbers(len(rows)))


def _hub(dataset: str, place: Address, *, language: str) -> Rows:
    _check_on_hub(dataset, place)
    code = codes.source_code(dataset, language)
    if code in place.absent:
        present = languages(dataset, source=Source())
        sentence = codes.absent(dataset, language=language, present=present)
        raise ValueError(f"{sentence}; this language is on disk only: give --data-root")
    found = fetch(place, code=code)
    return Rows(
        rows=tuple(found.rows),
        commit=found.commit,
        origin=found.origin,
        places=_numbers(len(found.rows)),
    )


def _check_on_hub(dataset: str, place: Address) -> None:
    if place.kind == "local":
        raise ValueError(
            f"{dataset} is not on the hub: give --data-root DIR with DIR/{dataset}/<language>.jsonl"
            f" (published at {place.origin})"
        )


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(f"row {number}" for number in range(1, count + 1))


def _files(dataset: str, *, root: Path) -> dict[str, Path]:
    """The file of each language under a data root.

    Raises:
        ValueError: the folder is missing, a name is no language, or two files are one language.
    """
    folder = root / dataset
    if not root.is_dir():
        raise ValueError(f"data root {str(root)!r} is not a folder: give the folder of data sets")
    if not folder.is_dir():
        held = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir()))
        raise ValueError(f"no folder {folder}: expected one file per language; {root} has {held}")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() not in SUFFIXES:
            _refuse_other(path, dataset=dataset)
            continue
        try:
            language = codes.flores_style(dataset, path.stem)
        except ValueError as error:
            raise ValueError(f"{path} is named after no language: {error}") from error
        if language in found:
            raise ValueError(f"{found[language]} and {path} are both {language}: keep one")
        found[language] = path
    return found


def _refuse_other(path: Path, *, dataset: str) -> None:
    """Raise ValueError for a file that is named after a language, but of a kind not read here."""
    try:
        codes.flores_style(dataset, path.name.partition(".")[0])
    except ValueError:
        return
    raise ValueError(
        f"{path} is of a kind that is not read: expected {' or '.join(SUFFIXES)}; unpack or "
        "convert it, or move it elsewhere"
    )


def _local(dataset: str, *, language: str, root: Path) -> Rows:
    found = _files(dataset, root=root)
    if language not in found:
        own = codes.known_languages(dataset)
        name = codes.source_code(dataset, language) if language in own else language
        expected = root / dataset / f"{name}.jsonl"
        absent = codes.absent(dataset, language=language, present=found)
        raise ValueError(f"no file {expected} (or .parquet): under {root}, {absent}")
    path = found[language]
    rows, places = read_file(path)
    return Rows(rows=tuple(rows), commit="", origin=str(path), places=tuple(places))


def read_file(path: Path) -> tuple[list[Row], Sequence[str]]:
    """The rows of a .jsonl or .parquet file, and where each stands.

    Raises:
        ValueError: it cannot be read; the sentence names the line, if there is one.
    """
    if path.suffix.lower() != ".jsonl":
        return _parquet(path)
    found = list(text_files.objects(path))
    return [row for _, row in found], [place for place, _ in found]


def _parquet(path: Path) -> tuple[list[Row], Sequence[str]]:
    import pyarrow
    import pyarrow.parquet

    text_files.refuse_irregular(path)
    try:
        # One file, not a data set: a folder like `code=en` must not become a column.
        rows: list[Row] = pyarrow.parquet.ParquetFile(path).read().to_pylist()
    except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a Parquet file that can be read: {error}") from error
    return rows, _numbers(len(rows))
