"""The slow, obvious twin of every fast path: one sentence, one forward pass, loops, fp32.

Nothing here pads, batches, stops early or shares work, and nothing is imported from the code that
it checks. Attribute names are those of the Llama-like families the tests use.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

# Shapes: T tokens, D width of a site

EQUAL = 1e-12  # float64 cannot tell equal cosines apart; the rule is part of the definition


def activations(model: PreTrainedModel, ids: Sequence[int]) -> dict[tuple[str, int], Tensor]:
    """Every site at every layer [T, D] for one sentence, keyed by (site, layer)."""
    blocks = model.model.layers
    mlp_inputs: dict[int, Tensor] = {}
    last_raw: list[Tensor] = []
    handles = [
        block.mlp.register_forward_hook(
            lambda _module, args, _output, layer=layer: mlp_inputs.__setitem__(layer, args[0])
        )
        for layer, block in enumerate(blocks, start=1)
    ]
    handles.append(blocks[-1].register_forward_hook(lambda _m, _a, out: last_raw.append(out)))
    with torch.no_grad():
        states = model(
            input_ids=torch.tensor([list(ids)]), output_hidden_states=True, use_cache=False
        ).hidden_states
    for handle in handles:
        handle.remove()
    found = {("resid_post", layer): states[layer][0] for layer in range(len(blocks))}
    found["resid_post", len(blocks)] = last_raw[0][0]
    found["final_norm", len(blocks)] = states[-1][0]
    for layer, block in enumerate(blocks, start=1):
        with torch.no_grad():
            entering = mlp_inputs[layer][0]
            act = block.mlp.act_fn(block.mlp.gate_proj(entering))
            found["mlp_act", layer] = act
            found["mlp_hidden", layer] = act * block.mlp.up_proj(entering)
    return found


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
