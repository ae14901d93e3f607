"""The file of steering vectors: safetensors, with metadata that describe the vectors.

Vectors are easy to mistake: one layer off, added where they should be projected, read at another
token, from another model. So a file says all of it, and one that contradicts itself is refused.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from actors.extraction.described import Form
from actors.structure.sites import SiteName
from studies.spec import Pooling

# Shapes: D width of the site

OPERATION = "add"
LAYERS = "1-based: output of block k; 0 = embeddings"
DTYPE = "float32"
POSITIONS: Mapping[Pooling, str] = {
    "last": "last token of the prompt",
    "average": "mean over all tokens",
    "weighted": "mean over all tokens, weighted by place",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Everything a file of vectors says of itself; one entry of `norms` and the like per layer.

    `model`, `revision` and `identity` are those of the model they were read from, in `model_dtype`;
    `toward` and `away` label the two sides (languages); `data` digests their token ids, and `ids`
    names the pairs. `reliability` is the cosine of the vectors of two halves of the pairs, drawn
    with `seed`; None where it is undefined. `resid_norms` are the mean lengths of the states that
    vectors are added to, those of the side steered away from. `control` is empty for the real
    thing.
    """

    model: str
    revision: str
    identity: str
    model_dtype: str
    site: SiteName
    pooling: Pooling
    position: str
    operation: str
    layer_convention: str
    layers: tuple[int, ...]
    width: int
    dtype: str
    toward: str
    away: str
    pairs: int
    ids: tuple[str, ...]
    data: str
    seed: int
    norms: tuple[float, ...]
    reliability: tuple[float | None, ...]
    resid_norms: tuple[float, ...]
    control: str = ""


FORM = Form(
    format="babelscope steering vectors", version="2", record=About, noun="steering vectors"
)


def norms(vectors: Mapping[int, Tensor]) -> tuple[float, ...]:
    """The Euclidean norm of every vector, as `About` carries it."""
    return tuple(float(vector_D.double().norm()) for vector_D in vectors.values())


def pack(about: About, vectors: Mapping[int, Tensor]) -> bytes:
    """Vectors [D] per layer as the content of a safetensors file."""
    return FORM.pack(about, {str(layer): vector_D for layer, vector_D in vectors.items()})


def unpack(content: bytes) -> tuple[About, dict[int, Tensor]]:
    """What `pack` made.

    Raises:
        ValueError: it is no such content, is of another version, lacks metadata, or its tensors
            are not what the metadata says.
    """
    about, tensors = FORM.unpack(content)
    fixed = {"operation": OPERATION, "layer_convention": LAYERS, "dtype": DTYPE}
    fixed["position"] = POSITIONS.get(about.pooling, f"that of pooling {about.pooling!r}")
    for name, expected in fixed.items():
        if getattr(about, name) != expected:
            raise ValueError(
                f"metadata {name!r} is {getattr(about, name)!r}: expected {expected!r}"
            )
    return about, _vectors(about, tensors)


def write(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _vectors(about: About, tensors: Mapping[str, Tensor]) -> dict[int, Tensor]:
    """A file's tensors by layer, if they are what the metadata says."""
    for name in ("layers", "norms", "reliability", "resid_norms"):
        value = getattr(about, name)
        if not isinstance(value, tuple) or len(value) != len(tensors):
            raise ValueError(
                f"metadata {name!r} is {value!r} for {len(tensors)} vectors: expected one each"
            )
    if {str(layer) for layer in about.layers} != set(tensors):
        raise ValueError(
            f"vectors of layers {', '.join(sorted(tensors))} and metadata of layers "
            f"{', '.join(map(str, about.layers))}: expected the same"
        )
    for layer, norm in zip(about.layers, about.norms, strict=True):
        vector_D = tensors[str(layer)]
        if vector_D.dtype != torch.float32 or list(vector_D.shape) != [about.width]:
            raise ValueError(
                f"the vector of layer {layer} is {vector_D.dtype} {list(vector_D.shape)}: expected "
                f"float32 [{about.width}], as the metadata says"
            )
        if not vector_D.isfinite().all():
            raise ValueError(
                f"the vector of layer {layer} is not finite (infinite or not a number): make the "
                "vectors again"
            )
        found = float(vector_D.double().norm())
        if not math.isclose(found, norm, rel_tol=1e-6, abs_tol=1e-12):
            raise ValueError(
                f"the vector of layer {layer} has norm {found:g} and the metadata say {norm:g}: it "
                "was changed after it was saved, make the vectors again"
            )
    return {layer: tensors[str(layer)] for layer in about.layers}
