"""The slow, obvious twin of every fast path: one sentence, one forward pass, loops, fp32.

Nothing here pads, batches, stops early or shares work, and nothing is imported from the code that
it checks: where a family keeps what is written down by name, and an MLP is computed again from its
weights.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, relu, silu, softplus
from transformers import PreTrainedModel

# Shapes: T tokens, D width of a site, F neurons

EQUAL = 1e-12  # float64 cannot tell equal cosines apart; the rule is part of the definition


class Family(NamedTuple):
    """Where one family keeps its parts: paths of modules, those of a block from the block on."""

    blocks: str
    norm: str
    middle: str | None  # takes the stream between attention and MLP; None: they run side by side
    gate: str | None  # what is activated; with `up`, also what the MLP starts with; None: experts
    up: str | None  # "" is the second half of `gate`; None: there is no gate
    down: str
    activation: Callable[[Tensor], Tensor] | None  # None: xIELU, whose parameters are the block's
    act: str  # the module that computes it
    attn_out: str  # what returns that which attention adds to the stream
    mlp_out: str  # the same for the MLP


gelu_tanh = partial(gelu, approximate="tanh")
LLAMA = Family(
    blocks="model.layers",
    norm="model.norm",
    middle="post_attention_layernorm",
    gate="mlp.gate_proj",
    up="mlp.up_proj",
    down="mlp.down_proj",
    activation=silu,
    act="mlp.act_fn",
    attn_out="self_attn",
    mlp_out="mlp",
)
POST_NORM = {"attn_out": "post_attention_layernorm", "mlp_out": "post_feedforward_layernorm"}
GEMMA = LLAMA._replace(middle="pre_feedforward_layernorm", activation=gelu_tanh, **POST_NORM)
FUSED = LLAMA._replace(gate="mlp.gate_up_proj", up="", act="mlp.activation_fn")
GPT_NEOX = Family(
    blocks="gpt_neox.layers",
    norm="gpt_neox.final_layer_norm",
    middle=None,
    gate="mlp.dense_h_to_4h",
    up=None,
    down="mlp.dense_4h_to_h",
    activation=gelu,
    act="mlp.act",
    attn_out="attention",
    mlp_out="mlp",
)
PARALLEL = LLAMA._replace(middle=None)
EXPERTS = LLAMA._replace(gate=None)
FALCON = GPT_NEOX._replace(
    blocks="transformer.h", norm="transformer.ln_f", attn_out="self_attention"
)


FAMILIES = {
    "llama": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "mistral": LLAMA,
    "olmo2": LLAMA._replace(middle="mlp", **POST_NORM),
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "glm4": FUSED._replace(attn_out="post_self_attn_layernorm", mlp_out="post_mlp_layernorm"),
    "phi3": FUSED,
    "gpt_neox": GPT_NEOX,
    "bloom": GPT_NEOX._replace(
        blocks="transformer.h",
        norm="transformer.ln_f",
        middle="post_attention_layernorm",
        activation=gelu_tanh,
        act="mlp.gelu_impl",
        attn_out="self_attention.dense",  # its attention and its MLP add the stream themselves
        mlp_out="mlp.dense_4h_to_h",
    ),
    "gpt2": GPT_NEOX._replace(
        blocks="transformer.h",
        norm="transformer.ln_f",
        middle="ln_2",
        gate="mlp.c_fc",
        down="mlp.c_proj",
        activation=gelu_tanh,
        attn_out="attn",
    ),
    "cohere": PARALLEL,
    "cohere2": PARALLEL,
    "granite": LLAMA,
    "minicpm3": LLAMA,
    "apertus": LLAMA._replace(
        middle="feedforward_layernorm", gate="mlp.up_proj", up=None, activation=None
    ),
    "smollm3": LLAMA,
    "falcon": FALCON,
    "falcon_alibi": FALCON._replace(
        middle="post_attention_layernorm", attn_out="self_attention.dense"
    ),
    "mpt": GPT_NEOX._replace(
        blocks="transformer.blocks",
        norm="transformer.norm_f",
        middle="norm_2",
        gate="ffn.up_proj",
        down="ffn.down_proj",
        act="ffn.act",
        attn_out="attn",
        mlp_out="ffn.down_proj",  # its MLP adds the stream itself
    ),
    "gemma3": GEMMA._replace(
        blocks="model.language_model.layers", norm="model.language_model.norm"
    ),
    "olmo": LLAMA,
    "olmo3": LLAMA._replace(middle="mlp", **POST_NORM),
    "phi": PARALLEL._replace(
        norm="model.final_layernorm",
        gate="mlp.fc1",
        up=None,
        down="mlp.fc2",
        activation=gelu_tanh,
        act="mlp.activation_fn",
    ),
    "stablelm": LLAMA,
    "starcoder2": LLAMA._replace(
        gate="mlp.c_fc", up=None, down="mlp.c_proj", activation=gelu_tanh, act="mlp.act"
    ),
    "xglm": LLAMA._replace(
        norm="model.layer_norm",
        middle="final_layer_norm",
        gate="fc1",
        up=None,
        down="fc2",
        activation=gelu,
        act="activation_fn",
        mlp_out="fc2",
    ),
    "qwen2_moe": EXPERTS,
    "qwen3_moe": EXPERTS,
    "mixtral": EXPERTS,
    "granitemoe": EXPERTS._replace(mlp_out="block_sparse_moe"),
    "gpt_oss": EXPERTS,
    "llama4_text": EXPERTS._replace(mlp_out="feed_forward"),
    "opt": Family(
        blocks="model.decoder.layers",
        norm="model.decoder.final_layer_norm",
        middle="final_layer_norm",
        gate="fc1",
        up=None,
        down="fc2",
        activation=relu,
        act="activation_fn",
        attn_out="self_attn",
        mlp_out="fc2",
    ),
}


def family_of(model: PreTrainedModel) -> Family:
    """Where this model keeps its parts."""
    kind = model.config.model_type
    if kind == "falcon" and model.config.alibi:
        kind = "falcon_alibi"
    return FAMILIES[kind]


def update_factor(model: PreTrainedModel) -> float:
    """What a block multiplies by before it adds it to the stream."""
    if model.config.model_type == "minicpm3":
        return float(model.config.scale_depth / math.sqrt(model.config.num_hidden_layers))
    return float(getattr(model.config, "residual_multiplier", 1))


def activations(model: PreTrainedModel, ids: Sequence[int]) -> dict[tuple[str, int], Tensor]:
    """Every site at every layer [T, D] for one sentence, keyed by (site, layer)."""
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
        if family.up is not None:
            found["mlp_gate", layer] = parts.gate
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
        return Neurons(gate=gate, act=act, hidden=act * up)


def xielu(module: nn.Module, x: Tensor) -> Tensor:
    """Apertus' activation (arXiv 2411.13010): quadratic above zero, bent back up below it."""
    below = module.beta + softplus(module.alpha_n)
    negative = below * (torch.exp(x.clamp(max=0)) - 1 - x) + module.beta * x
    return torch.where(x > 0, softplus(module.alpha_p) * x**2 + module.beta * x, negative)


def project(module: nn.Module, value: Tensor) -> Tensor:
    """The value times a linear layer's weight, which GPT-2 stores the other way round."""
    with torch.no_grad():
        if isinstance(module, nn.Linear):
            return linear(value, module.weight, module.bias)
        return value @ module.weight + module.bias


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
