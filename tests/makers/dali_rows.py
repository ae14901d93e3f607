"""Runs of the DALI study made by hand, in the schemas of the store.

What a test expects is planted: which items a language answers right, which are aligned at which
layer, and what every kind of patch does to each of them. Items are numbered; the first `wrong` of
them a language answers wrong, the last `pivot_wrong` the pivot does.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.makers.latent_rows import Row, write_shard

PIVOT = "eng_Latn"
EMBEDDING = '{"dali_pool":"last","xcopa_connectors":"correct"}'
PATCHING = '{"patch_site":"resid_post"}'
KINDS = ("matched", "permuted", "same_symbol", "other_symbol", "own_language", "noise")
# Kinds of patch from a question whose right option has the same symbol.
SAME = ("matched", "same_symbol", "own_language")
LANGUAGES = ("deu_Latn", "fra_Latn", "rus_Cyrl", "tur_Latn", "swh_Latn")
# The layer at which the most is aligned, and at which patches do what is planted.
BEST = 2
LAYERS = 4


@dataclass(frozen=True, kw_only=True)
class World:
    """One model on one benchmark; `wrong` by language is how many of the first items it misses."""

    model: str = "m/one"
    revision: str = "main"
    benchmark: str = "mini_xstorycloze"
    prompt: str = "cloze"
    patch_prompt: str = "digit"
    items: int = 80
    options: int = 2
    wrong: Mapping[str, int]
    pivot_wrong: int = 8
    kinds: Sequence[str] = KINDS
    pooling: str = EMBEDDING
    key: str = ""
    seed: int = 0

    def gold(self, item: int) -> int:
        """The right option."""
        return item % self.options

    def right(self, language: str, item: int) -> bool:
        """Whether a language answers an item right."""
        if language == PIVOT:
            return item < self.items - self.pivot_wrong
        return item >= self.wrong[language]

    def aligned(self, language: str, item: int, layer: int) -> bool:
        """Eight of ten items that a language answers right, three of ten that it does not; of the
        other layers one in ten."""
        if layer != BEST:
            return item % 10 == 0
        return item % 10 < (8 if self.right(language, item) else 3)

    def patched(self, kind: str, language: str, item: int, layer: int) -> int:
        """The option chosen with a state put in.

        At the last layer the source's answer. At the best the matched patch, and that with permuted
        options, corrects every second item and damages every tenth; one of the same symbol corrects
        every fourth.
        """
        gold, plain = self.gold(item), self.clean(language, item)
        if layer == LAYERS:
            return {
                "matched": self.clean(PIVOT, item), "own_language": plain, "noise": plain,
            }.get(kind, self.source_gold(kind, item))  # fmt: skip
        if layer != BEST:
            return plain
        every = {"matched": 2, "permuted": 2, "same_symbol": 4}.get(kind)
        if every is None:
            return plain
        if plain != gold:
            return gold if item % every == 0 else plain
        return (gold + 1) % self.options if item % 10 == 0 and kind == "matched" else plain

    def clean(self, language: str, item: int) -> int:
        """The plain model's choice."""
        gold = self.gold(item)
        return gold if self.right(language, item) else (gold + 1) % self.options

    def source_gold(self, kind: str, item: int) -> int:
        """The right option of the question whose state is put in."""
        gold = self.gold(item)
        return gold if kind in SAME else (gold + 1) % self.options


def write(folder: Path, *worlds: World, parts: Sequence[str] = ()) -> Path:
    """A run folder with the tables of some parts of the study (all by default)."""
    made = {
        "option_alignment": alignment_rows, "items": answer_rows, "patches": patch_rows,
        "steered_options": steered_rows, "directions": direction_rows,
    }  # fmt: skip
    for number, world in enumerate(worlds):
        for table, make in made.items():
            if not parts or table in parts:
                write_shard(folder, table, make(world), name=f"{number:032d}")
    record = {
        "study": "dali", "version": 2, "notes": [], "settings": {},
        "models": [
            {"name": world.model, "revision": world.revision, "layers": LAYERS} for world in worlds
        ],
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def alignment_rows(world: World) -> list[Row]:
    """Margins of every rule: strong ones are those of even items, and a tenth of the wrong partners
    is aligned."""
    rows: list[Row] = []
    for language in world.wrong:
        for item in range(world.items):
            here = [world.aligned(language, item, layer) for layer in range(LAYERS + 1)]
            dali = [_margin(one, item) for one in here]
            fewer = dali if world.options > 2 else []
            rows.append(
                _place(world, language, f"options{world.key}", item)
                | {"pivot": PIVOT, "options": world.options, "prompt": "cloze"}
                | {"layers": list(range(LAYERS + 1)), "dali": dali, "local": dali}
                | {"gold_only": dali, "mexa": dali, "switches": world.pooling}
                | {"strong": [_margin(one and item % 2 == 0, item) for one in here]}
                | {"permuted": [-0.1] * (LAYERS + 1)}
                | {"mismatched": [_margin(item % 10 == 9, item)] * (LAYERS + 1)}
                | {"dali_2": fewer, "strong_2": fewer, "dali_3": fewer, "strong_3": fewer}
                | {"tokens": 20 + item % 7, "pivot_tokens": 15 + item % 5, "truncated": False}
                | {"gold_longer": item % 3 - 1.0}
            )
    return rows


def answer_rows(world: World) -> list[Row]:
    """Plain answers of every language and of the pivot."""
    return [
        _place(world, language, f"plain{world.key}", item)
        | {"prediction": world.clean(language, item), "prompt": world.prompt, "truncated": False}
        | {"correct": world.right(language, item), "correct_norm": world.right(language, item)}
        | {"scores": _scores(world, language, item), "ranks": [1.0] * world.options}
        for language in (PIVOT, *world.wrong)
        for item in range(world.items)
    ]


def patch_rows(world: World) -> list[Row]:
    """Answers with every kind of state put in."""
    layers = list(range(1, LAYERS + 1))
    rows: list[Row] = []
    for language in world.wrong:
        for kind in world.kinds:
            for item in range(world.items):
                predictions = [world.patched(kind, language, item, layer) for layer in layers]
                gold = world.gold(item)
                plain = 1.0 if world.right(language, item) else -1.0
                margins = [1.5 if choice == gold else -1.5 for choice in predictions]
                source = None if kind == "noise" else world.source_gold(kind, item)
                seed = None if kind in ("matched", "permuted") else world.seed
                rows.append(
                    _place(world, language, f"{kind}{seed or ''}{world.key}", item)
                    | {"seed": seed}
                    | {"pivot": PIVOT, "intervention": kind, "source_gold": source}
                    | {"source_item": None if source is None else f"{item:04d}"}
                    | {"clean": world.clean(language, item), "clean_margin": plain}
                    | {"pivot_clean": world.clean(PIVOT, item), "pivot_clean_margin": 1.0}
                    | {"layers": layers, "predictions": predictions, "margins": margins}
                    | {"prompt": world.patch_prompt, "truncated": False, "switches": PATCHING}
                )
    return rows


def steered_rows(world: World) -> list[Row]:
    """Options steered in the best layer: there every third item is aligned besides."""
    read = list(range(BEST, LAYERS + 1))
    rows: list[Row] = []
    for language in world.wrong:
        for item in range(world.items):
            plain = [world.aligned(language, item, layer) for layer in read]
            after = [
                one or (layer == BEST and item % 3 == 0)
                for one, layer in zip(plain, read, strict=True)
            ]
            rows.append(
                _place(world, language, f"steered{world.key}", item)
                | {"pivot": PIVOT, "options": world.options, "prompt": "cloze"}
                | {"layer": BEST, "coefficient": 1.0, "layers": read, "switches": world.pooling}
                | {"plain": [_margin(one, item) for one in plain]}
                | {"steered": [_margin(one, item) for one in after], "truncated": False}
            )
    return rows


def direction_rows(world: World) -> list[Row]:
    """Patches of failures point along the vector by a half, the others by a quarter."""
    return [
        _place(world, language, f"directions{world.key}", item)
        | {"pivot": PIVOT, "prompt": world.patch_prompt, "truncated": False}
        | {"layers": list(range(1, LAYERS + 1))}
        | {"cosines": [0.25 if world.right(language, item) else 0.5] * LAYERS}
        for language in world.wrong
        for item in range(world.items)
    ]


def _margin(aligned: bool, item: int) -> float:
    """A margin of the sign, a little different from item to item."""
    return (0.1 if aligned else -0.1) * (1 + item % 3 / 10)


def _scores(world: World, language: str, item: int) -> list[float]:
    """Log-probabilities whose highest is the choice, by a margin of 1 to 1.9."""
    scores = [-3.0] * world.options
    scores[world.clean(language, item)] = -2.0 + item % 10 / 10
    return scores


def _place(world: World, language: str, key: str, item: int) -> Row:
    """The coordinates of a row."""
    where = f"{world.model}@{world.revision}/{world.benchmark}/{language}"
    return {
        "study": "dali", "model": world.model, "revision": world.revision,
        "benchmark": world.benchmark, "language": language, "key": f"{where}/{key}",
        "item": f"{item:04d}", "gold": world.gold(item),
    }  # fmt: skip
