"""Tables 1 to 3: base, Int-mu and CLAS by language, the tests over languages, and written answers.

Every number is of items that no strength was chosen on.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import pandas as pd

from analysis.clas import facts, frames, printed
from analysis.clas.facts import text
from analysis.layout import compared, tables
from analysis.layout.exhibit import Exhibit, Note, Show, Table, folded
from analysis.layout.material import Fill, Material, named_by
from analysis.layout.page import Part, Sheet, file_name
from analysis.layout.prose import line
from analysis.published import AVERAGE
from analysis.published_clas import SD
from analysis.results.answers import SERIES
from analysis.results.scaled import ACCURACY, EXACT, F1, F1_MIXED

BY_SERIES = named_by("label", "benchmark", varying=frames.CONDITIONS, within=("label", "benchmark"))
NOT_ANSWERED = text("not_answered")
SHOWN = {
    "table_1": ([ACCURACY], {}),
    "table_2": ([F1, F1_MIXED], {F1_MIXED: ", mixed"}),
}
TESTS = {
    "before": "before", "change": "change", "t": "t", "p": "p", "wilcoxon_p": "wilcoxon_p",
    "boot": "bootstrap",
}  # fmt: skip
SPREAD = {
    "sd_before": "SD before", "sd_after": "SD after", "levene_p": "levene_p",
    "pitman_r": "Pitman r", "pitman_p": "pitman_p",
}  # fmt: skip
HEADS = {
    "n": "languages", "wilcoxon_p": "Wilcoxon p", "levene_p": "Brown-Forsythe p",
    "pitman_p": "Pitman-Morgan p", "p_paper": "paper's p",
}  # fmt: skip


def named(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """A table for people: the model, the benchmark, conditions that vary, then the columns."""
    held = tables.with_label(frame)
    varying = [name for name in frames.CONDITIONS if _varies(held, name)]
    return held[["label", "benchmark", *varying, *columns]]


def _varies(held: pd.DataFrame, name: str) -> bool:
    """Whether one benchmark has several values of a condition."""
    if name not in held or held.empty:
        return False
    return bool(held.groupby(["label", "benchmark"], dropna=False)[name].nunique().max() > 1)


def _joined(material: Material, *, metrics: Sequence[str]) -> pd.DataFrame:
    """Our cells and the printed ones."""
    ours, theirs = material.get(printed.cells), material.get(printed.printed)
    own = ours[ours["metric"].isin(metrics)]
    beside = theirs[theirs["metric"].isin(metrics)]
    # Levels have no interval here: what is compared is the change.
    places = [*SERIES, "metric", "language"]
    joined = compared.join(own, beside, places=places)
    more = own[[*places, "column", "p", "p_bh", "idle", "of"]]
    return joined.merge(more, how="left", on=[*places, "column"])


def _under(cell: compared.Record) -> str:
    """The lines under a value."""
    lines = [compared.under(cell, decimals=2), printed.under(cell)]
    return "\n".join(part for part in lines if part)


def _sheets(material: Material, *, name: str) -> Iterator[Part]:
    """A table per model and benchmark."""
    metrics, ends = SHOWN[name]
    joined = _joined(material, metrics=metrics)
    known = joined[joined["value"].notna() | joined["idle"].eq(True)]
    pages: list[Part] = []
    for said, rows in BY_SERIES(material, known[[*SERIES]].drop_duplicates()):
        own = joined.merge(rows[SERIES])
        heads = [
            f"{head}{ends.get(metric, '')}"
            for metric in metrics
            if own["metric"].eq(metric).any()
            for head in printed.COLUMNS.values()
        ]
        order = {code: (code in (AVERAGE, SD), code == SD, code) for code in own["language"]}
        own = own.sort_values("language", key=lambda column: column.map(order), kind="stable")
        cells = own.assign(
            column=own["column"].map(printed.COLUMNS) + own["metric"].map(ends).fillna("")
        )
        frame, small = compared.wide(
            cells, places=["language"], columns={head: head for head in heads}, value="value",
            under=_under,
        )  # fmt: skip
        shown = [head for head in heads if frame[head].notna().any() or small[head].ne("").any()]
        strength = facts.strength_of(material, rows.iloc[0])
        pages.append(
            Sheet(
                name=file_name(name, said),
                caption=line(text(name), said=said, strength=strength,
                             counted=compared.counted(own), n=int(own["n"].max())),
                frame=frame[["language", *shown]], small=small[shown], decimals=2,
            )
        )  # fmt: skip
    yield from folded(pages)


def _rows_of(material: Material, *, fill: Fill, metrics: Sequence[str]) -> pd.DataFrame:
    """The rows of some metrics of a frame."""
    found = material.get(fill)
    return found[found["metric"].isin(metrics)]


def with_paper(material: Material) -> pd.DataFrame:
    """The tests over languages, with the paper's p of CLAS."""
    found, theirs = material.get(frames.tests), material.get(printed.p_values)
    joined = found.merge(theirs, how="left", on=[*SERIES, "metric"])
    clas = joined["scheme"].eq("clas")
    return joined.assign(p_paper=joined["p_paper"].where(clas).fillna(""))


def _tested(
    found: pd.DataFrame, *, columns: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tests for people."""
    held = found.assign(
        boot=[ends(*pair) for pair in zip(found["boot_low"], found["boot_high"], strict=True)],
        method=found["scheme"].map(frames.METHODS),
        metric=found["metric"].map(frames.METRICS),
    )
    metric = ["metric"] if found["metric"].nunique() > 1 else []
    theirs = ["p_paper"] if "t" in columns and found["p_paper"].ne("").any() else []
    shown = named(held, *metric, "method", "n", *columns, *theirs)
    small = [ends(*pair) for pair in zip(found["low"], found["high"], strict=True)]
    heads = ["change"] if "change" in columns else []
    below = pd.DataFrame(dict.fromkeys(heads, small), index=shown.index)
    return shown.rename(columns=dict(columns)), below


def signed(value: float) -> str:
    """A strength with its sign; 0 has none."""
    return "0" if value == 0 else f"{value:+g}"


def shown_metrics(held: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """The rows of accuracy and both F1; exact match is in the files."""
    return held[found["metric"] != EXACT]


def ends(low: float, high: float) -> str:
    """An interval of changes in points, a dash where there is none."""
    return f"[{low:+.2f}, {high:+.2f}]" if low == low else "–"


def _tables(name: str, metrics: Sequence[str]) -> tuple[Show, ...]:
    """The tables of one exhibit."""
    rows = partial(_rows_of, fill=with_paper, metrics=tuple(metrics))
    return (
        partial(_sheets, name=name),
        Table(
            name=f"{name}_tests", fill=rows, shown=partial(_tested, columns=TESTS),
            keep=f"{name}_over_languages", caption=text("tests"), heads=HEADS,
        ),
        Table(
            name=f"{name}_spread", fill=rows, shown=partial(_tested, columns=SPREAD),
            caption=text("spread"), heads=HEADS,
        ),
        Note(text=text("idle"), facts=partial(facts.idle, metrics=metrics), warning=True),
        Note(text=text("without_neurons"), facts=partial(facts.without_neurons, metrics=metrics)),
    )  # fmt: skip


def _examples(found: pd.DataFrame) -> pd.DataFrame:
    """Table 3 for people."""
    shown = named(found, "language", "item", "right", "before", "after",
                  "value_before", "value_after")  # fmt: skip
    return shown.rename(columns={"value_before": "F1 before", "value_after": "F1 after"})


TABLE_1 = Exhibit(
    name="Table 1", title="accuracy of choices: base, Int-mu and CLAS by language",
    empty=NOT_ANSWERED,
    facts=lambda material: facts.answered(material, [ACCURACY]),
    lacking=text("table_lacking"),
    parts=_tables("table_1", [ACCURACY]),
    files={
        "table_1_beside_the_paper": partial(_joined, metrics=[ACCURACY]),
        "gains_by_language": frames.gains,
    },
)  # fmt: skip
TABLE_2 = Exhibit(
    name="Table 2", title="token F1 of written answers: base, Int-mu and CLAS by language",
    empty=NOT_ANSWERED,
    facts=lambda material: facts.answered(material, [F1, F1_MIXED]),
    lacking=text("table_lacking"),
    parts=_tables("table_2", [F1, F1_MIXED]),
    files={"table_2_beside_the_paper": partial(_joined, metrics=[F1, F1_MIXED])},
)  # fmt: skip
TABLE_3 = Exhibit(
    name="Table 3", title="written answers before and after",
    empty=text("table_3_empty"),
    facts=lambda material: facts.answered(material, [F1]),
    parts=(
        Table(
            name="table_3", fill=frames.examples, shown=_examples, caption=text("table_3"),
            decimals=2,
        ),
    ),
)  # fmt: skip
