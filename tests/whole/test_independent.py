"""Finished runs equal what another program makes of the same models and data (tests/peers).

`independent.py` imports nothing of ours. Each of its kinds is also given a run in which one number
of that kind is wrong, and has to find it.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from studies import miniworld
from tests.makers import world

PEERS = Path(__file__).parents[2] / "tests" / "peers"
MODELS = world.ROOT / "studies" / "miniworld" / "models"
LANGUAGES = {"eng_Latn": "en", "spa_Latn": "es", "deu_Latn": "de", "swh_Latn": "sw"}
ITEMS = 9
# The questions that neurons are sorted by, and answered with them rescaled.
SCALED = {"eng_Latn": "en", "spa_Latn": "es", "deu_Latn": "de", "tur_Latn": "tr"}
SCALED_ITEMS = 24
MEASURES = "mexa,nasca,navca,cka,svcca,anc,cosine,cosine_centred"
# What to run, one family each, and the kinds that its rows show.
STUDIES = {
    "neuronxa": (
        "llama",
        *("--parallel", "flores200", "--benchmark", "belebele,xstorycloze", "--language", "all"),
        *("--measure", MEASURES, "--pooling", "weighted,last", "--pairs", "8", "--part", "scores"),
    ),
    "latent-process": (
        "gemma2",
        *("--benchmark", "belebele", "--prompt", "cloze", "--language", "all"),
        *("--part", "output,latent,steering", "--sample", "4", "--layer", "2,4"),
        *("--coefficient", "-2,1"),
    ),
    "generate": (
        "qwen2",
        *("--benchmark", "xquad,mgsm", "--language", "eng_Latn,spa_Latn", "--engine", "hf"),
        *("--stop", "newline", "--limit", "6"),
    ),
    "clas": (  # the seed and strengths of which some, other than 0, are the best on both
        "qwen2",
        *("--benchmark", "xnli,xquad", "--sampled", "xquad", "--language", ",".join(SCALED)),
        *("--samples", "8", "--limit", "16", "--tuning", "8", "--seed", "3", "--alpha=-4,0,2"),
        *("--control", "random,mixed,uniform,clas_on_others,clas_in_anchor,intmu_p90"),
        *("--draws", "1", "--stop", "newline"),
    ),
}
KINDS = {
    "weights": "generate",
    "tokens": "neuronxa",
    "alignment": "neuronxa",
    "similarity": "neuronxa",
    "chance": "neuronxa",
    "options": "neuronxa",
    "batches": "neuronxa",
    "lens": "latent-process",
    "vectors": "latent-process",
    "steering": "latent-process",
    "texts": "generate",
    "neurons": "clas",
    "categories": "clas",
    "intmu": "clas",
    "tuning": "clas",
    "scaled": "clas",
    "scaled_texts": "clas",
    "scaled_states": "clas",
    "scaled_points": "clas",
    "answers": "generate",
    "consistency": "latent-process",
    "means": "generate",
    "intervals": "neuronxa",
    "correlations": "neuronxa",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded questions and sentences as files of the data sets whose columns they have."""
    root = tmp_path_factory.mktemp("data")
    for language, code in LANGUAGES.items():
        for dataset, embedded, name in (
            ("flores200", "miniworld", language),
            ("belebele", "mini_belebele", language),
            ("xstorycloze", "mini_xstorycloze", code),
        ):
            rows = miniworld.rows(embedded, language=language)[:ITEMS]
            world.write_lines(root / dataset / f"{name}.jsonl", [dict(row) for row in rows])
        sums = [
            {"id": number, "question": f"{number} + 3?", "answer_number": str(number + 3)}
            for number in range(ITEMS)
        ]
        world.write_lines(root / "mgsm" / f"{code}.jsonl", [dict(row) for row in sums])
    for language, code in SCALED.items():
        for dataset in ("xnli", "xquad"):
            rows = miniworld.rows(f"mini_{dataset}", language=language)[:SCALED_ITEMS]
            world.write_lines(root / dataset / f"{code}.jsonl", [dict(row) for row in rows])
    for path in (root / "xstorycloze" / "de.jsonl", *root.glob("mgsm/sw*")):
        path.unlink()  # languages that those data sets do not have, or not in these words
    return root


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of every study."""
    folder = tmp_path_factory.mktemp("runs")
    for study, (model, *flags) in STUDIES.items():
        with pytest.MonkeyPatch.context() as patch:
            ended = world.run(
                *("run", study, "--model", str(MODELS / model), *flags, "--cluster", "inline"),
                *("--data-root", str(data), "--out", str(folder / study)),
                "--no-report" if study == "clas" else "--report",
                monkeypatch=patch,
            )
        assert ended == 0
    return {study: folder / study for study in STUDIES}


Compare = Callable[..., Any]


@pytest.fixture(scope="module")
def compare(data: Path) -> Iterator[Compare]:
    """The script's own comparison in this process, where models and what is read of them stay."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PEERS))
        import compared
        import independent  # noqa: F401 - registers all kinds

        assert set(compared.KINDS) == set(KINDS)
        yield lambda kind, *runs: compared.compare([compared.Run(run, data) for run in runs], kind)


@pytest.mark.parametrize("kind", KINDS)
def test_no_number_differs_from_what_another_program_finds(
    kind: str, runs: dict[str, Path], compare: Compare
) -> None:
    found = compare(kind, *runs.values())
    assert found.differ == 0, found.line()
    assert found.values > 20 and found.undecided < found.values / 2, found.line()


def test_it_imports_nothing_of_ours() -> None:
    ours = {"actors", "analysis", "orchestrator", "studies", "tests"}
    for path in PEERS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not ours & {name.partition(".")[0] for name in names}, path


Fault = Callable[[Path], object]


def stored(table: str, where: str, column: str, change: Callable[[object], object]) -> Fault:
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


def first(values: object, *, by: float) -> list[float]:
    """A list whose first number is another."""
    head, *rest = values  # type: ignore[misc]
    return [head + by, *rest]


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


def another_folder(run: Path, change: Callable[[dict[str, object]], object]) -> None:
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
    "F1": ("answers", stored("generations", "task == 'span'", "f1", lambda f1: f1 / 2 + 0.1)),
    "a number": ("answers", stored("generations", "task == 'number'", "exact", lambda e: 1 - e)),
    "consistency": ("consistency", reported("pairs", "consistency")),
    "an accuracy of texts": ("means", reported("written", "value", where="metric == 'exact'")),
    "an interval": ("intervals", reported("accuracies", "low")),
    "a correlation": ("correlations", reported("correlations", "r")),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(
    fault: str, runs: dict[str, Path], tmp_path: Path, compare: Compare
) -> None:
    kind, plant = FAULTS[fault]
    run = tmp_path / "run"
    shutil.copytree(runs[KINDS[kind]], run)
    plant(run)
    found = compare(kind, run)
    assert found.differ, found.line()


def test_a_fault_ends_the_script_with_status_one(
    data: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs["neuronxa"], run)
    reported("accuracies", "high")(run)
    kinds = ("--kind", "intervals", "--kind", "means")
    done = subprocess.run(
        [sys.executable, PEERS / "independent.py", "--data", data, run, *kinds],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert lines, done.stderr
    assert done.returncode == 1
    assert ", 1 differ" in lines["intervals"] and ", 0 differ" in lines["means"]
    assert "'accuracies', 'deu_Latn', 'high'" in lines["intervals"]
