"""Rows of alignment equal the slow twin in every family, but for signs that rounding decides."""

import json
from dataclasses import asdict

import pytest
import torch
from torch import Tensor

from actors.alignment import chance_of
from actors.work import run_unit
from studies.spec import (
    Cell,
    Switches,
)
from tests import oracle, oracle_similarity, tiny
from tests.alignment_units import OTHERS, WORDS, bitext, cells, documented, unit
from tests.rounding import of_model

Activations = dict[tuple[str, int], Tensor]

SWITCHES = (
    Switches(),
    Switches(include_bos=False, last_layer="raw", nas_site="h", nav_site="act"),
    Switches(nas_order="pool_then_state", sim_features="nas", cka="debiased", anc_abs=True),
)


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


def pooled(found: Activations, cell: Cell, switches: Switches, *, skip: int, last: int):
    """One text's vector for a cell."""
    site, state = reading_of(cell, switches, last=last)
    assert cell.pooling and cell.layer is not None
    if switches.nas_order == "state_then_pool" or state == "raw":
        return oracle.pool(found[site, cell.layer], state=state, pooling=cell.pooling, skip=skip)
    vector = oracle.pool(found[site, cell.layer], state="raw", pooling=cell.pooling, skip=skip)
    return (vector > 0).float() if state == "positive" else vector.abs()


def flips(
    found: Activations,
    vector_D: Tensor,
    cell: Cell,
    switches: Switches,
    *,
    skip: int,
    last: int,
    near: float,
) -> float:
    """What share of a text's vector states so close to zero make up that either sign is right."""
    site, state = reading_of(cell, switches, last=last)
    if state != "positive":
        return 0.0
    assert cell.pooling and cell.layer is not None
    value_TD = found[site, cell.layer]
    if switches.nas_order == "pool_then_state":
        value_TD = oracle.pool(value_TD, state="raw", pooling=cell.pooling, skip=skip)[None]
        skip = 0
    turned_TD = value_TD.abs() <= near * max(1.0, float(value_TD.abs().max()))
    if not turned_TD.any():
        return 0.0
    turned_D = oracle.pool(turned_TD.float(), state="raw", pooling=cell.pooling, skip=skip)
    return float(turned_D.norm() / vector_D.norm().clamp(min=1e-9))


def undecided(left: list[Tensor], right: list[Tensor], *, near: float) -> int:
    """How many texts have a rival so close to their partner, in either direction."""
    cosines = torch.tensor([[oracle.cosine(one, other) for other in right] for one in left])
    own_N = cosines.diagonal()
    rivals = cosines - torch.diag(torch.full_like(own_N, torch.inf))
    close = (own_N[:, None] - rivals).abs().min(dim=1).values <= near
    return int((close | ((own_N[None] - rivals).abs().min(dim=0).values <= near)).sum())


def expected(cell: Cell, left: list[Tensor], right: list[Tensor], switches: Switches) -> float:
    """The value of a cell by the slow twins."""
    if cell.measure in ("mexa", "nasca", "navca"):
        return oracle.alignment(left, right)[0] / len(left)
    x, y = (torch.stack(side).double().numpy() for side in (left, right))
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
    for row, cell in zip(rows, wanted, strict=True):
        sides = [seen[language] for language in ("eng_Latn", cell.language)]
        left, right = (
            [pooled(found, cell, switches, skip=skip, last=last) for found in side]
            for side in sides
        )
        assert list(row) == documented("alignment")
        assert json.loads(str(row["switches"])) == asdict(switches)
        assert (row["study"], row["layer"], row["truncated"]) == ("test", cell.layer, 0)
        assert (row["n"], row["pairs"], row["duplicates"]) == (12, "all", 0)
        assert (row["tokens"], row["pivot_tokens"]) == (tokens[cell.language], tokens["eng_Latn"])
        turned = max(
            flips(found, vector_D, cell, switches, skip=skip, last=last, near=rounding)
            for side, vectors in zip(sides, (left, right), strict=True)
            for found, vector_D in zip(side, vectors, strict=True)
        )
        value = expected(cell, left, right, switches)
        if cell.measure not in ("mexa", "nasca", "navca"):
            near = pytest.approx(value, abs=rounding + 10 * turned, nan_ok=True)
            assert row["value"] == near, cell
            assert row["ties"] is row["p_null"] is row["margin"] is None
            continue
        # A turned state moves either cosine of a comparison by that share of a vector at most.
        moved = 4 * turned
        open_ = undecided(left, right, near=rounding + 2 * moved) if turned else 0
        count, ties = oracle.alignment(left, right)
        assert abs(row["value"] * 12 - count) <= open_ + 1e-9, cell
        assert row["ties"] == ties or open_, cell
        assert row["p_null"] == chance_of(round(row["value"] * 12), items=12)
        forward, backward, margin = oracle_similarity.retrieval(left, right)
        assert abs(row["forward"] - forward) * 12 <= open_ + 1e-9
        assert abs(row["backward"] - backward) * 12 <= open_ + 1e-9
        assert row["margin"] == pytest.approx(margin, abs=rounding + moved, nan_ok=True)
        assert row["constant"] is None
    assert len({row["value"] for row in rows}) > 3
