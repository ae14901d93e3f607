"""Cells of written text: what models write after prompts, one row for every sample."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from studies import free_prompts, generation_items, parallel_text, translation
from studies.inputs import Inputs, named
from studies.models.config import head_width, read_config
from studies.prompt_options import Asking
from studies.spec import Engine, ModelFacts
from studies.study import Draft, Grid, one_cell
from studies.tables import (
    KEY,
    MODEL,
    PROMPT,
    STUDY,
    Columns,
    Table,
    boolean,
    double,
    int32,
    string,
    strings,
)
from studies.texts import GREEDY, GenerationSet, Sampling

VERSION = 1
# Widths of attention heads that vLLM 0.32 has kernels for on a CPU.
CPU_HEADS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)

GENERATIONS = Table(
    name="generations",
    row="(cell, prompt, sample)",
    columns=(
        STUDY,
        MODEL,
        string(
            "benchmark",
            "name of the benchmark, of the parallel text that is translated, or `prompts/FILE`",
        ),
        string("language", "the language to write in, such as `deu_Latn`"),
        string("pivot", "the language translated from; null without translation"),
        string("item", "id of the question, sentence or prompt"),
        Columns(
            "intervention, layer, coefficient",
            "as in `items`: how neurons are rescaled, and how strongly; null for the unchanged "
            "model",
            "string, int32, double",
        ),
        PROMPT,
        string("engine", "the engine and its version, such as `hf 5.23.0`"),
        string(
            "output",
            "the text, without its stop string and surrounding white space; under a chat template "
            "only the answer after a thought. This is what is scored",
        ),
        string(
            "thought",
            "under a chat template, everything up to the end of a thought such as `<think> ... "
            "</think>`; null without one",
        ),
        boolean(
            "in_thought",
            "whether the text ends inside a thought, so that `output` is empty; null without a "
            "chat template",
        ),
        strings("references", "the texts that count as right"),
        string("source", "the sentence to translate; null without translation"),
        int32("tokens", "number of tokens written"),
        boolean("stopped", "whether the text ended by itself, before the limit on its tokens"),
        boolean(
            "truncated",
            "whether the prompt was cut: at the end of its context where it has one, else from "
            "the left",
        ),
        KEY,
        int32(
            "sample",
            "number of the text among those written for the prompt, from 0; null (for 0) in files "
            "of older versions",
        ),
        string("task", "how the text is scored: `text`, `translation`, `span` or `number`"),
        string("settings", "sampling, stop strings and the limit on tokens, as canonical JSON"),
        string(
            "switches",
            "how the model is changed, as canonical JSON; null for the unchanged model, and in "
            "files of older versions",
        ),
        double(
            "exact, f1, f1_mixed",
            "0 to 1. `span`: SQuAD's exact match and token F1, and F1 over characters where words "
            "are not spaced (MLQA); `number`: `exact` alone; null for other tasks and without "
            "references",
        ),
        double(
            "chrf, bleu",
            "`translation`: sacrebleu's sentence scores, 0 to 100; null for other tasks",
        ),
        string(
            "answer",
            "the span or number that was found in `output` and scored; null where there is none",
        ),
        string(
            "written_language, written_script",
            "language and script identified in `output`; null where they cannot be told",
        ),
        double(
            "repetition",
            "share of the 4-grams of words (of characters where words are not spaced) that occur "
            "earlier in `output`, 0 to 1; null where it has no 4-gram",
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
            inputs.read(asked, name=_name(asked))
            for model in writers:
                if asked.max_new_tokens >= model.context:
                    raise ValueError(
                        f"{asked.benchmark} asks for texts of up to {asked.max_new_tokens:,} "
                        f"tokens, and the context of {model.label} is {model.context:,}, prompt "
                        "included: ask for fewer with --max-new-tokens"
                    )
                yield draft(asked, model=model)

    def _sets(self, inputs: Inputs) -> Iterator[GenerationSet]:
        """The prompts of each language, with their usual ends."""
        if self.task == "text":
            yield from self._own()
        elif self.task == "translation":
            yield from self._translations(inputs)
        else:
            generation_items.check(self.benchmark)
            for language in inputs.languages_of(self.benchmark, self.languages):
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


def draft(asked: GenerationSet, *, model: ModelFacts) -> Draft:
    """The one cell of a model on a set of prompts, without intervention."""
    return one_cell(
        "generation",
        asked,
        model=model,
        table="generations",
        made=[VERSION, *([{"ends": model.ends}] if model.ends else [])],
        rows=len(asked.items) * asked.sampling.n,
    )


def _name(asked: GenerationSet) -> str:
    """What was read, as the run's manifest has it."""
    if asked.pivot:
        return f"translations {asked.benchmark}/{asked.language}-{asked.pivot}"
    return f"texts {asked.benchmark}/{asked.language}"


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
