"""Change activations while a model runs: add a vector, scale or set neurons, replace a state.

An `Intervention` says what to do at one site of one layer; an `Edit` says at which rows and tokens
of one batch, so rows may differ in vector, coefficient and position. Hooks live in a context that
restores the model on any exit and refuses, on a normal one, to have gone unnoticed. Every operation
leaves the activation as it is at coefficient 0. Why one intervenes is unknown here.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from actors.structure.sites import Port, SiteName, Sites, edit

# Shapes: B rows, T tokens, D width of the site, P prompts, K places in a batch

Operation = Literal["add", "scale", "set", "replace"]
Where = Literal["last", "prompt", "generated", "all"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
WHERES: tuple[Where, ...] = get_args(Where)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intervention:
    """One change at one site of one layer; c is the coefficient, x the activation, in fp32.

    Attributes:
        operation: `add`: x + c v (steering). `scale`: x (1 + c v), with v = beta for neurons to
            amplify and -gamma for those to weaken (CLAS, section 4.4). `set`: x + c (v - x) on the
            `neurons`, so constants at c = 1 (Int-mu). `replace`: the same on the whole state
            (activation patching).
        vector: v, [D] for all prompts or [P, D], one per prompt.
        coefficient: c, one for all prompts or one per prompt.
        where: the `last` prompt token, all `prompt` tokens (prefix included), `generated` tokens
            (those of an option too), `all` of them, or one position per prompt, counted from 0.
        neurons: the coordinates [D] (bool) that change; None means every one.
    """

    site: SiteName
    layer: int
    operation: Operation
    vector: Tensor
    coefficient: float | tuple[float, ...] = 1.0
    where: Where | tuple[int, ...] = "all"
    neurons: Tensor | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing changes, as every coefficient is 0."""
        given = self.coefficient
        return not any(given) if isinstance(given, tuple) else given == 0

    def coefficient_of(self, prompt: int) -> float:
        """The coefficient for one prompt."""
        given = self.coefficient
        return given[prompt] if isinstance(given, tuple) else given

    def of_prompts(self, prompts: Sequence[int]) -> "Intervention":
        """The intervention for these of its prompts, in this order, repeated ones too."""
        vector, coefficient, where = self.vector, self.coefficient, self.where
        return replace(
            self,
            vector=vector[list(prompts)] if vector.ndim == 2 else vector,
            coefficient=tuple(coefficient[place] for place in prompts)
            if isinstance(coefficient, tuple)
            else coefficient,
            where=tuple(where[place] for place in prompts) if isinstance(where, tuple) else where,
        )


# Interventions that act together; an empty setting is the plain model.
Setting = tuple[Intervention, ...]


def start_of(setting: Setting) -> int:
    """The layer whose residual stream a setting finds as it is, to change it there or later."""
    return min(
        one.layer if one.site in ("embed", "resid_post") else one.layer - 1 for one in setting
    )


class Edit(NamedTuple):
    """An intervention at places of one batch: rows, tokens, prompts and coefficients there."""

    intervention: Intervention
    rows_K: Tensor
    tokens_K: Tensor
    prompts_K: Tensor
    coefficients_K: Tensor


class Place(NamedTuple):
    """Where an intervention acts on one prompt: a row of the batch and tokens in it.

    `order` is the intervention's place among those that act together.
    """

    intervention: Intervention
    prompt: int
    row: int
    tokens: Sequence[int]
    order: int = 0


def check(sites: Sites, intervention: Intervention, *, lengths: Sequence[int]) -> None:
    """Refuse an intervention that cannot act on prompts of these lengths in this model.

    Raises:
        ValueError: what was found and what was expected.
    """
    site, layer = intervention.site, intervention.layer
    sites.check(site, layer=layer)
    if site in ("final_norm", "head"):
        raise ValueError(
            f"site {site!r} can be read but not changed; intervene at 'resid_post' of layer "
            f"{layer}, which is what it is computed from"
        )
    if intervention.operation not in OPERATIONS:
        known = ", ".join(OPERATIONS)
        raise ValueError(f"unknown operation {intervention.operation!r}: expected {known}")
    _check_vector(sites, intervention, prompts=len(lengths))
    given = intervention.coefficient
    coefficients = given if isinstance(given, tuple) else (given,)
    if isinstance(given, tuple) and len(given) != len(lengths):
        raise ValueError(
            f"{len(given)} coefficients for {len(lengths)} prompts: give one, or one for each"
        )
    if not all(math.isfinite(value) for value in coefficients):
        raise ValueError(f"coefficient {given} is not a finite number: give one such as 2.0")
    _check_where(intervention, lengths)


def _check_vector(sites: Sites, intervention: Intervention, *, prompts: int) -> None:
    what = f"{intervention.operation!r} at {intervention.site!r} of layer {intervention.layer}"
    shape = tuple(intervention.vector.shape)
    width = width_of(sites, intervention.site)
    if len(shape) not in (1, 2) or shape[-1] != width:
        raise ValueError(
            f"the vector for {what} has shape {shape}: the site is {width} wide, expected "
            f"({width},) or ({prompts}, {width})"
        )
    if len(shape) == 2 and shape[0] != prompts:
        raise ValueError(f"{shape[0]} vectors for {what} and {prompts} prompts: give one for each")
    if not intervention.vector.isfinite().all():
        raise ValueError(f"the vector for {what} holds infinite or undefined numbers: recompute it")
    neurons = intervention.neurons
    if neurons is None:
        if intervention.operation == "set":
            raise ValueError(f"{what} needs `neurons`, the mask of those to set; or use 'replace'")
        return
    if neurons.dtype != torch.bool or tuple(neurons.shape) != (width,):
        raise ValueError(
            f"the mask for {what} has shape {tuple(neurons.shape)} and type {neurons.dtype}: "
            f"expected {width} true or false values"
        )


def _check_where(intervention: Intervention, lengths: Sequence[int]) -> None:
    where = intervention.where
    if isinstance(where, str):
        if where not in WHERES:
            raise ValueError(f"unknown position {where!r}: expected {', '.join(WHERES)}")
        return
    if len(where) != len(lengths):
        raise ValueError(f"{len(where)} positions for {len(lengths)} prompts: give one for each")
    for prompt, (position, length) in enumerate(zip(where, lengths, strict=True)):
        if not 0 <= position < length:
            raise ValueError(
                f"position {position} is outside prompt {prompt}, which has {length} tokens: "
                f"expected 0 to {length - 1}"
            )


def width_of(sites: Sites, site: SiteName) -> int:
    """How wide a site that can be changed is."""
    if site not in ("mlp_gate", "mlp_act", "mlp_hidden"):
        return int(sites.embedding.weight.shape[1])  # type: ignore[index]
    down = sites.mlps[0].down
    # GPT-2 keeps its weights the other way round.
    return int(getattr(down, "in_features", 0) or down.weight.shape[0])  # type: ignore[index]


def gather(places: Sequence[Place], *, device: torch.device) -> list[Edit]:
    """The edits that act on all places, in the order of a setting's interventions.

    Interventions that share site, layer, operation, vector and mask are one edit, so a sweep over
    coefficients changes all its rows at once.
    """
    grouped: dict[tuple[object, ...], list[Place]] = {}
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


def tokens_of(where: Where | tuple[int, ...], *, prompt: int, length: int, end: int) -> range:
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


def places_of(setting: Setting, *, prompt: int, row: int, length: int, end: int) -> list[Place]:
    """Where a setting acts on one prompt: in `row` of a batch, whose first `length` of `end`
    tokens are the prompt's."""
    return [
        Place(one, prompt, row, tokens_of(one.where, prompt=prompt, length=length, end=end), order)
        for order, one in enumerate(setting)
    ]


def apply(value_BTD: Tensor, edits: Sequence[Edit]) -> Tensor:
    """A copy of the activations with every edit made, in fp32 at its places."""
    changed_BTD = value_BTD.clone()
    for one in edits:
        rows_K, tokens_K = one.rows_K.to(value_BTD.device), one.tokens_K.to(value_BTD.device)
        old_KD = changed_BTD[rows_K, tokens_K].float()
        new_KD = _change(old_KD, one)
        changed_BTD[rows_K, tokens_K] = new_KD.to(value_BTD.dtype)
    return changed_BTD


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
    named = {_port(sites, one): one.intervention for one in (*edits, *later)}
    fired = dict.fromkeys(named, 0)

    def count(*_arguments: object) -> None:
        passes[0] += 1

    def editor(port: Port) -> Callable[[Tensor], Tensor]:
        now = [one for one in edits if _port(sites, one) is port]
        then = [one for one in later if _port(sites, one) is port]

        def change(value_BTD: Tensor) -> Tensor:
            fired[port] += 1
            chosen = now if passes[0] == 1 else then
            return apply(value_BTD, chosen) if chosen else value_BTD

        return change

    with ExitStack() as stack:
        # The embedding: a whole model may pass its base by (OPT goes straight to its decoder).
        handle = sites.embedding.register_forward_pre_hook(count)
        stack.callback(handle.remove)
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


def _port(sites: Sites, one: Edit) -> Port:
    """Where an edit is made."""
    return sites.port(one.intervention.site, layer=one.intervention.layer)
