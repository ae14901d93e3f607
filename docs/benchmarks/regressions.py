"""Regressions over a million answers to items: seconds by formula.

    python docs/benchmarks/regressions.py [--models 9] [--languages 100] [--items 1112]

Made-up answers of models to the items of languages, with a covariate of model and language
(`nasca`) and one of item and language (`fertility`). Rows are Markdown.
"""

import argparse
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from analysis.questions.regress import regress

BOTH = "correct ~ nasca + fertility"
CASES: list[tuple[str, dict[str, Any]]] = [
    (BOTH, {"outcome": "gaussian"}),
    (BOTH, {"outcome": "gaussian", "cluster": "language"}),
    (BOTH, {"cluster": "language"}),
    (f"{BOTH} + (1 | language) + (1 | model)", {"outcome": "gaussian"}),
    (f"{BOTH} + (1 | language) + (1 | model) + (1 | item)", {"outcome": "gaussian"}),
    (f"{BOTH} | language + item", {"outcome": "gaussian", "cluster": "language"}),
    (f"{BOTH} | language", {"cluster": "item"}),
    ("correct ~ nasca + (1 | language) + (1 | model) + (1 | model:language)", {}),
    (f"{BOTH} + (1 | language)", {"by": ["model"]}),
    (f"{BOTH} + (1 | language) + (1 | model)", {}),
    (f"{BOTH} + (1 | language) + (1 | model) + (1 | item)", {}),
]


def answers(models: int, languages: int, items: int) -> pd.DataFrame:
    """Tidy rows, one per model, language and item."""
    random = np.random.default_rng(0)
    places = np.indices((models, languages, items)).reshape(3, -1)
    model, language, item = places
    nasca = random.normal(size=(models, languages))[model, language]
    fertility = random.normal(size=(languages, items))[language, item]
    odds = 0.2 + 0.3 * nasca + 0.1 * fertility + 0.7 * random.normal(size=models)[model]
    odds += 0.5 * random.normal(size=languages)[language] + random.normal(size=items)[item]
    return pd.DataFrame(
        {
            "model": [f"m{one}" for one in model],
            "language": [f"l{one}" for one in language],
            "item": [f"i{one}" for one in item],
            "nasca": nasca,
            "fertility": fertility,
            "correct": random.random(len(odds)) < 1 / (1 + np.exp(-odds)),
        }
    )


def main() -> None:
    """Print a row per formula."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, size in (("models", 9), ("languages", 100), ("items", 1112)):
        parser.add_argument(f"--{name}", type=int, default=size)
    given = parser.parse_args()
    rows = answers(given.models, given.languages, given.items)
    print(f"{len(rows):,} rows\n\n| formula | options | outcome | seconds |\n|---|---|---|---|")
    for formula, options in CASES:
        began = perf_counter()
        regress(rows, formula, **options)
        taken = perf_counter() - began
        own = {name: value for name, value in options.items() if name != "outcome"}
        said = ", ".join(f"{name}={value}" for name, value in own.items())
        shown = formula.replace("|", "\\|")
        print(f"| `{shown}` | {said} | {options.get('outcome', 'binary')} | {taken:.1f} |")


if __name__ == "__main__":
    main()
