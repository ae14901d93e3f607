"""Let a judge that lives elsewhere score translations: write what it reads, read what it wrote.

COMET (Rei et al. 2020) needs other versions of nearly every library, so it runs in an environment
of its own: `export` writes its input, `comet-score --to_json` writes `comet.json` beside it, and
`judged` reads that. Only runs in folders are judged, not those in object stores.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.statistics.intervals import of_draws
from analysis.statistics.resample import DRAWS, SEED
from analysis.statistics.translation import SET, plain

FOLDER = "translations"
SCORES = "comet.json"
ABOUT = "set.json"
HOW = (
    "in an environment with unbabel-comet, in each folder: comet-score -s source.txt -t output.txt "
    f"-r reference.txt --model Unbabel/wmt22-comet-da --to_json {SCORES}; then: babelscope report"
)


def export(generations: pd.DataFrame, *, out: Path) -> list[Path]:
    """Write source.txt, output.txt and reference.txt for every set of plain translations.

    A set is one model, revision, benchmark, pair of languages, prompt and engine; `set.json` says
    which. Line i of the three belongs together. Returns the folders.

    Raises:
        ValueError: there are no translations, or they were kept without their sources.
    """
    written = plain(generations)
    if written.empty:
        raise ValueError("no translations to export: run the part translation first")
    if written["source"].isna().any():
        raise ValueError("some translations were kept without their sources: run them again")
    folders = []
    for names, group in written.groupby(SET, sort=True, dropna=False):
        place = dict(zip(SET, map(str, names), strict=True))
        folder = out / re.sub(r"[^\w.-]+", "-", "-".join(place.values()))
        folder.mkdir(parents=True, exist_ok=True)
        lines = {
            "source": group["source"],
            "output": group["output"].fillna(""),
            "reference": group["references"].map(lambda texts: texts[0]),
        }
        for name, texts in lines.items():
            content = "".join(" ".join(str(text).split()) + "\n" for text in texts)
            (folder / f"{name}.txt").write_text(content, encoding="utf-8")
        (folder / ABOUT).write_text(json.dumps(place, indent=1), encoding="utf-8")
        folders.append(folder)
    return folders


def judged(runs: Sequence[Path | str]) -> pd.DataFrame:
    """What judges made of exported translations: one row per set, as `translation.quality` has.

    Raises:
        ValueError: a file of scores is not what `comet-score --to_json` writes, or not of its set.
    """
    rows = [
        _read(path)
        for run in runs
        if "://" not in str(run)
        for path in sorted(Path(run).glob(f"{FOLDER}/*/{SCORES}"))
    ]
    columns = [*SET, "metric", "value", "low", "high", "n", "tokenizer"]
    return pd.DataFrame(rows, columns=columns)


def _read(path: Path) -> dict[str, object]:
    """The mean of one set's scores, with the 95 % interval over resampled sentences."""
    place = json.loads((path.parent / ABOUT).read_text(encoding="utf-8"))
    outputs = (path.parent / "output.txt").read_text(encoding="utf-8").split("\n")[:-1]
    try:
        (segments,) = json.loads(path.read_text(encoding="utf-8")).values()
        scores = np.array([float(segment["COMET"]) for segment in segments])
        written = [str(segment["mt"]) for segment in segments]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} does not hold scores of one set as `comet-score --to_json` writes them"
        ) from error
    if [text.split() for text in written] != [text.split() for text in outputs]:
        raise ValueError(f"{path} was made of other translations than those beside it: score again")
    drawn = np.random.default_rng(SEED).choice(scores, size=(DRAWS, len(scores))).mean(axis=1)
    ends = of_draws(drawn)
    return {
        **place,
        "metric": "COMET",
        "value": float(scores.mean()),
        **ends._asdict(),
        "n": len(scores),
        "tokenizer": "its own",
    }
