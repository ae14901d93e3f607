"""Rows of alignment equal the slow twin in every family, but for signs that rounding decides."""

import json
from collections import Counter
from dataclasses import asdict
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from actors.measures.alignment import chance_of
from actors.work import run_unit
from studies.spec import Cell, Switches
from tests.makers import oracle, oracle_similarity, tiny
from tests.makers.alignment_units import OTHERS, WORDS, bitext, cells, documented, unit
from tests.makers.rounding import of_model, of_sum

pytestmark = pytest.mark.numeric
Activations = dict[tuple[str, int], Tensor]
NEAREST = ("mexa", "nasca", "navca")

SWITCHES = (
    Switches(),
    Switches(include_bos=False, last_layer="raw", nas_site="h", nav_site="act"),
    Switches(nas_order="pool_then_state", sim_features="nas", cka="debiased", anc_abs=True),
)


class Side(NamedTuple):
    """What a cell reads of one language, and how far it may be off.

    Attributes:
        vectors_ND: one vector of every text.
        turned_ND: by how much states that rounding may turn over would change their numbers.
        rounding: how far all the rest is off, as a share of a vector's length.
    """

    vectors_ND: Tensor
    turned_ND: Tensor
    rounding: float

    @property
    def lengths(self) -> Tensor:
        """Those of its vectors [N, 1]."""
        return self.vectors_ND.norm(dim=1, keepdim=True)


def reading_of(cell: Cell, switches: Switches, *, last: int) -> tuple[str, str]:
    """Site and state of a cell, written out."""
    neurons = {"act": "mlp_act", "h": "mlp_hidden"}
    kind = cell.measure
    if kind in ("cka", "svcca", "anc"):
        kind = {"hidden": "mexa", "nas": "nasca", "nav": "navca"}[switches.sim_features]
    if kind == "nasca":
        return neurons[switches.nas_site], "positive"
    if kind == "navca":
        return neurons[switches.nav_site], "magnitude"
    if cell.layer == last and switches.last_layer == "normed":
        return "final_norm", "raw"
    return "resid_post", "raw"


def side_of(
    texts: list[Activations],
    reading: tuple[str, str, str, int],
    *,
    pool_first: bool,
    skip: int,
    rounding: float,
) -> Side:
    """What a reading (site, state, pooling, layer) makes of every text of a language."""
    site, state, pooling, layer = reading
    vectors, turned = [], []
    for found in texts:
        value_TD = found[site, layer]
        token_state = "raw" if pool_first else state
        vector_D = oracle.pool(value_TD, state=token_state, pooling=pooling, skip=skip)
        turned_D = torch.zeros_like(vector_D)
        if state == "positive" and pool_first:
            turned_D = (vector_D.abs() <= rounding * value_TD.abs().max()).float()
        elif state == "positive":
            unsure_TD = oracle.unsure(found, site, layer, relative=rounding)
            turned_D = oracle.pool(unsure_TD.float(), state="raw", pooling=pooling, skip=skip)
        if pool_first and state == "positive":
            vector_D = (vector_D > 0).float()
        elif pool_first and state == "magnitude":
            vector_D = vector_D.abs()
        vectors.append(vector_D)
        turned.append(turned_D)
    # States are 0 or 1 and only their pooling is rounded; all others are as far off as the model.
    if state == "positive":
        rounding = of_sum(max(len(found[site, layer]) for found in texts))
    return Side(torch.stack(vectors).double(), torch.stack(turned).double(), rounding)


def off_by(one: Side, other: Side) -> Tensor:
    """How far the cosines [text, other text] may move by what may be off in `one`.

    A vector v that changes by d moves v.w / |v| by d.w / |v|, and less by what its length changes.
    """
    turned_ND = one.turned_ND / one.lengths
    other_ND = (other.vectors_ND + other.turned_ND) / other.lengths
    longer_ND = turned_ND * one.vectors_ND / one.lengths + turned_ND.square() / 2
    longer_N1 = longer_ND.sum(dim=1, keepdim=True)
    return (turned_ND @ other_ND.T + longer_N1) / (1 - longer_N1) + one.rounding


def nearest(cosine_NN: Tensor, off_NN: Tensor, tied: tuple[Tensor, Tensor]) -> Tensor:
    """Which texts find their partner [forward, backward, both], were it nearer by `off`."""
    own_N = (cosine_NN + off_NN).diagonal()
    others_NN = (cosine_NN - off_NN).fill_diagonal_(-torch.inf)
    forward_N, backward_N = (
        (own_N > others_NN.amax(dim=dim) + oracle.EQUAL) & ~tied_N
        for dim, tied_N in zip((1, 0), tied, strict=True)
    )
    return torch.stack([forward_N, backward_N, forward_N & backward_N])


def repeated(side: Side) -> Tensor:
    """Which vectors stand there twice, and so tie whatever the rounding."""
    same_NN = (side.vectors_ND[:, None] == side.vectors_ND).all(dim=2)
    sure_N = ~side.turned_ND.any(dim=1)
    return (same_NN & sure_N[:, None] & sure_N).sum(dim=1) > 1


def moved(cell: Cell, sides: tuple[Side, Side]) -> float:
    """How far turned states may move a similarity of two languages."""
    if cell.measure == "anc":  # a mean over neurons, each between -1 and 1
        columns_D = sides[0].turned_ND.any(dim=0) | sides[1].turned_ND.any(dim=0)
        return 2 * float(columns_D.float().mean())
    shares = (
        side.turned_ND.norm() / (side.vectors_ND - side.vectors_ND.mean(dim=0)).norm()
        for side in sides
        if side.turned_ND.any()
    )
    return 4 * float(sum(shares))


def expected(cell: Cell, sides: tuple[Side, Side], switches: Switches) -> float:
    """The similarity of a cell by the slow twins."""
    x, y = (side.vectors_ND.numpy() for side in sides)
    if cell.measure == "svcca":
        return oracle_similarity.svcca(x, y, keep=switches.svcca_keep)
    if cell.measure in ("cosine", "cosine_centred"):
        return oracle_similarity.pair_cosine(x, y, centred=cell.measure == "cosine_centred")
    if cell.measure == "anc":
        return oracle_similarity.anc(x, y, absolute=switches.anc_abs)
    slow = oracle_similarity.debiased_cka if switches.cka == "debiased" else oracle_similarity.cka
    return slow(x, y)


@pytest.mark.parametrize(
    ("family", "switches"),
    [
        *((family, switches) for family in tiny.FAMILIES for switches in SWITCHES[:2]),
        *((family, SWITCHES[2]) for family in ("llama", "qwen2", "gemma2", "olmo2")),
    ],
)
def test_alignment_rows_equal_the_slow_twin(family: str, switches: Switches) -> None:
    loaded = tiny.loaded(family)
    wanted = cells(loaded.facts, OTHERS, switches=switches)
    rows = run_unit(loaded, unit(loaded.facts, wanted, switches=switches)).rows
    assert [row["key"] for row in rows] == [cell.key for cell in wanted]
    skip = 0 if switches.include_bos else len(loaded.prefix)
    seen: dict[str, list[Activations]] = {}
    tokens: dict[str, int] = {}
    for language in WORDS:
        ids = loaded.encode(bitext(language).texts, allow_truncation=False).sequences
        seen[language] = [oracle.activations(loaded.model, sequence) for sequence in ids]
        tokens[language] = sum(len(sequence) - len(loaded.prefix) for sequence in ids)
    last = loaded.facts.layers
    rounding = of_model(loaded)

    @cache
    def read(language: str, *reading: Any) -> Side:
        return side_of(
            seen[language],
            reading,
            pool_first=switches.nas_order == "pool_then_state",
            skip=skip,
            rounding=rounding,
        )

    open_: Counter[str] = Counter()
    for row, cell in zip(rows, wanted, strict=True):
        reading = (*reading_of(cell, switches, last=last), cell.pooling, cell.layer)
        sides = (read("eng_Latn", *reading), read(cell.language, *reading))
        assert list(row) == documented("alignment")
        assert json.loads(str(row["switches"])) == asdict(switches)
        assert (row["study"], row["layer"], row["truncated"]) == ("test", cell.layer, 0)
        assert (row["n"], row["pairs"], row["duplicates"]) == (12, "all", 0)
        assert (row["tokens"], row["pivot_tokens"]) == (tokens[cell.language], tokens["eng_Latn"])
        if cell.measure not in NEAREST:
            value, allowed = expected(cell, sides, switches), rounding + moved(cell, sides)
            assert row["value"] == pytest.approx(value, abs=allowed, nan_ok=True), cell
            assert row["ties"] is row["p_null"] is row["margin"] is None
            continue
        left, right = (list(side.vectors_ND) for side in sides)
        cosines = [[oracle.cosine(one, other) for other in right] for one in left]
        cosine_NN = torch.tensor(cosines, dtype=torch.float64)
        off_NN = off_by(*sides) + off_by(*sides[::-1]).T
        tied = repeated(sides[1]), repeated(sides[0])
        surely, perhaps = (nearest(cosine_NN, sign * off_NN, tied).sum(dim=1) for sign in (-1, 1))
        for name, low, high in zip(("forward", "backward", "value"), surely, perhaps, strict=True):
            assert low <= round(row[name] * 12) <= high, (cell, name)
        open_[cell.measure] += int(perhaps[2] - surely[2])
        if surely.equal(perhaps):
            assert (round(row["value"] * 12), row["ties"]) == oracle.alignment(left, right), cell
        assert row["p_null"] == chance_of(round(row["value"] * 12), items=12)
        margin = oracle_similarity.retrieval(left, right)[2]
        allowed = 2 * float(torch.maximum(off_NN.amax(dim=0), off_NN.amax(dim=1)).mean())
        assert row["margin"] == pytest.approx(margin, abs=allowed, nan_ok=True), cell
        assert row["constant"] is None
    cells_of = Counter(cell.measure for cell in wanted)
    for name in NEAREST:
        assert open_[name] < 12 * cells_of[name] / 2, f"rounding may decide {open_[name]} of {name}"
    assert len({row["value"] for row in rows}) > 3
