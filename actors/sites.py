"""Find the named sites of a decoder by its structure, and watch what passes through them.

The map is read off the modules (a list with one block per layer, a gated MLP in each block, a norm
beside the list), never off class names, so a new family usually needs nothing. Such a search can be
wrong, so `proof.py` checks its result by arithmetic. What the sites are read for is unknown here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

# Shapes: N positions, D width, V vocabulary

SiteName = Literal["resid_post", "mlp_act", "mlp_hidden", "final_norm"]

MLP_PARTS = ("gate_proj", "up_proj", "down_proj", "act_fn")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GatedMLP:
    """One block's MLP: down(act(gate(x)) * up(x))."""

    module: nn.Module
    gate: nn.Module
    up: nn.Module
    down: nn.Module
    activation: Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sites:
    """The modules behind the site names of one model; layer k is `blocks[k - 1]`.

    `mlps` is empty where the blocks have no single gated MLP, and `missing_mlp` says why.
    """

    base: nn.Module
    embedding: nn.Module
    blocks: tuple[nn.Module, ...]
    mlps: tuple[GatedMLP, ...]
    missing_mlp: str
    final_norm: nn.Module
    head: nn.Module
    softcap: float | None

    def check(self, site: SiteName, *, layer: int) -> None:
        """Raise ValueError unless this model has `site` at `layer`."""
        last = len(self.blocks)
        first = {"resid_post": 0, "mlp_act": 1, "mlp_hidden": 1, "final_norm": last}[site]
        if not first <= layer <= last:
            raise ValueError(
                f"site {site!r} does not exist at layer {layer}: this model has it at layers "
                f"{first} to {last}; ask for one of those"
            )
        if site.startswith("mlp") and not self.mlps:
            raise ValueError(
                f"site {site!r} does not exist in this model: {self.missing_mlp}; "
                "leave out the measures that read neurons"
            )

    def logits(self, normed_ND: Tensor) -> Tensor:
        """Logits of positions whose residual has passed the final norm."""
        logits_NV: Tensor = self.head(normed_ND)
        if self.softcap is not None:
            logits_NV = torch.tanh(logits_NV / self.softcap) * self.softcap
        return logits_NV


def first_tensor(value: object) -> Tensor:
    """The hidden states in what a block takes or returns: a tensor, or a tuple that starts so."""
    if isinstance(value, tuple):
        value = value[0]
    assert isinstance(value, Tensor), f"expected a tensor, found {type(value).__name__}"
    return value


@contextmanager
def watch_output(module: nn.Module, watcher: Callable[[Tensor], None]) -> Iterator[None]:
    """Show `watcher` every output of `module` while the context is open."""

    def hook(_module: nn.Module, _args: object, output: object) -> None:
        watcher(first_tensor(output))

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def watch_input(module: nn.Module, watcher: Callable[[Tensor], None]) -> Iterator[None]:
    """Show `watcher` every input of `module` while the context is open."""

    def hook(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        watcher(first_tensor(args or kwargs["hidden_states"]))

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def find(model: PreTrainedModel, *, layers: int) -> Sites:
    """Map the site names to modules of `model`, which has `layers` blocks.

    Raises:
        ValueError: a part that every decoder has is not where structure says it should be.
    """
    base = getattr(model, model.base_model_prefix)
    path, blocks = _find_blocks(base, layers=layers)
    beside = base.get_submodule(path.rpartition(".")[0])
    norms = [child for child in beside.children() if _is_norm(child)]
    head = model.get_output_embeddings()
    if not norms or head is None:
        absent = "final_norm: no norm beside the blocks" if not norms else "head: no output layer"
        raise ValueError(f"{type(model).__name__} has no {absent}; it is not a decoder we can read")
    mlps, missing_mlp = _find_mlps(blocks)
    return Sites(
        base=base,
        embedding=model.get_input_embeddings(),
        blocks=blocks,
        mlps=mlps,
        missing_mlp=missing_mlp,
        final_norm=norms[-1],
        head=head,
        softcap=getattr(model.config, "final_logit_softcapping", None),
    )


def _find_blocks(base: nn.Module, *, layers: int) -> tuple[str, tuple[nn.Module, ...]]:
    lists = [
        (path, module)
        for path, module in base.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == layers
    ]
    if not lists:
        raise ValueError(
            f"{type(base).__name__} has no list of {layers} blocks, the number its config states; "
            "expected a decoder with one module per layer"
        )
    path, blocks = min(lists, key=lambda entry: entry[0].count("."))
    return path, tuple(blocks)


def _is_norm(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and all(parameter.ndim == 1 for parameter in parameters)


def _find_mlps(blocks: tuple[nn.Module, ...]) -> tuple[tuple[GatedMLP, ...], str]:
    mlps = []
    for layer, block in enumerate(blocks, start=1):
        gated = [part for part in block.modules() if all(hasattr(part, n) for n in MLP_PARTS)]
        if len(gated) != 1:
            reason = f"block {layer} holds {len(gated)} modules with {', '.join(MLP_PARTS)}, not 1"
            return (), reason
        parts = [getattr(gated[0], name) for name in MLP_PARTS]
        gate, up, down, activation = parts
        mlps.append(GatedMLP(module=gated[0], gate=gate, up=up, down=down, activation=activation))
    return tuple(mlps), ""
