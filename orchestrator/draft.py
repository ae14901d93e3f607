"""What is gathered while the grids of a study are read: the cells that are missing, and notes.

How each kind of grid is read is in `grids/`; what is gathered is packed into units elsewhere.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field

from orchestrator.pack import Content, Part
from studies import languages
from studies.spec import Cell, ChoiceSet, ModelFacts, Taken
from studies.study import Grid


class Ledger:
    """Which keys are there, failed or to be computed.

    Grids may overlap, and takers share what they take: a key counts, and is computed, where it is
    entered first.
    """

    def __init__(self, done: Collection[str], failed: Collection[str]) -> None:
        """Nothing is entered; `done` are the keys that are there, `failed` those given up."""
        self.done = 0
        self._done = done if isinstance(done, Set) else frozenset(done)
        self._failed = failed if isinstance(failed, Set) else frozenset(failed)
        self._seen: set[str] = set()

    def __len__(self) -> int:
        """How many keys the study has so far."""
        return len(self._seen)

    def there(self, key: str) -> bool:
        """Whether a key's cell is done; nothing is entered."""
        return key in self._done

    def missing(self, key: str) -> bool:
        """Enter a key, and say whether its cell is to be computed."""
        if key in self._seen:
            return False
        self._seen.add(key)
        if key in self._done:
            self.done += 1
            return False
        return key not in self._failed

    def those_missing(self, *cells: Cell) -> Iterator[Cell]:
        """Enter the keys of cells, and keep those that are to be computed."""
        return (cell for cell in cells if self.missing(cell.key))


@dataclass(slots=True)
class Draft:
    """What is gathered while the grids are read."""

    ledger: Ledger
    parts: list[Part] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    pins: dict[str, object] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    languages: set[str] = field(default_factory=set)
    on_content: Callable[[Content, str], None] = lambda *_: None

    def read(self, content: Content, *, name: str) -> str:
        """Take note of what was read, and of the commit if it came from the hub."""
        self.pins[name] = fingerprint = content.fingerprint
        self.languages |= {content.language, getattr(content, "pivot", None) or content.language}
        self.on_content(content, name)
        if content.commit:
            self.commits[name] = content.commit
        return fingerprint

    def add(
        self,
        cells: Iterable[Cell],
        *,
        model: ModelFacts,
        content: Content,
        grid: Grid,
        characters: int,
        beside: tuple[Content, ...] = (),
        needs: tuple[str, ...] = (),
        taken: tuple[Taken, ...] = (),
    ) -> None:
        """Keep those `cells` that are missing, which the ledger decides while they are made."""
        before, done = len(self.ledger), self.ledger.done
        missing = tuple(cells)
        self.totals[model.label] += len(self.ledger) - before
        self.done[model.label] += self.ledger.done - done
        if missing:
            self.parts.append(
                Part(
                    model=model,
                    cells=missing,
                    content=content,
                    grid=grid,
                    characters=characters,
                    beside=beside,
                    needs=needs,
                    taken=taken,
                )
            )


def named(asked: Iterable[str], *, there: tuple[str, ...]) -> tuple[str, ...]:
    """The languages meant: those named, in their order, or all there are."""
    asked = tuple(dict.fromkeys(asked))
    if "all" in asked:
        return there
    languages.check(asked)
    return asked


def those_there(
    draft: Draft, asked: Iterable[str], *, there: tuple[str, ...], benchmark: str
) -> list[str]:
    """The languages meant that a benchmark has; a note says which it lacks.

    Raises:
        ValueError: it has none of them.
    """
    meant = named(asked, there=there)
    lacking = [language for language in meant if language not in there]
    if lacking:
        shown = _few(lacking)
        if len(lacking) == len(meant):
            raise ValueError(
                f"{benchmark} has no {shown}, and no other language was asked for: name one of "
                f"{_few(there)} with --language, or give its rows with --data-root"
            )
        note = f"{benchmark} has no {shown}: no answers in these languages"
        if note not in draft.notes:
            draft.notes.append(note)
    return [language for language in meant if language in there]


def need_rows(draft: Draft, asked: Iterable[str], *, read: Iterable[str]) -> None:
    """Refuse a language of which nothing that was `read` has any row: it would be zero cells.

    Raises:
        ValueError: there is one.
    """
    lacking = [code for code in dict.fromkeys(asked) if code not in (*draft.languages, "all")]
    if lacking:
        raise ValueError(
            f"no rows in {_few(lacking)}, so nothing would be computed: not in "
            f"{_few(tuple(dict.fromkeys(read)))}; check the code of the language, or give its rows "
            "with --data-root"
        )


def _few(names: Sequence[str], *, most: int = 6) -> str:
    """Names in a sentence, cut after the first ones."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def need_pivot(benchmark: str, pivot: str, *, there: tuple[str, ...], role: str) -> None:
    """Refuse a pivot that a benchmark lacks; `role` says what it is for.

    Raises:
        ValueError: it does.
    """
    if pivot not in there:
        raise ValueError(
            f"{benchmark} has no {pivot}, {role}: name one of {', '.join(there[:12])} with "
            "--pivot, or give its rows with --data-root"
        )


def characters(choices: ChoiceSet) -> int:
    """The size of all contexts and options."""
    return sum(len(item.context) + sum(map(len, item.options)) for item in choices.items)
