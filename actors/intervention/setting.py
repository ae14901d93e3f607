"""Changes to make while a model runs: add a vector, scale or set neurons, replace a state.

An `Intervention` says what to do at one site of one layer, for every prompt; those that act
together are a setting. Every operation leaves the activation as it is at coefficient 0. The changes
are made in intervene.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from actors.structure.sites import SiteName, Sites

# Shapes: D width of the site, P prompts

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
    width = sites.width(intervention.site)
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
