"""Exhibits of patched answers: what they correct, and what of it is more than copying a symbol."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.dali import frames
from analysis.dali import patch_figures as plots
from analysis.dali import patch_frames as patches
from analysis.dali.patch_figures import NAMES
from analysis.dali.text import BY_SERIES, FEW_FAILURES, MOST_ROWS, text, varying
from analysis.layout import prose, tables
from analysis.layout.exhibit import Exhibit, Note, Plot, Table
from analysis.layout.material import Material
from analysis.layout.prose import short
from analysis.results.patched import MATCHED, PERMUTED, SAME_SYMBOL, SERIES

RATES = {"n_correction": "failures", "n_damage": "successes"}
CHOSEN = {"value": "rule's value", "development": "on the choosing half", "n_failures": "failures",
          "n_successes": "successes"}  # fmt: skip


def _places(frame: pd.DataFrame) -> list[str]:
    """The columns that name a series for people."""
    return ["label", "benchmark", *varying(frame)]


def _marked(frame: pd.DataFrame) -> pd.DataFrame:
    """Layers as texts, the one that says nothing marked."""
    held = tables.with_label(frame)
    marks = np.where(held["uninformative"], " (source's answer)", "")
    return held.assign(layer=held["layer"].astype(str) + marks)


def _ends(frame: pd.DataFrame, name: str) -> list[str]:
    """The interval of a column, as the line below its values."""
    low, high = (frame[f"{name}_{end}"].to_numpy(float) for end in ("low", "high"))
    return [
        f"[{short(a)}, {short(b)}]" if a == a else "" for a, b in zip(low, high, strict=True)
    ]  # fmt: skip


def _rates(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The matched patch by layer, all languages together."""
    held = _marked(found[found["intervention"] == MATCHED])
    columns = [*_places(held), "layer", "n_correction", "correction", "n_damage", "damage", "net",
               "shift", "copied"]  # fmt: skip
    small = {name: _ends(held, name) for name in ("correction", "damage", "net", "shift")}
    return held[columns].reset_index(drop=True), pd.DataFrame(small)


def _chosen(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The layers chosen on half of the items."""
    held = tables.with_label(found)
    layers = [f"{layer:.0f}" if layer == layer else "-" for layer in held["layer"].astype(float)]
    held = held.assign(layer=layers, value_low=held["low"], value_high=held["high"])
    columns = [*_places(held), "language", "rule", "layer"]
    columns += ["n_failures", "correction", "n_successes", "damage", "value", "development"]
    small = pd.DataFrame({"value": _ends(held, "value")})
    return held[columns].reset_index(drop=True), small


def _symbols(found: pd.DataFrame) -> pd.DataFrame:
    """Both hit rates by layer and group of items."""
    held = _marked(found[found["n"] > 0])
    columns = [*_places(held), "items", "layer", "n", "own", "own_plain", "source", "source_plain"]
    return held[columns]


def _contrasts(found: pd.DataFrame) -> pd.DataFrame:
    """Matched less same symbol, by layer."""
    held = _marked(found[found["control"] == SAME_SYMBOL])
    columns = [*_places(held), "layer", "n", "difference", "low", "high", "gained", "lost", "p"]
    return held[[*columns, "p_bh"]].rename(columns={"p_bh": "bh_p"})


def _single_contrasts(material: Material) -> pd.DataFrame:
    """McNemar's tests of single languages, the matched patch less one with the same symbol."""
    found = material.get(patches.SINGLE["contrasts"])
    if found.empty:
        return found
    return found[(found["control"] == SAME_SYMBOL) & (found["n"] > 0)]


def _by_language(found: pd.DataFrame) -> pd.DataFrame:
    """The same with languages."""
    held = _marked(found)
    columns = [*_places(held), "language", "layer", "n", "difference", "gained", "lost", "p"]
    return held[[*columns, "p_bh"]].rename(columns={"p_bh": "bh_p"})


def _maps(material: Material) -> pd.DataFrame:
    """The matched patch by language, where a language has failures and successes."""
    found = material.get(patches.SINGLE["rates"])
    if found.empty:
        return found
    return found[(found["intervention"] == MATCHED) & found["net"].notna()]


def _without(material: Material) -> Mapping[str, object] | None:
    """Languages without failures, by series, and kinds of patch that were not made."""
    found = material.get(patches.SINGLE["chosen"])
    if found.empty:
        return None
    own = found[found["rule"] == patches.NET]
    rows = []
    for _, group in own.groupby(SERIES, sort=True):
        none = list(group.loc[group["failures"] == 0, "language"])
        few = group[(group["failures"] > 0) & (group["failures"] < FEW_FAILURES)]
        if none or len(few):
            first = group.iloc[0].to_dict()
            rows.append({
                "on": prose.on(first), "none": none, "few": list(few["language"]),
                "of": len(group), "least": FEW_FAILURES,
            })  # fmt: skip
    return {"rows": rows} if rows else None


def _figure(
    name: str, make: str, draw: Callable[[Material, pd.DataFrame, str], Figure], *known: str
) -> Plot:
    """A figure per series, all languages together, where one of some columns has a number."""
    return Plot(
        name=name, fill=frames.known(patches.TOGETHER[make], *known), by=BY_SERIES, draw=draw,
        caption=text(name), facts=_numbers,
    )  # fmt: skip


def _numbers(rows: pd.DataFrame) -> Mapping[str, object]:
    """The layers that a figure is of."""
    return {"marked": bool(rows["uninformative"].any()), "layers": rows["layer"].nunique()}


def _lacking(material: Material, *, kinds: Sequence[str]) -> Mapping[str, object]:
    """Which kinds of patch were not made, and whether any was."""
    found = material.get(patches.rates)
    there = set(found["intervention"]) if len(found) else set()
    return {"patched": bool(there), "kinds": [name for name in kinds if name not in there]}


CORRECTION = Exhibit(
    name="Patching", title="do wrong answers turn right with states of the pivot?",
    empty=text("no_patching"), lacking=text("patching_lacking"),
    facts=lambda material: _lacking(material, kinds=list(NAMES)),
    parts=(
        Note(text=text("protocol")),
        _figure("patching", "rates", plots.draw_rates, "correction", "damage"),
        Note(text=text("without_failures"), facts=_without),
        Table(
            name="patching_layers", fill=patches.TOGETHER["rates"], shown=_rates,
            keep="patching_all", caption=text("patching_layers"), heads=RATES, most=MOST_ROWS,
        ),
        Table(
            name="patching_chosen", fill=patches.TOGETHER["chosen"], shown=_chosen,
            caption=text("patching_chosen"), keep="patching_chosen_all", heads=CHOSEN,
        ),
        Plot(
            name="patching_languages", fill=_maps, by=BY_SERIES, draw=plots.draw_map, few=0,
            caption="{{ said }}: correction less damage of the matched patch, by language.",
            fold="Every language by layer, {{ count }} heat maps",
        ),
        Table(
            name="patching_chosen_languages", fill=patches.SINGLE["chosen"], shown=_chosen,
            caption="The same in every language: {{ rows }} rows",
            heads=CHOSEN, most=0,
        ),
    ),
    files={"patching_by_language": patches.SINGLE["rates"]},
)  # fmt: skip
SYMBOLS = Exhibit(
    name="Concept or symbol", title="the right option, or the symbol that is right in the source?",
    empty=text("no_symbols"), facts=lambda material: _lacking(material, kinds=[PERMUTED]),
    parts=(
        _figure("patching_symbols", "symbols", plots.draw_symbols, "own"),
        Table(
            name="symbols", fill=patches.TOGETHER["symbols"], shown=_symbols,
            caption=text("symbols"), heads={
                "own": "own right option", "own_plain": "plain: own", "source": "source's symbol",
                "source_plain": "plain: that symbol",
            },
            most=MOST_ROWS,
        ),
    ),
    files={"patching_symbols": patches.symbols},
)  # fmt: skip
CONTRASTS = Exhibit(
    name="Against controls", title="does the same question correct more than other states?",
    empty=text("no_contrasts"), facts=lambda material: _lacking(material, kinds=[SAME_SYMBOL]),
    parts=(
        _figure("patching_contrasts", "contrasts", plots.draw_contrasts, "difference"),
        Table(
            name="contrasts", fill=patches.TOGETHER["contrasts"], shown=_contrasts,
            caption=text("contrasts"), heads={"n": "failures", "bh_p": "q"}, most=MOST_ROWS,
        ),
        Table(
            name="contrasts_languages", fill=_single_contrasts, shown=_by_language,
            keep="contrasts_by_language", caption=text("contrasts_languages"),
            heads={"n": "failures", "bh_p": "q"}, most=0,
        ),
    ),
    files={"patching_contrasts": patches.contrasts},
)  # fmt: skip
PARTS = (CORRECTION, SYMBOLS, CONTRASTS)
