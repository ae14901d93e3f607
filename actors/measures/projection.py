"""Project vectors of parallel texts to two dimensions, for a look and not for measuring.

Pairs that mean the same should lie together: NeuronXA, Figure 1 (t-SNE), and the latent-process
study, Figures 3 and 6 (PCA). Distances in a t-SNE picture have no scale, and far apart says little.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

# Shapes: N texts, D width of a vector

Method = Literal["tsne", "pca"]

PERPLEXITY = 30.0


def lay_out(vectors_ND: Tensor, *, method: Method, seed: int) -> Tensor:
    """Two coordinates [N, 2] for every vector, all in one picture.

    PCA: along the two directions of largest variance; the larger extreme of each is positive, as
    a sign means nothing. t-SNE: by cosine distance from a PCA start, perplexity 30 or a third of
    what there is.

    Raises:
        ValueError: fewer than four vectors, or scikit-learn is needed and not installed.
    """
    if len(vectors_ND) < 4:
        raise ValueError(f"{len(vectors_ND)} vectors make no picture: expected at least 4")
    vectors_ND = vectors_ND.detach().double().cpu()
    return _pca(vectors_ND) if method == "pca" else _tsne(vectors_ND, seed=seed)


def _pca(vectors_ND: Tensor) -> Tensor:
    """The first two principal components."""
    left, size, _ = torch.linalg.svd(vectors_ND - vectors_ND.mean(dim=0), full_matrices=False)
    points = torch.zeros(len(vectors_ND), 2, dtype=torch.float64)
    kept = min(2, left.shape[1])
    points[:, :kept] = left[:, :kept] * size[:kept]
    flip = points.max(dim=0).values < -points.min(dim=0).values
    return points.where(~flip, -points)


def _tsne(vectors_ND: Tensor, *, seed: int) -> Tensor:
    """Scikit-learn's t-SNE, on one thread: a few hundred points gain nothing from more."""
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ValueError("t-SNE needs scikit-learn: pip install scikit-learn") from error
    perplexity = min(PERPLEXITY, (len(vectors_ND) - 1) / 3)
    tsne = TSNE(metric="cosine", init="pca", perplexity=perplexity, random_state=seed)
    with threadpool_limits(1):
        points = tsne.fit_transform(vectors_ND.numpy())
    return torch.from_numpy(np.asarray(points, dtype=np.float64))
