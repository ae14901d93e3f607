"""One study per file: a function that takes the command line's options and returns a `Study`."""

from collections.abc import Callable

from studies.options import Options
from studies.recipes import demo, generate, latent_process, neuronxa
from studies.study import Study

__all__ = ["RECIPES"]

RECIPES: dict[str, Callable[[Options], Study]] = {
    "neuronxa": neuronxa.study,
    "latent-process": latent_process.study,
    "generate": generate.study,
    "demo": demo.study,
}
