"""Pictures of vectors: what is near stays near, axes and signs are fixed, draws are seeded."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from actors.measures.projection import lay_out
from actors.work import run_unit
from studies.content import Together
from studies.kinds.alignment import AlignmentGrid
from studies.spec import Cell, Row
from studies.texts import Bitext
from studies.unit import Unit
from tests.makers import oracle, tiny
from tests.makers.rounding import assert_near, of_sum
from tests.makers.units import of_cells

pytestmark = pytest.mark.numeric


def pairs(n: int = 60, *, noise: float = 0.1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(n, 32, generator=generator) * 3
    return torch.cat([first, first + noise * torch.randn(n, 32, generator=generator)])


def test_partners_lie_together_in_a_tsne_picture():
    points = lay_out(pairs(), method="tsne", seed=0)
    assert points.shape == (120, 2)
    nearest = torch.cdist(points[:60], points[60:]).argmin(dim=1)
    assert (nearest == torch.arange(60)).float().mean() > 0.95
    assert torch.equal(points, lay_out(pairs(), method="tsne", seed=0))


def test_pca_finds_the_two_directions_of_most_variance():
    generator = torch.Generator().manual_seed(1)
    plane = torch.randn(50, 2, generator=generator).double() * torch.tensor([9.0, 4.0])
    turn, _ = np.linalg.qr(torch.randn(20, 20, generator=generator).double().numpy())
    inside = torch.nn.functional.pad(plane, (0, 18)) @ torch.from_numpy(turn) + 7
    points = lay_out(inside, method="pca", seed=0)
    # A rotation of the plane at most: all distances are kept.
    exact = "donot_use_mm_for_euclid_dist"  # a product of matrices loses half of the digits
    found, kept = (torch.cdist(one, one, compute_mode=exact) for one in (points, plane))
    assert_near(found, kept, relative=of_sum(20, dtype=torch.float64))
    assert points[:, 0].var() > points[:, 1].var()
    assert (points.max(dim=0).values >= -points.min(dim=0).values).all()


def test_pca_does_not_depend_on_the_sign_of_what_it_is_given():
    vectors = pairs()
    values = lay_out(vectors, method="pca", seed=0), lay_out(vectors + 3, method="pca", seed=1)
    assert torch.allclose(*values, atol=1e-4)


def test_few_vectors_and_flat_ones():
    with pytest.raises(ValueError, match="3 vectors make no picture"):
        lay_out(torch.randn(3, 4), method="pca", seed=0)
    assert torch.equal(lay_out(torch.ones(5, 4), method="pca", seed=0), torch.zeros(5, 2).double())
    assert lay_out(torch.randn(5, 1), method="pca", seed=0)[:, 1].eq(0).all()
    assert lay_out(torch.randn(5, 4), method="tsne", seed=0).isfinite().all()


TEXTS = {
    "eng_Latn": {"q1": "The cat sat.", "q2": "A dog ran home.", "q3": "It rained all day."},
    "deu_Latn": {"q1": "Die Katze sass.", "q2": "Ein Hund lief heim.", "q3": "Es hat geregnet."},
    "rus_Cyrl": {"q2": "пёс бежал домой", "q3": "весь день шёл дождь"},
}


def bitext(language: str) -> Bitext:
    own = TEXTS[language]
    return Bitext(
        dataset="questions/mini",
        language=language,
        pivot="eng_Latn",
        ids=tuple(own),
        pivot_texts=tuple(TEXTS["eng_Latn"][item] for item in own),
        texts=tuple(own.values()),
    )


def picture(bitexts: tuple[Bitext, ...], layers: tuple[int, ...], *, pooling: str) -> Unit:
    facts = tiny.make("gemma2")
    cells = tuple(
        Cell(
            table="points", model=facts.name, revision=facts.revision, language="all",
            scope="scope", dataset="questions/mini", pivot="eng_Latn", measure="mexa",
            pooling=pooling, layer=layer,
        )
        for layer in layers
    )  # fmt: skip
    grid = AlignmentGrid(
        table="points", dataset="questions/mini", languages=("all",), method="pca", together=True
    )
    return of_cells("alignment", grid, facts, (cells, Together(parts=bitexts)))


def drawn(unit: Unit) -> list[Row]:
    return run_unit(tiny.loaded("gemma2"), unit).rows


@pytest.mark.parametrize("pooling", ["last", "average"])
def test_all_languages_lie_in_one_picture_of_each_layer(pooling: str):
    """Against one principal component analysis of all states, one text at a time."""
    loaded = tiny.loaded("gemma2")
    unit = picture((bitext("deu_Latn"), bitext("rus_Cyrl")), (1, 4), pooling=pooling)
    rows = drawn(unit)
    expected = [(language, item) for language, own in TEXTS.items() for item in own]
    for cell, site in zip(unit.cells, ("resid_post", "final_norm"), strict=True):
        found = [row for row in rows if row["key"] == cell.key]
        assert [(row["side"], row["item"]) for row in found] == expected
        assert {(row["language"], row["method"], row["layer"]) for row in found} == {
            ("all", "pca", cell.layer)
        }
        states = []
        for language, item in expected:
            ids = [*loaded.prefix, *loaded.tokenise([TEXTS[language][item]])[0]]
            tokens_TD = oracle.activations(loaded.model, ids)[site, cell.layer]
            states.append(oracle.pool(tokens_TD, state="raw", pooling=pooling).double())
        centred_ND = torch.stack(states) - sum(states) / len(states)
        _, axes = np.linalg.eigh((centred_ND.T @ centred_ND).numpy())
        for name, axis in (("x", axes[:, -1]), ("y", axes[:, -2])):
            along = centred_ND.numpy() @ axis
            along = along if along.max() > -along.min() else -along
            assert [row[name] for row in found] == pytest.approx(along.tolist(), abs=1e-4)
    assert len(rows) == 2 * len(expected)


def test_the_pivot_stands_once_whether_it_is_asked_for_or_not():
    named = picture((bitext("eng_Latn"), bitext("deu_Latn")), (2,), pooling="last")
    unnamed = picture((bitext("deu_Latn"),), (2,), pooling="last")
    assert drawn(named) == drawn(unnamed)
    assert len(drawn(unnamed)) == 6


def test_languages_of_other_texts_make_no_picture():
    other = replace(bitext("rus_Cyrl"), pivot_texts=("A dog ran home.", "Something else."))
    unit = picture((bitext("deu_Latn"), other), (2,), pooling="last")
    with pytest.raises(ValueError, match=r"item 'q3' of 'questions/mini' has two texts in eng"):
        drawn(unit)
