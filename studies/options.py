"""Options that several studies share, each declared once; a study takes them by inheritance.

Nothing is looked up here: whether a model, language or data set exists is found out when the plan
is made.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from studies import languages as codes
from studies import miniworld
from studies.benchmarks import BENCHMARKS
from studies.flags import Options, flag, model_flag, writing_flag
from studies.parallel_text import PARALLEL_TEXTS
from studies.prompt_options import Asking
from studies.spec import Dtype, Model, Quantisation, Switches
from studies.values import at_revision, listed, once, paths_listed


def known_languages(texts: Sequence[str], flag: str) -> tuple[str, ...]:
    """Languages that there are."""
    found = listed(texts, flag)
    try:
        codes.check(found)
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from error
    return found


def known_languages_or_all(texts: Sequence[str], flag: str) -> tuple[str, ...]:
    """Languages that there are, or `all`, which stands alone."""
    found = listed(texts, flag)
    if found == ("all",):
        return found
    if "all" in found:
        raise ValueError(f"{flag} all beside {found[found[0] == 'all']}: leave one of them out")
    return known_languages(texts, flag)


@dataclass(frozen=True, kw_only=True)
class Named(Options):
    """Which models a study is about."""

    models: tuple[str, ...] = model_flag(
        "Folder or hub id, or ID@REVISION, such as --model Qwen/Qwen2.5-7B. Repeatable.",
        "--model",
        "-m",
        default=(),
        read=paths_listed,
    )
    adapter: str | None = model_flag(
        "Folder or hub id of a LoRA or a similar adapter to merge into the one --model, such as "
        "--adapter ./lora."
    )
    quantise: Quantisation | None = model_flag(
        "Pack the weights of linear layers, such as --quantise 8bit.", noun="quantisation"
    )


@dataclass(frozen=True, kw_only=True)
class Loading(Options):
    """How a model's files are opened."""

    dtype: Dtype = model_flag(
        "Number format of the weights, such as --dtype bfloat16.", default="float32"
    )
    trust_remote_code: bool = model_flag("Run the model's own Python code.", default=False)
    allow_odd_weights: bool = model_flag(
        "Take weights that the architecture has no place for, or that are all zero.", default=False
    )

    def model(self, name: str) -> Model:
        """The model of a name, `ID` or `ID@REVISION`, opened so.

        Raises:
            ValueError: nothing stands before or behind the `@`.
        """
        identifier, revision = at_revision(name)
        return Model(
            id=identifier,
            revision=revision,
            dtype=self.dtype,
            trust_remote_code=self.trust_remote_code,
            allow_odd_weights=self.allow_odd_weights,
        )


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Loading, Named):
    """Which models, and how they are opened."""

    def named_models(self, *, default: Iterable[str] = ()) -> tuple[Model, ...]:
        """The models asked for, or the study's default ones.

        Raises:
            ValueError: none is named, or an adapter is to be merged into several.
        """
        named = self.models or tuple(default)
        if not named:
            raise ValueError("no model given: name at least one with --model FOLDER or --model ID")
        if self.adapter is not None and len(named) > 1:
            raise ValueError(
                f"--adapter {self.adapter} with {len(named)} models: an adapter belongs to one "
                "model; name that one with --model, and run the others by a command without "
                "--adapter"
            )
        return tuple(
            replace(self.model(name), adapter=self.adapter, quantisation=self.quantise)
            for name in named
        )


@dataclass(frozen=True, kw_only=True)
class Common(ModelOptions):
    """What every study of the project reads, and a study of one's own unless it says otherwise."""

    languages: tuple[str, ...] = flag(
        "Languages to study, such as --language deu_Latn,fra_Latn, or all. Repeatable.",
        "--language",
        default=(),
        shown="all",
        read=known_languages_or_all,
        suggested=lambda: ("all", *codes.all_codes()),
    )
    pivots: tuple[str, ...] = flag(
        "Language that the others are compared with, such as --pivot fra_Latn. Repeatable.",
        "--pivot",
        default=(),
        shown="eng_Latn",
        read=known_languages,
        suggested=codes.all_codes,
    )
    benchmarks: tuple[str, ...] = flag(
        "Benchmarks to answer, such as --benchmark belebele,xcopa. Repeatable.",
        "--benchmark",
        default=(),
        suggested=lambda: BENCHMARKS,
    )
    limit: int | None = flag(
        "Ask only the first items of each benchmark, such as --limit 50.", shown="all", least=1
    )
    prompt: str | None = flag(
        "Prompt of the benchmarks, such as --prompt cloze (babelscope list prompts).",
        shown="each its own",
        suggested=lambda: sorted({name for one in BENCHMARKS.values() for name in one.prompts}),
    )
    asking: Asking = flag(
        "A reading that the papers leave open, such as --switch chat_template=true. Repeatable; "
        "babelscope list switches explains them.",
        "--switch",
        default=Asking(),
    )

    @property
    def chosen_languages(self) -> tuple[str, ...]:
        """The languages asked for, or `all`."""
        return self.languages or ("all",)

    def with_pivots(self, default: str) -> tuple[str, ...]:
        """The same with the pivots, or the default one: what a benchmark is asked in."""
        pivots = self.pivots or (default,)
        found = tuple(dict.fromkeys((*pivots, *self.chosen_languages)))
        return ("all",) if "all" in found else found

    def one_pivot(self, default: str, *, role: str) -> str:
        """The one pivot asked for, or the default one; `role` says what a study does with it.

        Raises:
            ValueError: several are given.
        """
        if len(self.pivots) > 1:
            raise ValueError(f"{len(self.pivots)} pivots: this study {role}; name one with --pivot")
        return self.pivots[0] if self.pivots else default

    def models_for(self, datasets: Iterable[str]) -> tuple[Model, ...]:
        """The models asked for; those of the project where only its own data sets are read."""
        ours = all(name in miniworld.DATASETS for name in datasets)
        return self.named_models(default=miniworld.MODELS if ours else ())


@dataclass(frozen=True, kw_only=True)
class ParallelOptions(Options):
    """Parallel text, and how much of it."""

    parallels: tuple[str, ...] = flag(
        "Parallel texts to read, such as --parallel flores200. Repeatable.",
        "--parallel",
        default=(),
        noun="parallel text",
        known=lambda: PARALLEL_TEXTS,
    )
    pairs: int | Literal["all"] | None = flag(
        "Sentence pairs to compare, such as --pairs 500, or all.", shown="100", least=2
    )

    @property
    def pair_count(self) -> int | None:
        """How many sentence pairs, None for all of them."""
        return None if self.pairs == "all" else self.pairs or 100


@dataclass(frozen=True, kw_only=True)
class PaperOptions(Options):
    """What the studies of papers share."""

    paper: bool = flag("All that the paper shows, where other flags leave it open.", default=False)
    layers: tuple[int, ...] = flag(
        "Layers to read, 0 for the embeddings and 1..L for the blocks, such as --layer 8,16.",
        "--layer",
        default=(),
        shown="all",
    )
    switches: Switches = flag("", "--switch", default=Switches())


@dataclass(frozen=True, kw_only=True)
class WrittenOptions(Options):
    """Where texts that a model writes end."""

    stop: tuple[str, ...] = writing_flag(
        "What ends a text, such as --stop newline: newline, none, or a text. Repeatable.",
        default=(),
        shown="the prompt's",
        read=once,
        suggested=lambda: ("newline", "none"),
        verbatim=True,
    )

    @property
    def stops(self) -> tuple[str, ...] | None:
        """What ends a text: `newline`, `none` or texts as they are; None leaves it to the prompt.

        Raises:
            ValueError: one is empty, or `none` stands beside others.
        """
        if not self.stop:
            return None
        if self.stop == ("none",):
            return ()
        if "none" in self.stop:
            raise ValueError("--stop none beside another --stop: expected one or the other")
        if "" in self.stop:
            raise ValueError(
                "--stop '': every text would end at once; expected a text, newline, or none"
            )
        return tuple("\n" if stop == "newline" else stop for stop in self.stop)


def refuse_harness(benchmarks: Iterable[str], *, other: str) -> None:
    """Refuse tasks of lm-evaluation-harness where a study puts questions in its own prompts.

    Raises:
        ValueError: there is one; `other` is the name of a benchmark that would do.
    """
    for name in benchmarks:
        if name.startswith("harness/"):
            raise ValueError(
                f"--benchmark {name}: this study puts questions in its own prompts; name the "
                f"benchmark without harness/, such as {other}"
            )


def refuse_without_part(
    options: Options, needed: Mapping[str, tuple[str, ...]], *, parts: Collection[str]
) -> None:
    """Refuse settings without effect on the parts asked for: a misunderstanding.

    Args:
        options: what was asked for.
        needed: by field, how it is given and the parts that read it.
        parts: those asked for.

    Raises:
        ValueError: one is not as it is by default, and none of its parts was asked for.
    """
    unset = type(options)()
    for name, (given, *readers) in needed.items():
        if getattr(options, name) != getattr(unset, name) and not {*readers} & {*parts}:
            named = " or ".join(readers)
            raise ValueError(
                f"{given} has no effect without the part {named}: add --part {readers[0]}"
            )
