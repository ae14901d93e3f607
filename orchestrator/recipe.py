"""Find the function that makes a study: one of the recipes, or one in a user's file."""

import importlib.util
from pathlib import Path

from studies.options import Options
from studies.recipes import RECIPES
from studies.study import Study


def study(name: str, options: Options) -> Study:
    """The study that a recipe makes of the options.

    Args:
        name: a recipe's name, or `FILE.py:function` for a function of one's own that takes
            `Options` and returns a `Study`.

    Raises:
        ValueError: there is no such recipe, file or function.
    """
    if name in RECIPES:
        return RECIPES[name](options)
    path, colon, function = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise ValueError(
            f"unknown recipe {name!r}: expected one of {', '.join(RECIPES)}, or FILE.py:function"
        )
    if not Path(path).is_file():
        raise ValueError(f"recipe file {path!r} does not exist: expected FILE.py:function")
    spec = importlib.util.spec_from_file_location("babelscope_recipe", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    make = getattr(module, function, None)
    if not callable(make):
        raise ValueError(f"recipe file {path!r} has no function {function!r}: check its name")
    result = make(options)
    if not isinstance(result, Study):
        raise ValueError(f"{name} returned {type(result).__name__}: expected a studies.spec.Study")
    return result
