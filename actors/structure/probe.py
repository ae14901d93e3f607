"""Run a model on a short random input and keep what passed at its sites.

Then run it again with what should change nothing, or only what it ought to: text to the right,
another first token, silent neurons. What all this proves is unknown here.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from actors.structure.sites import Port, SiteName, Sites, edit, watch, watch_input

# Shapes: B rows, T tokens, V vocabulary

PROBE_ROWS, PROBE_TOKENS, PROBE_FILLER = 2, 6, 3
Place = TypeVar("Place")


def probe_ids(sites: Sites, *, tokens: int) -> Tensor:
    """Random token ids [B, T] on the embedding's device, the same every time."""
    weight = sites.embedding.weight
    assert isinstance(weight, Tensor)
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(0, weight.shape[0], (PROBE_ROWS, tokens), generator=generator)
    return ids_BT.to(weight.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What passed on the probe: sites by name and layer, and what entered and left other parts.

    Then what other inputs gave: `longer` text to the right, `other_first` token, `silent` neurons.
    """

    at: dict[tuple[SiteName, int], Tensor]
    up: dict[int, Tensor]
    into_mlp: dict[int, Tensor]
    out_of_down: dict[int, Tensor]
    into: dict[int, Tensor]
    embedded: Tensor
    looked_up: Tensor
    logits: Tensor
    longer: Tensor
    other_first: Tensor
    silent: dict[tuple[SiteName, int], Tensor]


def look(model: PreTrainedModel, sites: Sites) -> Seen:
    """Run the probe, and again with what must change nothing, or only what it should."""
    ids_BT = probe_ids(sites, tokens=PROBE_TOKENS + PROBE_FILLER)
    short_BT = ids_BT[:, :PROBE_TOKENS]
    at: dict[tuple[SiteName, int], Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {"up": {}, "mlp": {}, "down": {}, "into": {}}
    embedded: dict[int, Tensor] = {}
    with ExitStack() as stack:

        def keep(port: Port, kept: dict[Place, Tensor], place: Place) -> None:
            def note(value: Tensor) -> None:
                kept[place] = value.clone()  # what follows may be done in place

            stack.enter_context(watch(port, note, rows=PROBE_ROWS))

        for site, ports in sites.ports.items():
            for layer, port in zip(sites.layers(site), ports, strict=True):
                keep(port, at, (site, layer))
        for layer, mlp in enumerate(sites.mlps, start=1):
            keep(Port(module=mlp.gate.module, side="input"), parts["mlp"], layer)
            keep(Port(module=mlp.down, side="output"), parts["down"], layer)
            if mlp.up is not None:
                keep(mlp.up, parts["up"], layer)
        for layer, block in enumerate((*sites.blocks, sites.final_norm), start=1):
            keep(Port(module=block, side="input"), parts["into"], layer)
        keep(Port(module=sites.embedding, side="output"), embedded, 0)
        logits_BTV = model(input_ids=short_BT, use_cache=False).logits
    _all_ran(sites, at, parts, embedded)
    longer: list[Tensor] = []
    with watch_input(sites.final_norm, longer.append):
        sites.base(input_ids=ids_BT, use_cache=False)
    other_first: list[Tensor] = []
    with watch_input(sites.blocks[0], other_first.append):
        other_BT = torch.cat([ids_BT[:, -1:], short_BT[:, 1:]], dim=1)
        sites.base(input_ids=other_BT, use_cache=False)
    return Seen(
        at=at,
        up=parts["up"],
        into_mlp=parts["mlp"],
        out_of_down=parts["down"],
        into=parts["into"],
        embedded=embedded[0],
        looked_up=sites.embedding(short_BT),
        logits=logits_BTV,
        longer=longer[0],
        other_first=other_first[0],
        silent=_silence(sites, short_BT, at),
    )


def _silence(
    sites: Sites, ids_BT: Tensor, at: dict[tuple[SiteName, int], Tensor]
) -> dict[tuple[SiteName, int], Tensor]:
    """The two updates of every block while its neurons are zero and it is given its usual input."""
    silent: dict[tuple[SiteName, int], Tensor] = {}
    if not sites.mlps or "mlp_out" not in sites.ports:
        return silent

    def keep(site: SiteName, layer: int) -> Callable[[Tensor], None]:
        return lambda value: silent.__setitem__((site, layer), value.clone())

    def replay(layer: int) -> Callable[[Tensor], Tensor]:
        return lambda _changed: at["resid_post", layer]

    updates: tuple[SiteName, SiteName] = ("attn_out", "mlp_out")
    with ExitStack() as stack:
        for layer, (block, mlp) in enumerate(zip(sites.blocks, sites.mlps, strict=True), start=1):
            into_down = Port(module=mlp.down, side="input")
            stack.enter_context(edit(into_down, torch.zeros_like, rows=PROBE_ROWS))
            out_of_block = Port(module=block, side="output")
            stack.enter_context(edit(out_of_block, replay(layer), rows=PROBE_ROWS))
            for site in updates:
                port = sites.port(site, layer=layer)
                stack.enter_context(watch(port, keep(site, layer), rows=PROBE_ROWS))
        sites.base(input_ids=ids_BT, use_cache=False)
    return silent


def _all_ran(
    sites: Sites,
    at: dict[tuple[SiteName, int], Tensor],
    parts: dict[str, dict[int, Tensor]],
    embedded: dict[int, Tensor],
) -> None:
    """Refuse a map with a module that took no part in the forward pass."""
    expected: list[tuple[SiteName, int, bool, nn.Module]] = [
        (site, layer, (site, layer) in at, port.module)
        for site, ports in sites.ports.items()
        for layer, port in zip(sites.layers(site), ports, strict=True)
    ]
    expected.append(("embed", 0, bool(embedded), sites.embedding))
    for layer, block in enumerate(sites.blocks, start=1):
        expected.append(("resid_post", layer, layer in parts["into"], block))
    last = len(sites.blocks)
    expected.append(("final_norm", last, last + 1 in parts["into"], sites.final_norm))
    for layer, mlp in enumerate(sites.mlps, start=1):
        expected.append(("mlp_out", layer, layer in parts["down"], mlp.down))
        expected.append(("mlp_gate", layer, layer in parts["mlp"], mlp.gate.module))
        if mlp.up is not None:
            expected.append(("mlp_hidden", layer, layer in parts["up"], mlp.up.module))
    for site, layer, ran, module in expected:
        if not ran:
            raise ValueError(
                f"site {site!r} cannot be read at layer {layer}: its module "
                f"({type(module).__name__}) took no part in a forward pass; a fused kernel may "
                "replace it, load the model without one"
            )
