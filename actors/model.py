"""Load one model and its tokenizer from a folder onto its device, checked before use.

Whatever could silently change an answer is refused or written down: missing weights, the attention
backend, and the map of sites, which is proven on load; tokens/tokenised.py does the same for the
tokenizer.
"""

import platform
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, PreTrainedModel
from transformers.utils import logging

from actors.errors import opening, out_of_memory
from actors.loading.adapter import merge
from actors.loading.architecture import refuse_unreadable
from actors.loading.device import find_place, need
from actors.loading.weights import load_weights, require_packages
from actors.passes.batching import TokenBudget
from actors.passes.check import can_share, prove_interventions
from actors.passes.positions import find_positions
from actors.passes.tree_attention import Row, reach
from actors.structure.find import find
from actors.structure.proof import prove
from actors.structure.sites import Sites
from actors.tokens.tokenised import TokenisedModel, prefix_of
from actors.tokens.tokenised import too_long as too_long
from actors.tokens.tokenizer import load_tokenizer
from studies.models.folder import opened
from studies.models.weights import count_weights
from studies.spec import ModelFacts

# What keeps a device busy; on a CPU larger batches outgrow its caches and are slower by a tenth.
BATCH_TOKENS = {"cpu": 2048, "cuda": 16384}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedModel(TokenisedModel):
    """A model ready to read: weights on a device, tokenizer, sites and batch budget.

    `attention` is the backend that was asked for. `device` is that of the embeddings, where token
    ids go; the blocks of a model that is spread lie on several. `shares` says that texts may share
    their beginning in one row (see `check.py`).
    """

    model: PreTrainedModel
    sites: Sites
    device: torch.device
    attention: str
    budget: TokenBudget
    shares: bool = True

    @property
    def side(self) -> Callable[[int], Hashable] | None:
        """Equal for the lengths of texts that may share a row; None where no texts may."""
        return self.budget.positions.side if self.shares else None

    def groups(self, rows: Sequence[Row]) -> list[Hashable]:
        """Equal for rows that may run in one batch: their longest texts get the same tables."""
        positions = self.budget.positions
        if not positions.tables:
            return [None] * len(rows)
        return [positions.side(reach(row)) for row in rows]


def load(
    facts: ModelFacts, *, device: str = "auto", threads: int | None = None, proof: bool = True
) -> LoadedModel:
    """Load the model that `facts` describe, prove the map of its sites and that it can be steered.

    Args:
        facts: what is known of the model, its folder among it.
        device: `auto` (GPUs if there are any), `cpu`, `cuda`, `cuda:1` or `spread`; see
            `device.py`.
        threads: CPU threads for this process; None leaves them as they are.
        proof: False leaves the proof to the caller, who wants to see it.

    Raises:
        ValueError: the folder, the device or the model's structure is not usable, or the model
            does not fit.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        return _load(facts, device=device, proof=proof)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise ValueError(
            f"model {facts.label!r} cannot be loaded, as memory ran out on device {device!r}: use "
            "a smaller --dtype, --quantise, or a larger device"
        ) from error


def _load(facts: ModelFacts, *, device: str, proof: bool) -> LoadedModel:
    require_packages(facts)
    if facts.commit:  # a model that cannot fit is not downloaded
        find_place(device, need(facts, facts.bytes))
    folder = str(opened(facts))
    refuse_unreadable(facts, folder=folder)
    place = find_place(device, need(facts, count_weights(Path(folder))))
    logging.disable_progress_bar()
    with opening(facts, folder=folder):
        config = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=facts.trust_remote_code
        )
        tokenizer, notes = load_tokenizer(facts, folder=folder)
        model, attention = load_weights(facts, config, folder=folder, place=place)
    if facts.adapter:
        model = merge(model, facts)
    model = model.eval().requires_grad_(False)
    embedding = model.get_input_embeddings().weight
    home = embedding.device
    positions = find_positions(model, context=facts.context)  # before any text is read
    sites = find(model, layers=facts.layers)
    if proof:
        prove(model, sites)
        prove_interventions(sites)
    return LoadedModel(
        facts=facts,
        model=model,
        tokenizer=tokenizer,
        sites=sites,
        device=home,
        attention=attention,
        prefix=prefix_of(tokenizer),
        vocabulary=len(embedding),
        notes=notes,
        shares=can_share(sites, positions),
        budget=TokenBudget(BATCH_TOKENS.get(home.type, BATCH_TOKENS["cpu"]), positions),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Where and how a model runs. Provenance alone: nothing here enters a key.

    `weight_bytes` is the size of the weights in memory; `peak_bytes` the most that was allocated
    on the GPU so far, 0 on a CPU or where it is not told. `notes` say what people should know of
    how its files were read.
    """

    model: str
    engine: str
    device: str
    device_name: str
    dtype: str
    attention: str
    threads: int
    batch_tokens: int
    weight_bytes: int
    peak_bytes: int
    python: str = platform.python_version()
    torch: str = str(torch.__version__)
    transformers: str = transformers.__version__
    notes: tuple[str, ...] = ()


def describe(loaded: LoadedModel) -> Description:
    """Device, dtype, attention backend, threads, memory and versions."""
    cuda = loaded.device.type == "cuda"
    gpus = range(torch.cuda.device_count()) if cuda else ()
    return Description(
        model=loaded.facts.label,
        engine=f"hf {transformers.__version__}",
        device=str(loaded.device),
        device_name=torch.cuda.get_device_name(loaded.device) if cuda else processor(),
        dtype=loaded.facts.dtype,
        attention=loaded.attention,
        threads=torch.get_num_threads(),
        batch_tokens=loaded.budget.tokens,
        weight_bytes=sum(
            weight.numel() * weight.element_size() for weight in loaded.model.parameters()
        ),
        peak_bytes=sum(torch.cuda.max_memory_allocated(gpu) for gpu in gpus),
        notes=loaded.notes,
    )


def processor() -> str:
    """The CPU's name where the system tells it, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
