"""Pictures of vectors: what is near stays near, axes and signs are fixed, draws are seeded."""

import numpy as np
import pytest
import torch

from actors.points import lay_out


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
    assert torch.allclose(torch.cdist(points, points), torch.cdist(plane, plane))
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
