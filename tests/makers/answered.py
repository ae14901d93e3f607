"""Runs of items and vectors in the store's own schema, drawn from planted truths.

Every language has a skill; an item's options get scores in which the right one leads by as much as
the skill and the item allow, so languages agree on easy items as real ones do.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from analysis.results import agreement
from analysis.results.answers import Answers
from orchestrator.storage.tables import ALL_TABLES

Reals = npt.NDArray[np.float64]
LANGUAGES = ("arb_Arab", "deu_Latn", "eng_Latn", "fra_Latn", "swh_Latn")
TWELVE = (
    "eng_Latn", "deu_Latn", "fra_Latn", "rus_Cyrl", "tur_Latn", "swh_Latn", "zho_Hans",
    "hin_Deva", "arb_Arab", "yor_Latn", "fin_Latn", "ben_Beng",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class World:
    """What is drawn: items, options, and how much languages share beyond the right answer."""

    items: int = 200
    options: int = 4
    shared: float = 0.6
    seed: int = 0
    gold: npt.NDArray[np.int64] = field(init=False)
    common: Reals = field(init=False)

    def __post_init__(self) -> None:
        """Draw the right answers and the scores that all languages share."""
        random = np.random.default_rng(self.seed)
        object.__setattr__(self, "gold", random.integers(self.options, size=self.items))
        object.__setattr__(self, "common", random.normal(size=(self.items, self.options)))

    def scores(self, skill: float, *, seed: int, push: float = 0.0) -> Reals:
        """Scores [I, J] of a language; `push` moves them toward what all languages share."""
        random = np.random.default_rng([self.seed, seed])
        shared = min(1.0, self.shared + push)
        own = random.normal(size=self.common.shape)
        found = shared * self.common + np.sqrt(1 - shared**2) * own
        found[np.arange(self.items), self.gold] += skill
        return found


def item_rows(
    scores: Reals,
    *,
    gold: Sequence[int] | npt.NDArray[np.int64],
    model: str = "m/one",
    language: str = "deu_Latn",
    benchmark: str = "belebele",
    ids: Sequence[str] | None = None,
    intervention: str | None = None,
    layer: int | None = None,
    coefficient: float | None = None,
    seed: int | None = None,
    pivot: str | None = None,
    switches: str | None = None,
    prompt: str = "belebele-latent",
    study: str = "latent_process",
) -> list[dict[str, object]]:
    """Rows of one cell; NaN scores are options that an item has not."""
    place = [model, benchmark, language, intervention, layer, coefficient, seed, pivot, switches]
    key = hashlib.sha256(repr([*place, prompt, len(scores)]).encode()).hexdigest()
    rows: list[dict[str, object]] = []
    for number, (line, right) in enumerate(zip(scores, gold, strict=True)):
        there = line[np.isfinite(line)]
        chosen = int(there.argmax())
        rows.append(
            {
                "study": study,
                "model": model,
                "revision": "main",
                "benchmark": benchmark,
                "language": language,
                "item": ids[number] if ids else f"{number:05d}",
                "intervention": intervention,
                "layer": layer,
                "coefficient": coefficient,
                "gold": int(right),
                "prediction": chosen,
                "correct": chosen == int(right),
                "correct_norm": chosen == int(right),
                "scores": there.tolist(),
                "ranks": stats.rankdata(-there).tolist(),
                "key": key,
                "prompt": prompt,
                "truncated": False,
                "pivot": pivot,
                "seed": seed,
                "switches": switches,
            }
        )
    return rows


def steered_rows(
    world: World,
    *,
    skills: Mapping[str, float],
    gains: Mapping[str, float],
    model: str = "m/one",
    benchmark: str = "belebele",
    layers: Sequence[int] = (2, 6),
    coefficients: Sequence[float] = (-2.0, 2.0),
    seeds: Sequence[int] = (0,),
    drawn: int = 20,
    pivot: str = "eng_Latn",
) -> list[dict[str, object]]:
    """The reference cells of every language, and the steered ones of all but the pivot.

    An intervention's gain is added to the skill per unit of coefficient up to 2, and lost beyond;
    it counts most at the middle layer. Interventions but `steer` run at coefficient 2 alone.
    """
    rows: list[dict[str, object]] = []
    middle = float(np.median(layers))
    for seed in seeds:
        left_out = np.random.default_rng([seed, 5]).choice(world.items, drawn, replace=False)
        kept = np.setdiff1d(np.arange(world.items), left_out)
        place = {"model": model, "benchmark": benchmark, "seed": seed, "pivot": pivot}
        place |= {"gold": world.gold[kept], "ids": [f"{number:05d}" for number in kept]}
        for number, (language, skill) in enumerate(skills.items()):
            own = place | {"language": language}
            plain = world.scores(skill, seed=number)[kept]
            rows += item_rows(plain, intervention="steer", coefficient=0.0, **own)  # type: ignore[arg-type]
            if language == pivot:
                continue
            for intervention, gain in gains.items():
                for layer in layers:
                    reach = 1 / (1 + abs(layer - middle) / 4)
                    for c in coefficients if intervention == "steer" else (2.0,):
                        size = np.sign(c) * min(abs(c), 4 - abs(c)) * reach * gain
                        scores = world.scores(skill + size, seed=number, push=max(0, size) / 5)
                        rows += item_rows(
                            scores[kept], intervention=intervention, layer=layer, coefficient=c,
                            switches='{"steer_pos":"last","vec_norm":"none"}', **own,  # type: ignore[arg-type]
                        )  # fmt: skip
    return rows


def plain_rows(
    world: World, *, skills: Mapping[str, float], model: str = "m/one", benchmark: str = "belebele"
) -> list[dict[str, object]]:
    """All items in every language, answered by the plain model."""
    rows: list[dict[str, object]] = []
    for number, (language, skill) in enumerate(skills.items()):
        scores = world.scores(skill, seed=number)
        rows += item_rows(
            scores, gold=world.gold, model=model, language=language, benchmark=benchmark
        )
    return rows


def record(
    scores: Reals,
    *,
    gold: npt.NDArray[np.int64],
    language: str = "deu_Latn",
    ids: list[str] | None = None,
    pivot: str | None = None,
) -> Answers:
    """Plain answers of given scores; NaN is an option that an item has not."""
    ranks = stats.rankdata(-scores, axis=1, nan_policy="omit")
    return Answers(
        model="m/one", revision="main", benchmark="belebele", prompt="latent", language=language,
        intervention=None if pivot is None else "steer", layer=None,
        coefficient=None if pivot is None else 0.0, seed=None, pivot=pivot, switches=None,
        key=f"{language}/{len(scores)}/{pivot}",
        items=np.array(ids or [f"{item:04d}" for item in range(len(scores))]),
        gold=gold.astype(np.int16), prediction=np.nanargmax(scores, axis=1).astype(np.int16),
        ranks=ranks.astype(np.float32), truncated=0,
    )  # fmt: skip


def group(world: World, *, skills: Mapping[str, float] | None = None) -> list[Answers]:
    """A language per skill."""
    named = skills or dict(zip(LANGUAGES, (0.1, 1.5, 2.5, 1.0, 0.4), strict=True))
    return [
        record(world.scores(skill, seed=number), gold=world.gold, language=language)
        for number, (language, skill) in enumerate(named.items())
    ]


def vector_rows(
    languages: Sequence[str],
    *,
    model: str = "m/one",
    benchmark: str = "belebele",
    layers: Sequence[int] = (2, 6),
    seeds: Sequence[int] = (0,),
) -> list[dict[str, object]]:
    """Vectors whose length and reliability rise with the layer."""
    return [
        {
            "study": "latent_process",
            "model": model,
            "revision": "main",
            "benchmark": benchmark,
            "language": language,
            "pivot": "eng_Latn",
            "prompt": "belebele-latent",
            "seed": seed,
            "layer": layer,
            "n": 50,
            "norm": 2.0 + layer + number / 10,
            "resid_norm": 10.0 + 3 * layer,
            "reliability": min(0.99, 0.5 + layer / 20 + number / 100),
            "key": f"vectors/{model}/{benchmark}/{language}/{seed}",
        }
        for number, language in enumerate(languages)
        for seed in seeds
        for layer in layers
    ]


def write_run(folder: Path, *, shards: int = 2, **tables: list[dict[str, object]]) -> Path:
    """A run folder as the store lays it out, every table in some shards, cut anywhere."""
    for name, rows in tables.items():
        place = folder / "tables" / name
        place.mkdir(parents=True, exist_ok=True)
        size = -(-len(rows) // shards)
        for number in range(shards):
            part = rows[number * size : (number + 1) * size]
            table = pa.Table.from_pylist(part, schema=ALL_TABLES[name].schema)
            pq.write_table(table, place / f"{number}.parquet")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def frame_of(rows: list[dict[str, object]], *, table: str = "vectors") -> pd.DataFrame:
    """Rows as the frame that reading makes of them."""
    return pa.Table.from_pylist(rows, schema=ALL_TABLES[table].schema).to_pandas()


def agree(source: Answers, target: Answers) -> dict[str, float]:
    """What two languages share, by name: consistency, and transfer from the source."""
    left, right = agreement.common(source, target)
    found = agreement.directed(left, right)._asdict()
    found["consistency"] = agreement.correlations(left, right)
    return {name: float(value[0, 0]) for name, value in found.items()}
