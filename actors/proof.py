"""Prove the map of a model's sites: recompute the model from them on a short random input.

A site is believed when arithmetic says so: the MLP recomposed from its parts is the MLP's output,
the final norm and head of the last block's output are the logits, what leaves one block enters the
next, and text to the right changes nothing. A model that does not agree is refused by the name of
the site. How sites are found, and what they are read for, is unknown here.
"""

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from actors.sites import Sites, watch_input, watch_output

# Shapes: B rows, T tokens, D width, F neurons, V vocabulary

PROBE_ROWS, PROBE_TOKENS, PROBE_FILLER = 2, 6, 3
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 1e-2}


@torch.inference_mode()
def prove(model: PreTrainedModel, sites: Sites) -> None:
    """Recompute `model` from its sites on a short random input.

    Raises:
        ValueError: a site does not hold what its name says; the message names it.
    """
    weight = sites.embedding.weight
    assert isinstance(weight, Tensor)
    generator = torch.Generator().manual_seed(0)
    shape = (PROBE_ROWS, PROBE_TOKENS + PROBE_FILLER)
    ids = torch.randint(0, weight.shape[0], shape, generator=generator).to(weight.device)
    ids_BT = ids[:, :PROBE_TOKENS]
    seen: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name, module in _watched(sites).items():
            stack.enter_context(watch_input(module, _keep(seen, f"{name} in")))
            stack.enter_context(watch_output(module, _keep(seen, f"{name} out")))
        logits_BTV = model(input_ids=ids_BT, use_cache=False).logits
    _all_ran(sites, seen)
    _prove_stream(sites, seen)
    _prove_neurons(sites, seen)
    recomputed_BTV = sites.logits(sites.final_norm(seen[f"block {len(sites.blocks)} out"]))
    _same("final_norm", "head(final_norm(last block)) is the logits", recomputed_BTV, logits_BTV)
    longer_BTD = sites.base(input_ids=ids, use_cache=False).last_hidden_state
    _same(
        "resid_post",
        "tokens to the right change nothing (a causal model)",
        longer_BTD[:, :PROBE_TOKENS],
        seen["norm out"],
        slack=10,
    )


def _watched(sites: Sites) -> dict[str, nn.Module]:
    watched = {"norm": sites.final_norm, "embedding": sites.embedding}
    watched |= {f"block {layer}": block for layer, block in enumerate(sites.blocks, start=1)}
    for layer, mlp in enumerate(sites.mlps, start=1):
        watched |= {f"mlp {layer}": mlp.module, f"gate {layer}": mlp.gate, f"up {layer}": mlp.up}
        watched |= {f"down {layer}": mlp.down}
    return watched


def _all_ran(sites: Sites, seen: dict[str, Tensor]) -> None:
    owner = {"norm": "final_norm", "gate": "mlp_act", "mlp": "mlp_hidden", "up": "mlp_hidden"}
    owner |= {"down": "mlp_hidden", "embedding": "resid_post", "block": "resid_post"}
    for name, module in _watched(sites).items():
        if f"{name} out" not in seen:
            raise ValueError(
                f"site {owner[name.split()[0]]!r} cannot be read: its module {name!r} "
                f"({type(module).__name__}) took no part in a forward pass; a fused kernel may "
                "replace it, load the model without one"
            )


def _keep(seen: dict[str, Tensor], name: str) -> Callable[[Tensor], None]:
    def watcher(value: Tensor) -> None:
        seen[name] = value

    return watcher


def _prove_stream(sites: Sites, seen: dict[str, Tensor]) -> None:
    entering, embedded = seen["block 1 in"].float(), seen["embedding out"].float()
    # Some families multiply the embeddings by a constant on their way into block 1.
    scale = (entering * embedded).sum() / (embedded * embedded).sum()
    _same("resid_post", "embeddings enter block 1", entering, scale * embedded, slack=100)
    for layer in range(1, len(sites.blocks) + 1):
        after = f"block {layer + 1} in" if layer < len(sites.blocks) else "norm in"
        claim = f"what leaves block {layer} is what enters the next part"
        _same("resid_post", claim, seen[f"block {layer} out"], seen[after])


def _prove_neurons(sites: Sites, seen: dict[str, Tensor]) -> None:
    for layer, mlp in enumerate(sites.mlps, start=1):
        gate_BTF, up_BTF = seen[f"gate {layer} out"], seen[f"up {layer} out"]
        act_BTF = mlp.activation(gate_BTF)
        # A positive pre-activation may underflow to an activation of zero, never below it.
        disagree = ((gate_BTF > 0) & (act_BTF < 0)) | ((gate_BTF <= 0) & (act_BTF > 0))
        if disagree.any():
            raise ValueError(
                f"site 'mlp_act' is not what its name says: in block {layer} the activation and "
                "the gate differ in sign, so neurons that fire cannot be told from the gate"
            )
        claim = f"act(gate) * up enters the down projection of block {layer}"
        _same("mlp_hidden", claim, act_BTF * up_BTF, seen[f"down {layer} in"])
        recomposed_BTD = mlp.down(mlp.activation(mlp.gate(seen[f"mlp {layer} in"])) * up_BTF)
        claim = f"the MLP of block {layer} recomposed from its sites is its output"
        _same("mlp_hidden", claim, recomposed_BTD, seen[f"mlp {layer} out"])


def _same(site: str, claim: str, found: Tensor, expected: Tensor, *, slack: float = 1) -> None:
    tolerance = slack * TOLERANCE[expected.dtype]
    error = (found.float() - expected.float()).abs().max() / expected.float().abs().max()
    if not error <= tolerance:
        raise ValueError(
            f"site {site!r} is not what its name says: expected that {claim}, found a relative "
            f"difference of {float(error):.1e} (allowed {tolerance:.0e}); this model's structure "
            "is not one that can be read, choose another model"
        )
