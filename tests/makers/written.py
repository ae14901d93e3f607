"""Units of written text, made by hand, and a worker with an engine in several processes."""

from typing import Any

from orchestrator.workers.worker import Order, Worker
from studies.kinds import generation
from studies.kinds.generation import GenerationGrid
from studies.spec import ModelFacts
from studies.texts import GenerationItem, GenerationSet
from studies.unit import Unit
from tests.makers.units import of_drafts


def asked(*prompts: str, **given: Any) -> GenerationSet:
    """A set of prompts; greedy texts of six tokens unless `given` says otherwise."""
    settings: dict[str, Any] = {
        "benchmark": "own", "language": "eng_Latn", "prompt": "plain", "task": "text",
        "max_new_tokens": 6,
    }  # fmt: skip
    items = tuple(
        GenerationItem(id=str(number), prompt=text, references=())
        for number, text in enumerate(prompts)
    )
    return GenerationSet(items=items, **settings | given)


def unit(model: ModelFacts, *sets: GenerationSet, allow_truncation: bool = False) -> Unit:
    """One unit of these sets."""
    drafts = [generation.draft(one, model=model) for one in sets]
    grid = GenerationGrid(benchmark="own", languages=("eng_Latn",), task="text")
    return of_drafts(grid, *drafts, study="own", allow_truncation=allow_truncation)


class SpreadWorker(Worker):
    """Opens its engine as on several GPUs: with a process for each."""

    def load(self, order: Order):
        """As any worker, but spread."""
        return super().load(order._replace(device="spread"))
