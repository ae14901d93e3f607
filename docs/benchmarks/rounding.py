"""How much batch shape, threads and the processor's instructions change each measure.

    python docs/benchmarks/rounding.py MODEL DATA_ROOT [--sentences 100] [--languages deu_Latn ...]

The same sentences of FLORES-200 are read by the same weights in float32 under several settings,
each in a process of its own, as ATen chooses its instructions on start. Every setting is held
against the first: by measure, over languages and layers, the largest and the mean difference of its
value, and for those that count neighbours the pairs whose alignment changes; for neurons the states
that change their sign, at least, as a neuron that fires at one token more and one token less of a
text is not seen. What is printed are rows for docs/benchmarks/.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from actors.extraction.capture import Reading, capture
from actors.measures.alignment import EQUAL, align, similarity
from actors.measures.similarity import anc, cka, cosine, svcca
from actors.model import BATCH_TOKENS, load
from studies import parallel_text
from studies.measures import MEASURES, resolve
from studies.models.facts import facts
from studies.rows import Source
from studies.spec import Model, Switches

LANGUAGES = ("deu_Latn", "hin_Deva", "swh_Latn", "zho_Hans")
USUAL = Switches()


class Setting(NamedTuple):
    """A way to run the same texts: tokens of a batch (1: every text alone), threads, variables."""

    name: str
    tokens: int = BATCH_TOKENS["cpu"]
    threads: int = 2
    variables: tuple[tuple[str, str], ...] = ()


ATEN = "ATEN_CPU_CAPABILITY"
SETTINGS = (
    Setting("as usual"),
    Setting("every text alone", tokens=1),
    Setting("batches of 512 tokens", tokens=512),
    Setting("batches of 16,384 tokens", tokens=16384),
    Setting("1 thread", threads=1),
    Setting("ATen with AVX2", variables=((ATEN, "avx2"),)),
    Setting("ATen without vectors", variables=((ATEN, "default"),)),
    Setting(
        "AVX2 in ATen, oneDNN and MKL",
        variables=(
            (ATEN, "avx2"),
            ("ONEDNN_MAX_CPU_ISA", "AVX2"),
            ("MKL_ENABLE_INSTRUCTIONS", "AVX2"),
        ),
    ),
)


def value(measure: str, pair: tuple[Tensor, Tensor]) -> float:
    """A measure of two languages' vectors in its usual reading."""
    score = MEASURES[measure].score
    if score == "mutual_nearest":
        return align(*pair).value
    if score == "anc":
        return anc(*pair, absolute=USUAL.anc_abs).value
    if score == "svcca":
        return svcca(*pair, keep=USUAL.svcca_keep)
    if score == "cka":
        return cka(*pair, debiased=USUAL.cka == "debiased")
    return cosine(*pair, centred=score == "cosine_centred")


def aligned(pair: tuple[Tensor, Tensor]) -> Tensor:
    """Which pairs [N] are each other's strict nearest neighbours."""
    found_NN = similarity(*pair)
    own_N = found_NN.diagonal()
    others_NN = found_NN.clone().fill_diagonal_(-torch.inf)
    rival_N = torch.maximum(others_NN.amax(dim=0), others_NN.amax(dim=1))
    return own_N > rival_N + EQUAL


def run(given: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    """Values and aligned pairs by (measure, language, layer), and how often each neuron fires."""
    known = facts(Model(id=given.model, dtype="float32"))
    loaded = load(known, device="cpu", threads=setting.threads)
    loaded.budget.tokens = setting.tokens
    source = Source(data_root=given.data_root)
    measures = {name: resolve(name, switches=USUAL) for name in MEASURES}
    wanted = {
        (name, layer): Reading(
            site=measure.site, state=measure.state, pooling=given.pooling, layer=layer
        )
        for name, measure in measures.items()
        for layer in measure.layers(loaded.facts.layers)
    }
    nas = measures["nasca"]
    fires = [
        Reading(site=nas.site, state=nas.state, pooling="average", layer=layer)
        for layer in nas.layers(loaded.facts.layers)
    ]
    texts: dict[str, tuple[str, ...]] = {}
    for language in given.languages:
        bitext = parallel_text.load(
            "flores200", language=language, pairs=given.sentences, source=source
        )
        texts |= {"eng_Latn": bitext.pivot_texts, language: bitext.texts}
    read, counts, states = {}, [], 0
    for language, own in texts.items():
        sequences = loaded.encode(own, allow_truncation=False).sequences
        read[language] = capture(loaded, sequences, [*wanted.values(), *fires])
        lengths_N1 = torch.tensor([[len(sequence)] for sequence in sequences])
        for reading in fires:
            fired_NF = (read[language].at(reading) * lengths_N1).round()
            counts.append(fired_NF.to(torch.int16))
            states += int(lengths_N1.sum()) * fired_NF.shape[1]
    values, hits = {}, {}
    for language in given.languages:
        for (name, layer), reading in wanted.items():
            pair = (read["eng_Latn"].at(reading), read[language].at(reading))
            values[name, language, layer] = value(name, pair)
            if measures[name].score == "mutual_nearest":
                hits[name, language, layer] = aligned(pair)
    instructions = torch.backends.cpu.get_cpu_capability()
    return {"values": values, "hits": hits, "fired": counts, "states": states, "as": instructions}


def elsewhere(setting: Setting) -> dict[str, Any]:
    """What a process of its own finds under a setting."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.pt"
        command = [sys.executable, *sys.argv, "--setting", setting.name, "--file", str(file)]
        subprocess.run(command, check=True, env={**os.environ, **dict(setting.variables)})
        found: dict[str, Any] = torch.load(file)
        return found


def show(setting: Setting, usual: dict[str, Any], found: dict[str, Any]) -> None:
    """The rows of one setting."""
    pairs = zip(usual["fired"], found["fired"], strict=True)
    flips = sum(int((first - other).abs().sum()) for first, other in pairs)
    print(f"{setting.name} ({found['as']}): {flips} of {usual['states']} neuron states flip")
    for name in MEASURES:
        places = [place for place in usual["values"] if place[0] == name]
        gaps = [abs(usual["values"][place] - found["values"][place]) for place in places]
        moved = sum(gap > 0 for gap in gaps)
        line = f"| {setting.name} | {name} | {max(gaps):.1e} | {sum(gaps) / len(gaps):.1e} | "
        line += f"{moved} of {len(gaps)} | "
        changed = [
            int((usual["hits"][place] != found["hits"][place]).sum())
            for place in places
            if place in usual["hits"]
        ]
        whole = sum(len(usual["hits"][place]) for place in places if place in usual["hits"])
        print(line + (f"{sum(changed)} of {whole} |" if whole else "|"), flush=True)


def main() -> None:
    """All settings against the first, or one of them in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--languages", nargs="+", default=LANGUAGES)
    parser.add_argument("--pooling", default="weighted")
    parser.add_argument("--setting", help="used by the script itself")
    parser.add_argument("--file", type=Path, help="used by the script itself")
    given = parser.parse_args()
    by_name = {setting.name: setting for setting in SETTINGS}
    if given.setting:
        torch.save(run(given, by_name[given.setting]), given.file)
        return
    usual = elsewhere(SETTINGS[0])
    print(f"{SETTINGS[0].name} ({usual['as']})")
    for setting in SETTINGS[1:]:
        show(setting, usual, elsewhere(setting))


if __name__ == "__main__":
    main()
