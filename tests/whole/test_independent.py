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

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studies import miniworld
from tests.makers import world
from tests.makers.planted_faults import FAULTS, reported

PEERS = Path(__file__).parents[2] / "tests" / "peers"
MODELS = world.ROOT / "studies" / "miniworld" / "models"
LANGUAGES = {"eng_Latn": "en", "spa_Latn": "es", "deu_Latn": "de", "swh_Latn": "sw"}
ITEMS = 9
STORIES = 18  # more than are read together
# The questions that neurons are sorted by, and answered with them rescaled.
SCALED = {"eng_Latn": "en", "spa_Latn": "es", "deu_Latn": "de", "tur_Latn": "tr"}
SCALED_ITEMS = 24
MEASURES = "mexa,nasca,navca,cka,svcca,anc,cosine,cosine_centred"
# What to run, one family each, and the kinds that its rows show; what stands behind a study's name
# tells its runs apart.
STUDIES = {
    "neuronxa": (
        "llama",
        *("--parallel", "flores200", "--benchmark", "belebele,xstorycloze", "--language", "all"),
        *("--measure", MEASURES, "--pooling", "weighted,last", "--pairs", "8", "--part", "scores"),
        *("--limit", str(ITEMS)),
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
    "dali": (  # whose tokenizer makes the space before a digit a token of its own
        "qwen2",
        *("--benchmark", "belebele,xstorycloze", "--language", "eng_Latn,spa_Latn,swh_Latn"),
        *("--part", "alignment,patching,steering", "--layer", "3,8"),
    ),
    "dali mlp_out": (
        "gemma2",
        *("--benchmark", "belebele", "--language", "eng_Latn,deu_Latn", "--limit", "6"),
        *("--part", "alignment,patching,steering", "--layer", "1,6", "--seed", "5"),
        *("--coefficient", "-1,2"),
        *("--switch", "patch_site=mlp_out", "--switch", "dali_pool=weighted"),
    ),
    "dali resid_pre": (
        "llama",
        *("--benchmark", "xstorycloze", "--language", "eng_Latn,spa_Latn", "--limit", "6"),
        *("--part", "patching", "--layer", "1,4", "--seed", "2"),
        *("--switch", "patch_site=resid_pre"),
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
    "option_alignment": "dali",
    "patching": "dali",
    "directions": "dali",
    "steered_options": "dali mlp_out",
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
        for dataset, embedded, name, items in (
            ("flores200", "miniworld", language, ITEMS),
            ("belebele", "mini_belebele", language, ITEMS),
            ("xstorycloze", "mini_xstorycloze", code, STORIES),
        ):
            rows = miniworld.rows(embedded, language=language)[:items]
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
    for name, (model, *flags) in STUDIES.items():
        study = name.partition(" ")[0]
        with pytest.MonkeyPatch.context() as patch:
            ended = world.run(
                *("run", study, "--model", str(MODELS / model), *flags, "--cluster", "inline"),
                *("--data-root", str(data), "--out", str(folder / name)),
                "--no-report" if study in ("clas", "dali") else "--report",
                monkeypatch=patch,
            )
        assert ended == 0
    return {name: folder / name for name in STUDIES}


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


@pytest.fixture(scope="module")
def two_seeds(data: Path, runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the controls of two seeds, whose record tells of none."""
    folder = tmp_path_factory.mktemp("seeds")
    shutil.copytree(runs["dali resid_pre"], folder / "run")
    model, *flags = STUDIES["dali resid_pre"]
    flags[flags.index("--seed") + 1] = "7"
    with pytest.MonkeyPatch.context() as patch:
        ended = world.run(
            *("run", "dali", "--model", str(MODELS / model), *flags, "--cluster", "inline"),
            *("--patch", "same_symbol,own_language,noise", "--no-report"),
            *("--data-root", str(data), "--out", str(folder / "other")),
            monkeypatch=patch,
        )
    assert ended == 0
    for shard in (folder / "other" / "tables" / "patches").glob("*.parquet"):
        shutil.copy(shard, folder / "run" / "tables" / "patches")
    rewrite(folder / "run", seed=None)
    return folder / "run"


def rewrite(run: Path, *, seed: int | list[int] | None) -> None:
    """The seed that a run's settings tell."""
    told = json.loads((run / "run.json").read_text(encoding="utf-8"))
    told["settings"] |= {"seed": seed}
    (run / "run.json").write_text(json.dumps(told), encoding="utf-8")


def test_controls_of_several_seeds_may_lie_in_one_folder(
    two_seeds: Path, runs: dict[str, Path], tmp_path: Path, compare: Compare
) -> None:
    alone, found = (compare("patching", run) for run in (runs["dali resid_pre"], two_seeds))
    assert found.differ == 0 and found.values > 1.4 * alone.values, found.line()
    assert "tells no seed" in found.line() and "tells no seed" not in alone.line()
    run = shutil.copytree(two_seeds, tmp_path / "run")
    rewrite(run, seed=[2, 7])
    found = compare("patching", run)
    assert found.differ == 0 and not found.notes, found.line()
    rewrite(run, seed=2)  # so that rows of the other were not asked for
    found = compare("patching", run)
    assert found.differ and "7, expected 2" in found.line().replace(".0", "")


@pytest.mark.parametrize("name", ["own_language", "noise"])
def test_a_cell_that_says_another_seed_is_found(
    name: str, two_seeds: Path, tmp_path: Path, compare: Compare
) -> None:
    run = shutil.copytree(two_seeds, tmp_path / "run")
    for path in (run / "tables" / "patches").glob("*.parquet"):
        held = pq.read_table(path)
        frame = held.to_pandas()
        frame.loc[(frame["intervention"] == name) & (frame["seed"] == 7), "seed"] = 8
        pq.write_table(pa.Table.from_pandas(frame, schema=held.schema), path)
    assert compare("patching", run).differ


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
