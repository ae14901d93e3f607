"""Faults of finished runs that tests/peers must find: one number of a kind made wrong.

`FAULTS` has by name the kind that finds a fault, and what plants it in a copy of a run's folder.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

Fault = Callable[[Path], object]


def stored(table: str, where: str, column: str, change: Callable[[Any], object]) -> Fault:
    """A fault in the first row of a table that `where` finds."""

    def plant(run: Path) -> None:
        for path in sorted((run / "tables" / table).glob("*.parquet")):
            held = pq.read_table(path)
            frame = held.to_pandas()
            found = frame.query(where).index if where else frame.index
            if len(found):
                frame.at[found[0], column] = change(frame.at[found[0], column])
                pq.write_table(pa.Table.from_pandas(frame, schema=held.schema), path)
                return
        raise AssertionError(f"no row of {table} where {where}")

    return plant


def reported(name: str, column: str, *, where: str = "") -> Fault:
    """A fault in the first cell of a CSV column that holds a number: a thousandth too much."""

    def plant(run: Path) -> None:
        path = run / "report" / "tables" / f"{name}.csv"
        frame = pd.read_csv(path)
        place = (frame.query(where) if where else frame)[column].dropna().index[0]
        frame[column] = frame[column].astype(float)
        frame.loc[place, column] += 0.001
        frame.to_csv(path, index=False)

    return plant


def first(values: Sequence[float], *, by: float) -> list[float]:
    """A list whose first number is another."""
    head, *rest = values
    return [head + by, *rest]


def last_layer(margins: Sequence[float]) -> list[float]:
    """Margins of which the last is another."""
    return first(list(margins)[::-1], by=5e-4)[::-1]


def next_option(values: Sequence[int]) -> list[int]:
    """A list of options whose first is another."""
    head, *rest = values
    return [(head + 1) % 2, *rest]


def fewer(table: str, where: str) -> Fault:
    """The first row of a table that `where` finds is not there."""

    def plant(run: Path) -> None:
        for path in sorted((run / "tables" / table).glob("*.parquet")):
            held = pq.read_table(path)
            frame = held.to_pandas()
            if len(found := frame.query(where).index):
                left = pa.Table.from_pandas(frame.drop(found[0]), schema=held.schema)
                pq.write_table(left, path)
                return
        raise AssertionError(f"no row of {table} where {where}")

    return plant


def margin_of(name: str) -> tuple[str, Fault]:
    """A fault in the margin of answers with one kind of state put in."""
    where = f"intervention == '{name}'"
    return "patching", stored("patches", where, "margins", lambda m: first(m, by=0.01))


def margin_of_steered(name: str) -> tuple[str, Fault]:
    """A fault in a column of margins of steered options, in the steered layer."""
    return "steered_options", stored("steered_options", "", name, lambda m: first(m, by=5e-4))


def column_of(name: str, *, where: str = "") -> tuple[str, Fault]:
    """A fault in a column of margins of options, in the layer of the embeddings."""
    fault = stored("option_alignment", where, name, lambda m: first(m, by=2e-4))
    return "option_alignment", fault


def another_vector(run: Path) -> None:
    for path in (run / "artifacts").glob("*.safetensors"):
        tensors = load_file(path)
        save_file({name: value * 1.001 for name, value in tensors.items()}, path)


def another_sorting(named: str, change: Callable[[torch.Tensor], object]) -> Fault:
    """The first tensor of the categories whose name ends so is changed in place."""

    def plant(run: Path) -> None:
        (key,) = set(pd.read_parquet(run / "tables" / "categories")["key"])
        path = run / "artifacts" / f"{key}.safetensors"
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        tensors = load_file(path)
        change(tensors[next(name for name in tensors if name.endswith(named))])
        save_file(tensors, path, metadata=metadata)

    return plant


def next_bridge(run: Path) -> None:
    """The bridge layers are said to be those one further."""
    for path in (run / "tables" / "categories").glob("*.parquet"):
        held = pq.read_table(path)
        frame = held.to_pandas()
        moved = {layer + 1 for layer in frame[frame["bridge"]]["layer"]}
        frame["bridge"] = frame["layer"].isin(moved)
        pq.write_table(pa.Table.from_pandas(frame, schema=held.schema), path)


def one_more(share: object) -> float:
    """A share of the layer's neurons, with one more."""
    return float(str(share)) + 1 / NEURONS


def half_strength(switches: object) -> str:
    return json.dumps({**(told := json.loads(str(switches))), "shared": told["shared"] / 2})


def another_folder(run: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """The run's model is a copy whose tensors `change` has altered."""
    told = json.loads((run / "run.json").read_text(encoding="utf-8"))
    folder = run / "model"
    shutil.copytree(told["models"][0]["folder"], folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    told["models"][0]["folder"] = str(folder)
    (run / "run.json").write_text(json.dumps(told), encoding="utf-8")


def missing_tensor(run: Path) -> None:
    another_folder(run, lambda tensors: tensors.pop("model.norm.weight"))


NEURONS = 448  # of a layer
RESCALED = "intervention == 'clas' and coefficient != 0"
STEERED = "intervention == 'steer' and coefficient == 1"
FAULTS: dict[str, tuple[str, Fault]] = {
    "a tensor that is not stored": ("weights", missing_tensor),
    "a token too many": ("tokens", stored("alignment", "", "tokens", lambda n: n + 1)),
    "one pair more of NASCA": (
        "alignment",  # where no pair is undecided
        stored(
            "alignment", "measure == 'nasca' and layer == 4 and language == 'swh_Latn'", "value",
            lambda v: v + 1 / 8,
        ),
    ),
    "a direction of MEXA": (
        "alignment", stored("alignment", "measure == 'mexa'", "forward", lambda v: v - 1 / 8),
    ),
    "CKA": ("similarity", stored("alignment", "measure == 'cka'", "value", lambda v: v + 1e-3)),
    "chance": ("chance", stored("alignment", "measure == 'mexa'", "p_null", lambda p: p / 2)),
    "a chance of one in billions": (
        "chance", stored("alignment", "p_null < 1e-9", "p_null", lambda p: p * 1.001),
    ),
    "a score": ("options", stored("items", "", "scores", lambda s: first(s, by=0.01))),
    "a prediction": ("options", stored("items", "", "prediction", lambda p: (p + 1) % 2)),
    "a right answer": ("options", stored("items", "", "correct", lambda right: not right)),
    "a score of a batch": ("batches", stored("items", "", "scores", lambda s: first(s, by=0.01))),
    "a layer's reading": (
        "lens", stored("lens", "measure == 'latent'", "native_logp", lambda s: first(s, by=0.01)),
    ),
    "a vector": ("vectors", another_vector),
    "a vector's length": ("vectors", stored("vectors", "", "norm", lambda n: n * 1.001)),
    "a steered score": ("steering", stored("items", STEERED, "scores", lambda s: first(s, by=0.1))),
    "a text": ("texts", stored("generations", "", "output", lambda text: f"{text} x")),
    "a neuron's size": ("neurons", stored("neurons", "", "mean_abs", lambda n: n * 1.001)),
    "one more neuron above zero": ("neurons", stored("neurons", "", "positive", one_more)),
    "how often neurons fire": ("neurons", stored("neurons", "", "active", lambda a: a + 1e-4)),
    "a neuron too many": (
        "categories", stored("categories", "part == 'all' and layer == 3", "dead", one_more),
    ),
    "a neuron too many in a half": (
        "categories", stored("categories", "part == 'half_2'", "partial_shared", one_more),
    ),
    "a neuron too many in twice as many samples": (
        "categories", stored("categories", "part == 'twice'", "specific", one_more),
    ),
    "a neuron too many in each sample": (
        "categories", stored("categories", "part == 'instance_last'", "all_shared", one_more),
    ),
    "halves that agree more": (
        "categories",
        stored("categories", "0 < jaccard_specific < 1", "jaccard_specific", lambda j: j + 1e-3),
    ),
    "a bridge layer": (
        "categories", stored("categories", "part == 'all' and bridge", "bridge", lambda b: not b),
    ),
    "the next bridge layers": ("categories", next_bridge),
    "a neuron active in a language": (
        "categories", another_sorting("active.5", lambda one_KF: one_KF[0, 7].bitwise_xor_(1)),
    ),
    "a constant of Int-mu": ("intmu", another_sorting(".values", lambda v: v[0, 0].add_(1e-3))),
    "another neuron of Int-mu": ("intmu", another_sorting(".neurons", lambda n: n[0].add_(1))),
    "a neuron of Int-mu too many": (
        "intmu", stored("categories", "part == 'all'", "intmu", lambda n: n + 1),
    ),
    "an item more at a strength": ("tuning", stored("tuning", "", "value", lambda v: v + 1 / 8)),
    "F1 of options": ("tuning", stored("tuning", "macro_f1 > 0", "macro_f1", lambda v: v - 0.01)),
    "how often one option is taken": (
        "tuning", stored("tuning", "top_share > 0", "top_share", lambda v: v + 1 / 8),
    ),
    "a rescaled score": (
        "scaled", stored("items", RESCALED, "scores", lambda s: first(s, by=5e-3)),
    ),
    "a score with constants": (
        "scaled",
        stored("items", "intervention == 'intmu_p90'", "scores", lambda s: first(s, by=5e-3)),
    ),
    "another strength": (
        "scaled", stored("items", "intervention == 'uniform'", "switches", half_strength),
    ),
    "another seed": (
        "scaled", stored("items", "intervention == 'uniform'", "seed", lambda seed: seed + 1),
    ),
    "a rescaled text": (
        "scaled_texts", stored("generations", RESCALED, "output", lambda text: f"{text} x"),
    ),
    "a token of a text with constants": (
        "scaled_texts",
        stored("generations", "intervention == 'intmu_mean'", "tokens", lambda n: n + 1),
    ),
    "a cosine": ("scaled_states", stored("scaled_states", "", "after", lambda c: c - 5e-4)),
    "a cosine of means": (
        "scaled_states",
        stored("scaled_states", "site == 'resid'", "before_of_means", lambda c: c - 5e-4),
    ),
    "a silhouette": (
        "scaled_points", stored("scaled_points", "", "silhouette", lambda c: c - 0.01),
    ),
    "a distance": (
        "scaled_points",
        stored("scaled_points", "side != 'eng_Latn'", "distance", lambda d: d + 1e-3),
    ),
    "DALI": column_of("dali"),
    "DALI's strong form": column_of("strong"),
    "pairs beside their rows and columns": column_of("local"),
    "the right option's pair": column_of("gold_only"),
    "DALI of the likeliest": column_of("dali_2", where="options == 4"),
    "DALI of three options, strong": column_of("strong_3", where="options == 4"),
    "MEXA of a question": column_of("mexa"),
    "options in another order": column_of("permuted"),
    "options of another item": column_of("mismatched", where="benchmark == 'xstorycloze'"),
    "a layer too few": (
        "option_alignment",
        stored("option_alignment", "", "strong", lambda margins: list(margins)[:-1]),
    ),
    "tokens of a right option": (
        "option_alignment", stored("option_alignment", "", "pivot_tokens", lambda n: n + 1),
    ),
    "a longer right option": (
        "option_alignment", stored("option_alignment", "", "gold_longer", lambda n: n + 1 / 3),
    ),
    "another right option": (
        "option_alignment", stored("option_alignment", "", "gold", lambda gold: 1 - gold),
    ),
    "a text that was cut": (
        "option_alignment", stored("option_alignment", "", "truncated", lambda cut: not cut),
    ),
    "an item too few": ("option_alignment", fewer("option_alignment", "options == 2")),
    "a state of the same question": margin_of("matched"),
    "a state of other options": margin_of("permuted"),
    "a state of the same symbol": margin_of("same_symbol"),
    "a state of another symbol": margin_of("other_symbol"),
    "a state of the same language": margin_of("own_language"),
    "a random state": margin_of("noise"),
    "another layer's state": ("patching", stored("patches", "", "layers", lambda _: [2, 8])),
    "another answer with a state put in": (
        "patching", stored("patches", "benchmark == 'xstorycloze'", "predictions", next_option),
    ),
    "a plain answer": ("patching", stored("patches", "", "clean", lambda one: (one + 1) % 2)),
    "a plain margin": ("patching", stored("patches", "", "clean_margin", lambda m: m + 0.005)),
    "the pivot's answer": (
        "patching", stored("patches", "", "pivot_clean", lambda one: (one + 1) % 2),
    ),
    "the pivot's margin": (
        "patching", stored("patches", "", "pivot_clean_margin", lambda m: m + 0.005),
    ),
    "another source": (
        "patching",
        stored("patches", "intervention == 'own_language'", "source_item", lambda id: f"{id}0"),
    ),
    "another right symbol of a source": (
        "patching",
        stored("patches", "intervention == 'permuted'", "source_gold", lambda gold: gold + 1),
    ),
    "another seed of a source": (
        "patching", stored("patches", "intervention == 'noise'", "seed", lambda seed: seed + 1),
    ),
    "a seed of what none draws": (
        "patching", stored("patches", "intervention == 'matched'", "seed", lambda _: 0),
    ),
    "a patch too few": ("patching", fewer("patches", "intervention == 'same_symbol'")),
    "a patch along a steering vector": (
        "directions", stored("directions", "", "cosines", lambda c: first(c, by=0.01)),
    ),
    "a patch that points nowhere": (
        "directions", stored("directions", "", "cosines", lambda c: first(c, by=float("nan"))),
    ),
    "another layer's steering vector": (
        "directions", stored("directions", "", "layers", lambda _: [2, 8]),
    ),
    "a direction of a layer too few": (
        "directions", stored("directions", "", "cosines", lambda c: list(c)[:-1]),
    ),
    "a direction too few": ("directions", fewer("directions", "benchmark == 'xstorycloze'")),
    "a direction that was cut": (
        "directions", stored("directions", "", "truncated", lambda cut: not cut),
    ),
    "a margin that is not steered": margin_of_steered("plain"),
    "a steered margin": margin_of_steered("steered"),
    "a steered margin of the last layer": (
        "steered_options", stored("steered_options", "layer == 6", "steered", last_layer),
    ),
    "another coefficient of steering": (
        "steered_options", stored("steered_options", "", "coefficient", lambda c: c + 0.5),
    ),
    "another steered layer": (
        "steered_options", stored("steered_options", "layer == 1", "layer", lambda n: n + 1),
    ),
    "layers from one on": (
        "steered_options", stored("steered_options", "", "layers", lambda n: [k + 1 for k in n]),
    ),
    "steered options too few": (
        "steered_options", fewer("steered_options", "coefficient == 2 and layer == 6"),
    ),
    "a steered option too many": (
        "steered_options", stored("steered_options", "", "options", lambda n: n + 1),
    ),
    "F1": ("answers", stored("generations", "task == 'span'", "f1", lambda f1: f1 / 2 + 0.1)),
    "a number": ("answers", stored("generations", "task == 'number'", "exact", lambda e: 1 - e)),
    "consistency": ("consistency", reported("pairs", "consistency")),
    "an accuracy of texts": ("means", reported("written", "value", where="metric == 'exact'")),
    "an interval": ("intervals", reported("accuracies", "low")),
    "a correlation": ("correlations", reported("correlations", "r")),
}  # fmt: skip
