"""Steering vectors: the mean difference of two sides' activations, and controls made from them.

v(m -> en) = mean over i of h(en_i) - h(m_i), the raw residual stream at the last prompt token
(arXiv 2505.13141). Vectors carry a description of themselves (vector_file.py).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from actors.extraction import vector_file
from actors.extraction.capture import Reading, capture
from actors.extraction.vector_file import About
from actors.model import LoadedModel
from actors.structure.sites import SiteName
from studies.spec import Pooling, digest

# Shapes: N pairs or directions, D width of the site, R rank of the directions' span


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SteeringVectors:
    """One fp32 vector [D] per layer, on the CPU, and what they are."""

    vectors: Mapping[int, Tensor]
    about: About

    def at(self, layer: int) -> Tensor:
        """The vector [D] of one layer."""
        if layer not in self.vectors:
            known = ", ".join(map(str, self.vectors))
            raise ValueError(f"there is no vector for layer {layer}: expected one of {known}")
        return self.vectors[layer]

    def check(self, loaded: LoadedModel, *, other_model: bool = False) -> None:
        """Refuse a model that these vectors do not fit.

        Args:
            loaded: the model to be steered.
            other_model: allow other weights, tokenizer or dtype than they were read from.

        Raises:
            ValueError: the site, a layer or the width is not the model's, or the model is another.
        """
        about, facts = self.about, loaded.facts
        for layer in self.vectors:
            loaded.sites.check(about.site, layer=layer)
        width = loaded.sites.width(about.site)
        if about.width != width:
            raise ValueError(
                f"vectors of {about.model!r} are {about.width} wide and site {about.site!r} of "
                f"{facts.label!r} is {width}: use vectors read from that model"
            )
        if about.identity != facts.identity and not other_model:
            raise ValueError(
                f"vectors were read from {about.model!r} ({about.model_dtype}), other weights, "
                f"tokenizer or dtype than {facts.label!r} ({facts.dtype}): use its own vectors, or "
                "pass other_model=True if that is what you study"
            )

    def content(self) -> bytes:
        """All of it as the content of a safetensors file."""
        return vector_file.pack(self.about, self.vectors)

    def save(self, path: Path | str) -> None:
        """Write a safetensors file; it appears whole or not at all."""
        vector_file.write(Path(path), self.content())


def mean_difference(
    loaded: LoadedModel,
    toward: Sequence[Sequence[int]],
    away: Sequence[Sequence[int]],
    *,
    layers: Sequence[int],
    site: SiteName = "resid_post",
    pooling: Pooling = "last",
    labels: tuple[str, str] = ("", ""),
    ids: Sequence[str] = (),
    seed: int = 0,
) -> SteeringVectors:
    """The mean over pairs of the activation of `toward` minus that of `away`, in fp32.

    Args:
        loaded: the model.
        toward: token ids of the prompts that vectors lead to, prefix included.
        away: those that vectors lead away from; pair i is `toward[i]`, `away[i]`.
        layers: which layers.
        site: which activation.
        pooling: at which token it is read, or over which it is averaged.
        labels: what the two sides are called, toward first (`("eng_Latn", "tur_Latn")`).
        ids: names of the pairs.
        seed: of the halves whose vectors are compared.

    Raises:
        ValueError: the sides differ in number, are empty, or a layer does not exist.
    """
    if len(toward) != len(away):
        raise ValueError(
            f"{len(toward)} prompts to steer toward and {len(away)} away from: give pairs"
        )
    if ids and len(ids) != len(toward):
        raise ValueError(f"{len(ids)} ids for {len(toward)} pairs: give one each, or none")
    if site == "head":
        raise ValueError("site 'head' cannot be steered: nothing follows logits; use 'final_norm'")
    if not layers:
        raise ValueError("no layers to read vectors from: give at least one")
    readings = {
        layer: Reading(site=site, state="raw", pooling=pooling, layer=layer) for layer in layers
    }
    captured = capture(loaded, [*toward, *away], readings.values())
    count = len(toward)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    halves = order[: count // 2], order[count // 2 : count // 2 * 2]
    vectors: dict[int, Tensor] = {}
    reliability: list[float | None] = []
    resid_norms: list[float] = []
    for layer, reading in readings.items():
        read_ND = captured.at(reading).double()
        difference_ND = read_ND[:count] - read_ND[count:]
        vectors[layer] = difference_ND.mean(dim=0).float()
        reliability.append(_cosine(*(difference_ND[half].mean(dim=0) for half in halves)))
        resid_norms.append(float(read_ND[count:].norm(dim=1).mean()))
    facts = loaded.facts
    about = About(
        model=facts.name,
        revision=facts.revision,
        identity=facts.identity,
        model_dtype=facts.dtype,
        site=site,
        pooling=pooling,
        position=vector_file.POSITIONS[pooling],
        operation=vector_file.OPERATION,
        layer_convention=vector_file.LAYERS,
        layers=tuple(vectors),
        width=len(next(iter(vectors.values()))),
        dtype=vector_file.DTYPE,
        toward=labels[0],
        away=labels[1],
        pairs=count,
        ids=tuple(ids),
        data=digest([[list(text) for text in side] for side in (toward, away)]),
        seed=seed,
        norms=vector_file.norms(vectors),
        reliability=tuple(reliability),
        resid_norms=tuple(resid_norms),
    )
    return SteeringVectors(vectors=vectors, about=about)


def load_vectors(path: Path | str) -> SteeringVectors:
    """Read a file that `save` wrote.

    Raises:
        ValueError: it is no such file, is of another version, lacks metadata, or its tensors are
            not what the metadata says; the message names the file.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be read as steering vectors ({error}): give a file that is there"
        ) from error
    try:
        return read_vectors(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_vectors(content: bytes) -> SteeringVectors:
    """The vectors in the content of a file that `save` wrote.

    Raises:
        ValueError: as `load_vectors` does, but for the name.
    """
    about, vectors = vector_file.unpack(content)
    return SteeringVectors(vectors=vectors, about=about)


def random_like(vectors: SteeringVectors, *, seed: int) -> SteeringVectors:
    """Directions drawn at random, of equal norm at every layer: a control."""
    generator = torch.Generator().manual_seed(seed)
    drawn: dict[int, Tensor] = {}
    for layer, vector_D in vectors.vectors.items():
        random_D = torch.randn(len(vector_D), generator=generator, dtype=torch.float64)
        drawn[layer] = (random_D * vector_D.double().norm() / random_D.norm()).float()
    return _changed(vectors, drawn, control=f"random direction of equal norm, seed {seed}")


def orthogonal_to(vectors: SteeringVectors, directions_ND: Tensor) -> SteeringVectors:
    """What is left of the vectors without the span of `directions_ND`: a control.

    With the rows of the head that write the letters of the options, no effect can be their bias.

    Raises:
        ValueError: the directions are of another width, or not finite.
    """
    if directions_ND.ndim != 2 or directions_ND.shape[1] != vectors.about.width:
        raise ValueError(
            f"directions are of shape {list(directions_ND.shape)} and vectors "
            f"{vectors.about.width} wide: give [directions, {vectors.about.width}]"
        )
    if not directions_ND.isfinite().all():
        raise ValueError("directions are not finite (infinite or not a number): give real ones")
    _, sizes_R, basis_RD = torch.linalg.svd(directions_ND.double().cpu(), full_matrices=False)
    if len(sizes_R):  # what fp32 makes of dependent directions is no direction of its own
        basis_RD = basis_RD[sizes_R > 1e-6 * sizes_R.amax()]
    left = {
        layer: (vector_D.double() - vector_D.double() @ basis_RD.T @ basis_RD).float()
        for layer, vector_D in vectors.vectors.items()
    }
    return _changed(vectors, left, control=f"orthogonal to {len(directions_ND)} directions")


def _changed(
    vectors: SteeringVectors, changed: Mapping[int, Tensor], *, control: str
) -> SteeringVectors:
    """A control made from vectors: its norms are its own, and no halves tell its reliability."""
    before = vectors.about.control
    about = replace(
        vectors.about,
        norms=vector_file.norms(changed),
        reliability=(None,) * len(changed),
        control=f"{before}; {control}" if before else control,
    )
    return SteeringVectors(vectors=changed, about=about)


def _cosine(left_D: Tensor, right_D: Tensor) -> float | None:
    """The cosine of two vectors; None for a zero, and for the mean of no pair at all."""
    cosine = float(left_D @ right_D / (left_D.norm() * right_D.norm()))
    return None if math.isnan(cosine) else max(-1.0, min(1.0, cosine))
