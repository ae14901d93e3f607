"""Find the function that makes a study: one of the recipes, or one in a user's file.

The one idea: a file of one's own may fail in any way, and whatever it does ends in one sentence
that names the file, and the line where there is one.
"""

import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.stop import Interrupted
from orchestrator.workers import code
from studies.options import Options
from studies.recipes import RECIPES
from studies.spec import Model
from studies.study import Grid, Study

MODULE = "babelscope_recipe"
SHAPE = "FILE.py:function"
MORE = "BABELSCOPE_TRACEBACK=1 shows where"


def study(name: str, options: Options) -> Study:
    """The study that a recipe makes of the options.

    Args:
        name: a recipe's name, or `FILE.py:function` for a function of one's own that takes
            `Options` and returns a `Study`.

    Raises:
        ValueError: there is no such recipe, file or function, or it makes no study.
    """
    if name in RECIPES:
        return RECIPES[name](options)
    path, colon, function = name.rpartition(":")
    if name.endswith(".py") and not colon:
        raise ValueError(f"recipe {name!r} names no function of the file: expected {SHAPE}")
    if not colon or not path.endswith(".py"):
        raise ValueError(
            f"unknown recipe {name!r}: expected one of {', '.join(RECIPES)}, or {SHAPE}"
        )
    make = _function(_module(Path(path)), function, path=path)
    with _in_words(path, what=f"function {function!r} failed"):
        made = make(options)
    return _checked(made, name=name)


def _module(path: Path) -> ModuleType:
    """The user's file, executed; it is known by no name that another module could have."""
    if not path.is_file():
        raise ValueError(f"recipe file {str(path)!r} does not exist: expected {SHAPE}")
    spec = importlib.util.spec_from_file_location(MODULE, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[MODULE] = module
    with _in_words(str(path), what="it cannot be read as Python"):
        spec.loader.exec_module(module)
    return module


def _function(module: ModuleType, name: str, *, path: str) -> Callable[..., Any]:
    """The function of that name, which can be called with the options alone."""
    make: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(make):
        own = [
            each
            for each, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == MODULE and each[0] != "_"
        ]
        found = "is no function" if hasattr(module, name) else "does not exist"
        there = f"the functions there are {', '.join(own)}" if own else "it defines no function"
        raise ValueError(f"recipe file {path!r}: {name!r} {found}; {there}")
    try:
        inspect.signature(make).bind(Options())
    except TypeError as error:
        raise ValueError(
            f"recipe file {path!r}: function {name!r} cannot be called with the options alone "
            f"({error}): expected def {name}(options)"
        ) from error
    return make


@contextmanager
def _in_words(path: str, *, what: str) -> Iterator[None]:
    """Turn whatever a user's file raises into a sentence; our own refusals are one already."""
    try:
        yield
    except (KeyboardInterrupt, Interrupted):
        raise
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        if type(error) is ValueError and _is_ours(Path(frames[-1].filename), path):
            raise
        lines = [frame.lineno for frame in frames if _same(frame.filename, path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        where = f"recipe file {path!r}" + (f", line {line}" if line else "")
        said = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        kind = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise ValueError(f"{where}: {what} ({kind}){_hint(error, path)}; {MORE}") from error


def _is_ours(file: Path, path: str) -> bool:
    """Whether a file is one of this project's, and not the user's."""
    return not _same(str(file), path) and any(
        file.resolve().is_relative_to(folder) for folder in code.folders_here().values()
    )


def _same(file: str, path: str) -> bool:
    """Whether two names are of one file."""
    return Path(file).resolve() == Path(path).resolve()


def _hint(error: BaseException, path: str) -> str:
    """What to do about a module that lies beside the file."""
    name = error.name if isinstance(error, ModuleNotFoundError) and error.name else ""
    beside = Path(path).parent / name.partition(".")[0]
    if name and (beside.with_suffix(".py").is_file() or beside.is_dir()):
        return f": set PYTHONPATH to {beside.parent}, where it lies"
    return ""


def _checked(made: object, *, name: str) -> Study:
    """The study, if what a function returned is one that can be planned."""
    if not isinstance(made, Study):
        what = "nothing" if made is None else f"an object of type {type(made).__name__}"
        raise ValueError(f"{name} returned {what}: expected a studies.study.Study")
    if not isinstance(made.name, str) or not made.name.strip():
        raise ValueError(f"{name}: the study's name is {made.name!r}, expected a text")
    for field, kinds in (("models", (Model,)), ("grids", (Grid,))):
        found = getattr(made, field)
        named = " or ".join(kind.__name__ for kind in kinds)
        if not isinstance(found, tuple) or not found:
            raise ValueError(
                f"{name}: the study's {field} are {_brief(found)}, expected a tuple of at least "
                f"one {named}"
            )
        for each in found:
            if not isinstance(each, kinds):
                raise ValueError(f"{name}: {_brief(each)} is among the study's {field}: "
                                 f"expected {named}")  # fmt: skip
    _check_settings(made.settings, name=name)
    return made


def _check_settings(settings: object, *, name: str) -> None:
    """Refuse settings that run.json cannot hold."""
    try:
        if not isinstance(settings, Mapping):
            raise TypeError(f"found {_brief(settings)}")
        json.dumps(dict(settings))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: the study's settings cannot be kept as JSON ({error}): expected a dict of "
            "texts, numbers, lists and dicts"
        ) from error


def _brief(value: object) -> str:
    """A value short enough for a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
