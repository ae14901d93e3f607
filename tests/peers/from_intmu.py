"""Kinds of numbers over neurons: those that Int-mu overwrites, and with what.

Formulas: LAPE (Tang et al. 2024), Int-mu (Mondal et al. 2025). Imports nothing of ours.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import plain
from compared import Compared, Run, kind
from from_neurons import FLOAT32, Array, artifact, fires, layers, samples

# Shapes: K languages, T tokens, L layers, F neurons


@kind
def intmu(run: Run, compared: Compared) -> None:
    """Int-mu's neurons of every layer and language, by LAPE, and what they may be put to."""
    for name in sorted({row.model for row in run.rows("categories")}):
        model, held = run.model(name), artifact(run, name)
        texts = {
            language: own[: held.about["size"]]
            for language, own in samples(run, held.about).items()
        }
        sure_KLF, perhaps_KLF = selected(model, [*texts.values()])
        for layer in layers(model):
            every: set[int] = set()
            for place, (language, own) in enumerate(texts.items()):
                where = (name, layer, language)
                stored = held.tensors.get(f"intmu.{layer}.{language}.neurons")
                listed = [] if stored is None else stored.tolist()
                every |= set(listed)
                sure, perhaps = (
                    set(np.flatnonzero(each[place, layer - 1]).tolist())
                    for each in (sure_KLF, perhaps_KLF)
                )
                compared.undecided += len(perhaps - sure)
                decided = sorted(set(listed) - (perhaps - sure))
                compared.same((*where, "neurons"), decided, sorted(sure))
                if listed:
                    values = held.tensors[f"intmu.{layer}.{language}.values"].numpy()
                    _values(compared, where, values, listed, model, own)
            (row,) = run.rows("categories", model=name, layer=layer, part="all")
            compared.number((name, layer, "count"), row.intmu, len(every))


def _values(
    compared: Compared,
    where: tuple[Any, ...],
    values: Array,
    listed: list[int],
    model: plain.Plain,
    texts: Sequence[str],
) -> None:
    """The means over texts of a text's mean, and of its 90th and 10th percentiles."""
    read = [fires(model, text, where[1]) for text in texts]
    off = np.mean([one.off.max() for one in read])
    for place, neuron in enumerate(listed):
        each = [one.act[:, neuron] for one in read]
        own = [np.mean([one.mean() for one in each])]
        own += [
            np.mean([np.quantile(one, share, method="inverted_cdf") for one in each])
            for share in (0.9, 0.1)
        ]
        for name, stored, value in zip(("mean", "p90", "p10"), values[:, place], own, strict=True):
            allowed = off + FLOAT32 * abs(value)
            compared.number((*where, neuron, name), stored, value, allowed=allowed)


@cache
def _shares(model: plain.Plain, texts: tuple[str, ...], layer: int) -> Array:
    """The shares [3, F] of tokens at which a neuron fires: at least, as read, and at most."""
    read = [fires(model, text, layer) for text in texts]
    fires_TF = np.concatenate([one.fires for one in read])
    unsure_TF = np.concatenate([one.unsure for one in read])
    each = (fires_TF & ~unsure_TF, fires_TF, fires_TF | unsure_TF)
    return np.stack([one.mean(axis=0) for one in each])


def selected(model: plain.Plain, texts: Sequence[Sequence[str]]) -> tuple[Array, Array]:
    """The neurons [K, L, F] of every language for sure, and perhaps."""
    shares_3KLF = np.stack(
        [
            np.stack([_shares(model, tuple(own), layer) for layer in layers(model)], axis=1)
            for own in texts
        ],
        axis=1,
    )
    each = [lape(shares_KLF) for shares_KLF in shares_3KLF]
    sure, perhaps = zip(*each, strict=True)
    return np.logical_and.reduce(sure), np.logical_or.reduce(perhaps)


def lape(shares_KLF: Array) -> tuple[Array, Array]:
    """The hundredth of neurons of lowest entropy over languages, in those where they fire often."""
    often = np.quantile(shares_KLF, 0.95, method="inverted_cdf")
    with np.errstate(invalid="ignore", divide="ignore"):
        part_KLF = shares_KLF / shares_KLF.sum(axis=0)
        entropy_LF = -np.where(part_KLF > 0, part_KLF * np.log(part_KLF), 0).sum(axis=0)
    entropy_LF[(shares_KLF <= often).all(axis=0)] = np.inf
    count = min(round(0.01 * entropy_LF.size), int(np.isfinite(entropy_LF).sum()))
    order = np.argsort(entropy_LF, axis=None, kind="stable")
    sure, perhaps = (np.zeros(entropy_LF.size, dtype=bool) for _ in range(2))
    sure[order[:count]] = True
    perhaps |= sure
    cut = entropy_LF.flatten()[order[count - 1]]
    near = np.abs(entropy_LF.flatten() - cut) < 1e-6
    # Zero is exact, that of neurons of one language; other ties depend on the last places.
    if cut > 0 and near[order[count:]].any():
        sure &= ~near
        perhaps |= near
    often_KLF = shares_KLF > often
    return tuple(each.reshape(entropy_LF.shape) & often_KLF for each in (sure, perhaps))  # type: ignore[return-value]
