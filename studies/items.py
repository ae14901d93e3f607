"""Items as the rows of a benchmark have them: understood, with an id, before any prompt.

Ids come from the data set's own keys, so that they are the same in every language. A row that
holds a null where text should be was never translated: it counts as absent, like the rows some
data sets leave out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from studies import rows
from studies.prompts import Prompt
from studies.row_parsers import RawQuestion
from studies.rows import Rows, Source, checked_id
from studies.spec import Row

UNTRANSLATED = "are left out, as a null stands where text should be"
ALIKE = "have options of the same text, which no model can tell apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrowed:
    """A column that some languages have wrong, to be taken from another language by id."""

    column: str
    into: str
    language: str
    wrong_in: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A benchmark answered by choosing, or, with `generated`, by writing the answer.

    Attributes:
        columns: what every row must have; a null in one of them marks an untranslated row.
        ids: alternatives for the id, each a group of columns to join; the first group that the
            rows have is taken, and the row number where they have none.
        read: what a row asks, or None if it leaves nothing to choose. The options of a generated
            benchmark are its right answers.
        prompts: by name, the default first.
    """

    columns: tuple[str, ...]
    read: Callable[[Row], RawQuestion | None]
    ids: tuple[tuple[str, ...], ...] = (("id",),)
    prompts: dict[str, Prompt]
    generated: bool = False
    borrowed: Borrowed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRow:
    """A row that has been understood; `where` is for messages."""

    id: str
    question: RawQuestion
    where: str
    commit: str


def asked(
    benchmark: str, entry: Benchmark, *, language: str, source: Source, limit: int | None
) -> list[ParsedRow]:
    """The first `limit` rows understood, less those that ask nothing, with their ids checked.

    Raises:
        ValueError: a row cannot be understood, an id comes twice, or nothing is asked at all.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}, expected at least 1, or none for all items")
    found = rows.read(benchmark, language=language, source=source, columns=entry.columns)
    found = _mended(found, benchmark, entry, language=language, source=source)
    understood: list[ParsedRow] = []
    untranslated = alike = 0
    places: dict[str, str] = {}
    for position, row in enumerate(found.rows[:limit]):
        where = found.where(position)
        id = _id(row, entry=entry, where=where, position=position)
        if id in places:
            raise ValueError(f"{where}: id {id!r} was already used in {places[id]}")
        places[id] = found.places[position]
        if any(row[column] is None for column in entry.columns):
            untranslated += 1
            continue
        try:
            question = entry.read(row)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if question is not None:
            options = question.options
            alike += not entry.generated and len(set(options)) < len(options)
            understood.append(ParsedRow(id=id, question=question, where=where, commit=found.commit))
    source.remark(benchmark, UNTRANSLATED, language=language, count=untranslated)
    source.remark(benchmark, ALIKE, language=language, count=alike)
    if not understood:
        raise ValueError(f"{found.origin}: none of its rows holds a question with an answer")
    return understood


def _id(row: Row, *, entry: Benchmark, where: str, position: int) -> str:
    for group in entry.ids:
        if all(column in row for column in group):
            return " ".join(checked_id(row, column, where=where) for column in group)
    return str(position)


def _mended(
    found: Rows, benchmark: str, entry: Benchmark, *, language: str, source: Source
) -> Rows:
    """The rows with a column that this language has wrong taken from a language that has it right.

    Rows that already hold the right values under the name `into` are left as they are.
    """
    borrowed = entry.borrowed
    if borrowed is None or language not in borrowed.wrong_in or borrowed.into in found.rows[0]:
        return found
    try:
        right = rows.read(
            benchmark, language=borrowed.language, source=source, columns=entry.columns
        )
    except ValueError as error:
        raise ValueError(
            f"{benchmark}: column {borrowed.column!r} is unreliable in {language} and is taken "
            f"from {borrowed.language}: {error}"
        ) from error
    values = {
        _id(row, entry=entry, where=right.where(position), position=position): row[borrowed.column]
        for position, row in enumerate(right.rows)
    }
    mended: list[Row] = []
    for position, row in enumerate(found.rows):
        id = _id(row, entry=entry, where=found.where(position), position=position)
        if id not in values:
            raise ValueError(
                f"{found.where(position)}: column {borrowed.column!r} is unreliable in {language} "
                f"and {borrowed.language} has no item {id!r} to take it from"
            )
        mended.append({**row, borrowed.into: values[id]})
    return replace(found, rows=tuple(mended))
