"""Lay out the map of a model's sites for people: which module each name means, and its proof."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from actors.families.families import Proven
from actors.model import LoadedModel
from actors.structure.proof import Claim, claims
from actors.structure.sites import MEANING, NEURONS, SITES, Port, SiteName, Sites


class Evidence(NamedTuple):
    """One claim, made of every layer that it is about: the largest difference and its bound."""

    text: str
    error: float
    allowed: float
    layers: int
    holds: bool


class SiteRow(NamedTuple):
    """One site: its layers, the module of layer k, and what proves it.

    `where` says why the site is missing where `layers` is empty.
    """

    site: SiteName
    meaning: str
    layers: str
    where: str
    evidence: tuple[Evidence, ...]


def site_map(loaded: LoadedModel) -> list[SiteRow]:
    """Every site, in the order in which a forward pass meets them.

    Raises:
        ValueError: a module that should show a site took no part in a forward pass.
    """
    proof = claims(loaded.model, loaded.sites)
    return [_row(loaded, site, proof) for site in SITES]


def _row(loaded: LoadedModel, site: SiteName, proof: Sequence[Claim]) -> SiteRow:
    sites = loaded.sites
    if site in sites.missing:
        return SiteRow(site, MEANING[site], "", sites.missing[site], ())
    layers = sites.layers(site)
    shown = str(layers[0]) if len(layers) == 1 else f"{layers[0]} to {layers[-1]}"
    alike: dict[str, list[Claim]] = {}
    for claim in proof:
        if claim.site == site:
            alike.setdefault(re.sub(r"\b(block|layer) \d+", r"\1 k", claim.text), []).append(claim)
    evidence = tuple(_evidence(text, own) for text, own in alike.items())
    return SiteRow(site, MEANING[site], shown, _where(loaded, site), evidence)


def _evidence(text: str, claims: Sequence[Claim]) -> Evidence:
    """What a claim about several layers comes to: the layer that is closest to failing."""
    worst = max(claims, key=lambda claim: (not claim.holds, claim.error))
    holds = all(claim.holds for claim in claims)
    if len(claims) == 1:  # of one layer: it says which
        text = worst.text
    return Evidence(text, worst.error, worst.allowed, len(claims), holds)


def _where(loaded: LoadedModel, site: SiteName) -> str:
    """The path of the site's module, with k for the layer, and which side of it."""
    names = {module: path for path, module in loaded.model.named_modules()}
    if site == "head":
        return ", ".join([f"{names[loaded.sites.head]} of final_norm", *_scales(loaded.sites)])
    port: Port = loaded.sites.ports[site][-1]
    path = names[port.module]
    block = names[loaded.sites.blocks[-1]]
    if path.startswith(block) and site != "embed":
        numbered = block.rpartition(".")[0]
        path = f"{numbered}.{{k-1}}{path.removeprefix(block)}"
    columns = "" if port.part is None else f", columns {port.part.start} to {port.part.stop - 1}"
    times = "" if port.factor == 1 else f", times {port.factor:g}"
    return f"{port.side} of {path}{columns}{times}"


def exceptions(proven: Proven) -> list[str]:
    """In what a family differs from Llama, as far as it matters to a study."""
    sites = proven.sites
    told = list(_scales(sites))
    reasons: dict[str, list[str]] = {}
    for site, reason in sites.missing.items():
        reasons.setdefault(reason, []).append(site)
    for reason, lacking in reasons.items():
        what = "neurons" if lacking == list(NEURONS) else ", ".join(lacking)
        told.append(f"no {what}: {reason}")
    factors = {port.factor for port in sites.ports.get("attn_out", ())} - {1.0}
    told += [f"attn_out and mlp_out are added times {factor:g}" for factor in factors]
    if not sites.keeps_sign:
        told.append("an activation may be positive below zero: its own sign says what fires")
    if not proven.shares:
        told.append("texts do not share their beginning in one row (slower)")
    if proven.attention != "sdpa":
        told.append(f"attention backend {proven.attention}")
    return told


def _scales(sites: Sites) -> Iterator[str]:
    """What the model multiplies in front of its head and behind it."""
    if sites.state_scale != 1:
        yield f"states times {sites.state_scale:g} before the head"
    if sites.logit_scale != 1:
        yield f"logits times {sites.logit_scale:g}"
    if sites.softcap is not None:
        yield f"logits capped at {sites.softcap:g}"
