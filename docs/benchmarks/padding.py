"""Time the same texts under other rules of closing a batch: padding saved against batches added.

    python docs/benchmarks/padding.py MODEL DATA_ROOT [--threads 2] [--rounds 3]

Two lists of real texts: English sentences, as a study reads them, and sentences of five languages
with longer questions among them. All that the measures of NeuronXA read is read, under every rule
in turn, several times, in one process. A rule is the number of tokens from which a batch may close
early, and the share of its first length below which a text then closes it; the last rule is that of
actors/passes/batching.py. What is printed are rows for docs/benchmarks/: seconds of wall and of
processor, each beside the first rule's in its round.
"""

import argparse
import time
from pathlib import Path
from statistics import median

from actors.extraction.capture import Reading, capture
from actors.model import LoadedModel, load
from actors.passes import batching
from studies import benchmarks, parallel_text
from studies.measures import NEURONXA, resolve
from studies.models.facts import facts
from studies.rows import Source
from studies.spec import POOLINGS, Model, Switches

RULES = ((1024, 0.75), (512, 0.75), (512, 0.9), (128, 0.9), (256, 0.9))
LANGUAGES = ("hin_Deva", "deu_Latn", "zho_Hans", "swh_Latn", "tha_Thai")


def texts(source: Source, *, sentences: int) -> dict[str, list[str]]:
    """The two lists: so many English sentences, and about as many texts of mixed lengths."""
    parallel = [
        parallel_text.load("flores200", language=language, pairs=sentences, source=source)
        for language in LANGUAGES
    ]
    asked = benchmarks.load("belebele", language="eng_Latn", source=source, limit=sentences // 4)
    share = sentences // 8
    mixed = [text for bitext in parallel for text in bitext.texts[:share]]
    return {
        "English": list(parallel[0].pivot_texts),
        "mixed": mixed + [item.context for item in asked.items],
    }


def readings(loaded: LoadedModel) -> list[Reading]:
    """All that the measures of NeuronXA read."""
    measures = [resolve(name, switches=Switches()) for name in NEURONXA]
    last = loaded.facts.layers
    return [
        Reading(site=measure.site, state=measure.state, pooling=pooling, layer=layer)
        for measure in measures
        for pooling in POOLINGS
        for layer in measure.layers(last)
    ]


def follow(loaded: LoadedModel, rule: tuple[int, float]) -> None:
    """Close batches by this rule from now on."""
    batching.BUSY_TOKENS, batching.SHORTEST_SHARE = rule
    batching.BUSY_SHARE = rule[0] / loaded.budget.tokens


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--sentences", type=int, default=80)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    loaded = load(facts(Model(id=given.model)), device="cpu", threads=given.threads)
    wanted = readings(loaded)
    for name, own in texts(Source(data_root=given.data_root), sentences=given.sentences).items():
        sequences = loaded.encode(own, allow_truncation=False).sequences
        lengths = [len(sequence) for sequence in batching.distinct(sequences).sequences]
        spent: dict[tuple[int, float], list[tuple[float, float]]] = {rule: [] for rule in RULES}
        for _ in range(given.rounds):
            for rule in RULES:
                follow(loaded, rule)
                began = time.perf_counter(), time.process_time()
                capture(loaded, sequences, wanted)
                ended = time.perf_counter(), time.process_time()
                spent[rule].append((ended[0] - began[0], ended[1] - began[1]))
        for rule in RULES:
            follow(loaded, rule)
            planned = batching.plan(lengths, budget=loaded.budget.tokens)
            padded = sum(batch.width * len(batch.rows) for batch in planned) / sum(lengths)
            shown = []
            for clock, what in enumerate(("wall", "processor")):
                pairs = zip(spent[rule], spent[RULES[0]], strict=True)
                ratio = median(own[clock] / first[clock] for own, first in pairs)
                seconds = median(own[clock] for own in spent[rule])
                shown.append(f"{seconds:.2f} s {what} ({ratio:.2f} of the first rule)")
            print(
                f"{name}: {len(lengths)} texts, {sum(lengths)} tokens; from {rule[0]} tokens, "
                f"share {rule[1]}: {padded:.3f} padded per real, {len(planned)} batches, "
                + ", ".join(shown),
                flush=True,
            )


if __name__ == "__main__":
    main()
