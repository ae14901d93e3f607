"""Runs of the latent-process study made by hand, in the schemas of the store.

What a test expects is planted: the accuracy of each language, and its log ratio at every layer.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.storage.tables import ALL_TABLES

PIVOT = "eng_Latn"
LANGUAGES = ("deu_Latn", "fra_Latn", "rus_Cyrl", "tur_Latn", "swh_Latn", "zho_Hans", "ell_Grek")
LANGUAGES += ("hin_Deva", "arb_Arab", "yor_Latn", "fin_Latn", "ind_Latn")
Row = dict[str, object]
LENS = '{"lens_head":"lm_head","lens_norm":"final_norm","softcap":true}'
STEERING = '{"steer_pos":"last","vec_norm":"none"}'
READING = '{"cka":"biased","include_bos":true,"last_layer":"normed"}'


@dataclass(frozen=True, kw_only=True)
class World:
    """One model on one benchmark: what its languages answer, and what its layers hold.

    `accuracy` is by language; the log ratio of a language at a layer is `ratio(layer) +
    (1 - accuracy)`, so that it falls as accuracy rises.
    """

    model: str = "m/one"
    revision: str = "main"
    benchmark: str = "belebele"
    prompt: str = "latent"
    accuracy: Mapping[str, float]
    layers: tuple[int, ...] = (2, 6, 10, 14, 18)
    items: int = 60
    options: int = 4
    sample: int = 10
    coefficients: tuple[float, ...] = (-2.0, 2.0)
    controls: tuple[str, ...] = ("random",)
    seed: int = 0

    def ratio(self, layer: int) -> float:
        """The log ratio that every language has at a layer: below 0 at first, above in the end."""
        return 2.0 * layer / self.layers[-1] - 1.4


def accuracies(
    *, best: float = 0.8, worst: float = 0.35, languages: Sequence[str] = LANGUAGES
) -> dict[str, float]:
    """Falling accuracies, the pivot's the highest."""
    return dict(zip((PIVOT, *languages), np.linspace(best, worst, 1 + len(languages)), strict=True))


def write(
    folder: Path, *worlds: World, errors: Sequence[Row] = (), notes: Sequence[str] = ()
) -> Path:
    """A run folder with every table of the study, a shard per table and world."""
    for number, world in enumerate(worlds):
        for table, rows in {
            "items": [*plain_rows(world), *steered_rows(world)],
            "lens": lens_rows(world),
            "vectors": vector_rows(world),
            "points": point_rows(world),
            "alignment": alignment_rows(world),
        }.items():
            write_shard(folder, table, rows, name=f"{number:032d}")
    record = {
        "study": "latent-process", "version": 2, "notes": list(notes), "settings": {},
        "models": [{"name": world.model, "revision": world.revision} for world in worlds],
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    if errors:
        table = pa.Table.from_pylist(list(errors))
        pq.write_table(table, folder / "errors.parquet")
    return folder


def write_shard(folder: Path, table: str, rows: Sequence[Row], *, name: str) -> None:
    """One shard of a table; columns that a row lacks are missing."""
    place = folder / "tables" / table
    place.mkdir(parents=True, exist_ok=True)
    schema = ALL_TABLES[table].schema
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), place / f"{name}.parquet")


def plain_rows(world: World) -> list[Row]:
    """Every language's answers to all items."""
    return [
        row
        for language in world.accuracy
        for row in _answers(world, language, range(world.items), lift=0.0, key="plain")
    ]


def steered_rows(world: World) -> list[Row]:
    """Answers to the items not drawn: steering toward the pivot helps, a control does not."""
    held = range(world.sample, world.items)
    rows: list[Row] = []
    for language in world.accuracy:
        settings: list[tuple[str, int | None, float, float]] = [("steer", None, 0.0, 0.0)]
        if language != PIVOT:
            for layer in world.layers:
                settings += [
                    ("steer", layer, c, 0.06 * c if layer == world.layers[1] else -0.02 * abs(c))
                    for c in world.coefficients
                ]
                settings += [(name, layer, 2.0, 0.0) for name in world.controls]
        for intervention, layer, coefficient, lift in settings:
            key = f"{intervention}/{layer}/{coefficient}"
            changed = {
                "intervention": intervention, "layer": layer, "coefficient": coefficient,
                "pivot": PIVOT, "seed": 0, "switches": STEERING,
            }  # fmt: skip
            answers = _answers(world, language, held, lift=lift, key=key)
            rows += [row | changed for row in answers]
    return rows


def lens_rows(world: World) -> list[Row]:
    """Option texts at every layer; those of another question differ by half of the ratio."""
    rows: list[Row] = []
    for place, (language, accuracy) in enumerate(world.accuracy.items()):
        random = np.random.default_rng([world.seed, place])
        for layer in world.layers:
            for measure, share in (("latent", 1.0), ("latent_shuffled", 0.5)):
                apart = share * (world.ratio(layer) + 1 - accuracy)
                for item in range(world.items):
                    gold = item % world.options
                    mean = -3 + 0.2 * random.normal(size=world.options)
                    mean[gold] += 0.3 * layer / world.layers[-1] * share
                    native = mean + apart + 0.1 * random.normal(size=world.options)
                    lengths = random.integers(2, 9, world.options)
                    longer = lengths + (place % 4)
                    if language == PIVOT:
                        native, longer = mean, lengths
                    rows.append(
                        _asked(world, language, f"lens/{measure}/{layer}")
                        | {"pivot": PIVOT, "measure": measure, "layer": layer}
                        | {"item": f"{item:04d}", "gold": gold, "switches": LENS}
                        | {"native_logp": (native * longer).tolist()}
                        | {"pivot_logp": (mean * lengths).tolist()}
                        | _lengths("native", longer, wide=2 if "Latn" not in language else 1)
                        | _lengths("pivot", lengths, wide=1)
                        | {"prompt": world.prompt, "truncated": item == 3 and layer == 2}
                    )
    return rows


def vector_rows(world: World) -> list[Row]:
    """The vectors that steering adds."""
    return [
        _asked(world, language, "vectors")
        | {"pivot": PIVOT, "prompt": world.prompt, "seed": 0, "layer": layer, "n": world.sample}
        | {"norm": 1.0 + layer / 10, "resid_norm": 10.0 + layer, "reliability": 0.9}
        for language in world.accuracy
        if language != PIVOT
        for layer in world.layers
    ]


def point_rows(world: World) -> list[Row]:
    """Questions in the plane: languages lie apart at first and together in the middle."""
    random = np.random.default_rng(world.seed)
    centres = random.normal(size=(len(world.accuracy), 2))
    rows: list[Row] = []
    for layer in world.layers:
        apart = abs(2 * layer / world.layers[-1] - 1) * 4
        for centre, language in zip(centres, world.accuracy, strict=True):
            places = centre * apart + random.normal(size=(world.sample, 2))
            rows += [
                _parallel(world, "all", f"points/{layer}")
                | {"measure": "mexa", "layer": layer, "method": "pca", "item": f"{number:04d}"}
                | {"side": language, "x": float(x), "y": float(y)}
                for number, (x, y) in enumerate(places)
            ]
    return rows


def alignment_rows(world: World) -> list[Row]:
    """Similarity with the pivot, which rises with accuracy and toward the middle."""
    return [
        _parallel(world, language, f"{measure}/{layer}")
        | {"measure": measure, "layer": layer, "n": world.sample, "pairs": str(world.sample)}
        | {"value": min(1.0, 0.2 + share * accuracy + 0.01 * layer), "truncated": 0}
        for language, accuracy in world.accuracy.items()
        if language != PIVOT
        for measure, share in (("cka", 0.5), ("cosine", 0.7), ("cosine_centred", 0.4))
        for layer in world.layers
    ]


def _answers(
    world: World, language: str, items: Sequence[int], *, lift: float, key: str
) -> list[Row]:
    """Ranked options; the same draws for every setting, so that a lift only adds right answers."""
    place = list(world.accuracy).index(language)
    rows: list[Row] = []
    for item in items:
        random = np.random.default_rng([world.seed, place, item])
        shared = np.random.default_rng([world.seed, item])
        gold = item % world.options
        right = 0.5 * random.uniform() + 0.5 * shared.uniform() < world.accuracy[language] + lift
        scores = -1 - random.uniform(size=world.options)
        scores[gold if right else (gold + 1 + item % (world.options - 1)) % world.options] = -0.5
        ranks = (-scores).argsort().argsort() + 1.0
        prediction = int(scores.argmax())
        rows.append(
            _asked(world, language, key)
            | {"item": f"{item:04d}", "gold": gold, "prediction": prediction}
            | {"correct": prediction == gold, "correct_norm": prediction == gold}
            | {"scores": scores.tolist(), "ranks": ranks.tolist(), "prompt": world.prompt}
            | {"truncated": False}
        )
    return rows


def _lengths(side: str, tokens: np.ndarray, *, wide: int) -> Row:
    """Tokens, characters and bytes of a text in one script."""
    return {
        f"{side}_tokens": tokens.tolist(), f"{side}_characters": (tokens * 4 // wide).tolist(),
        f"{side}_bytes": (tokens * 4).tolist(),
    }  # fmt: skip


def _asked(world: World, language: str, key: str) -> Row:
    """The coordinates of a cell of a benchmark."""
    named = f"{world.model}@{world.revision}/{world.benchmark}/{language}"
    return {
        "study": "latent-process", "model": world.model, "revision": world.revision,
        "benchmark": world.benchmark, "language": language, "key": f"{named}/{key}",
    }  # fmt: skip


def _parallel(world: World, language: str, key: str) -> Row:
    """The coordinates of a cell of a benchmark's prompts as parallel text."""
    found = _asked(world, language, f"states/{key}")
    dataset = f"questions/{found.pop('benchmark')}"
    return found | {
        "dataset": dataset, "pivot": PIVOT, "pooling": "last", "switches": READING,
    }  # fmt: skip
