"""Run a model on a short random input and keep what passed at its sites.

Then run it again with changes that should leave the answer as it is, or change only a known part:
text to the right, another first token, silent neurons. proof.py draws the conclusions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from actors.errors import out_of_memory
from actors.structure.readout import Told, ask
from actors.structure.sites import Port, SiteName, Sites, edit, watch, watch_input

# Shapes: B rows, T tokens, D width, V vocabulary

# What a probe of a model fails with where it is not built as others are.
_FAILURES = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError)

PROBE_ROWS, PROBE_TOKENS, PROBE_FILLER = 2, 6, 3


def probe_ids(embedding_VD: Tensor, *, tokens: int) -> Tensor:
    """Random token ids [B, T] on the embedding's device, the same every time."""
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(0, len(embedding_VD), (PROBE_ROWS, tokens), generator=generator)
    return ids_BT.to(embedding_VD.device)


@contextmanager
def refusing(model: PreTrainedModel) -> Iterator[None]:
    """Turn whatever a model of another structure fails with into one sentence.

    Raises:
        ValueError: something in the context failed, but for want of memory.
    """
    try:
        yield
    except _FAILURES as error:
        if out_of_memory(error):
            raise
        told = (str(error).strip().splitlines() or [""])[0]
        raise ValueError(
            f"the structure of {type(model).__name__} cannot be read: a probe of it fails with "
            f"{type(error).__name__} ({told}); expected a decoder that reads token ids, whose "
            "blocks each take the residual stream once and pass it on, as in the families that "
            "`babelscope sites --families` lists; choose such a model"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What passed on the probe: sites by name and layer, and what entered and left other parts.

    Then what other inputs gave: `longer` text to the right, `other_first` token, one token
    `repeated`, `silent` neurons, and the MLPs' updates where the first token alone differs and
    attention does not (`apart`); and what became of numbers shown behind the head (`told`).
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
    repeated: Tensor
    silent: dict[tuple[SiteName, int], Tensor]
    apart: dict[int, Tensor]
    told: Told


class _Watch(NamedTuple):
    """A tensor to keep, and the site that cannot be read at that layer if it does not pass."""

    site: SiteName
    layer: int
    port: Port
    keep: Callable[[Tensor], None]


def look(model: PreTrainedModel, sites: Sites) -> Seen:
    """Run the probe, and again with what must change nothing, or only what it should."""
    ids_BT = probe_ids(sites.embedding_weight, tokens=PROBE_TOKENS + PROBE_FILLER)
    short_BT = ids_BT[:, :PROBE_TOKENS]
    at: dict[tuple[SiteName, int], Tensor] = {}
    up: dict[int, Tensor] = {}
    into_mlp: dict[int, Tensor] = {}
    out_of_down: dict[int, Tensor] = {}
    into: dict[int, Tensor] = {}
    embedded: list[Tensor] = []
    watches = [
        _Watch(site, layer, port, partial(at.__setitem__, (site, layer)))
        for site, ports in sites.ports.items()
        for layer, port in zip(sites.layers(site), ports, strict=True)
    ]
    watches.append(_Watch("embed", 0, Port(module=sites.embedding, side="output"), embedded.append))
    for layer, block in enumerate(sites.blocks, start=1):
        port = Port(module=block, side="input")
        watches.append(_Watch("resid_post", layer, port, partial(into.__setitem__, layer)))
    last, port = len(sites.blocks), Port(module=sites.final_norm, side="input")
    watches.append(_Watch("final_norm", last, port, partial(into.__setitem__, last + 1)))
    for layer, mlp in enumerate(sites.mlps, start=1):
        port = Port(module=mlp.down, side="output")
        watches.append(_Watch("mlp_out", layer, port, partial(out_of_down.__setitem__, layer)))
        port = Port(module=mlp.gate.module, side="input")
        watches.append(_Watch("mlp_gate", layer, port, partial(into_mlp.__setitem__, layer)))
        if mlp.up is not None:
            watches.append(_Watch("mlp_hidden", layer, mlp.up, partial(up.__setitem__, layer)))
    logits_BTV = _run(model, short_BT, watches)
    longer: list[Tensor] = []
    with watch_input(sites.final_norm, longer.append):
        sites.base(input_ids=ids_BT, use_cache=False)
    other_first: list[Tensor] = []
    with watch_input(sites.blocks[0], other_first.append):
        other_BT = torch.cat([ids_BT[:, -1:], short_BT[:, 1:]], dim=1)
        sites.base(input_ids=other_BT, use_cache=False)
    repeated: list[Tensor] = []
    with watch_input(sites.blocks[0], repeated.append):
        sites.base(input_ids=short_BT[:, :1].expand_as(short_BT), use_cache=False)
    return Seen(
        at=at,
        up=up,
        into_mlp=into_mlp,
        out_of_down=out_of_down,
        into=into,
        embedded=embedded[0],
        looked_up=sites.embedding(short_BT),
        logits=logits_BTV,
        longer=longer[0],
        other_first=other_first[0],
        repeated=repeated[0],
        silent=_silence(sites, short_BT, at),
        apart=_apart(sites, short_BT, at, into),
        told=ask(model, sites, short_BT),
    )


def _run(model: PreTrainedModel, ids_BT: Tensor, watches: Sequence[_Watch]) -> Tensor:
    """Logits [B, T, V] of one pass, in which everything watched must pass."""
    ran = [0] * len(watches)

    def note(number: int, value: Tensor) -> None:
        ran[number] += 1
        watches[number].keep(value.clone())  # what follows may be done in place

    with ExitStack() as stack:
        for number, one in enumerate(watches):
            stack.enter_context(watch(one.port, partial(note, number), rows=PROBE_ROWS))
        logits_BTV: Tensor = model(input_ids=ids_BT, use_cache=False).logits
    for number, (site, layer, port, _) in enumerate(watches):
        if ran[number] == 1:
            continue
        found = f"site {site!r} cannot be read at layer {layer}: its module "
        found += f"({type(port.module).__name__}) "
        if ran[number]:
            raise ValueError(
                f"{found}ran {ran[number]} times in a forward pass, expected once, so that it is "
                "not clear which of them is meant; choose a model that has a module for each"
            )
        raise ValueError(
            f"{found}took no part in a forward pass; a fused kernel may replace it, load the model "
            "without one"
        )
    return logits_BTV


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


def _apart(
    sites: Sites,
    ids_BT: Tensor,
    at: dict[tuple[SiteName, int], Tensor],
    into: dict[int, Tensor],
) -> dict[int, Tensor]:
    """The MLP's update of every block that is given another first token and its usual attention."""
    apart: dict[int, Tensor] = {}
    if "mlp_out" not in sites.ports:
        return apart

    def first_changed(layer: int) -> Callable[[Tensor], Tensor]:
        usual_BTD = into[layer]
        other_BTD = torch.cat([usual_BTD[:, -1:], usual_BTD[:, 1:]], dim=1)
        return lambda _value: other_BTD

    def replay(layer: int) -> Callable[[Tensor], Tensor]:
        return lambda _value: at["attn_out", layer]

    def keep(layer: int) -> Callable[[Tensor], None]:
        return lambda value: apart.__setitem__(layer, value.clone())

    with ExitStack() as stack:
        for layer, block in enumerate(sites.blocks, start=1):
            attention = sites.port("attn_out", layer=layer)
            mlp = sites.port("mlp_out", layer=layer)
            entering = Port(module=block, side="input")
            stack.enter_context(edit(entering, first_changed(layer), rows=PROBE_ROWS))
            stack.enter_context(edit(attention, replay(layer), rows=PROBE_ROWS))
            stack.enter_context(watch(mlp, keep(layer), rows=PROBE_ROWS))
        sites.base(input_ids=ids_BT, use_cache=False)
    return apart
