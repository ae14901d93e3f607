"""One model on one device: the plain class behind a cluster's actor and a person's notebook.

It holds what is expensive to make (the weights, the pivot's vectors) and answers questions about
texts. It is an ordinary class; what makes it remote, and who calls it when, is unknown here.
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import transformers

from actors.capture import Reading, Vectors, capture
from actors.model import load
from actors.score import Choice, score
from actors.sites import SiteName
from actors.work import PivotCache, run_unit
from studies.measures import State
from studies.spec import POOLINGS, ChoiceItem, ModelFacts, Normalise, Pooling, Row, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Where and how a model runs. Provenance alone: nothing here enters a key.

    `weight_bytes` is the size of the weights in memory; `peak_bytes` the most that was allocated
    on the GPU so far, 0 on a CPU.
    """

    model: str
    device: str
    device_name: str
    dtype: str
    attention: str
    threads: int
    batch_tokens: int
    weight_bytes: int
    peak_bytes: int
    python: str
    torch: str
    transformers: str


class ModelActor:
    """A loaded model. `run` serves the schedule, the other methods a person too."""

    def __init__(
        self, facts: ModelFacts, *, device: str = "auto", threads: int | None = None
    ) -> None:
        """Load the model that `facts` describe and prove its sites."""
        self._loaded = load(facts, device=device, threads=threads)
        self._pivots = PivotCache()

    def run(self, unit: Unit) -> list[Row]:
        """The rows of every cell in `unit`."""
        return run_unit(self._loaded, unit, pivots=self._pivots)

    def extract(
        self,
        texts: Sequence[str],
        *,
        site: SiteName = "resid_post",
        state: State = "raw",
        poolings: Sequence[Pooling] = POOLINGS,
        layers: Sequence[int] | None = None,
        include_bos: bool = True,
        allow_truncation: bool = False,
    ) -> Vectors:
        """Pooled vectors of `texts` at one site; `layers` None means all that the site has."""
        last = self._loaded.facts.layers
        if layers is None:
            layers = range({"resid_post": 0, "final_norm": last}.get(site, 1), last + 1)
        readings = [
            Reading(site=site, state=state, pooling=pooling, layer=layer)
            for pooling in poolings
            for layer in layers
        ]
        encoded = self._loaded.encode(texts, allow_truncation=allow_truncation)
        return capture(self._loaded, encoded.sequences, readings, include_bos=include_bos)

    def score(
        self,
        items: Sequence[ChoiceItem],
        *,
        normalise: Normalise = "sum",
        allow_truncation: bool = False,
    ) -> list[Choice]:
        """The model's ranking of every item's options."""
        return score(self._loaded, items, normalise=normalise, allow_truncation=allow_truncation)

    def describe(self) -> Description:
        """Device, dtype, attention backend, threads, memory and versions."""
        loaded = self._loaded
        cuda = loaded.device.type == "cuda"
        return Description(
            model=loaded.facts.label,
            device=str(loaded.device),
            device_name=torch.cuda.get_device_name(loaded.device) if cuda else platform.machine(),
            dtype=loaded.facts.dtype,
            attention=loaded.attention,
            threads=torch.get_num_threads(),
            batch_tokens=loaded.budget.tokens,
            weight_bytes=sum(
                weight.numel() * weight.element_size() for weight in loaded.model.parameters()
            ),
            peak_bytes=torch.cuda.max_memory_allocated(loaded.device) if cuda else 0,
            python=platform.python_version(),
            torch=str(torch.__version__),
            transformers=transformers.__version__,
        )
