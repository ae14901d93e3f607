"""What is read while the grids of a study are turned into cells, and what there is to say of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from studies import benchmarks, languages
from studies.content import Content
from studies.rows import Source


@dataclass(slots=True)
class Inputs:
    """Where grids read their texts, and a record of what they read.

    Attributes:
        source: where rows lie.
        done: whether the cell of a key is there already.
        has_gpus: whether this machine has GPUs.
        on_content: is shown every content with its name among the pins.
        notes: sentences for the plan, each once.
        pins: what every later run in the same folder must share, by name.
        commits: the commit on the hub of what came from there, by name.
        languages: all languages that were read.
    """

    source: Source
    done: Callable[[str], bool] = lambda _: False
    has_gpus: Callable[[], bool] = lambda: False
    on_content: Callable[[Content, str], None] = lambda *_: None
    notes: list[str] = field(default_factory=list)
    pins: dict[str, object] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    languages: set[str] = field(default_factory=set)

    def read(self, content: Content, *, name: str) -> None:
        """Take note of what was read."""
        self.pins[name] = content.fingerprint
        self.languages |= {content.language, content.pivot or content.language}
        self.on_content(content, name)
        if content.commit:
            self.commits[name] = content.commit

    def note(self, sentence: str) -> None:
        """Say something of the plan, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def languages_of(
        self, benchmark: str, asked: Iterable[str], *, pivot: str = "", role: str = ""
    ) -> list[str]:
        """The languages meant that a benchmark has; a note says which it lacks.

        Raises:
            ValueError: it has none of them, or not the pivot; `role` says what that is for.
        """
        there = benchmarks.languages(benchmark, source=self.source)
        if pivot and pivot not in there:
            raise ValueError(
                f"{benchmark} has no {pivot}, {role}: name one of {', '.join(there[:12])} with "
                "--pivot, or give its rows with --data-root"
            )
        meant = named(asked, there=there)
        lacking = [language for language in meant if language not in there]
        if lacking:
            shown = _few(lacking)
            if len(lacking) == len(meant):
                raise ValueError(
                    f"{benchmark} has no {shown}, and no other language was asked for: name one of "
                    f"{_few(there)} with --language, or give its rows with --data-root"
                )
            self.note(f"{benchmark} has no {shown}: no answers in these languages")
        return [language for language in meant if language in there]

    def need_rows(self, asked: Iterable[str], *, read: Iterable[str]) -> None:
        """Refuse a language of which nothing that was `read` has any row: it would be zero cells.

        Raises:
            ValueError: there is one.
        """
        lacking = [code for code in dict.fromkeys(asked) if code not in (*self.languages, "all")]
        if lacking:
            raise ValueError(
                f"no rows in {_few(lacking)}, so nothing would be computed: not in "
                f"{_few(tuple(dict.fromkeys(read)))}; check the code of the language, or give its "
                "rows with --data-root"
            )


def named(asked: Iterable[str], *, there: tuple[str, ...]) -> tuple[str, ...]:
    """The languages meant: those named, in their order, or all there are."""
    asked = tuple(dict.fromkeys(asked))
    if "all" in asked:
        return there
    languages.check(asked)
    return asked


def _few(names: Sequence[str], *, most: int = 6) -> str:
    """Names in a sentence, cut after the first ones."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
