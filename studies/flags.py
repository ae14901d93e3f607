"""Options as data: frozen dataclasses whose fields say how they are given on the command line.

A setting is written once, as a field: its name, type and default as in any dataclass, and in `flag`
its help text and what else its reader should know. The command line, a study file, shell completion
and the checks are made from that.

    @dataclass(frozen=True, kw_only=True)
    class Options(Common):
        depth: int = flag("How many layers to look at.", default=3, least=1)

The type says how a value is read: `str`, `int`, `float`, `Path`, a `Literal` of names, any of them
`| None`, a `tuple[..., ...]` of them for a flag that may be repeated or given as a,b,c, `bool` for
a flag without a value, and a dataclass for a flag that takes NAME=VALUE for each of its fields.
"""

import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from functools import cache, partial
from math import inf
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from studies.values import NUMBER, blank, listed, meant, number, once, unknown, whole

ASKED = "What is asked"
MODELS = "Models"
WRITING = "How texts are written"
WHERE = "Where and how"

# What stands behind a flag: texts, one for each time that it is given; of a flag without a value,
# whether it is set.
Given = Sequence[str] | bool
Made = TypeVar("Made", bound="Options")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """How a field is given.

    Attributes:
        help: one sentence for people.
        names: the flag and its short form, where they are not the field's name.
        panel: the group that help shows it in.
        noun: what a value is called in messages.
        least: the smallest whole number.
        known: the names that a value is one of.
        suggested: names for shell completion, where there may be others.
        read: makes the value of all texts that were given, and of the flag for messages.
        shown: the default in words, where it depends on other flags.
        verbatim: a value may be a text of spaces and line breaks, and is never split.
    """

    help: str = ""
    names: tuple[str, ...] = ()
    panel: str = ASKED
    noun: str = ""
    least: int = 0
    known: Callable[[], Iterable[str]] | None = None
    suggested: Callable[[], Iterable[str]] | None = None
    read: Callable[[Sequence[str], str], Any] | None = None
    shown: str = ""
    verbatim: bool = False


def flag(help: str, *names: str, default: Any = None, **more: Any) -> Any:
    """A field of an options dataclass; `more` are attributes of `Flag`."""
    return field(default=default, metadata={"flag": Flag(help=help, names=names, **more)})


# Flags in the other groups that help shows them in.
model_flag, writing_flag, where_flag = (
    partial(flag, panel=panel) for panel in (MODELS, WRITING, WHERE)
)


def shown(words: str, *, default: Any = ()) -> Any:
    """A field that is declared in a class above, with another default, as help shows it."""
    return field(default=default, metadata={"shown": words})


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every options dataclass derives from."""

    def __post_init__(self) -> None:
        """Refuse names that are none of those known."""
        for one in bound_flags(type(self)):
            if one.known and one.inside is None:
                value = getattr(self, one.field)
                for name in value if isinstance(value, tuple) else (value,):
                    if isinstance(name, str) and name not in one.known:
                        raise unknown(one.noun, name, known=one.known)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundFlag:
    """One field of an options dataclass, bound to its flag.

    `inside` is the field that holds the record which this is a field of, if it is one of those with
    a flag of their own.
    """

    field: str
    flag: Flag
    kind: Any
    default: Any
    inside: str | None = None

    @property
    def name(self) -> str:
        """The flag, such as --model."""
        return self.flag.names[0] if self.flag.names else "--" + self.field.replace("_", "-")

    @property
    def noun(self) -> str:
        """What a value is called."""
        return self.flag.noun or self.name.removeprefix("--")

    @property
    def is_record(self) -> bool:
        """Whether it takes NAME=VALUE."""
        return is_dataclass(self.kind)

    @property
    def is_switch(self) -> bool:
        """Whether it takes no value."""
        return self.kind is bool

    @property
    def several(self) -> bool:
        """Whether it may be repeated."""
        return self.is_record or get_origin(self.kind) is tuple

    @property
    def scalar(self) -> Any:
        """The type of one value beside names, None where it is a name."""
        return _parts(self.kind)[1]

    @property
    def known(self) -> tuple[str, ...]:
        """The names that a value is one of, empty where it may be any."""
        words, scalar = _parts(self.kind)
        if self.flag.known is not None:
            return tuple(self.flag.known())
        return words if scalar is None else ()

    @property
    def suggested(self) -> tuple[str, ...]:
        """Values that a shell offers."""
        if self.is_record:
            return tuple(f"{item.name}=" for item in _own(self.kind))
        return tuple(self.flag.suggested()) if self.flag.suggested else self.known

    @property
    def shown(self) -> str:
        """The default as help shows it."""
        if self.flag.shown or self.default is None or self.is_record or self.is_switch:
            return self.flag.shown
        several = self.default if isinstance(self.default, tuple) else (self.default,)
        return ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in several)

    def value(self, given: Given) -> Any:
        """The value of what was given.

        Raises:
            ValueError: it cannot be read so.
        """
        if isinstance(given, bool):
            return given
        if self.flag.read is not None:
            return self.flag.read(given, self.name)
        if not self.several:
            return self._one(given[-1])
        texts = listed(given, self.name)
        return once([self._one(text) for text in texts], self.name)

    def _one(self, text: str) -> Any:
        words, scalar = _parts(self.kind)
        if scalar in (None, str) or text in words:
            return text
        if scalar is int:
            return whole(text, self.name, least=self.flag.least)
        return number(text, self.name) if scalar is float else Path(text)


def bound_flags(options: type[Options]) -> tuple[BoundFlag, ...]:
    """The flags of an options dataclass, in their order.

    Raises:
        ValueError: a field has no default, or a type that no flag can be read as.
    """
    found: tuple[BoundFlag, ...] = _bound_flags(options)  # type: ignore[arg-type]  # a class has a hash
    return found


@cache
def _bound_flags(options: Any) -> tuple[BoundFlag, ...]:
    hints = get_type_hints(options)
    found = []
    for item in fields(options):
        kind, default = hints[item.name], _default(item, of=options)
        if not is_dataclass(kind) and not _readable(kind):
            raise ValueError(
                f"the option {item.name} of {options.__name__} has a type that no flag is read as: "
                "expected bool, str, int, float, Path, a Literal, or a tuple of one of them"
            )
        shared = _flag_of(item.name, options)
        found.append(BoundFlag(field=item.name, flag=shared, kind=kind, default=default))
        found += [
            BoundFlag(
                field=inner.name,
                flag=inner.metadata["flag"],
                kind=get_type_hints(kind)[inner.name],
                default=inner.default,
                inside=item.name,
            )
            for inner in (fields(kind) if is_dataclass(kind) else ())
            if "flag" in inner.metadata
        ]
    return tuple(found)


def by_flag(options: type[Options]) -> dict[str, tuple[BoundFlag, ...]]:
    """The fields by flag: several records may share one, each with names of its own."""
    found: dict[str, tuple[BoundFlag, ...]] = {}
    for one in bound_flags(options):
        found[one.name] = (*found.get(one.name, ()), one)
    return found


def read(options: type[Made], given: Mapping[str, Given]) -> Made:
    """The options that were given, by flag; of others of the mapping nothing is read.

    Raises:
        ValueError: a value cannot be read, or is none of those known.
    """
    values: dict[str, Any] = {}
    inner: list[tuple[str, str, Any]] = []
    for name, group in by_flag(options).items():
        if name not in given:
            continue
        raw = given[name]
        if group[0].is_record:
            assert not isinstance(raw, bool)
            values |= _records(raw, group)
        elif group[0].inside is not None:
            inner.append((group[0].inside, group[0].field, group[0].value(raw)))
        else:
            values[group[0].field] = group[0].value(raw)
    for record, name, value in inner:
        before = values.get(record)
        if before is None:
            (before,) = (one.default for one in bound_flags(options) if one.field == record)
        values[record] = replace(before, **{name: value})
    return options(**values)


def _records(texts: Sequence[str], group: Sequence[BoundFlag]) -> dict[str, Any]:
    """The records that share a flag, each with what NAME=VALUE texts set of it."""
    chosen = _chosen(texts, of=[one.kind for one in group], what=group[0].noun)
    made = {}
    for one in group:
        own = {item.name for item in _own(one.kind)}
        changes = {name: value for name, value in chosen.items() if name in own}
        made[one.field] = replace(one.default, **changes)
    return made


def _chosen(texts: Iterable[str], *, of: Sequence[type], what: str) -> dict[str, object]:
    """The fields of records that NAME=VALUE texts set, each in its own type."""
    known = {item.name: get_type_hints(record)[item.name] for record in of for item in _own(record)}
    chosen: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name not in known or not equals:
            raise ValueError(
                f"unknown {what} {text!r}: expected NAME=VALUE with one of {', '.join(known)}"
                f"{meant(name, [each for each in known if each != name])}"
            )
        if name in chosen:
            raise ValueError(f"{what} {name} is given twice: name it once")
        try:
            chosen[name] = _value(name, value, kind=known[name])
        except ValueError as error:
            several = any(f",{other}=" in value.replace(" ", "") for other in known)
            hint = f"; a value is never split, so give every {what} with a flag of its own"
            raise ValueError(f"{what} {error}{hint if several else ''}") from error
    return chosen


def _value(name: str, value: str, *, kind: object) -> object:
    """One field of a record in its own type."""
    if kind is str:
        if blank(value):
            raise ValueError(f"{name}={value!r} is empty: expected a text, or leave it out")
        return value
    if kind is bool:
        if value not in ("true", "false"):
            raise ValueError(f"{name}={value!r}: expected true or false")
        return value == "true"
    if kind is float:
        found = float(value) if NUMBER.fullmatch(value) else 0.0
        if not 0 < found < inf:
            raise ValueError(f"{name}={value!r}: expected a number above 0, such as 0.5")
        return found
    if kind is int:
        # A seed may be any number; of everything else there is at least one.
        return whole(value, name, least=0 if name == "seed" else 1)
    allowed = get_args(kind)
    if value not in allowed:
        raise ValueError(
            f"{name}={value!r}: expected one of {', '.join(allowed)}{meant(value, allowed)}"
        )
    return value


def _own(record: type) -> Iterator[Field[Any]]:
    """The fields of a record that are set by NAME=VALUE."""
    return (item for item in fields(record) if "flag" not in item.metadata)


def _default(item: Field[Any], *, of: type) -> Any:
    if item.default is MISSING and item.default_factory is MISSING:
        raise ValueError(f"the option {item.name} of {of.__name__} has no default: give it one")
    return item.default if item.default_factory is MISSING else item.default_factory()


def _flag_of(name: str, options: type) -> Flag:
    """The flag of a field; a class that only changes a default leaves it to the one it is from."""
    declared = [
        each.__dict__["__dataclass_fields__"][name]
        for each in options.__mro__
        if name in each.__dict__.get("__dataclass_fields__", {})
    ]
    for item in declared:
        if "flag" in item.metadata:
            found: Flag = item.metadata["flag"]
            nearest = declared[0]
            if item is nearest:
                return found
            return replace(found, shown=nearest.metadata.get("shown", ""))
    return Flag()


def _parts(kind: Any) -> tuple[tuple[str, ...], Any]:
    """The words of a type's literals, and its other type, None where there is none."""
    if get_origin(kind) is tuple:
        return _parts(get_args(kind)[0])
    members = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    words = [word for one in members if get_origin(one) is Literal for word in get_args(one)]
    others = [one for one in members if get_origin(one) is not Literal and one is not type(None)]
    return tuple(words), others[0] if others else None


def _readable(kind: Any) -> bool:
    words, scalar = _parts(kind)
    names = all(isinstance(word, str) for word in words)
    return kind is bool or (names and scalar in (None, str, int, float, Path))
