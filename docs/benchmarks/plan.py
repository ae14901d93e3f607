"""Time the planning of a study of at least N cells, with nothing there and with all of it, and the
whole command of a study that is finished.

    python docs/benchmarks/plan.py [--cells 1000000] [--models 60] [--data-root DIR] [--report]

The models are folders with a configuration, a tokenizer and one tensor; the parallel text is
random words in the languages of FLORES-200, or real rows below DIR. Every case is planned in a
process of its own, so that its peak memory is its own, and what is there is read from a file of
keys: the store is not part of the measure. The command is `babelscope run` on a folder that holds
every row, written by the store and compacted, as a run leaves it: without a report, with one that
is there, so that only its main table is printed, and with `--report` as it writes the first one.
What is printed are rows for docs/benchmarks/.
"""

import argparse
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save_file

from orchestrator import launch, models
from orchestrator import plan as plans
from orchestrator.results import keep
from orchestrator.storage.store import Store
from orchestrator.storage.tables import ALL_TABLES
from studies import parallel_text
from studies.measures import MEASURES, NEURONXA
from studies.recipes import neuronxa
from studies.rows import Source
from studies.spec import POOLINGS, Cell, Row, Switches

DATASET, PIVOT, PAIRS = "flores200", "eng_Latn", 100
TOKENIZER = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"}}


class World(NamedTuple):
    """Models and texts on disk, and the cells that a study of them has."""

    models: list[str]
    data_root: Path
    cells: int


def make(folder: Path, *, cells: int, models: int, data_root: Path | None = None) -> World:
    """Models with as many layers as it takes to reach `cells`, and texts where none are given."""
    root = data_root or _texts(folder / "data")
    languages = len(parallel_text.languages(DATASET, source=Source(data_root=root))) - 1
    each = len(POOLINGS) * languages * models
    embeddings = sum(MEASURES[name].first_layer == 0 for name in NEURONXA)
    layers = max(1, math.ceil((math.ceil(cells / each) - embeddings) / len(NEURONXA)))
    folders = [_model(folder / f"model-{number:03d}", layers) for number in range(models)]
    return World(folders, root, each * (layers * len(NEURONXA) + embeddings))


def build(world: World, *, done: frozenset[str] = frozenset()) -> plans.Plan:
    """The plan of the study of everything there is in `world`."""
    options = neuronxa.Options(
        models=tuple(world.models), parallels=(DATASET,), pairs=PAIRS, parts=("scores",)
    )
    source = Source(data_root=world.data_root)
    study = neuronxa.study(options)
    return plans.build(study, models.read(study.models), source=source, done=done)


def _texts(root: Path) -> Path:
    """Sentences of random words, different in every language, with the same ids."""
    from studies import languages

    for language in languages.known_languages(DATASET):
        words = random.Random(language)
        letters = "abcdefghijklmnop"
        rows = [
            {
                "id": id,
                "sentence": " ".join("".join(words.choices(letters, k=5)) for _ in range(21)),
            }
            for id in range(PAIRS)
        ]
        path = root / DATASET / f"{language}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return root


def _model(folder: Path, layers: int) -> str:
    """A folder that is a model to the planner: so many layers, and hardly a weight."""
    folder.mkdir(parents=True)
    width, vocabulary = 8, 16
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": width,
        "intermediate_size": width,
        "num_attention_heads": 1,
        "max_position_embeddings": 4096,
        "vocab_size": vocabulary,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    shapes = {f"model.{name}.weight": (width,) for name in ("norm",)}
    shapes |= dict.fromkeys(("model.embed_tokens.weight", "lm_head.weight"), (vocabulary, width))
    for layer in range(layers):
        at = f"model.layers.{layer}"
        parts = [f"self_attn.{name}_proj" for name in "qkvo"]
        parts += [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
        shapes |= {f"{at}.{part}.weight": (width, width) for part in parts}
        norms = ("input_layernorm", "post_attention_layernorm")
        shapes |= {f"{at}.{norm}.weight": (width,) for norm in norms}
    numbers = np.random.default_rng(list(folder.name.encode()))
    weights = {
        name: numbers.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def measure(world: World, *, keys: Path, there: bool) -> None:
    """Plan once in this process and print a row; without keys, leave them in the file."""
    done = frozenset(keys.read_text().split()) if there else frozenset()
    began, worked = time.perf_counter(), time.process_time()
    planned = build(world, done=done)
    seconds, busy = time.perf_counter() - began, time.process_time() - worked
    assert planned.cells == world.cells == planned.done + planned.missing
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{planned.cells:,} cells of {len(planned.models)} models, {planned.done:,} there, "
        f"{planned.missing:,} to do in {len(planned.units):,} units: {seconds:.1f} s "
        f"({busy:.1f} s of processor), peak {peak / 1e9:.2f} GB",
        flush=True,
    )
    if not there:
        with keys.open("w") as file:
            for unit in planned.units:
                file.writelines(f"{cell.key}\n" for cell in unit.cells)


def fill(world: World, *, out: Path) -> None:
    """Write the folder of a run that has computed everything."""
    store, planned = Store(out), build(world)
    with store.lock():
        launch.prepare(planned, store=store)
        for unit in planned.units:
            keep(store, unit, [_row(cell) for cell in unit.cells])
        store.compact()


def _row(cell: Cell) -> Row:
    """A row with a value of its own."""
    row: Row = {name: getattr(cell, name, None) for name in ALL_TABLES["alignment"].schema.names}
    value = int(cell.key[:8], 16) / 2**32
    known = {
        "study": "neuronxa",
        "n": PAIRS,
        "pairs": str(PAIRS),
        "value": value,
        "ties": 0,
        "p_null": 1e-9,
    }
    return {**row, **known, "switches": Switches().text(), "truncated": 0}


def command(world: World, *, out: Path, more: list[str], env: dict[str, str]) -> None:
    """Time the command in a process of its own and print a row."""
    models = [part for model in world.models for part in ("--model", model)]
    asked = ["neuronxa", *models, "--parallel", DATASET, "--pairs", str(PAIRS)]
    asked += ["--part", "scores", *more]
    place = ["--data-root", str(world.data_root), "--out", str(out)]
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", *asked, *place],
        env=env, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    assert "0 cells to compute" in ended.stdout, ended.stdout
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(
        f"babelscope run {' '.join(more)}, {world.cells:,} cells, all there: {seconds:.1f} s, "
        f"peak so far {peak / 1e9:.2f} GB",
        flush=True,
    )


def main() -> None:
    """Make the world, then plan it in two processes, one after the other, and run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=60)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--report", action="store_true", help="time the writing of a report too")
    parser.add_argument("--in", dest="place", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--there", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.place is not None:
        models = sorted(str(path) for path in asked.place.glob("model-*"))
        root = asked.data_root or asked.place / "data"
        world = World(models, root, asked.cells)
        measure(world, keys=asked.place / "keys", there=asked.there)
        return
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        world = make(place, cells=asked.cells, models=asked.models, data_root=asked.data_root)
        again = [sys.executable, __file__, "--in", name, "--cells", str(world.cells)]
        again += ["--data-root", str(world.data_root)]
        own = {**os.environ, "XDG_CACHE_HOME": str(place / "cache")}
        for case in ([], ["--there"]):
            subprocess.run([*again, *case], check=True, env=own)
        fill(world, out=place / "run")
        command(world, out=place / "run", more=["--no-report"], env=own)
        page = place / "run" / "report" / "index.html"
        page.parent.mkdir()
        page.write_text("as if written before")
        command(world, out=place / "run", more=["--report"], env=own)
        if asked.report:
            page.unlink()
            command(world, out=place / "run", more=["--report"], env=own)


if __name__ == "__main__":
    main()
