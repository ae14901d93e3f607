"""Runs of the CLAS study made by hand, in the schemas of the store.

What a test expects is planted in whole items: how many are right before, how many more after, and
how many more in every draw of a control.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.makers.latent_rows import Row, write_shard

PIVOT = "eng_Latn"
LANGUAGES = ("deu_Latn", "ell_Grek", "hin_Deva", "rus_Cyrl", "tha_Thai", "zho_Hans")
SORTING = {"activity": "mean_signed", "clas_site": "h", "threshold": 0.0}
HOW = SORTING | {"clas_pos": "all", "spec_scope": "any"}
CHOICES, WRITTEN = "xnli", "xquad"
OTHERS = ("uniform", "clas_on_anchor", "clas_on_others", "clas_in_anchor", "intmu_p90", "intmu_p10")
OTHERS += ("intmu_zero",)
GRID = (-0.8, -0.4, 0.0, 0.4, 0.8)
DOSES = (0.2, 0.4)
OPTIONS = 3


def text(**switches: object) -> str:
    """Switches as rows carry them."""
    return json.dumps(switches, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class World:
    """One model on one benchmark; the plain model answers `right` of `items` right.

    `gain` items more are right with CLAS, `intmu` with Int-mu where a language has a number,
    `random` and `mixed` in every draw; by language the first is `gains`. On the tuning items the
    chosen strength gains `tuned` items of 100. Every other control gains one item.
    """

    model: str = "m/one"
    revision: str = "main"
    benchmark: str = CHOICES
    prompt: str = "digit"
    pivot: str = PIVOT
    right: int = 30
    items: int = 60
    gains: Mapping[str, int] = field(
        default_factory=lambda: dict(zip(LANGUAGES, (6, 5, 4, 3, 2, 1), strict=True))
    )
    intmu: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(LANGUAGES, -1))
    random: tuple[int, ...] = (0, 1, 0, -1, 2)
    mixed: tuple[int, ...] = (1, 0)
    controls: tuple[str, ...] = OTHERS
    shared: float = -0.4
    tuned: int = 10
    layers: int = 6
    bridge: tuple[int, ...] = (4, 5)
    study: str = "clas"

    @property
    def written(self) -> bool:
        """Whether answers are written."""
        return self.benchmark == WRITTEN

    @property
    def specific(self) -> float:
        """The strength of the other neurons, as beta .4 and gamma .2 have it."""
        return -self.shared / 2 + 0.0

    @property
    def languages(self) -> tuple[str, ...]:
        """Those that are rescaled."""
        return tuple(self.gains)


def write(
    folder: Path, *worlds: World, errors: Sequence[Row] = (), leave: Sequence[str] = ()
) -> Path:
    """A run folder with every table of the study but those to `leave` out."""
    for number, world in enumerate(worlds):
        answers = "generations" if world.written else "items"
        for table, rows in {
            answers: answer_rows(world), "tuning": tuning_rows(world),
            "categories": category_rows(world), "scaled_states": state_rows(world),
            "scaled_points": point_rows(world),
        }.items():  # fmt: skip
            if table not in leave:
                write_shard(folder, table, rows, name=f"{number:032d}")
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "study": "clas", "version": 2, "notes": [], "settings": {},
        "models": [{"name": world.model, "revision": world.revision} for world in worlds],
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    if errors:
        pq.write_table(pa.Table.from_pylist(list(errors)), folder / "errors.parquet")
    return folder


def answer_rows(world: World) -> list[Row]:
    """Held-out answers, plain and under every scheme."""
    rows = _answers(world, world.pivot, "clas", 0, strength=None)
    for language, gain in world.gains.items():
        rows += _answers(world, language, "clas", 0, strength=None)
        moved = int(world.shared != 0)
        rows += _answers(world, language, "clas", gain * moved)
        if language in world.intmu:
            rows += _answers(world, language, "intmu_mean", world.intmu[language], strength=None)
        for scheme, draws in (("random", world.random), ("mixed", world.mixed)):
            for draw, one in enumerate(draws):
                rows += _answers(world, language, scheme, one * moved, draw=draw)
        for scheme in world.controls:
            if scheme == "clas_in_anchor":
                continue
            strength = None if scheme.startswith("intmu") else world.shared
            rows += _answers(world, language, scheme, moved, strength=strength)
    if "clas_in_anchor" in world.controls:
        rows += _answers(world, world.pivot, "clas_in_anchor", -2 * int(world.shared != 0))
    return rows


def tuning_rows(world: World) -> list[Row]:
    """The tuning items: the chosen strength is the best by `tuned`, every other loses two."""
    points = [(shared, -shared / 2 + 0.0) for shared in GRID]
    if not world.written:
        points += [(dose, 0.0) for dose in DOSES] + [(0.0, -dose) for dose in DOSES]
    rows: list[Row] = []
    for language in (world.pivot, *world.languages):
        for shared, specific in points:
            chosen = shared == world.shared and specific == world.specific
            gain = 0 if shared == specific == 0 else world.tuned if chosen else -2
            rows.append(
                _subject(world, language)
                | {"key": f"{_name(world)}/tuning/{language}", "prompt": world.prompt, "n": 100}
                | {"shared": shared, "specific": specific, "switches": text(**HOW)}
                | {"metric": "f1" if world.written else "accuracy", "value": (50 + gain) / 100}
                | ({} if world.written else {"macro_f1": (48 + gain) / 100, "top_share": 0.4})
            )
    return rows


def category_rows(world: World) -> list[Row]:
    """Categories by layer: two tenths dead, one specific, the others half and half."""
    rows: list[Row] = []
    parts = {"all": (1.0, 1.0), "half_1": (0.9, 0.4), "half_2": (0.9, 0.4), "first": (0.9, 0.6),
             "twice": (0.95, 0.8), "mixed": (0.5, 0.1), "instance_last": (None, None),
             "instance_any": (None, None)}  # fmt: skip
    for layer in range(1, world.layers + 1):
        for part, (shared, specific) in parts.items():
            rows.append(
                {"study": world.study, "model": world.model, "revision": world.revision}
                | {"dataset": "xquad", "language": "all", "layer": layer, "part": part}
                | {"bridge": layer in world.bridge, "n": 50 if "half" in part else 100}
                | {"languages": 1 + len(world.languages), "neurons": 40, "intmu": 3}
                | {"dead": 0.2, "specific": 0.1, "partial_shared": 0.4, "all_shared": 0.3}
                | {"jaccard_partial_shared": shared, "jaccard_specific": specific}
                | {"key": f"{world.model}/{world.revision}/categories"}
                | {"switches": text(**SORTING)}
            )
    return rows


def state_rows(world: World) -> list[Row]:
    """Cosines: at the rescaled site a language's rises by a hundredth per item gained."""
    rows: list[Row] = []
    moved = int(world.shared != 0)
    for place, (language, gain) in enumerate(world.gains.items()):
        for layer in (0, *world.bridge):
            for site, step in (("h", 0.01), ("resid", -0.001)):
                before = 0.5 + 0.05 * place
                rows.append(
                    _subject(world, language)
                    | {"pivot": world.pivot, "layer": layer, "site": site, "n": world.items}
                    | {"before": before, "after": before + step * gain * moved}
                    | {"before_of_means": before + 0.1}
                    | {"after_of_means": before + 0.1 + step * gain * moved}
                    | _strength(world)
                    | {"key": f"{_name(world)}/states/{language}", "switches": text(**HOW)}
                )
    return rows


def point_rows(world: World) -> list[Row]:
    """Three prompts of every language in the plane; silhouettes fall by a tenth."""
    random = np.random.default_rng(0)
    rows: list[Row] = []
    for state, silhouette in (("before", 0.6), ("after", 0.5)):
        for side in (world.pivot, *world.languages):
            for item in range(3):
                x, y = (float(one) for one in random.normal(size=2))
                rows.append(
                    _subject(world, "all")
                    | {"pivot": world.pivot, "state": state, "side": side, "item": f"i{item}"}
                    | {"x": x, "y": y, "silhouette": silhouette}
                    | {"distance": 0.0 if side == world.pivot else 0.3}
                    | _strength(world)
                    | {"key": f"{_name(world)}/points", "switches": text(**HOW)}
                )
    return rows


def _answers(
    world: World,
    language: str,
    scheme: str,
    gain: int,
    *,
    strength: float | None = 0.5,
    draw: int = 0,
) -> list[Row]:
    """One cell: the first `right` + `gain` items are right; a strength of None is none."""
    held: dict[str, object] = dict(HOW)
    reference = scheme == "clas" and strength is None
    if strength is not None:
        held |= _strength(world)
    cell = _subject(world, language) | {
        "intervention": scheme, "pivot": world.pivot, "prompt": world.prompt,
        "coefficient": 0.0 if reference else None if strength is None else world.shared,
        "switches": text(**held),
        "key": f"{_name(world)}/{language}/{scheme}/{draw}/{'plain' if reference else ''}",
    }  # fmt: skip
    if not world.written:
        cell |= {"seed": draw}
    make = _text if world.written else _choice
    return [cell | make(item, item < world.right + gain) for item in range(world.items)]


def _choice(item: int, right: bool) -> Row:
    """One choice, certain enough that no prior turns it."""
    gold = item % OPTIONS
    prediction = gold if right else (gold + 1) % OPTIONS
    scores = [-0.1 if option == prediction else -5.0 for option in range(OPTIONS)]
    ranks = [1.0 if option == prediction else 2.5 for option in range(OPTIONS)]
    return {
        "item": f"i{item:03d}", "gold": gold, "prediction": prediction, "correct": right,
        "scores": scores, "ranks": ranks, "truncated": False,
    }  # fmt: skip


def _text(item: int, right: bool) -> Row:
    """One written answer; half of the right ones end by themselves."""
    output = f"answer {item}" if right else f"nothing {item}"
    return {
        "item": f"i{item:03d}", "sample": 0, "output": output, "references": [f"answer {item}"],
        "task": "span", "engine": "hf 5", "f1": float(right), "f1_mixed": 0.5 + 0.5 * right,
        "exact": float(right), "stopped": right, "truncated": False, "repetition": 0.25,
        "settings": '{"sampling":{"temperature":0}}',
    }  # fmt: skip


def _strength(world: World) -> Row:
    """The chosen strength."""
    return {"shared": world.shared, "specific": world.specific}


def _subject(world: World, language: str) -> Row:
    """The first columns of a row."""
    return {
        "study": world.study, "model": world.model, "revision": world.revision,
        "benchmark": world.benchmark, "language": language,
    }  # fmt: skip


def _name(world: World) -> str:
    """What the keys of a world begin with."""
    return f"{world.model}/{world.revision}/{world.benchmark}/{world.prompt}/{world.pivot}"
