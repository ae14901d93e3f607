"""Kinds of numbers that are computed again from the models: scores, texts, vectors, weights.

Imports nothing of ours.
"""

import json
import math
from collections.abc import Collection
from typing import Any, NamedTuple

import items
import numpy as np
import plain
import torch
from compared import EXACT, Compared, Run, kind


def option_score(model: plain.Plain, question: items.Question, option: str) -> tuple[float, float]:
    """The log-probability of an option behind its question, and how far it may be off."""
    ids, start = model.joined(question.context, option)
    logits_TV = model.read(ids).logits_TV
    allowed = model.allowed(logits_TV, tokens=len(ids) - start)
    return plain.summed(logits_TV, ids, start), allowed


def choice(compared: Compared, row: Any, scores: list[float], allowed: float) -> None:
    """Compare what follows from scores: prediction and whether it is right."""
    first, second = sorted(scores, reverse=True)[:2]
    if first - second <= 2 * allowed:
        compared.undecided += 1
    else:
        compared.same((row.item, "prediction"), row.prediction, int(np.argmax(scores)))
    compared.same((row.item, "correct"), bool(row.correct), row.prediction == row.gold)


def said(switches: str, name: str, *, others: Collection[str] = ()) -> str:
    """The value of a switch, of which a row has no more than are known."""
    told: dict[str, str] = json.loads(switches)
    if unknown := told.keys() - {name, *others}:
        raise SystemExit(f"rows are not compared under switches such as {min(unknown)}")
    return told[name]


def uncut(
    compared: Compared, where: tuple[object, ...], row: Any, model: plain.Plain, longest: int
) -> None:
    """Compare whether a row's texts were cut, and stop at those that were."""
    fits = longest <= int(model.config.max_position_embeddings)
    compared.same((*where, "truncated"), bool(row.truncated), not fits)
    if not fits:
        raise SystemExit(f"{where}: a text that was cut is not compared, give a run without any")


def plain_items(run: Run, **where: object) -> list[Any]:
    """Items answered by the unchanged model: by no intervention, or by none of its strength."""
    return [
        row
        for row in run.rows("items", layer=None, **where)
        if not isinstance(row.intervention, str) or row.intervention == "steer" or reference(row)
    ]


def reference(row: Any) -> bool:
    """Whether a row is the unchanged model's among those of rescaled neurons."""
    return row.intervention == "clas" and "shared" not in json.loads(row.switches)


@kind
def weights(run: Run, compared: Compared) -> None:
    """Every stored tensor is in the loaded model, bit for bit, and nothing else is."""
    from safetensors import safe_open

    for name, folder in run.folders.items():
        model = plain.model(folder)
        loaded = dict(model.model.state_dict())
        for lack in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            compared.same((name, lack), sorted(map(str, model.loading[lack])), [])
        stored: set[str] = set()
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, framework="pt") as opened:
                for tensor in opened.keys():  # noqa: SIM118 - it is no dict
                    stored.add(tensor)
                    value = opened.get_tensor(tensor).float()
                    equal = tensor in loaded and torch.equal(loaded[tensor].float(), value)
                    compared.same((name, tensor, "equal"), equal, True)
        held = {loaded[tensor].data_ptr() for tensor in stored if tensor in loaded}
        alone = sorted(tensor for tensor in loaded if loaded[tensor].data_ptr() not in held)
        compared.same((name, "not stored"), alone, [])


class Written(NamedTuple):
    """A greedy text, how many tokens it took, and whether its end was its own.

    Where `sure` is False, two tokens were as likely within rounding.
    """

    text: str
    tokens: int
    stopped: bool
    sure: bool


def written(
    model: plain.Plain, context: str, settings: dict[str, Any], *, off: float = 1
) -> Written:
    """A greedy text, token by token, each from the whole text before it.

    `off` is how many times the usual rounding two right logits may lie apart.
    """
    ids = model.ids(context)
    start, stopped, text, sure = len(ids), False, "", True
    while len(ids) - start < settings["max_new_tokens"] and not stopped:
        logits_V = model.logits(ids)[-1]
        first, second = torch.topk(logits_V, 2).values.tolist()
        sure = sure and first - second >= off * model.allowed(logits_V)
        ids.append(int(logits_V.argmax()))
        ended = ids[-1] in model.ends
        text = model.file.decode(ids[start : -1 if ended else None])
        cuts = [text.index(stop) for stop in settings["stop"] if stop in text]
        text = text[: min(cuts, default=len(text))]
        stopped = ended or bool(cuts)
    return Written(text.strip(), len(ids) - start, stopped, sure)


def text(compared: Compared, where: tuple[object, ...], row: Any, own: Written) -> None:
    """Compare a row's text with another."""
    if not own.sure and own.text != row.output:
        compared.undecided += 1
        return
    compared.same((*where, "output"), row.output, own.text)
    compared.same((*where, "tokens"), row.tokens, own.tokens)
    compared.same((*where, "stopped"), bool(row.stopped), own.stopped)


@kind
def texts(run: Run, compared: Compared) -> None:
    """Greedy texts, token by token, each from the whole text before it."""
    for row in run.rows("generations", intervention=None):
        settings = json.loads(row.settings)
        if settings["sampling"]["temperature"]:
            continue
        model, question = run.model(row.model), run.asked(row)[row.item]
        own = written(model, question.context, settings)
        text(compared, (row.model, row.language, row.item), row, own)


@kind
def options(run: Run, compared: Compared) -> None:
    """Scores of options, and what follows from them, of plain items."""
    from scipy.stats import rankdata

    for row in plain_items(run):
        model, question = run.model(row.model), run.asked(row)[row.item]
        where = (row.model, row.language, row.item)
        found = [option_score(model, question, option) for option in question.options]
        scores, allowed = [score for score, _ in found], max(off for _, off in found)
        for place, (stored, own) in enumerate(zip(row.scores, scores, strict=True)):
            compared.number((*where, place), stored, own, allowed=allowed)
        ranks = rankdata([-score for score in row.scores])
        for stored, own in zip(row.ranks, ranks, strict=True):
            compared.number((*where, "rank"), stored, own)
        mass = sum(
            math.exp(score) for score in dict(zip(question.options, scores, strict=True)).values()
        )
        if row.mass is not None and not math.isnan(row.mass):
            compared.number(
                (*where, "mass"), row.mass, mass, allowed=2 * allowed * max(mass, EXACT)
            )
        compared.same((*where, "gold"), row.gold, question.gold)
        choice(compared, row, scores, allowed)


@kind
def batches(run: Run, compared: Compared) -> None:
    """The scores of plain items again, long texts beside short ones, padded on the left."""
    table = run.table("items")
    for name in sorted(set(table["model"])) if len(table) else []:
        model = run.model(name)
        asked: list[tuple[list[int], int, tuple[str, str, int], float]] = []
        for row in plain_items(run, model=name):
            question = run.asked(row)[row.item]
            for place, option in enumerate(question.options):
                ids, start = model.joined(question.context, option)
                asked.append((ids, start, (row.language, row.item, place), row.scores[place]))
        asked.sort(key=lambda each: each[0][::-1])
        for first in range(0, len(asked), 7):
            batch = asked[first : first + 7]
            padded = model.padded([ids for ids, *_ in batch])
            for (ids, start, where, stored), logits_TV in zip(batch, padded, strict=True):
                allowed = model.allowed(logits_TV, tokens=len(ids) - start)
                own = plain.summed(logits_TV, ids, start)
                compared.number((name, *where), stored, own, allowed=allowed)


@kind
def lens(run: Run, compared: Compared) -> None:
    """Option texts read at a layer, in the question's language and in the pivot."""
    for row in run.rows("lens", measure="latent"):
        model, question = run.model(row.model), run.asked(row)[row.item]
        sides = {
            "native_logp": question,
            "pivot_logp": run.asked(row, language=row.pivot)[row.item],
        }
        for column, side in sides.items():
            for place, text in enumerate(side.texts):
                ids, start = model.joined(question.context, f" {text}")
                logits_TV = model.lens(model.read(ids), layer=row.layer)
                own = plain.summed(logits_TV, ids, start)
                where = (row.model, row.language, row.layer, row.item, column, place)
                allowed = model.allowed(logits_TV, tokens=len(ids) - start)
                compared.number(where, getattr(row, column)[place], own, allowed=allowed)


def states(run: Run, row: Any, *, seed: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The stream [N, D] at the last token of questions not answered: pivot's and language's."""
    answered = {
        each.item
        for each in run.rows("items", benchmark=row.benchmark, seed=seed, intervention="steer")
    }
    own, pivot = run.asked(row), run.asked(row, language=row.pivot)
    drawn = [id for id in pivot if id not in answered and id in own]
    model = run.model(row.model)
    first, second = (
        torch.stack([
            model.read(model.ids(side[id].context)).stream_TD[int(row.layer)][-1] for id in drawn
        ]).double()
        for side in (pivot, own)
    )  # fmt: skip
    return first, second


@kind
def vectors(run: Run, compared: Compared) -> None:
    """Steering vectors as the difference of two means."""
    from safetensors.torch import load_file

    for row in run.rows("vectors"):
        if row.language == row.pivot:  # the control `halves`
            continue
        pivot_ND, own_ND = states(run, row, seed=row.seed)
        relative = run.model(row.model).relative
        scale = float(max(pivot_ND.abs().max(), own_ND.abs().max()))
        vector_D = pivot_ND.mean(0) - own_ND.mean(0)
        stored = load_file(run.folder / "artifacts" / f"{row.key}.safetensors")
        (name,) = [name for name in stored if name.split(".")[-1] == str(row.layer)]
        where, off = (row.model, row.language, row.layer), relative * scale
        compared.same((*where, "pairs"), row.n, len(pivot_ND))
        for value, own in zip(stored[name].tolist(), vector_D.tolist(), strict=True):
            compared.number((*where, "vector"), value, own, allowed=2 * off)
        norms = {"norm": vector_D.norm(), "resid_norm": own_ND.norm(dim=1).mean()}
        for column, own in norms.items():
            allowed = 2 * off * math.sqrt(len(vector_D))
            compared.number((*where, column), getattr(row, column), own, allowed=allowed)


@kind
def steering(run: Run, compared: Compared) -> None:
    """Options scored with the vector added to a block's output at the prompt's last token."""
    for row in run.rows("items", intervention="steer"):
        switches = json.loads(row.switches)
        if row.coefficient == 0:
            continue
        if switches != {"steer_pos": "last", "vec_norm": "none"}:
            raise SystemExit(f"steering is compared under the usual switches, not {row.switches}")
        model, question = run.model(row.model), run.asked(row)[row.item]
        pivot_ND, own_ND = states(run, row, seed=row.seed)
        vector_D = (row.coefficient * (pivot_ND.mean(0) - own_ND.mean(0))).float()
        scores, allowed = [], 0.0
        for place, option in enumerate(question.options):
            ids, start = model.joined(question.context, option)
            with model.pushed(int(row.layer), vector_D=vector_D, position=start - 1):
                logits_TV = model.logits(ids)
            off = 2 * model.allowed(logits_TV, tokens=len(ids) - start)
            scores.append(plain.summed(logits_TV, ids, start))
            where = (row.model, row.language, row.layer, row.coefficient, row.item, place)
            compared.number(where, row.scores[place], scores[-1], allowed=off)
            allowed = max(allowed, off)
        choice(compared, row, scores, allowed)
