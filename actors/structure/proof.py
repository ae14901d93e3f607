"""Prove the map of a model's sites: recompute the model from them on a short random input.

A site is believed when arithmetic confirms it: the MLP recomposed from its parts equals the output
of the down projection; attention and MLP added up give the next state of the residual stream; with
silent neurons the MLP gives the same at every token, while attention stays as it was; the final
norm and head applied to the last block's output give the logits; each block's output is the next
one's input; the first block's input at a token depends on that token alone; and text to the right
changes nothing. A model that does not agree is refused, with the name of the site.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from actors.structure.find import UNEXPLAINED, unexplained
from actors.structure.probe import PROBE_ROWS, PROBE_TOKENS, Seen, look, refusing
from actors.structure.readout import EQUAL, errors
from actors.structure.sites import SiteName, Sites

# Shapes: B rows, T tokens, D width, F neurons, V vocabulary

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 1e-2}


class Claim(NamedTuple):
    """One thing that must hold of a site, and the relative difference that was found."""

    site: SiteName
    text: str
    error: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within what is allowed; not a number never is."""
        return self.error <= self.allowed


@torch.inference_mode()
def prove(model: PreTrainedModel, sites: Sites) -> None:
    """Recompute `model` from its sites on a short random input.

    Raises:
        ValueError: a site does not hold what its name says; the message names it.
    """
    with refusing(model):
        for claim in _claims(sites, look(model, sites)):  # in turn: a wrong site ruins the next
            if not claim.holds:
                raise ValueError(
                    f"site {claim.site!r} is not what its name says: expected that {claim.text}, "
                    f"found a relative difference of {claim.error:.1e} (allowed "
                    f"{claim.allowed:.0e}); `babelscope sites MODEL` shows all that was tried, and "
                    "`babelscope sites --families` models whose structure can be read: choose one"
                )


@torch.inference_mode()
def claims(model: PreTrainedModel, sites: Sites) -> tuple[Claim, ...]:
    """Everything the proof of a map rests on, and how far each claim is from what is allowed.

    Raises:
        ValueError: a module that should show a site took no part in the forward pass.
    """
    with refusing(model):
        return tuple(_claims(sites, look(model, sites)))


def _claims(sites: Sites, seen: Seen) -> Iterator[Claim]:
    yield from _stream(sites, seen)
    yield from _places(sites)
    yield from _updates(sites, seen)
    yield from _neurons(sites, seen)
    yield from _logits(sites, seen)


def _stream(sites: Sites, seen: Seen) -> Iterator[Claim]:
    """The residual stream: blocks pass it on, and what enters the first is the embeddings."""
    for layer, port in enumerate(sites.ports["resid_post"][1:], start=1):
        elsewhere = port.module is not sites.blocks[layer - 1]
        yield Claim("resid_post", f"it leaves block {layer}", float(elsewhere), 0.0)
    claim = "at layer 0 it is what enters block 1"
    yield _same("resid_post", claim, seen.at["resid_post", 0], seen.into[1])
    for layer in range(1, len(sites.blocks)):
        claim = f"what leaves block {layer} is what enters the next"
        yield _same("resid_post", claim, seen.at["resid_post", layer], seen.into[layer + 1])
    last = len(sites.blocks)
    claim = "what leaves the last block is what enters it"
    yield _same("final_norm", claim, seen.at["resid_post", last], seen.into[last + 1])
    entering, embedded = seen.at["embed", 0], seen.embedded.float()
    yield _same("embed", "it is what enters block 1", entering, seen.into[1])
    claim = "what enters block 1 at one token depends on no other"
    yield _same("embed", claim, seen.other_first[:, 1:], entering[:, 1:])
    yield _same("embed", "the embedding looks up token ids", seen.looked_up, seen.embedded)
    placed = not torch.equal(seen.repeated, seen.repeated[:, :1].expand_as(seen.repeated))
    if _is_plain(sites) and not placed:
        # Some families multiply the embeddings by a constant on their way into block 1.
        scale = (entering.float() * embedded).sum() / (embedded * embedded).sum()
        scaled = (scale * embedded).to(entering.dtype)
        yield _same("embed", "embeddings enter block 1", entering, scaled)


def _updates(sites: Sites, seen: Seen) -> Iterator[Claim]:
    """What attention and the MLP add to the stream, and which of the two is which."""
    if "attn_out" not in sites.ports:
        return
    for layer in range(1, len(sites.blocks) + 1):
        attention, mlp = seen.at["attn_out", layer], seen.at["mlp_out", layer]
        share = unexplained(
            attention.float() + mlp.float(),
            entering=seen.into[layer],
            leaving=seen.at["resid_post", layer],
        )
        claim = f"attn_out and mlp_out add up to what block {layer} adds to the stream"
        yield Claim("attn_out", claim, share, UNEXPLAINED[attention.dtype])
        if seen.silent:
            claim = f"attention of block {layer} adds the same when neurons are silent"
            yield _same("attn_out", claim, seen.silent["attn_out", layer], attention)
            silent = seen.silent["mlp_out", layer]
            claim = f"the MLP of block {layer} adds the same at every token when neurons are silent"
            yield _same("mlp_out", claim, silent, silent[:1, :1].expand_as(silent))
        claim = f"what the MLP of block {layer} adds at a token depends on no other token"
        yield _same("mlp_out", claim, seen.apart[layer][:, 1:], mlp[:, 1:])


def _places(sites: Sites) -> Iterator[Claim]:
    """Modules stand in the block of their layer; those of another would agree with themselves."""
    inside = [set(block.modules()) for block in sites.blocks]
    within: tuple[SiteName, ...] = ("mlp_gate", "mlp_act", "mlp_hidden", "attn_out", "mlp_out")
    for site in within:
        for layer, port in enumerate(sites.ports.get(site, ()), start=1):
            claim = f"its module at layer {layer} stands in block {layer}"
            yield Claim(site, claim, float(port.module not in inside[layer - 1]), 0.0)
    for layer, mlp in enumerate(sites.mlps, start=1):
        parts: list[tuple[SiteName, nn.Module]] = [
            ("mlp_act", mlp.gate.module),
            ("mlp_act", mlp.activation),
            ("mlp_hidden", mlp.down if mlp.up is None else mlp.up.module),
            ("mlp_hidden", mlp.down),
        ]
        for site, module in parts:
            claim = f"its MLP of layer {layer} stands in block {layer}"
            yield Claim(site, claim, float(module not in inside[layer - 1]), 0.0)


def _is_plain(sites: Sites) -> bool:
    """Whether nothing with weights stands between the embedding and block 1."""
    first_block = sites.blocks[0]
    before = []
    for module in sites.base.modules():
        if module is first_block:
            break
        before.append(module)
    parts = [module for module in before if list(module.parameters(recurse=False))]
    return parts == [sites.embedding]


def _neurons(sites: Sites, seen: Seen) -> Iterator[Claim]:
    """The MLP recomposed from its parts."""
    for layer, mlp in enumerate(sites.mlps, start=1):
        into_BTD = seen.into_mlp[layer]
        gate_BTF = mlp.gate.read(mlp.gate.module(into_BTD), rows=PROBE_ROWS)
        act_BTF = mlp.activation(gate_BTF)
        claim = f"act(gate) of block {layer} is what its activation gives"
        yield _same("mlp_act", claim, seen.at["mlp_act", layer], act_BTF)
        # A positive pre-activation may underflow to an activation of zero, never below it.
        disagree = ((gate_BTF > 0) & (act_BTF < 0)) | ((gate_BTF <= 0) & (act_BTF > 0))
        if sites.keeps_sign:
            claim = f"in block {layer} the activation has the sign of what it activates"
            yield Claim("mlp_act", claim, float(disagree.float().mean()), 0.0)
        if "mlp_gate" in sites.ports:
            claim = f"the gate of block {layer} is its projection's output"
            yield _same("mlp_gate", claim, seen.at["mlp_gate", layer], gate_BTF)
        hidden_BTF = act_BTF * seen.up[layer] if mlp.up is not None else act_BTF
        formula = "act(gate) * up" if mlp.up is not None else "act(up)"
        claim = f"{formula} enters the down projection of block {layer}"
        yield _same("mlp_hidden", claim, seen.at["mlp_hidden", layer], hidden_BTF)
        claim = f"the MLP of block {layer} recomposed from its sites is what its down projection is"
        yield _same("mlp_hidden", claim, mlp.down(hidden_BTF), seen.out_of_down[layer])


def _logits(sites: Sites, seen: Seen) -> Iterator[Claim]:
    """The way from the last block to the logits, and that no text changes what stands before it."""
    last = seen.at["resid_post", len(sites.blocks)]
    normed = seen.at["final_norm", len(sites.blocks)]
    claim = "it is final_norm(what leaves the last block)"
    yield _same("final_norm", claim, sites.final_norm(last), normed)
    for claim, share in errors(sites, seen.told):
        yield Claim("head", claim, share, EQUAL)
    yield _same("head", "head(final_norm) is the logits", sites.logits(normed), seen.logits)
    claim = "tokens to the right change nothing (a causal model)"
    yield _same("resid_post", claim, seen.longer[:, :PROBE_TOKENS], last, slack=10)


def _same(site: SiteName, text: str, found: Tensor, expected: Tensor, *, slack: float = 1) -> Claim:
    """The claim that two tensors are equal, by their largest difference."""
    if found.shape != expected.shape:
        return Claim(site, text, math.inf, 0.0)
    found, exact = found.float(), expected.float()
    # Zeros equal zeros: a pruned layer has nothing but silent neurons.
    error = (found - exact).abs().max() / exact.abs().max().clamp_min(torch.finfo().tiny)
    return Claim(site, text, float(error), slack * TOLERANCE[expected.dtype])
