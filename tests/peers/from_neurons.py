"""Kinds of numbers over neurons: how active they are in each language, and their categories.

Formulas: CLAS, sections 2.2 and 2.3; by single samples, Wang et al. (2024). Imports nothing of
ours.
"""

import json
import math
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import items
import numpy as np
import plain
import torch
from compared import EXACT, Compared, Run, kind
from safetensors import safe_open

# Shapes: K languages, N texts, T tokens, L layers, F neurons

Array = np.ndarray[Any, Any]
CATEGORIES = ("dead", "specific", "partial_shared", "all_shared")
SITES = ("h", "act")
USUAL = {
    "activity": "mean_signed", "clas_site": "h", "intmu_selector": "lape",
    "intmu_site": "consistent", "stat_bos": True, "stat_text": "context_question",
    "stat_weight": "sample", "threshold": 0.0, "clas_pos": "all", "spec_scope": "any",
}  # fmt: skip
# What SiLU and GELU at most make of a change in their argument.
SLOPE = 1.13
FLOAT32 = float(torch.finfo(torch.float32).eps)


def check(switches: str) -> None:
    """Stop at switches whose numbers are not known here."""
    told = json.loads(switches)
    wrong = {name: told[name] for name in told if name in USUAL and told[name] != USUAL[name]}
    if wrong:
        raise SystemExit(f"neurons are compared under the usual switches, not {wrong}")


class Held(NamedTuple):
    """A file of neurons: what it says of itself, and its tensors."""

    about: dict[str, Any]
    tensors: dict[str, torch.Tensor]


@cache
def opened(path: Path) -> Held:
    """The content of an artifact."""
    with safe_open(path, framework="pt") as file:
        said = {
            name: json.loads(value)
            for name, value in file.metadata().items()
            if name not in ("format", "version")
        }
        return Held(said, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


def artifact(run: Run, model: str) -> Held:
    """The categories of a model in a run that sorted its neurons once."""
    keys = {row.key for row in run.rows("categories", model=model)}
    if len(keys) != 1:
        raise SystemExit(f"{len(keys)} sortings of the neurons of {model}: give a run with one")
    return opened(run.folder / "artifacts" / f"{keys.pop()}.safetensors")


class Told(NamedTuple):
    """One text at one site of a layer, each [F]: means over its tokens, how far the mean may be
    off, and the share of tokens at which a value may be on either side of zero."""

    mean: Array
    mean_abs: Array
    active: Array
    off: Array
    unsure: Array


class Fires(NamedTuple):
    """One text's activation behind the activation function [T, F], whether a neuron fires, where
    that is unsure, and how far a value may be off [T, 1]."""

    act: Array
    fires: Array
    unsure: Array
    off: Array


def usual(value_TF: torch.Tensor) -> torch.Tensor:
    """The usual size [T, 1] of a token's neurons, of which rounding moves each by some share."""
    return value_TF.square().mean(dim=1, keepdim=True).sqrt()


@cache
def fires(model: plain.Plain, text: str, layer: int) -> Fires:
    """When neurons fire in one text."""
    gate_TF = model.read(model.ids(text)).gate_TF[layer]
    off_T1 = model.relative * usual(gate_TF)
    act_TF = model.act(gate_TF, layer=layer)
    found = (act_TF.double(), gate_TF > 0, gate_TF.abs() <= off_T1, SLOPE * off_T1.double())
    return Fires(*(each.numpy() for each in found))


@cache
def told(model: plain.Plain, text: str, layer: int, site: str) -> Told:
    """One text's neurons at a site."""
    gate = fires(model, text, layer)
    if site == "act":
        return _told(gate.act, gate.fires, gate.unsure, np.broadcast_to(gate.off, gate.act.shape))
    read = model.read(model.ids(text))
    up_TF = read.up_TF[layer]
    off_T1 = (model.relative * usual(up_TF)).double().numpy()
    # A product moves by what either factor does.
    off_TF = np.abs(up_TF.double().numpy()) * gate.off + np.abs(gate.act) * off_T1
    value_TF = read.product_TF[layer].double().numpy()
    unsure_TF = gate.unsure | (np.abs(up_TF.numpy()) <= off_T1)
    return _told(value_TF, value_TF > 0, unsure_TF, off_TF)


def _told(value_TF: Array, fires_TF: Array, unsure_TF: Array, off_TF: Array) -> Told:
    each = (value_TF, np.abs(value_TF), fires_TF, off_TF, unsure_TF)
    return Told(*(one.mean(axis=0) for one in each))


def over(model: plain.Plain, texts: Iterable[str], layer: int, site: str) -> Told:
    """The means over texts."""
    each = [told(model, text, layer, site) for text in texts]
    return Told(*(np.mean(column, axis=0) for column in zip(*each, strict=True)))


def layers(model: plain.Plain) -> range:
    """All blocks, from 1."""
    return range(1, len(model.blocks) + 1)


def samples(run: Run, about: dict[str, Any]) -> dict[str, list[str]]:
    """All texts of every language, in the order of the artifact's languages."""
    return items.samples(run.data, about["dataset"], about["languages"])


@kind
def neurons(run: Run, compared: Compared) -> None:
    """Means over neurons of their activity in one language."""
    for row in run.rows("neurons"):
        model, held = run.model(row.model), artifact(run, row.model)
        check(held.about["sorting"])
        where = (row.model, row.language, row.layer, row.site)
        texts = samples(run, held.about)[row.language][: held.about["size"]]
        own = over(model, texts, row.layer, row.site)
        compared.same((*where, "n"), row.n, len(texts))
        compared.same((*where, "tokens"), row.tokens, sum(len(model.ids(text)) for text in texts))
        sure_F, perhaps_F = own.mean > own.off, own.mean > -own.off
        count(compared, (*where, "positive"), row.positive, sure_F, perhaps_F)
        compared.number(
            (*where, "mean_abs"), row.mean_abs, own.mean_abs.mean(),
            allowed=own.off.mean() + FLOAT32 * own.mean_abs.mean(),
        )  # fmt: skip
        allowed = own.unsure.mean() + FLOAT32
        compared.number((*where, "active"), row.active, own.active.mean(), allowed=allowed)


def count(
    compared: Compared, where: tuple[object, ...], share: float, sure: Array, perhaps: Array
) -> None:
    """Compare a share with how many surely count, and how many perhaps."""
    low, high = int(sure.sum()), int(perhaps.sum())
    compared.undecided += high - low
    stored = share * sure.size
    compared.number(where, stored, min(max(round(stored), low), high), allowed=EXACT * sure.size)


class Sorted(NamedTuple):
    """In which languages neurons are active for sure, and in which perhaps, [K, ..., F]."""

    sure: Array
    perhaps: Array

    @property
    def decided(self) -> bool:
        """Whether rounding leaves nothing open."""
        return bool((self.sure == self.perhaps).all())

    def categories(self) -> dict[str, tuple[Array, Array]]:
        """Of every category the neurons that are in it for sure, and perhaps."""
        low, high, every = self.sure.sum(axis=0), self.perhaps.sum(axis=0), len(self.sure)
        ends = dict(zip(CATEGORIES, ((0, 0), (1, 1), (2, every - 1), (every, every)), strict=True))
        return {
            name: ((low >= first) & (high <= last), (high >= first) & (low <= last))
            for name, (first, last) in ends.items()
        }


@cache
def active(model: plain.Plain, texts: tuple[tuple[str, ...], ...], layer: int, site: str) -> Sorted:
    """In which language each neuron's mean is above zero, over these texts of every language."""
    each = [over(model, own, layer, site) for own in texts]
    sure, perhaps = ([one.mean > sign * one.off for one in each] for sign in (1, -1))
    return Sorted(np.stack(sure), np.stack(perhaps))


def one_by_one(
    model: plain.Plain, texts: Sequence[Sequence[str]], layer: int, *, any_token: bool
) -> Sorted:
    """In which language each neuron fires [K, N, F], at the last token of a sample or at any."""
    low, high = [], []
    for own in texts:
        read = [fires(model, text, layer) for text in own]
        pairs = [(one.fires & ~one.unsure, one.fires | one.unsure) for one in read]
        low.append([a.any(axis=0) if any_token else a[-1] for a, _ in pairs])
        high.append([b.any(axis=0) if any_token else b[-1] for _, b in pairs])
    return Sorted(np.array(low), np.array(high))


def of_part(part: str, texts: Sequence[str], size: int) -> tuple[str, ...]:
    """The samples of a part, which is made of quarters of those that count."""
    quarter = [place * size // 4 for place in range(9)]
    blocks = {"half_1": (0, 2), "half_2": (1, 3), "first": (0, 1), "twice": range(8)}
    return tuple(
        text
        for block in blocks.get(part, range(4))
        for text in texts[quarter[block] : quarter[block + 1]]
    )


@kind
def categories(run: Run, compared: Compared) -> None:
    """Shares of the categories, how stable they are, bridge layers, and the neurons themselves."""
    for name in sorted({row.model for row in run.rows("categories")}):
        model, held = run.model(name), artifact(run, name)
        texts, size = samples(run, held.about), held.about["size"]
        rows = {(row.layer, row.part): row for row in run.rows("categories", model=name)}
        for (layer, part), row in rows.items():
            check(row.switches)
            where = (name, layer, part)
            own = {one: of_part(part, all_, size) for one, all_ in texts.items()}
            compared.same((*where, "languages"), row.languages, len(texts))
            compared.same((*where, "n"), row.n, len(next(iter(own.values()))))
            if part == "mixed":
                continue
            if part.startswith("instance"):
                any_token = part == "instance_any"
                found = one_by_one(model, [*own.values()], layer, any_token=any_token)
            else:
                found = active(model, (*own.values(),), layer, held.about["site"])
                _stability(compared, where, row, found, model, texts, held.about)
            for category, (sure, perhaps) in found.categories().items():
                count(compared, (*where, category), getattr(row, category), sure, perhaps)
            if part == "all":
                stored = held.tensors[f"active.{layer}"].bool().numpy()
                open_KF = found.sure != found.perhaps
                compared.undecided += int(open_KF.sum())
                for place, language in enumerate(texts):
                    wrong_F = (stored != found.sure)[place] & ~open_KF[place]
                    compared.same((*where, language), np.flatnonzero(wrong_F).tolist(), [])
        _bridge(run, compared, name, rows)


def _stability(
    compared: Compared,
    where: tuple[object, ...],
    row: Any,
    found: Sorted,
    model: plain.Plain,
    texts: dict[str, list[str]],
    about: dict[str, Any],
) -> None:
    """Jaccard's index of two parts' neurons, of categories that are rescaled."""
    other = {"half_1": "half_2", "half_2": "half_1"}.get(row.part, "all")
    own = tuple(of_part(other, all_, about["size"]) for all_ in texts.values())
    beside = active(model, own, row.layer, about["site"])
    for name in ("partial_shared", "specific"):
        if not (found.decided and beside.decided):
            compared.undecided += 1
            continue
        one, two = found.categories()[name][0], beside.categories()[name][0]
        index = (one & two).sum() / (one | two).sum() if (one | two).any() else None
        compared.number((*where, "jaccard", name), getattr(row, f"jaccard_{name}"), index)


def _bridge(run: Run, compared: Compared, model: str, rows: dict[tuple[int, str], Any]) -> None:
    """The layers that are rescaled, in whole neurons, from the shares of all samples."""
    asked = run.settings["bridge"]
    shares = [row for (_, part), row in sorted(rows.items()) if part == "all"]
    wanted = bridge(shares) if asked == "rule" else set(asked)
    for row in rows.values():
        where = (model, row.layer, row.part, "bridge")
        compared.same(where, bool(row.bridge), row.layer in wanted)
    compared.same((model, "bridge"), artifact(run, model).about["bridge"], sorted(wanted))


def bridge(shares: Sequence[Any]) -> set[int]:
    """The best run of layers above the median of the last quarter without the last two layers."""
    scores = [round((row.partial_shared - row.dead - row.specific) * row.neurons) for row in shares]
    last = max(len(scores) - 3, 0)
    first = min(math.ceil(len(scores) * 3 / 4), max(last - 1, 0))
    above = np.array(scores[first : last + 1]) - np.median(scores[first : last + 1])
    best: tuple[float, set[int]] = (0.0, set())
    for start in range(len(above)):
        for end in range(start + 1, len(above) + 1):
            if (above[start:end] > 0).all() and above[start:end].sum() > best[0]:
                best = (above[start:end].sum(), {first + 1 + place for place in range(start, end)})
    return best[1] or set(range(first + 1, last + 2))
