"""The named sites of a decoder: which module holds each, and how to watch or change what passes.

A site is a tensor that every decoder has, under one name in all families; where a family lacks it,
`missing` says why. They are found in find.py and proven in proof.py.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from studies.values import unknown

# Shapes: B rows, T tokens, D width of a site, N positions, V vocabulary

SiteName = Literal[
    "embed",
    "resid_post",
    "attn_out",
    "mlp_gate",
    "mlp_act",
    "mlp_hidden",
    "mlp_out",
    "final_norm",
    "head",
]
SITES: tuple[SiteName, ...] = get_args(SiteName)
NEURONS: tuple[SiteName, ...] = ("mlp_gate", "mlp_act", "mlp_hidden")

MEANING: Mapping[SiteName, str] = {
    "embed": "what enters block 1",
    "resid_post": "block output, raw; layer 0 is embed",
    "attn_out": "what attention adds to the residual stream",
    "mlp_gate": "gate before its activation",
    "mlp_act": "act(gate), or act(up) where there is no gate",
    "mlp_hidden": "what enters the down projection",
    "mlp_out": "what the MLP adds to the residual stream",
    "final_norm": "residual stream after the final norm",
    "head": "logits",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Port:
    """Where one site of one layer can be read and changed.

    It is what goes into a module or comes out of it; `part` picks its columns where a projection
    is fused, and `factor` is what the model multiplies it by before it uses it (Granite).
    """

    module: nn.Module
    side: Literal["input", "output"]
    part: slice | None = None
    factor: float = 1.0

    def read(self, value: Tensor, *, rows: int) -> Tensor:
        """The site's tensor [B, T, D] in what the module takes or returns."""
        if value.ndim == 2:  # OPT's MLP sees all rows as one
            value = value.view(rows, -1, value.shape[-1])
        if self.factor != 1:
            value = value * self.factor
        return value if self.part is None else value[..., self.part]

    def write(self, value: Tensor, new_BTD: Tensor) -> Tensor:
        """`value` with the site's tensor replaced; what does not change stays so to the bit."""
        if self.factor != 1:
            new_BTD = new_BTD.reshape(value.shape)
            return torch.where(new_BTD == value * self.factor, value, new_BTD / self.factor)
        if self.part is not None:
            whole = value.clone()
            whole[..., self.part] = new_BTD.reshape(*value.shape[:-1], -1)
            return whole
        return new_BTD.reshape(value.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MLP:
    """One block's MLP: down(act(gate(x)) * up(x)), or down(act(gate(x))) where `up` is None."""

    gate: Port
    up: Port | None
    activation: nn.Module
    down: nn.Module


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sites:
    """The modules behind the site names of one model; layer k is `blocks[k - 1]`.

    `mlps` is empty where the blocks have no single MLP. `ports` holds one port per layer, the last
    of them at layer L. `missing` says of every site that a family lacks why it does.
    Logits are cap(logit_scale * head(state_scale * x)) of a normed state x. `keeps_sign` says that
    activations have the sign of what they activate; `tuples` that blocks return a tuple.
    """

    base: nn.Module
    embedding: nn.Module
    blocks: tuple[nn.Module, ...]
    mlps: tuple[MLP, ...]
    ports: Mapping[SiteName, tuple[Port, ...]]
    missing: Mapping[SiteName, str]
    final_norm: nn.Module
    head: nn.Module
    softcap: float | None = None
    state_scale: float = 1.0
    logit_scale: float = 1.0
    keeps_sign: bool = True
    tuples: bool = False

    def layers(self, site: SiteName) -> range:
        """The layers that have `site`: those of its ports, which end at the last block's.

        Raises:
            ValueError: there is no such site, or this family lacks it.
        """
        last = len(self.blocks)
        if site not in SITES:
            raise unknown("site", site, known=SITES)
        if site in self.missing:
            raise ValueError(
                f"site {site!r} does not exist in this model: {self.missing[site]}; "
                f"it has {', '.join(name for name in SITES if name not in self.missing)}"
            )
        if site == "embed":
            return range(1)
        if site == "head":
            return range(last, last + 1)
        return range(last + 1 - len(self.ports[site]), last + 1)

    def check(self, site: SiteName, *, layer: int) -> None:
        """Raise ValueError unless this model has `site` at `layer`."""
        layers = self.layers(site)
        if layer not in layers:
            raise ValueError(
                f"site {site!r} does not exist at layer {layer}: this model has it at layers "
                f"{layers[0]} to {layers[-1]}; ask for one of those"
            )

    def port(self, site: SiteName, *, layer: int) -> Port:
        """Where `site` is at `layer`; the head, which the base does not run, has no port."""
        self.check(site, layer=layer)
        assert site != "head", "logits are computed from final_norm"
        return self.ports[site][layer - self.layers(site)[0]]

    def firing(self, site: SiteName, *, layer: int) -> Port | None:
        """Where the sign says whether a neuron fires; None means at the site itself.

        For `mlp_act` it is before the activation, which may round to zero, unless the activation
        has another sign there (xIELU, which is positive far below zero).
        """
        return self.mlps[layer - 1].gate if site == "mlp_act" and self.keeps_sign else None

    def width(self, site: SiteName) -> int:
        """How wide a site that can be changed is."""
        if site not in NEURONS:
            return self.embedding_weight.shape[1]
        down = self.mlps[0].down
        # GPT-2 keeps its weights the other way round.
        return int(getattr(down, "in_features", 0) or down.weight.shape[0])  # type: ignore[index]

    @property
    def embedding_weight(self) -> Tensor:
        """The weights [V, D] of the embedding."""
        weight = self.embedding.weight
        assert isinstance(weight, Tensor)
        return weight

    def logits(
        self, normed_ND: Tensor, *, weight_VD: Tensor | None = None, softcap: bool = True
    ) -> Tensor:
        """Logits [N, V] of positions whose residual has passed the final norm.

        Args:
            normed_ND: the states.
            weight_VD: one row for each token, instead of the head's.
            softcap: cap logits where the family does (Gemma2: 30 tanh(x / 30)).
        """
        if self.state_scale != 1:
            normed_ND = normed_ND * self.state_scale
        if weight_VD is None:
            raw_NV: Tensor = self.head(normed_ND)
        else:
            raw_NV = normed_ND.to(weight_VD.device) @ weight_VD.T
        return self.behind_head(raw_NV, softcap=softcap)

    def behind_head(self, raw_NV: Tensor, *, softcap: bool = True) -> Tensor:
        """What the model makes of that which its head returns."""
        if self.logit_scale != 1:
            raw_NV = raw_NV * self.logit_scale
        if self.softcap is None or not softcap:
            return raw_NV
        return torch.tanh(raw_NV / self.softcap) * self.softcap


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

    with module.register_forward_hook(hook):
        yield


@contextmanager
def watch_input(module: nn.Module, watcher: Callable[[Tensor], None]) -> Iterator[None]:
    """Show `watcher` every input of `module` while the context is open."""

    def hook(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        watcher(first_tensor(args or kwargs["hidden_states"]))

    with module.register_forward_pre_hook(hook, with_kwargs=True):
        yield


@contextmanager
def watch(port: Port, watcher: Callable[[Tensor], None], *, rows: int) -> Iterator[None]:
    """Show `watcher` the site's tensor [B, T, D] every time it passes; B is `rows`."""
    watching = watch_input if port.side == "input" else watch_output
    with watching(port.module, lambda value: watcher(port.read(value, rows=rows))):
        yield


@contextmanager
def edit(port: Port, editor: Callable[[Tensor], Tensor], *, rows: int) -> Iterator[None]:
    """Replace the site's tensor [B, T, D] by what `editor` makes of it, every time it passes."""

    def change(value: Tensor) -> Tensor:
        return port.write(value, editor(port.read(value, rows=rows)))

    def output_hook(_module: nn.Module, _args: object, output: object) -> object:
        if isinstance(output, tuple):
            return (change(first_tensor(output)), *output[1:])
        return change(first_tensor(output))

    def input_hook(
        _module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        if args:
            return (change(first_tensor(args)), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(first_tensor(kwargs["hidden_states"]))}

    with (
        port.module.register_forward_pre_hook(input_hook, with_kwargs=True)
        if port.side == "input"
        else port.module.register_forward_hook(output_hook)
    ):
        yield


@contextmanager
def skip(sites: Sites, *, blocks: int) -> Iterator[None]:
    """Let the first `blocks` blocks return what they are given, at no cost."""

    def give_back(hidden_states: Tensor, *_args: object, **_kwargs: object) -> object:
        return (hidden_states,) if sites.tuples else hidden_states

    skipped = sites.blocks[:blocks]
    # A model spread over devices has forwards of its own on the instance; they come back as found.
    before = [vars(block).get("forward") for block in skipped]
    try:
        for block in skipped:
            block.forward = give_back
        yield
    finally:
        for block, forward in zip(skipped, before, strict=True):
            vars(block).pop("forward", None)
            if forward is not None:
                block.forward = forward
