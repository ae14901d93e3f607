"""Make interventions in one batch while a model runs, and prove that they were made.

An `Edit` says at which rows and tokens of a batch an intervention acts, so rows may differ in
vector, coefficient and position. Hooks live in a context that restores the model on any exit and
refuses, on a normal one, to have gone unnoticed. setting.py defines interventions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from actors.intervention.setting import Intervention, Setting, Where
from actors.structure.sites import Port, Sites, edit

# Shapes: B rows, T tokens, D width of the site, P prompts, K places in a batch


class Edit(NamedTuple):
    """An intervention at places of one batch: rows, tokens, prompts and coefficients there."""

    intervention: Intervention
    rows_K: Tensor
    tokens_K: Tensor
    prompts_K: Tensor
    coefficients_K: Tensor


class Position(NamedTuple):
    """Where an intervention acts on one prompt: a row of the batch and tokens in it.

    `order` is the intervention's place among those that act together.
    """

    intervention: Intervention
    prompt: int
    row: int
    tokens: Sequence[int]
    order: int = 0


def gather(places: Sequence[Position], *, device: torch.device) -> list[Edit]:
    """The edits that act on all places, in the order of a setting's interventions.

    Interventions that share site, layer, operation, vector and mask are one edit, so a sweep over
    coefficients changes all its rows at once.
    """
    grouped: dict[tuple[object, ...], list[Position]] = {}
    for place in places:
        one = place.intervention
        same = (place.order, one.site, one.layer, one.operation, id(one.vector), id(one.neurons))
        if place.tokens:
            grouped.setdefault(same, []).append(place)
    edits = []
    for _, group in sorted(grouped.items(), key=lambda entry: entry[1][0].order):
        counts = [len(place.tokens) for place in group]
        rows = np.repeat([place.row for place in group], counts)
        prompts = np.repeat([place.prompt for place in group], counts)
        tokens = np.concatenate([np.asarray(place.tokens) for place in group])
        given = [place.intervention.coefficient_of(place.prompt) for place in group]
        coefficients = np.repeat(np.asarray(given, dtype=np.float32), counts)
        edits.append(
            Edit(
                group[0].intervention,
                torch.from_numpy(rows).to(device),
                torch.from_numpy(tokens).to(device),
                torch.from_numpy(prompts).to(device),
                torch.from_numpy(coefficients).to(device),
            )
        )
    return edits


def places_of(
    setting: Setting, *, prompt: int, row: int, length: int, end: int, start: int = 0
) -> list[Position]:
    """Where a setting acts on one prompt: in `row` of a batch, whose first `length` of `end`
    tokens are the prompt's, from token `start` of the row on."""
    places = []
    for order, one in enumerate(setting):
        own = _tokens_of(one.where, prompt=prompt, length=length, end=end)
        tokens = range(start + own.start, start + own.stop)
        places.append(Position(one, prompt, row, tokens, order))
    return places


def _tokens_of(where: Where | tuple[int, ...], *, prompt: int, length: int, end: int) -> range:
    """The tokens to act on in a row of `end` tokens, the first `length` of them the prompt's."""
    if where == "last":
        return range(length - 1, length)
    if where == "prompt":
        return range(length)
    if where == "generated":
        return range(length, end)
    if where == "all":
        return range(end)
    return range(where[prompt], where[prompt] + 1)


def apply(value_BTD: Tensor, edits: Sequence[Edit]) -> Tensor:
    """A copy of the activations with every edit made, in fp32 at its places."""
    return apply_(value_BTD.clone(), edits)


def apply_(value_BTD: Tensor, edits: Sequence[Edit]) -> Tensor:
    """The activations themselves, with every edit made in them."""
    for one in edits:
        rows_K, tokens_K = one.rows_K.to(value_BTD.device), one.tokens_K.to(value_BTD.device)
        new_KD = _change(value_BTD[rows_K, tokens_K].float(), one)
        value_BTD[rows_K, tokens_K] = new_KD.to(value_BTD.dtype)
    return value_BTD


def _change(old_KD: Tensor, one: Edit) -> Tensor:
    """The activations of an edit's places, changed."""
    intervention, device = one.intervention, old_KD.device
    vector_KD = intervention.vector.to(device, torch.float32)
    if vector_KD.ndim == 2:
        vector_KD = vector_KD[one.prompts_K.to(device)]
    c_K1 = one.coefficients_K.to(device).unsqueeze(1)
    if intervention.operation == "add":
        new_KD = old_KD + c_K1 * vector_KD
    elif intervention.operation == "scale":
        new_KD = old_KD * (1 + c_K1 * vector_KD)
    else:  # exact where c is 1: no rounding through the difference
        new_KD = torch.where(c_K1 == 1, vector_KD, old_KD + c_K1 * (vector_KD - old_KD))
    if intervention.neurons is None:
        return new_KD
    return torch.where(intervention.neurons.to(device), new_KD, old_KD)


@contextmanager
def armed(
    sites: Sites, edits: Sequence[Edit], *, rows: int, later: Sequence[Edit] = ()
) -> Iterator[None]:
    """Make `edits` in the first forward pass, and `later` in every one after it.

    Raises:
        RuntimeError: on leaving without an error, an intervention was not passed exactly once in
            every forward pass.
    """
    passes = [0]
    # By port, not by name: embed is resid_post of layer 0, and both keep their common order.
    named = {port_of(sites, one): one.intervention for one in (*edits, *later)}
    fired = dict.fromkeys(named, 0)

    def count(*_arguments: object) -> None:
        passes[0] += 1

    def editor(port: Port) -> Callable[[Tensor], Tensor]:
        now = [one for one in edits if port_of(sites, one) is port]
        then = [one for one in later if port_of(sites, one) is port]

        def change(value_BTD: Tensor) -> Tensor:
            fired[port] += 1
            chosen = now if passes[0] == 1 else then
            return apply(value_BTD, chosen) if chosen else value_BTD

        return change

    with ExitStack() as stack:
        # The embedding: a whole model may pass its base by (OPT goes straight to its decoder).
        stack.enter_context(sites.embedding.register_forward_pre_hook(count))
        for port in named:
            stack.enter_context(edit(port, editor(port), rows=rows))
        yield
    for port, times in fired.items():
        if times != passes[0] or not passes[0]:
            raise RuntimeError(
                f"the intervention at site {named[port].site!r} of layer {named[port].layer} fired "
                f"{times} times in {passes[0]} forward passes: expected once in each, so the "
                "result is not to be trusted"
            )


def port_of(sites: Sites, one: Edit) -> Port:
    """Where an edit is made."""
    return sites.port(one.intervention.site, layer=one.intervention.layer)
