"""The slow, obvious twin of every fast path: one sentence, one forward pass, loops, fp32.

Nothing here pads, batches, stops early or shares work, and nothing is imported from the code that
it checks: where a family keeps what is written down by name, and an MLP is computed again from its
weights.
"""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from tests.makers.oracle_families import Family, family_of, xielu

# Shapes: T tokens, D width of a site, F neurons

EQUAL = 1e-12  # float64 cannot tell equal cosines apart; the rule is part of the definition

# What decides the sign of neurons, beside the sites: what is activated and, where there is a gate,
# what that is multiplied by.
FACTORS = ("activated", "up")


def activations(model: PreTrainedModel, ids: Sequence[int]) -> dict[tuple[str, int], Tensor]:
    """Every site and factor at every layer [T, D] for one sentence, keyed by (name, layer)."""
    family = family_of(model)
    blocks = list(model.get_submodule(family.blocks))
    last = len(blocks)
    inputs, outputs = {}, {}

    def note(module: nn.Module, args: tuple, kwargs: dict, output: object) -> None:
        inputs[module] = args[0] if args else kwargs.get("hidden_states")
        outputs[module] = output

    handles = [module.register_forward_hook(note, with_kwargs=True) for module in model.modules()]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits
    for handle in handles:
        handle.remove()

    found = {("head", last): logits[0], ("embed", 0): inputs[blocks[0]][0]}
    found["final_norm", last] = outputs[model.get_submodule(family.norm)][0]
    found["resid_post", 0] = inputs[blocks[0]][0]
    for layer, block in enumerate(blocks, start=1):
        entering = inputs[block][0]
        leaving = outputs[block][0][0] if isinstance(outputs[block], tuple) else outputs[block][0]
        found["resid_post", layer] = leaving
        if family.gate is None:
            middle = inputs[block.get_submodule(family.middle)].reshape(entering.shape)
            found["attn_out", layer] = middle - entering
            found["mlp_out", layer] = leaving - middle
            continue
        into_mlp = inputs[block.get_submodule(family.gate)].reshape(entering.shape)
        parts = neurons(block, family, into_mlp)
        found["activated", layer] = parts.gate
        if family.up is not None:
            found["mlp_gate", layer] = parts.gate
            found["up", layer] = parts.up
        found["mlp_act", layer] = parts.act
        found["mlp_hidden", layer] = parts.hidden
        if family.middle is None:
            found["mlp_out", layer] = project(block.get_submodule(family.down), parts.hidden)
            found["attn_out", layer] = leaving - entering - found["mlp_out", layer]
        else:
            middle = inputs[block.get_submodule(family.middle)].reshape(entering.shape)
            found["attn_out", layer] = middle - entering
            found["mlp_out", layer] = leaving - middle
    return found


class Neurons(NamedTuple):
    gate: Tensor
    act: Tensor
    up: Tensor
    hidden: Tensor


def neurons(block: nn.Module, family: Family, into_TD: Tensor) -> Neurons:
    """The inside of a block's MLP [T, F], from its weights."""
    with torch.no_grad():
        gate = project(block.get_submodule(family.gate), into_TD)
        if family.up == "":
            gate, up = gate[:, : gate.shape[1] // 2], gate[:, gate.shape[1] // 2 :]
        elif family.up is not None:
            up = project(block.get_submodule(family.up), into_TD)
        else:
            up = torch.ones_like(gate)
        activation = family.activation or partial(xielu, block.get_submodule(family.act))
        act = activation(gate)
        return Neurons(gate=gate, act=act, up=up, hidden=act * up)


def project(module: nn.Module, value: Tensor) -> Tensor:
    """The value times a linear layer's weight, which GPT-2 stores the other way round."""
    with torch.no_grad():
        if isinstance(module, nn.Linear):
            return linear(value, module.weight, module.bias)
        return value @ module.weight + module.bias


def unsure(
    found: dict[tuple[str, int], Tensor], site: str, layer: int, *, relative: float
) -> Tensor:
    """Which neurons [T, F] are so close to zero that rounding may give them either sign.

    The factors decide it, as an activation may be zero for half of all neurons. Not for xIELU,
    whose sign is another one.
    """

    def near_zero(factor_TF: Tensor) -> Tensor:
        return factor_TF.abs() <= relative * factor_TF.abs().max()

    activated_TF = found["activated", layer]
    unsure_TF = near_zero(activated_TF)
    if site == "mlp_hidden" and ("up", layer) in found:
        unsure_TF = unsure_TF | near_zero(found["up", layer])
        # What GELU leaves of a number far below zero is 1 + tanh or 1 + erf in a unit or two of
        # the last place, and none below -5.6.
        eps = torch.finfo(activated_TF.dtype).eps
        faint_TF = found["mlp_act", layer].abs() <= eps * activated_TF.abs()
        unsure_TF |= faint_TF & (activated_TF > -5.6)
    return unsure_TF


def pool(activation_TD: Tensor, *, state: str, pooling: str, skip: int = 0) -> Tensor:
    """The state of every token, then one vector, term by term."""
    vectors = []
    for token_D in activation_TD[skip:]:
        if state == "positive":
            vectors.append(torch.where(token_D > 0, 1.0, 0.0))
        elif state == "magnitude":
            vectors.append(torch.where(token_D < 0, -token_D, token_D))
        else:
            vectors.append(token_D)
    if pooling == "last":
        return vectors[-1]
    total = torch.zeros_like(vectors[0])
    normaliser = sum(range(1, len(vectors) + 1))
    for index, vector in enumerate(vectors, start=1):
        weight = index / normaliser if pooling == "weighted" else 1 / len(vectors)
        total = total + weight * vector
    return total


def cosine(left: Tensor, right: Tensor) -> float:
    left, right = left.double(), right.double()
    norms = math.sqrt(float(left @ left)) * math.sqrt(float(right @ right))
    return float(left @ right) / norms if norms else -math.inf


def mutual_nearest(similarity: Sequence[Sequence[float]]) -> tuple[int, int]:
    """How many items beat every rival in their row and column, and how many only tie."""
    count = ties = 0
    for item in range(len(similarity)):
        own = similarity[item][item]
        rivals = [
            value
            for other in range(len(similarity))
            if other != item
            for value in (similarity[item][other], similarity[other][item])
        ]
        if own == -math.inf:
            continue
        if all(own > rival + EQUAL for rival in rivals):
            count += 1
        elif all(own >= rival - EQUAL for rival in rivals):
            ties += 1
    return count, ties


def alignment(pivots: Iterable[Tensor], texts: Iterable[Tensor]) -> tuple[int, int]:
    """`mutual_nearest` over the cosine of every pair of vectors."""
    columns = list(texts)
    return mutual_nearest([[cosine(pivot, text) for text in columns] for pivot in pivots])


def tail(count: int, *, items: int) -> float:
    """P(X >= count) for a binomial with p = 1 / (2n - 1), summed term by term."""
    chance = 1 / (2 * items - 1)
    return sum(
        math.comb(items, k) * chance**k * (1 - chance) ** (items - k)
        for k in range(count, items + 1)
    )


def option_log_probabilities(
    model: PreTrainedModel, context: Sequence[int], option: Sequence[int]
) -> list[float]:
    """log P of every token of `option` after `context`, from a plain forward over both."""
    ids = [*context, *option]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()
    logs = logits.log_softmax(dim=-1)
    first = max(len(context), 1)  # nothing predicts the first token of a text
    return [float(logs[place - 1, ids[place]]) for place in range(first, len(ids))]


def latent_log_probabilities(
    model: PreTrainedModel,
    context: Sequence[int],
    option: Sequence[int],
    *,
    layer: int,
    norm: str = "final_norm",
    head: str = "lm_head",
    softcap: bool = True,
) -> list[float]:
    """log P of every token of `option` if the stream after `layer` were the last one."""
    ids = [*context, *option]
    stream_TD = activations(model, ids)["resid_post", layer]
    config = model.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)
    logs = []
    with torch.no_grad():
        for place in range(max(len(context), 1), len(ids)):
            state_D = stream_TD[place - 1]
            if norm == "final_norm":
                state_D = model.get_submodule(family_of(model).norm)(state_D)
            if config.model_type == "minicpm3":
                state_D = state_D * config.dim_model_base / config.hidden_size
            if head == "lm_head":
                logits_V = linear(state_D, model.lm_head.weight, model.lm_head.bias)
            else:
                logits_V = model.get_input_embeddings().weight @ state_D
            if config.model_type in ("cohere", "cohere2"):
                logits_V = logits_V * config.logit_scale
            if config.model_type in ("granite", "granitemoe"):
                logits_V = logits_V / config.logits_scaling
            if softcap and cap:
                logits_V = cap * torch.tanh(logits_V / cap)
            logs.append(float(logits_V.log_softmax(dim=-1)[ids[place]]))
    return logs


class NeuronSummary(NamedTuple):
    mean: Tensor
    mean_abs: Tensor
    active: Tensor
    max: Tensor
    percentiles_PF: Tensor


def neuron_statistics(
    tokens: Sequence[Tensor], *, weight: str, percentiles: Sequence[float]
) -> NeuronSummary:
    """Statistics of neurons from every text's activations [T, F], all of them held at once."""
    texts = [text_TF.double() for text_TF in tokens]
    if weight == "token":
        texts = [torch.cat(texts)]
    summaries = []
    for text_TF in texts:
        count = len(text_TF)
        ordered = text_TF.sort(dim=0).values
        places = [max(1, math.ceil(percentile * count / 100)) for percentile in percentiles]
        chosen = [ordered[place - 1] for place in places]
        summaries.append(
            NeuronSummary(
                mean=sum(text_TF) / count,
                mean_abs=sum(text_TF.abs()) / count,
                active=sum(text_TF > 0) / count,
                max=ordered[-1],
                percentiles_PF=torch.stack(chosen) if chosen else text_TF[:0],
            )
        )
    means = [sum(column) / len(summaries) for column in zip(*summaries, strict=True)]
    largest = torch.stack([summary.max for summary in summaries]).max(dim=0).values
    return NeuronSummary(*means)._replace(max=largest)
