"""Every answer once: of rows that repeat, and of several answers to one cell, which ones count."""

import pandas as pd


def once(frame: pd.DataFrame, *, per: list[str], notes: list[str]) -> pd.DataFrame:
    """Drop repeated answers, and say so where the repeat went by another model's name."""
    repeated = frame[frame.duplicated(per, keep="first")]
    kept = frame.drop_duplicates(per, keep="first").reset_index(drop=True)
    if repeated.empty:
        return kept
    first = kept.drop_duplicates("key").set_index("key")["model"]
    renamed = repeated[repeated["model"] != repeated["key"].map(first)]
    pairs = zip(renamed["model"], renamed["key"].map(first), strict=True)
    for model, same in sorted(set(pairs)):
        notes.append(f"{model} and {same} are the same weights and data: shown once, as {same}.")
    return kept


def most_items(frame: pd.DataFrame, *, cell: list[str], notes: list[str]) -> pd.DataFrame:
    """One answer per cell of a table of items: the one with the most of them."""
    counted = frame.assign(items=frame.groupby("key")["item"].transform("size"))
    return one_answer(counted, cell=cell, size="items", notes=notes).drop(columns="items")


def one_answer(
    frame: pd.DataFrame, *, cell: list[str], size: str, notes: list[str]
) -> pd.DataFrame:
    """Of several answers to one cell (other pairs, limit or dtype) keep the largest, and say so."""
    keys = frame[[*cell, "key", size]].drop_duplicates("key")
    ordered = keys.sort_values(size, kind="stable")
    kept = ordered.drop_duplicates(cell, keep="last")
    if len(kept) == len(keys):
        return frame
    left = keys[~keys["key"].isin(kept["key"])]
    where = ", ".join(sorted(set(left["model"])))
    notes.append(
        f"{len(left)} cells have more than one answer ({where}; other pairs, limit or dtype): the "
        f"one with the most {'pairs' if size == 'n' else 'items'} is shown, the latest if equal."
    )
    return frame[frame["key"].isin(kept["key"])].reset_index(drop=True)
