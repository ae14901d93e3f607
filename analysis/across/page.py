"""The exhibits of questions between papers: each one figure and one test, or what rows it needs."""

from collections.abc import Mapping
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from analysis.across import frames
from analysis.dali.steering import POINTING, STEERING
from analysis.figures import curves, scatter
from analysis.figures.drawing import BLUE, ORANGE
from analysis.layout import prose, tables
from analysis.layout.exhibit import Exhibit, Note, Plot, Table
from analysis.layout.material import Material, named_by
from analysis.statistics.scores import LEVEL

text = partial(prose.Block, "across.jinja")
LOOKS = {
    frames.NASCA: curves.Look("NASCA of sentences", BLUE, "-", "o"),
    "dali": curves.Look("DALI of options", ORANGE, "--", "s"),
}


def draw_ratios(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Log ratio against excess transfer, a point per language."""
    return scatter.scatter(
        [_panel(said, rows, "log_ratio", "excess_in")], name="",
        x="log ratio of native and pivot texts, middle half of the layers",
        y="excess incoming transfer",
    )  # fmt: skip


def draw_failures(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Both correlations with failures of transfer by layer."""
    panel = curves.Panel(
        title="with the share of failures", x="layer", y="Pearson's r over languages", zero=True,
        lines=curves.lines_of(rows, line="x", looks=LOOKS, y="r", most=(-1, 1)),
    )  # fmt: skip
    return curves.curves(
        [panel], name=said, key="right", inches=(3.8, 2.8), seen="band: 95 % (Fisher)"
    )


def draw_gains(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Gains against the change of alignment, and against the shift of the labels."""
    return scatter.scatter(
        [_panel("change of the cosine", rows, "change", "gain"),
         _panel("shift of the options' shares", rows, "shift", "gain")],
        name=said, x="change, by language", y="gain, points",
    )  # fmt: skip


def _panel(said: str, rows: pd.DataFrame, x: str, y: str) -> scatter.Panel:
    """One scatter plot of languages."""
    return scatter.Panel(
        title=said, x=rows[x].to_numpy(float), y=rows[y].to_numpy(float),
        names=list(rows["language"]), fit="line" if rows[x].nunique() > 2 else "",
    )  # fmt: skip


def _shown(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tests for people: what was asked and varies, the estimate, its p."""
    held = tables.with_label(found).rename(columns={"p_corrected": "q_p"})
    asked = held.columns[: list(held.columns).index("estimate")]
    dull = {"model", "revision", "label", "benchmark"}
    dull |= {name for name in ("switches", "scored") if name in held and held[name].nunique() < 2}
    places = ["label", "benchmark", *(one for one in asked if one not in dull)]
    more = [name for name in ("given", "first_r", "second_r") if name in held.columns]
    ends = [
        f"[{low:+.2f}, {high:+.2f}]" if low == low else ""
        for low, high in zip(held["low"], held["high"], strict=True)
    ]
    columns = list(dict.fromkeys([*places, *more, "test", "n", "estimate", "p", "q_p"]))
    return held[columns].reset_index(drop=True), pd.DataFrame({"estimate": ends})


def _counted(material: Material, *, fill: str) -> Mapping[str, object] | None:
    """How many tests there are, how many are clear, and the clearest."""
    found = material.get(getattr(frames, fill))
    known = found[found["p"].notna()] if len(found) else found
    if known.empty:
        return None
    best = known.nsmallest(1, "p").iloc[0].to_dict()
    return {"tests": len(known), "clear": int((known["p_corrected"] < LEVEL).sum()),
            "best": best, "on": prose.on(best)}  # fmt: skip


def _exhibit(name: str, title: str, *, of: str, plot: Plot, tests: str) -> Exhibit:
    """A question: its finding, figure and test."""
    return Exhibit(
        name=name, title=title, empty=text(f"no_{of}"),
        parts=(
            Note(text=text(f"{of}_read"), facts=partial(_counted, fill=tests)),
            plot,
            Table(
                name=f"{of}_tests", fill=getattr(frames, tests), shown=_shown,
                caption=text(f"{of}_tests"), heads={"q_p": "p, Holm", "n": "languages"}, most=30,
            ),
        ),
        files={f"{of}_points": getattr(frames, of)},
    )  # fmt: skip


RATIOS = _exhibit(
    "Log ratio and transfer", "does the log ratio explain excess transfer?",
    of="ratios", tests="ratio_tests",
    plot=Plot(
        name="ratio_transfer", fill=frames.ratios, draw=draw_ratios, size="half",
        by=named_by("label", "benchmark", varying=("pivot", "prompt", "output_prompt", "switches")),
        caption="{{ said }}: log ratio against excess transfer, a point per language.",
    ),
)  # fmt: skip
FAILURES = _exhibit(
    "Two kinds of alignment", "does NASCA predict failures of transfer better than DALI?",
    of="failures", tests="failure_tests",
    plot=Plot(
        name="failure_curves", fill=frames.failure_curves, draw=draw_failures,
        by=named_by(
            "label", "benchmark", varying=("prompt", "pivot", "switches", *frames.SCORED)
        ),
        caption="{{ said }}: correlation over languages of both kinds of alignment with the share "
        "of failures of transfer, by layer.",
    ),
)  # fmt: skip
GAINS = _exhibit(
    "What gains follow", "do gains of CLAS follow alignment, or the labels?",
    of="gains", tests="gain_tests",
    plot=Plot(
        name="gain_causes", fill=frames.gains, draw=draw_gains,
        by=named_by(
            "label", "benchmark", varying=("prompt", "pivot", "switches", "metric", "site")
        ),
        caption="{{ said }}: gains against both, a point per language.",
    ),
)  # fmt: skip
EXHIBITS = (RATIOS, FAILURES, GAINS, STEERING, POINTING)
