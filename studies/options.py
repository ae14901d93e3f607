"""What a user asks for on the command line, as one record that every recipe takes.

Names are those of the flags. Nothing is looked up here: whether a model, language or data set
exists is found out when the plan is made.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from math import inf, isfinite
from typing import NamedTuple, get_args

from studies.asking import Argument, Asking, Lens, Steering
from studies.contents import FineTuning, Sampling
from studies.spec import POOLINGS, Dtype, Model, Pooling, Quantisation, Switches
from studies.values import NUMBER, at_revision, blank, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The common flags. An empty tuple or None leaves the choice to the recipe."""

    models: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    benchmarks: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    poolings: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    parallels: tuple[str, ...] = ()
    pairs: int | None = None
    all_pairs: bool = False
    pivots: tuple[str, ...] = ()
    language_pairs: tuple[tuple[str, str], ...] = ()
    parts: tuple[str, ...] = ()
    paper: bool = False
    limit: int | None = None
    prompt: str | None = None
    coefficients: tuple[float, ...] = ()
    controls: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    sample: int | None = None
    fewshot: int | None = None
    how: FineTuning = field(default_factory=FineTuning)
    dtype: str | None = None
    switches: Switches = field(default_factory=Switches)
    asking: Asking = field(default_factory=Asking)
    lens: Lens = field(default_factory=Lens)
    steering: Steering = field(default_factory=Steering)
    trust_remote_code: bool = False
    allow_odd_weights: bool = False
    adapter: str | None = None
    quantise: str | None = None
    prompts: str | None = None
    engine: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    max_new_tokens: int | None = None
    stop: tuple[str, ...] = ()


# The fields that only a study of written text reads, and their flags.
WRITING = {
    "prompts": "--prompts",
    "engine": "--engine",
    "temperature": "--temperature",
    "top_p": "--top-p",
    "n": "--n",
    "max_new_tokens": "--max-new-tokens",
    "stop": "--stop",
}


def models(options: Options, *, default: Iterable[str] = ()) -> tuple[Model, ...]:
    """The models asked for, each `ID` or `ID@REVISION`, or the recipe's default ones.

    Raises:
        ValueError: none is named, or what is asked of them is not possible.
    """
    dtype = _dtype(options.dtype or "float32")
    quantisation = _quantisation(options.quantise)
    named = options.models or tuple(default)
    if not named:
        raise ValueError("no model given: name at least one with --model FOLDER or --model ID")
    if options.adapter is not None and len(named) > 1:
        raise ValueError(
            f"--adapter {options.adapter} with {len(named)} models: an adapter belongs to one "
            "model; name that one with --model, and run the others by a command without --adapter"
        )
    result = []
    for name in named:
        identifier, revision = at_revision(name)
        result.append(
            Model(
                id=identifier,
                revision=revision,
                dtype=dtype,
                trust_remote_code=options.trust_remote_code,
                allow_odd_weights=options.allow_odd_weights,
                adapter=options.adapter,
                quantisation=quantisation,
            )
        )
    return tuple(result)


def one_model(name: str, *, dtype: str, code: bool, odd: bool) -> Model:
    """The one model that a command is about; `code` trusts its own code, `odd` allows odd weights.

    Raises:
        ValueError: as `models` does.
    """
    asked = Options(models=(name,), dtype=dtype, trust_remote_code=code, allow_odd_weights=odd)
    (found,) = models(asked)
    return found


def poolings(names: Iterable[str]) -> tuple[Pooling, ...]:
    """The poolings of these names; all where none is named."""
    named = tuple(names)
    for name in named:
        if name not in POOLINGS:
            raise ValueError(f"unknown pooling {name!r}: expected one of {', '.join(POOLINGS)}")
    return tuple(pooling for pooling in POOLINGS if not named or pooling in named)


def sampling(options: Options) -> Sampling:
    """How tokens are drawn.

    Raises:
        ValueError: nothing can be drawn so, or a setting has no effect at temperature 0.
    """
    if len(options.seeds) > 1:
        raise ValueError(
            f"{len(options.seeds)} seeds: texts are drawn with one; ask for several texts of every "
            "prompt with --n, or run the study once for each seed"
        )
    temperature = options.temperature or 0.0
    for flag, given in (("--top-p", options.top_p is not None), ("--seed", bool(options.seeds))):
        if given and temperature == 0:
            raise ValueError(f"{flag} has no effect at temperature 0: add --temperature 1")
    return Sampling(
        temperature=temperature,
        top_p=1.0 if options.top_p is None else options.top_p,
        seed=options.seeds[0] if options.seeds else 0,
        n=1 if options.n is None else options.n,
    )


def stops(options: Options) -> tuple[str, ...] | None:
    """What ends a text: `newline`, `none` or texts as they are; None leaves it to the prompt.

    Raises:
        ValueError: one is empty, or `none` stands beside others.
    """
    if not options.stop:
        return None
    if options.stop == ("none",):
        return ()
    if "none" in options.stop:
        raise ValueError("--stop none beside another --stop: expected one or the other")
    if "" in options.stop:
        raise ValueError(
            "--stop '': every text would end at once; expected a text, newline, or none"
        )
    return tuple("\n" if stop == "newline" else stop for stop in options.stop)


class Chosen(NamedTuple):
    """The records of switches, each as far as it was set."""

    switches: Switches
    asking: Asking
    lens: Lens
    steering: Steering


def switches(settings: Iterable[str]) -> Chosen:
    """Switches from `name=value` texts, each checked against the values it can take."""
    records: tuple[type, ...] = (Switches, Asking, Lens, Steering)
    chosen = _chosen(settings, of=records, what="switch")
    made = []
    for record in records:
        own = {item.name for item in fields(record)}
        made.append(record(**{name: value for name, value in chosen.items() if name in own}))
    return Chosen(*made)


def template_arguments(settings: Iterable[str]) -> tuple[Argument, ...]:
    """What a chat template is given, from `name=value` texts, by name.

    true, false, null and numbers are those values; anything else is text, and so is what stands in
    double quotes.
    """
    found: dict[str, str | int | float | bool | None] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or blank(value):
            raise ValueError(
                f"--template-argument {setting!r}: expected NAME=VALUE, such as "
                "enable_thinking=false"
            )
        if name in found:
            raise ValueError(f"template argument {name} is given twice: name it once")
        plain = value in ("true", "false", "null") or NUMBER.fullmatch(value)
        quoted = len(value) > 1 and value[0] == value[-1] == '"'
        try:
            found[name] = json.loads(value) if plain or quoted else value
        except json.JSONDecodeError as error:
            if plain:
                raise ValueError(
                    f"--template-argument {setting!r}: {value} is no number as JSON writes it; "
                    "write 0.5 or 1, or put text in double quotes"
                ) from error
            found[name] = value
        if isinstance(number := found[name], float) and not isfinite(number):
            raise ValueError(f"--template-argument {setting!r}: expected a finite number")
    return tuple(sorted(found.items()))


def fine_tuning(settings: Iterable[str]) -> FineTuning:
    """How to fine-tune, from `name=value` texts."""
    chosen = _chosen(settings, of=(FineTuning,), what="setting")
    return FineTuning(**chosen)  # type: ignore[arg-type]


def refuse_unused(options: Options, *, recipe: str, flags: Mapping[str, str]) -> None:
    """A setting without effect is a misunderstanding: say so before anything runs.

    Args:
        options: what was asked for.
        recipe: the study's name.
        flags: the fields of options that the recipe does not read, and the flag of each.

    Raises:
        ValueError: one of them is set.
    """
    unset = Options()
    for name, flag in flags.items():
        if getattr(options, name) != getattr(unset, name):
            raise ValueError(f"{flag} has no effect in the study {recipe}: leave it out")


def _chosen(settings: Iterable[str], *, of: Iterable[type], what: str) -> dict[str, object]:
    """The fields of records that `name=value` texts set, each in its own type."""
    items = [item for record in of for item in fields(record)]
    known = {item.name: item.type for item in items if "flag" not in item.metadata}
    chosen: dict[str, object] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if name not in known or not equals:
            raise ValueError(
                f"unknown {what} {setting!r}: expected NAME=VALUE with one of {', '.join(known)}"
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
    """One setting's value in its own type."""
    if kind is str:
        if blank(value):
            raise ValueError(f"{name}={value!r} is empty: expected a text, or leave it out")
        return value
    if kind is bool:
        if value not in ("true", "false"):
            raise ValueError(f"{name}={value!r}: expected true or false")
        return value == "true"
    if kind is float:
        number = float(value) if NUMBER.fullmatch(value) else 0.0
        if not 0 < number < inf:
            raise ValueError(f"{name}={value!r}: expected a number above 0, such as 0.5")
        return number
    if kind is int:
        # A seed may be any number; of everything else there is at least one.
        return whole(value, name, least=0 if name == "seed" else 1)
    allowed = get_args(kind)
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(allowed)}")
    return value


def _dtype(name: str) -> Dtype:
    """The dtype of this name."""
    for dtype in get_args(Dtype):
        if dtype == name:
            return dtype  # type: ignore[no-any-return]
    raise ValueError(f"unknown dtype {name!r}: expected one of {', '.join(get_args(Dtype))}")


def _quantisation(name: str | None) -> Quantisation | None:
    """The quantisation of this name, if one is asked for."""
    for quantisation in get_args(Quantisation):
        if quantisation == name:
            return quantisation  # type: ignore[no-any-return]
    if name is None:
        return None
    raise ValueError(
        f"unknown quantisation {name!r}: expected one of {', '.join(get_args(Quantisation))}"
    )
