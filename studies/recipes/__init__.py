"""One study per file: its options, and a function that makes a `Study` of them."""

from collections.abc import Callable
from typing import Any

from studies.recipes import demo, generate, latent_process, neuronxa
from studies.study import Study

__all__ = ["RECIPES"]

RECIPES: dict[str, Callable[[Any], Study]] = {
    "neuronxa": neuronxa.study,
    "latent-process": latent_process.study,
    "generate": generate.study,
    "demo": demo.study,
}
