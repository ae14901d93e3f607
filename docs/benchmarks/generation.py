"""What both engines write after the same prompts, how fast, and how long each takes to start.

    python docs/benchmarks/generation.py [MODEL ...] [--items 40] [--rounds 4] [--threads 1]

Prompts are four-shot translations of the miniworld from English; texts are greedy and end with a
line. Both engines hold the same weights in one process and write in turn, every round prompts that
neither has read before but for the examples. Starting is timed apart: the first engine's start has
the import of vLLM in it. What is printed are rows for docs/benchmarks/.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import TypeVar

from actors.answer import Answer
from actors.engine import Engine
from actors.model import LoadedModel, load
from actors.work import run_unit
from studies import generation_items
from studies.kinds import generation
from studies.models.facts import facts
from studies.rows import Source
from studies.spec import Model, ModelFacts, Row
from studies.texts import GenerationSet
from studies.unit import Part, Unit

T = TypeVar("T")
LANGUAGES = ("deu_Latn", "fra_Latn", "rus_Cyrl", "zho_Hans", "swh_Latn")


def asked(items: int) -> list[GenerationSet]:
    """As many prompts for every language."""
    return [
        generation_items.translation_set(
            "miniworld", language=language, pivot="eng_Latn", source=Source(), limit=items, shots=4
        )
        for language in LANGUAGES
    ]


def unit(model: ModelFacts, sets: list[GenerationSet]) -> Unit:
    """All sets as one unit."""
    drafts = [generation.draft(one, model=model) for one in sets]
    parts = [
        Part(cells=tuple(draft.cells[0]), content=draft.content, characters=draft.characters)
        for draft in drafts
    ]
    grid = generation.GenerationGrid(benchmark="xquad", languages=LANGUAGES)
    return Unit(study="benchmark", model=model, kind="generation", grid=grid, parts=tuple(parts))


def timed(run: Callable[[], T]) -> tuple[float, T]:
    """How long it takes, and what it returns."""
    began = time.perf_counter()
    result = run()
    return time.perf_counter() - began, result


def compare(model: ModelFacts, *, items: int, rounds: int, threads: int) -> None:
    """One model under both engines."""
    start_hf, hf = timed(lambda: load(model, device="cpu", threads=threads))
    start_vllm, vllm = timed(lambda: Engine(model, device="cpu", threads=threads))
    print(f"{model.label}: start of hf {start_hf:.1f} s, of vllm {start_vllm:.1f} s", flush=True)
    write(hf, unit(model, asked(8)))
    vllm.run(unit(model, asked(8)))
    sets = asked(items * rounds)
    seconds: dict[str, list[float]] = {"hf": [], "vllm": []}
    rows: dict[str, list[Row]] = {"hf": [], "vllm": []}
    for number in range(rounds):
        part = slice(number * items, (number + 1) * items)
        one = unit(model, [replace(whole, items=whole.items[part]) for whole in sets])
        for name, run in (("hf", lambda: write(hf, one)), ("vllm", lambda: vllm.run(one))):  # noqa: B023
            taken, answer = timed(run)
            seconds[name].append(taken)
            rows[name] += answer.rows
    vllm.close()
    for name, taken in seconds.items():
        tokens = sum(int(str(row["tokens"])) for row in rows[name])
        print(
            f"  {name}: {len(rows[name]) / sum(taken):.0f} prompts/s, "
            f"{tokens / sum(taken):.0f} tokens/s, {median(taken):.2f} s a round"
        )
    pairs = list(zip(rows["hf"], rows["vllm"], strict=True))
    same = sum(one["output"] == other["output"] for one, other in pairs)
    ratios = [slow / fast for slow, fast in zip(seconds["hf"], seconds["vllm"], strict=True)]
    print(
        f"  {same} of {len(pairs)} texts equal; hf takes {median(ratios):.1f} times as long as "
        f"vllm (median of rounds, {min(ratios):.1f} to {max(ratios):.1f})",
        flush=True,
    )


def write(hf: LoadedModel, one: Unit) -> Answer:
    """What transformers writes."""
    return run_unit(hf, one)


def main() -> None:
    """Every model in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=None)
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    for name in given.models or ("miniworld-llama", "miniworld-qwen2", "miniworld-gemma2"):
        model = facts(Model(id=name))
        compare(model, items=given.items, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    main()
