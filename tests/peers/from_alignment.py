"""Kinds of numbers over parallel sentences, from hooks on the models: MEXA, NASCA, CKA and so on.

Formulas: MEXA (arXiv 2410.05873), NeuronXA section 2 (arXiv 2507.14900), CKA (Kornblith et al.
2019), SVCCA (Raghu et al. 2017), ANC (Del and Fishel 2022). Imports nothing of ours.
"""

import json
import math
from typing import Any, NamedTuple

import items
import numpy as np
import plain
import torch
from compared import Compared, Run, kind

# Shapes: N sentence pairs, D width of a vector

Matrix = np.ndarray[Any, np.dtype[np.float64]]
NEAREST = ("mexa", "nasca", "navca")
SIMILAR = ("cka", "svcca", "anc", "cosine", "cosine_centred")
USUAL = {
    "include_bos": True, "last_layer": "normed", "nas_order": "state_then_pool", "nas_site": "act",
    "nav_site": "h", "pair_ids": "first", "sim_features": "hidden", "tie_rule": "strict",
    "cka": "biased", "anc_abs": False, "svcca_keep": 20,
}  # fmt: skip


class Vectors(NamedTuple):
    """One language's vectors [N, D], and how far each may be off as a share of its length [N]."""

    all_ND: Matrix
    off_N: Matrix


def vectors(run: Run, row: Any, sentences: list[str]) -> Vectors:
    """What a measure reads of every sentence, one forward pass each, pooled over its tokens."""
    model, layer = run.model(row.model), row.layer
    made, off = [], []
    for sentence in sentences:
        read = model.read(model.ids(sentence))
        off.append(model.relative)
        if row.measure == "nasca":
            gate_TF = read.gate_TF[layer]
            # A state this near to zero may fall on either side of it: what is off in a token's
            # input moves each of its gates by about that share of their usual size.
            usual_T1 = gate_TF.square().mean(dim=1, keepdim=True).sqrt()
            unsure_TF = gate_TF.abs() <= model.relative * usual_T1
            made.append(plain.pooled((gate_TF > 0).float(), row.pooling))
            length = np.linalg.norm(plain.pooled(unsure_TF.float(), row.pooling))
            rounding = torch.finfo(torch.float32).eps * math.sqrt(len(gate_TF))  # of the pooling
            off[-1] = 2 * rounding + float(length / np.linalg.norm(made[-1]))
        elif row.measure == "navca":
            made.append(plain.pooled(read.product_TF[layer].abs(), row.pooling))
        else:
            last = layer == len(model.blocks)
            stream_TD = read.normed_TD if last else read.stream_TD[layer]
            made.append(plain.pooled(stream_TD, row.pooling))
    return Vectors(np.stack(made), np.array(off))


def sides(run: Run, row: Any) -> tuple[Vectors, Vectors]:
    """The pivot's vectors and the language's."""
    wrong = {
        name: value
        for name, value in json.loads(row.switches).items()
        if name in USUAL and value != USUAL[name]
    }
    if wrong:
        raise SystemExit(f"alignment is compared under the usual switches, not {wrong}")
    pairs = items.parallel(run.data, row.dataset, (row.pivot, row.language), row.n)
    first, second = (vectors(run, row, sentences) for sentences in pairs)
    return first, second


def unit(vectors_ND: Matrix) -> Matrix:
    """Rows of length 1."""
    return vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)


@kind
def alignment(run: Run, compared: Compared) -> None:
    """Shares of pairs that are each other's strict nearest neighbour, to the count."""
    for measure in NEAREST:
        for row in run.rows("alignment", measure=measure):
            first, second = sides(run, row)
            cosine_NN = unit(first.all_ND) @ unit(second.all_ND).T
            off_NN = first.off_N[:, None] + second.off_N  # of a cosine
            where = (row.model, row.language, measure, row.pooling, row.layer)
            # Equal vectors are equally near, whatever the rounding.
            tied = {"forward": repeated(second.all_ND), "backward": repeated(first.all_ND)}
            surely, perhaps = (nearest(cosine_NN, sign * off_NN, tied) for sign in (-1, 1))
            for column, sure_N in surely.items():
                low, high = int(sure_N.sum()), int(perhaps[column].sum())
                compared.undecided += high - low
                stored = getattr(row, column) * row.n
                compared.number((*where, column), stored, min(max(round(stored), low), high))
            others_NN = np.where(np.eye(row.n, dtype=bool), -np.inf, cosine_NN)
            best_N = np.maximum(others_NN.max(axis=1), others_NN.max(axis=0))
            margin, allowed = (np.diag(cosine_NN) - best_N).mean(), 2 * off_NN.max(axis=1).mean()
            compared.number((*where, "margin"), row.margin, margin, allowed=allowed)


def repeated(vectors_ND: Matrix) -> Matrix:
    """Which vectors stand there twice."""
    equal_NN = (vectors_ND[:, None] == vectors_ND).all(axis=2)
    return equal_NN.sum(axis=1) > 1


def nearest(cosine_NN: Matrix, off_NN: Matrix, tied: dict[str, Matrix]) -> dict[str, Matrix]:
    """Which sentences find their translation, if it were nearer by `off` and others farther."""
    own_N = np.diag(cosine_NN + off_NN)
    others_NN = np.where(np.eye(len(own_N), dtype=bool), -np.inf, cosine_NN - off_NN)
    found = {
        name: (own_N > others_NN.max(axis=axis)) & ~tied[name]
        for name, axis in (("forward", 1), ("backward", 0))
    }
    return {**found, "value": found["forward"] & found["backward"]}


@kind
def similarity(run: Run, compared: Compared) -> None:
    """CKA, SVCCA, ANC and cosines of two languages' vectors."""
    for measure in SIMILAR:
        for row in run.rows("alignment", measure=measure):
            first, second = sides(run, row)
            own = globals()[f"_{measure}"](first.all_ND, second.all_ND)
            # Differences between sentences are what is left of vectors that have much in common.
            shared = max(
                float(np.linalg.norm(each.all_ND) / np.linalg.norm(centred(each.all_ND)))
                for each in (first, second)
            )
            allowed = (
                4
                * float(first.off_N.max() + second.off_N.max())
                * (1 if measure == "cosine" else shared)
            )
            where = (row.model, row.language, measure, row.pooling, row.layer)
            compared.number(where, row.value, own, allowed=allowed)


def centred(vectors_ND: Matrix) -> Matrix:
    """Each column less its mean."""
    return vectors_ND - vectors_ND.mean(axis=0)


def _cka(first_ND: Matrix, second_ND: Matrix) -> float:
    first_ND, second_ND = centred(first_ND), centred(second_ND)
    cross = np.linalg.norm(first_ND.T @ second_ND) ** 2
    own = np.linalg.norm(first_ND.T @ first_ND) * np.linalg.norm(second_ND.T @ second_ND)
    return float(cross / own)


def _svcca(first_ND: Matrix, second_ND: Matrix) -> float:
    bases = []
    for vectors_ND in (centred(first_ND), centred(second_ND)):
        _, sizes_R, right_RD = np.linalg.svd(vectors_ND, full_matrices=False)
        rank = int((sizes_R > 1e-7 * sizes_R[0]).sum())
        kept = min(USUAL["svcca_keep"], rank)  # type: ignore[call-overload]
        bases.append(np.linalg.qr(vectors_ND @ right_RD[:kept].T)[0])
    return float(np.linalg.svd(bases[0].T @ bases[1], compute_uv=False).clip(max=1).mean())


def _anc(first_ND: Matrix, second_ND: Matrix) -> float:
    pairs = zip(first_ND.T, second_ND.T, strict=True)
    found = [
        0.0 if one.std() < 1e-12 or other.std() < 1e-12 else float(np.corrcoef(one, other)[0, 1])
        for one, other in pairs
    ]
    return math.fsum(found) / len(found)


def _cosine(first_ND: Matrix, second_ND: Matrix) -> float:
    return float((unit(first_ND) * unit(second_ND)).sum(axis=1).mean())


def _cosine_centred(first_ND: Matrix, second_ND: Matrix) -> float:
    return _cosine(centred(first_ND), centred(second_ND))


@kind
def tokens(run: Run, compared: Compared) -> None:
    """Lengths of texts in tokens, as tokenizer.json alone has them."""
    columns = ("model", "dataset", "language", "pivot", "n")
    seen = set()
    for row in run.rows("alignment"):
        if (place := tuple(getattr(row, name) for name in columns)) in seen:
            continue
        seen.add(place)
        model = run.model(row.model)
        pairs = items.parallel(run.data, row.dataset, (row.pivot, row.language), row.n)
        for column, sentences in zip(("pivot_tokens", "tokens"), pairs, strict=True):
            own = sum(len(model.ids(text, special=False)) for text in sentences)
            compared.number((*place, column), getattr(row, column), own)
    for row in run.rows("lens", measure="latent"):
        model = run.model(row.model)
        sides = {"native_tokens": row.language, "pivot_tokens": row.pivot}
        for column, language in sides.items():
            context = run.asked(row)[row.item].context
            for place, text in enumerate(run.asked(row, language=language)[row.item].texts):
                ids, start = model.joined(context, f" {text}")
                stored = getattr(row, column)[place]
                compared.number((row.item, column, place), stored, len(ids) - start)
