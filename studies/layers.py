"""Layers by number, or by the names that the papers' choices of them have."""

from typing import Literal

from studies.spec import ModelFacts

# By name: every fourth up to the last (`analysed`), or the two of them about a third deep in which
# coefficients are swept (`swept`); in a model of fewer than `SHALLOW` blocks both mean all layers
# (arXiv 2505.13141, sections 3.1 and 5).
Layers = tuple[int, ...] | Literal["analysed", "swept"]
SHALLOW = 16


def named_layers(name: Literal["analysed", "swept"], *, blocks: int) -> tuple[int, ...]:
    """The layers of a model of so many blocks that go by this name."""
    if blocks < SHALLOW:
        return tuple(range(1, blocks + 1))
    analysed = tuple(range(blocks % 4 or 4, blocks + 1, 4))
    if name == "analysed":
        return analysed
    near = [min(analysed, key=lambda layer: abs(layer - depth * blocks)) for depth in (0.25, 0.4)]
    return tuple(dict.fromkeys(near))


def layers_asked(layers: Layers, *, model: ModelFacts) -> tuple[int, ...]:
    """The layers meant, each from 1 to the model's last.

    Raises:
        ValueError: the model has no such layer.
    """
    if isinstance(layers, str):
        return named_layers(layers, blocks=model.layers)
    for layer in layers:
        if not 1 <= layer <= model.layers:
            raise ValueError(
                f"layer {layer} cannot be taken in model {model.label!r}: expected 1 (the first "
                f"block's output) to {model.layers} (the last block's)"
            )
    return layers
