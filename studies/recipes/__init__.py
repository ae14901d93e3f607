"""One study per file: its options, and a function that makes a `Study` of them."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from studies.study import Study

# A study called my-study is the function `study` of studies/recipes/my_study.py.
NAMES = ("neuronxa", "latent-process", "clas", "dali", "generate", "demo")

RECIPES: dict[str, Callable[[Any], Study]] = {
    name: import_module(f"{__name__}.{name.replace('-', '_')}").study for name in NAMES
}
