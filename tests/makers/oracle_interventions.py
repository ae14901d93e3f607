"""The slow, obvious twin of interventions: one text, one forward pass, plain hooks, fp32.

Nothing is imported from the code that it checks: where a family keeps what is changed is written
down in `oracle_families.py`, and what an operation does is written out for one token.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from tests.makers.oracle_families import family_of, update_factor

# Shapes: T tokens, D width of a site, V vocabulary


class Change(NamedTuple):
    """At some tokens of a text, what one site's activation [D] of a token becomes."""

    site: str
    layer: int
    tokens: Sequence[int]
    new: Callable[[Tensor], Tensor]


def changed_logs(model: PreTrainedModel, ids: Sequence[int], changes: Sequence[Change]) -> Tensor:
    """Log-softmax [T, V] of a plain forward over one text, with these changes in their order."""
    with changing(model, changes), torch.no_grad():
        logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    return logits.float().log_softmax(dim=-1)


@contextmanager
def changing(model: PreTrainedModel, changes: Sequence[Change]) -> Iterator[None]:
    """Every pass over one text has these changes; hooks that are put in later see them."""
    handles = [_hook(model, change) for change in changes]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def changed_log_probabilities(
    model: PreTrainedModel,
    context: Sequence[int],
    option: Sequence[int],
    changes: Sequence[Change] = (),
) -> list[float]:
    """log P of every token of `option` after `context`, with changes on the way."""
    logs = changed_logs(model, [*context, *option], changes)
    return [float(logs[len(context) - 1 + step, token]) for step, token in enumerate(option)]


def change_of(one: Any, *, prompt: int, length: int, end: int) -> Change:
    """What an intervention says, written out for prompt `prompt` of `length` in `end` tokens."""
    vector = one.vector[prompt] if one.vector.ndim == 2 else one.vector
    c = one.coefficient[prompt] if isinstance(one.coefficient, tuple) else one.coefficient

    def new(x: Tensor) -> Tensor:
        if one.operation == "add":
            changed = x + c * vector
        elif one.operation == "scale":
            changed = x + x * c * vector
        else:
            changed = (1 - c) * x + c * vector
        if one.neurons is not None:
            changed[~one.neurons] = x[~one.neurons]
        return changed

    tokens = {"last": [length - 1], "prompt": range(length), "all": range(end)}
    tokens["generated"] = range(length, end)
    named = isinstance(one.where, str)
    return Change(one.site, one.layer, tokens[one.where] if named else [one.where[prompt]], new)


def _hook(model: PreTrainedModel, change: Change) -> RemovableHandle:
    """Put a change where its site is."""
    family = family_of(model)
    factor = update_factor(model) if change.site in ("attn_out", "mlp_out") else 1
    block = model.get_submodule(family.blocks)[max(change.layer, 1) - 1]

    def changed(value: Tensor) -> Tensor:
        value_TD = value.reshape(-1, value.shape[-1]).clone()  # OPT's MLP has no dimension of rows
        half = change.site == "mlp_gate" and family.up == ""
        width = value_TD.shape[1] // 2 if half else value_TD.shape[1]
        for token in change.tokens:
            own_D = value_TD[token, :width].float() * factor
            value_TD[token, :width] = change.new(own_D.clone()) / factor
        return value_TD.reshape(value.shape)

    def before(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if args:
            return (changed(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": changed(kwargs["hidden_states"])}

    def after(_module: nn.Module, _args: tuple, output: object) -> object:
        if isinstance(output, tuple):
            return (changed(output[0]), *output[1:])
        return changed(output)

    if change.layer == 0:
        return block.register_forward_pre_hook(before, with_kwargs=True)
    if change.site == "mlp_hidden":
        down = block.get_submodule(family.down)
        return down.register_forward_pre_hook(before, with_kwargs=True)
    paths = {"resid_post": "", "mlp_gate": family.gate, "mlp_act": family.act}
    path = paths.get(change.site) if change.site in paths else getattr(family, change.site)
    return block.get_submodule(path).register_forward_hook(after)
