"""Cells of written text: what models write after prompts, one row for every sample."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from studies import benchmarks, free_prompts, generation_items, parallel_text, translation
from studies.inputs import CHARACTERS_PER_TOKEN, Inputs, named
from studies.models.config import head_width, read_config
from studies.prompt_options import Asking
from studies.spec import Cells, Engine, ModelFacts, digest
from studies.study import Draft, Grid
from studies.tables import KEY, MODEL, STUDY, Columns, Table
from studies.texts import GREEDY, GenerationSet, Sampling

VERSION = 1
# Widths of attention heads that vLLM 0.32 has kernels for on a CPU.
CPU_HEADS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
# Writing a token takes a pass of its own, if a cheap one.
WRITING_COST = 4

GENERATIONS = Table(
    name="generations",
    row="(cell, prompt, sample)",
    columns=(
        STUDY,
        MODEL,
        Columns("benchmark, language", "string", "as above; `language` is the one that is written"),
        Columns(
            "pivot",
            "string",
            "the language translated from; missing where nothing is translated",
        ),
        Columns("item", "string", "the item's id"),
        Columns(
            "intervention, layer, coefficient",
            "string, int32, double",
            "missing for a plain run",
        ),
        Columns("prompt", "string", "name of the prompt"),
        Columns("engine", "string", "what wrote, with its version: `hf 5.23.0`"),
        Columns(
            "output",
            "string",
            "the text, without the stop string, stripped; under a chat template the answer behind"
            " a thought, which alone is scored",
        ),
        Columns(
            "thought",
            "string",
            "under a chat template, the text up to the end of a thought such as `<think> ... "
            "</think>`; missing where there is none",
        ),
        Columns(
            "in_thought",
            "bool",
            "the text ends inside a thought, so that `output` is empty; missing without a chat "
            "template",
        ),
        Columns("references", "list of string", "texts that count as right"),
        Columns("source", "string", "the text translated; missing where nothing is"),
        Columns("tokens", "int32", "tokens written"),
        Columns("stopped", "bool", "the text ended by itself, not at its longest"),
        Columns(
            "truncated",
            "bool",
            "the prompt was cut: a context to be answered from at its end, any other prompt from "
            "the left",
        ),
        KEY,
        Columns(
            "sample",
            "int32",
            "which of the texts written for the prompt, from 0 (missing in files of an older "
            "version: 0)",
        ),
        Columns("task", "string", "how the text is scored: text, translation, span, number"),
        Columns(
            "settings",
            "string",
            "canonical JSON of how tokens are drawn and where a text ends",
        ),
        Columns(
            "exact, f1, f1_mixed",
            "double",
            "span: SQuAD's exact match and token F1, and F1 with characters as tokens where words"
            " are not spaced (MLQA); number: exact match of the number; else missing",
        ),
        Columns(
            "chrf, bleu",
            "double",
            "translation: sentence scores of sacrebleu, 0 to 100; else missing",
        ),
        Columns(
            "answer",
            "string",
            "what was taken from the text to be scored: the span, the number; missing where there"
            " is none",
        ),
        Columns(
            "written_language, written_script",
            "string",
            "what the text is written in, as far as it can be told",
        ),
        Columns(
            "repetition",
            "double",
            "share of the text's word 4-grams (of characters where words are not spaced) that "
            "stand in it before; missing where it has none",
        ),
    ),
    identity=("key", "item", "sample"),
)

TABLES = (GENERATIONS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationGrid(Grid):
    """Texts that models write: answers to questions, translations, or what follows any prompt.

    `benchmark` is answered by writing; with `task` translation it is parallel text, translated from
    `pivot` into every language; with `task` text it is a file of prompts. `limit` keeps the first
    items, behind `shots` that stand as examples in every prompt (None: 4 of a translation, else
    none). `max_new_tokens` and `stop` None are those of the prompt. `engine` `auto` is vLLM where
    it is installed and can open the model; whoever writes, the cells are the same.
    """

    benchmark: str
    task: Literal["question", "translation", "text"] = "question"
    pivot: str = "eng_Latn"
    limit: int | None = None
    shots: int | None = None
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    max_new_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    sampling: Sampling = GREEDY
    engine: Engine | Literal["auto"] = "hf"

    @property
    def source(self) -> str:
        """The benchmark, parallel text or file."""
        return self.benchmark

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """A part for every language named that is there.

        Raises:
            ValueError: the benchmark or file cannot be asked, a text would fill a model's context,
                or the engine cannot open a model.
        """
        writers = _writers(self, models, inputs)
        for model in models:
            inputs.pins[f"list of end tokens of model {model.label}"] = list(model.ends)
        for usual in self._sets(inputs):
            asked = generation_items.as_asked(
                usual,
                asking=self.asking,
                max_new_tokens=self.max_new_tokens,
                stop=self.stop,
                sampling=self.sampling,
            )
            fingerprint, size = inputs.read(asked, name=_name(asked)), _characters(asked)
            for model in writers:
                if asked.max_new_tokens >= model.context:
                    raise ValueError(
                        f"{asked.benchmark} asks for texts of up to {asked.max_new_tokens:,} "
                        f"tokens, and the context of {model.label} is {model.context:,}, prompt "
                        "included: ask for fewer with --max-new-tokens"
                    )
                yield draft(asked, model=model, fingerprint=fingerprint, size=size)

    def _sets(self, inputs: Inputs) -> Iterator[GenerationSet]:
        """The prompts of each language, with their usual ends."""
        if self.task == "text":
            yield from self._own()
        elif self.task == "translation":
            yield from self._translations(inputs)
        else:
            generation_items.check(self.benchmark)
            there = benchmarks.languages(self.benchmark, source=inputs.source)
            meant = inputs.those_there(self.languages, there=there, benchmark=self.benchmark)
            for language in meant:
                yield generation_items.question_set(
                    self.benchmark,
                    language=language,
                    source=inputs.source,
                    limit=self.limit,
                    prompt=self.prompt,
                    shots=self.shots or 0,
                )

    def _own(self) -> Iterator[GenerationSet]:
        """The prompts of a file, in the languages asked for."""
        found = free_prompts.free_sets(Path(self.benchmark), limit=self.limit)
        there = tuple(one.language for one in found)
        meant = named(self.languages, there=there)
        if lacking := [language for language in meant if language not in there]:
            raise ValueError(
                f"{self.benchmark} has no prompt in {lacking[0]}: expected one of "
                f"{', '.join(there)}"
            )
        yield from (one for one in found if one.language in meant)

    def _translations(self, inputs: Inputs) -> Iterator[GenerationSet]:
        """Translations into every language but the one translated from."""
        there = parallel_text.languages(self.benchmark, source=inputs.source)
        only = parallel_text.PARALLEL_TEXTS[self.benchmark].pivot
        if only is not None and self.pivot != only:
            there = (only,)
        for language in named(self.languages, there=there):
            if language != self.pivot:
                yield generation_items.translation_set(
                    self.benchmark,
                    language=language,
                    pivot=self.pivot,
                    source=inputs.source,
                    limit=self.limit,
                    shots=translation.SHOTS if self.shots is None else self.shots,
                )


def draft(
    asked: GenerationSet,
    *,
    model: ModelFacts,
    fingerprint: str | None = None,
    size: int | None = None,
) -> Draft:
    """The one cell of a model on a set of prompts, without intervention.

    `fingerprint` and `size`, its characters, are the set's own, where the caller has them.
    """
    made = [model.identity, fingerprint or asked.fingerprint, VERSION]
    made += [{"ends": model.ends}] if model.ends else []
    return Draft(
        kind="generation",
        model=model,
        content=asked,
        cells=(
            Cells(
                table="generations",
                model=model,
                benchmark=asked.benchmark,
                language=asked.language,
                pivot=asked.pivot,
                scope=digest(made),
            ),
        ),
        characters=_characters(asked) if size is None else size,
        rows=len(asked.items) * asked.sampling.n,
    )


def _name(asked: GenerationSet) -> str:
    """What was read, as the run's manifest has it."""
    if asked.pivot:
        return f"translations {asked.benchmark}/{asked.language}-{asked.pivot}"
    return f"texts {asked.benchmark}/{asked.language}"


def _characters(asked: GenerationSet) -> int:
    """The size of all prompts, and of all that may be written, which costs more."""
    if asked.task == "translation":
        written = sum(len(item.references[0]) for item in asked.items)
    else:
        written = CHARACTERS_PER_TOKEN * asked.max_new_tokens * len(asked.items)
    prompts = sum(len(item.prompt) for item in asked.items)
    return prompts + WRITING_COST * asked.sampling.n * written


def _writers(
    grid: GenerationGrid, models: Sequence[ModelFacts], inputs: Inputs
) -> tuple[ModelFacts, ...]:
    """The models, each with the engine that opens it; a note says what was chosen and why."""
    writers, reasons = [], dict[str, list[str]]()
    for model in models:
        engine, why = _engine(grid, model, inputs)
        writers.append(replace(model, engine=engine))
        if why:
            reasons.setdefault(f"texts are written by {engine}, as {why}", []).append(model.label)
    for reason, labels in reasons.items():
        inputs.note(f"{reason}: {', '.join(labels)}")
    return tuple(writers)


def _engine(grid: GenerationGrid, model: ModelFacts, inputs: Inputs) -> tuple[Engine, str]:
    """What opens a model to write, and the reason where one was to be found."""
    if grid.engine == "hf":
        return "hf", ""
    installed = find_spec("vllm") is not None
    if grid.engine == "vllm" and not installed:
        raise ValueError(
            "--engine vllm: vLLM is not installed here: pip install 'babelscope[vllm]' on a GPU "
            "machine, or see docs/generation.md for one without; --engine hf needs nothing"
        )
    if not installed:
        return "hf", "vLLM is not installed (docs/generation.md)"
    merged = "a merged adapter" if model.adapter_weights else ""
    packed = f"weights packed to {model.quantisation}" if model.quantisation else ""
    obstacle = merged or packed or _heads(model, inputs)
    if not obstacle:
        return "vllm", "" if grid.engine == "vllm" else "vLLM is installed"
    if grid.engine == "vllm":
        raise ValueError(
            f"--engine vllm: {model.label} has {obstacle}, which is opened by hf alone: leave "
            "--engine out"
        )
    return "hf", f"vLLM does not open a model with {obstacle}"


def _heads(model: ModelFacts, inputs: Inputs) -> str:
    """Attention heads of a width that vLLM has no kernel for on a CPU, in words."""
    if model.commit or inputs.has_gpus():
        return ""
    width = head_width(read_config(Path(model.folder)))
    if width is None or width in CPU_HEADS:
        return ""
    return f"attention heads of width {width}, for which vLLM has no kernel without a GPU,"
