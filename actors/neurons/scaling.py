"""Rescale neurons of some categories, or overwrite those of a language: settings for one language.

The paper's rule is one factor for each neuron and layer, as its masks are disjoint (CLAS, section
2.5): h (1 + shared M_partial + specific M_specific). A strength of 0 is an empty setting, so the
plain model to the bit.
"""

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor

from actors.intervention.setting import Intervention, Setting
from actors.neurons.categories import masks
from actors.neurons.file import VALUES, Categories
from actors.structure.sites import SiteName
from studies.kinds.scaled import Control, Paper
from studies.neuron_options import Rescaling, Strength

# Shapes: K languages, F neurons

SITES: dict[str, SiteName] = {"h": "mlp_hidden", "act": "mlp_act"}
SCHEMES = (*get_args(Paper), *get_args(Control))


def rescaled(
    categories: Categories,
    strength: Strength,
    *,
    language: str,
    how: Rescaling,
    scheme: str = "clas",
    draw: int = 0,
) -> Setting:
    """What a scheme changes in the bridge layers while a language is asked.

    Args:
        categories: which neurons are active in which language.
        strength: by what they are multiplied.
        language: that of the prompts.
        how: at which tokens, and which specific neurons.
        scheme: `clas` (and those that differ from it in strength alone), or the controls `random`,
            `mixed` and `uniform`.
        draw: number of the draw of `random` and `mixed`.

    Raises:
        ValueError: no neuron of the categories is in the bridge layers, of whatever language.
    """
    assert scheme in SCHEMES, scheme
    if not any(strength):
        return ()
    about = categories.about
    setting: list[Intervention] = []
    some = False  # in any language, as one without specific neurons is left as it is
    for layer in about.bridge:
        active_KF = categories.active[layer]
        if scheme == "mixed":
            active_KF = categories.mixed[draw, layer]
        found = masks(active_KF)
        shared_F = found["partial_shared"]
        some = some or bool((shared_F | found["specific"]).any())
        specific_F = _specific(
            active_KF, found["specific"], about.languages, language, scope=how.spec_scope
        )
        factor_F = strength.shared * shared_F.float() + strength.specific * specific_F.float()
        if scheme == "random":
            factor_F = _shuffled(factor_F, seed=draw, layer=layer)
        elif scheme == "uniform":
            factor_F = _evened(factor_F, active_KF.any(dim=0), strength=strength)
        if factor_F.any():
            setting.append(
                Intervention(
                    site=SITES[about.site],
                    layer=layer,
                    operation="scale",
                    vector=factor_F,
                    where=how.clas_pos,
                )
            )
    if not some:
        raise ValueError(
            f"no neuron of layers {', '.join(map(str, about.bridge))} is active in some languages "
            "or in one, so there is nothing to rescale: choose other layers with --bridge, or "
            "another --threshold"
        )
    return tuple(setting)


def overwritten(categories: Categories, *, language: str, value: str) -> Setting:
    """Int-mu: a language's neurons, in all layers, are constants at every token.

    Args:
        categories: Int-mu's neurons of every language, and what they may be.
        language: that of the prompts.
        value: `mean`, `p90`, `p10` or `zero`.

    Raises:
        ValueError: there are no neurons of this language.
    """
    setting = []
    for (layer, own), (neurons_N, values_VN) in categories.intmu.items():
        if own != language:
            continue
        mask_F = torch.zeros(categories.about.width, dtype=torch.bool)
        mask_F[neurons_N] = True
        constant_F = torch.zeros(categories.about.width)
        if value != "zero":
            constant_F[neurons_N] = values_VN[VALUES.index(value)]
        setting.append(
            Intervention(
                site="mlp_act",
                layer=layer,
                operation="set",
                vector=constant_F,
                neurons=mask_F,
                where="all",
            )
        )
    if not setting:
        raise ValueError(
            f"Int-mu has no neurons of {language}: none of this model was selected for it over "
            f"the {categories.about.size} samples of {categories.about.dataset}"
        )
    return tuple(setting)


def _specific(
    active_KF: Tensor, every_F: Tensor, languages: Sequence[str], language: str, *, scope: str
) -> Tensor:
    """Of all specific neurons [F], those that are weakened while a language is asked."""
    if scope == "any":
        return every_F
    own_F = torch.zeros_like(every_F)
    if language in languages:
        own_F = active_KF[languages.index(language)]
    return every_F & own_F if scope == "only_current" else every_F & ~own_F


def _shuffled(factor_F: Tensor, *, seed: int, layer: int) -> Tensor:
    """The same factors at other neurons, drawn from all of the layer."""
    generator = torch.Generator().manual_seed(1_000_003 * seed + layer)
    return factor_F[torch.randperm(len(factor_F), generator=generator)]


def _evened(factor_F: Tensor, alive_F: Tensor, *, strength: Strength) -> Tensor:
    """One factor for all neurons that are not dead, of the same mean size and the sign of what is
    done to the shared ones (to the specific ones where those are left alone)."""
    sign = torch.sign(torch.tensor(strength.shared or strength.specific))
    count = max(1, int(alive_F.sum()))
    return alive_F.float() * (sign * factor_F.abs().sum() / count)
