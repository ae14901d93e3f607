"""Read a grid of written text: one part for each language that is written."""

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from orchestrator.draft import Draft, named, those_there
from orchestrator.scheduling.cost import CHARACTERS_PER_TOKEN
from orchestrator.workers.gpus import visible_gpus
from studies import benchmarks, free_prompts, generation_items, parallel_text, translation
from studies.cells import text_cell
from studies.contents import GenerationSet
from studies.model_config import head_width, read_config
from studies.rows import Source
from studies.spec import Engine, ModelFacts
from studies.study import GenerationGrid

# Widths of attention heads that vLLM 0.32 has kernels for on a CPU.
CPU_HEADS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
# Writing a token takes a pass of its own, if a cheap one.
WRITING_COST = 4


def generations(
    draft: Draft, grid: GenerationGrid, *, models: tuple[ModelFacts, ...], source: Source
) -> None:
    """Add the parts of texts to be written, in every language named that is there.

    Raises:
        ValueError: the benchmark or file cannot be asked, a text would fill a model's context, or
            the engine cannot open a model.
    """
    writers = _writers(draft, grid, models=models)
    for model in models:
        draft.pins[f"list of end tokens of model {model.label}"] = list(model.ends)
    for usual in _sets(draft, grid, source=source):
        asked = generation_items.as_asked(
            usual,
            asking=grid.asking,
            max_new_tokens=grid.max_new_tokens,
            stop=grid.stop,
            sampling=grid.sampling,
        )
        fingerprint = draft.read(asked, name=_name(asked))
        characters = _characters(asked)
        for model in writers:
            if asked.max_new_tokens >= model.context:
                raise ValueError(
                    f"{asked.benchmark} asks for texts of up to {asked.max_new_tokens:,} tokens, "
                    f"and the context of {model.label} is {model.context:,}, prompt included: ask "
                    "for fewer with --max-new-tokens"
                )
            cell = text_cell(asked, model=model, fingerprint=fingerprint)
            draft.add(
                draft.ledger.those_missing(cell),
                model=model,
                content=asked,
                grid=grid,
                characters=characters,
            )


def _sets(draft: Draft, grid: GenerationGrid, *, source: Source) -> Iterator[GenerationSet]:
    """The prompts of each language, with their usual ends."""
    if grid.task == "text":
        yield from _own(grid)
    elif grid.task == "translation":
        yield from _translations(grid, source=source)
    else:
        generation_items.check(grid.benchmark)
        there = benchmarks.languages(grid.benchmark, source=source)
        for language in those_there(draft, grid.languages, there=there, benchmark=grid.benchmark):
            yield generation_items.question_set(
                grid.benchmark,
                language=language,
                source=source,
                limit=grid.limit,
                prompt=grid.prompt,
                shots=grid.shots or 0,
            )


def _own(grid: GenerationGrid) -> Iterator[GenerationSet]:
    """The prompts of a file, in the languages asked for."""
    found = free_prompts.free_sets(Path(grid.benchmark), limit=grid.limit)
    there = tuple(one.language for one in found)
    meant = named(grid.languages, there=there)
    if lacking := [language for language in meant if language not in there]:
        raise ValueError(
            f"{grid.benchmark} has no prompt in {lacking[0]}: expected one of {', '.join(there)}"
        )
    yield from (one for one in found if one.language in meant)


def _translations(grid: GenerationGrid, *, source: Source) -> Iterator[GenerationSet]:
    """Translations into every language but the one translated from."""
    there = parallel_text.languages(grid.benchmark, source=source)
    only = parallel_text.PARALLEL_TEXTS[grid.benchmark].pivot
    if only is not None and grid.pivot != only:
        there = (only,)
    for language in named(grid.languages, there=there):
        if language != grid.pivot:
            yield generation_items.translation_set(
                grid.benchmark,
                language=language,
                pivot=grid.pivot,
                source=source,
                limit=grid.limit,
                shots=translation.SHOTS if grid.shots is None else grid.shots,
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
    draft: Draft, grid: GenerationGrid, *, models: tuple[ModelFacts, ...]
) -> tuple[ModelFacts, ...]:
    """The models, each with the engine that opens it; a note says what was chosen and why."""
    writers, reasons = [], dict[str, list[str]]()
    for model in models:
        engine, why = _engine(grid, model)
        writers.append(replace(model, engine=engine))
        if why:
            reasons.setdefault(f"texts are written by {engine}, as {why}", []).append(model.label)
    for reason, labels in reasons.items():
        note = f"{reason}: {', '.join(labels)}"
        if note not in draft.notes:
            draft.notes.append(note)
    return tuple(writers)


def _engine(grid: GenerationGrid, model: ModelFacts) -> tuple[Engine, str]:
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
    obstacle = merged or packed or _heads(model)
    if not obstacle:
        return "vllm", "" if grid.engine == "vllm" else "vLLM is installed"
    if grid.engine == "vllm":
        raise ValueError(
            f"--engine vllm: {model.label} has {obstacle}, which is opened by hf alone: leave "
            "--engine out"
        )
    return "hf", f"vLLM does not open a model with {obstacle}"


def _heads(model: ModelFacts) -> str:
    """Attention heads of a width that vLLM has no kernel for on a CPU, in words."""
    if model.commit or visible_gpus():
        return ""
    width = head_width(read_config(Path(model.folder)))
    if width is None or width in CPU_HEADS:
        return ""
    return f"attention heads of width {width}, for which vLLM has no kernel without a GPU,"
