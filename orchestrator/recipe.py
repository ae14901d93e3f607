"""Find a study by name: one of the recipes, or a function in a file of the user's.

Such a file may fail in any way; whatever it does ends in one sentence that names the file, and the
line where there is one.
"""

import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.signals import Interrupted
from orchestrator.workers import code
from studies.flags import Options, bound_flags
from studies.options import Common
from studies.recipes import RECIPES
from studies.spec import Model
from studies.study import Grid, Study
from studies.values import meant, unknown

MODULE = "babelscope_recipe"
SHAPE = "FILE.py:function"
MORE = "BABELSCOPE_TRACEBACK=1 shows where"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A study by name, the options it reads, and what makes it of them.

    `path` is the user's file that it stands in, "" for one of the project's; `about` says in one
    sentence what it asks, and `example` are flags of a command line.
    """

    name: str
    options: type[Options]
    function: Callable[..., Any]
    path: str = ""
    about: str = ""
    example: str = ""

    def study(self, options: Options) -> Study:
        """The study of these options.

        Raises:
            ValueError: an option is refused, or a function of the user's makes no study.
        """
        if not self.path:
            made: Study = self.function(options)
            return made
        arguments = (options,) if inspect.signature(self.function).parameters else ()
        with _in_words(self.path, what=f"function {self.name.rpartition(':')[2]!r} failed"):
            made = self.function(*arguments)
        return _checked(made, name=self.name)


def find(name: str) -> Recipe:
    """The recipe of that name: one of `RECIPES`, or `FILE.py:function`.

    A function takes nothing, or its options: those that its parameter is annotated with, a
    dataclass derived from `studies.flags.Options`, or without an annotation the common ones.

    Raises:
        ValueError: there is no such recipe, file or function, or its options are none.
    """
    if name in RECIPES:
        function = RECIPES[name]
        (parameter,) = inspect.signature(function).parameters.values()
        module = sys.modules[function.__module__]
        return Recipe(
            name=name,
            options=parameter.annotation,
            function=function,
            about=first_line(module),
            example=getattr(module, "EXAMPLE", ""),
        )
    path, colon, function_name = name.rpartition(":")
    if name.endswith(".py") and not colon:
        raise ValueError(f"recipe {name!r} names no function of the file: expected {SHAPE}")
    if not colon or not path.endswith(".py"):
        raise unknown("recipe", name, known=RECIPES, others=f", {SHAPE} or FILE.toml")
    found = _function(_module(Path(path)), function_name, path=path)
    options = _options(found, name=function_name, path=path)
    return Recipe(name=name, options=options, function=found, path=path, about=first_line(found))


def first_line(documented: object) -> str:
    """The first line of a docstring, "" where there is none."""
    return (inspect.getdoc(documented) or "").partition("\n")[0]


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
        raise ValueError(f"recipe file {path!r}: {name!r} {found}; {there}{meant(name, own)}")
    return make


def _options(function: Callable[..., Any], *, name: str, path: str) -> type[Options]:
    """The options that a function of the user's takes."""
    where = f"recipe file {path!r}: function {name!r}"
    with _in_words(path, what=f"the annotations of {name!r} cannot be read"):
        signature = inspect.signature(function, eval_str=True)
    parameters = list(signature.parameters.values())
    if not parameters:
        return Common
    try:
        signature.bind(Common())
    except TypeError as error:
        raise ValueError(
            f"{where} cannot be called with the options alone ({error}): expected def {name}() or "
            f"def {name}(options)"
        ) from error
    kind = parameters[0].annotation
    if kind is inspect.Parameter.empty:
        return Common
    if not (isinstance(kind, type) and issubclass(kind, Options)):
        raise ValueError(
            f"{where} takes {_brief(kind)}: expected a dataclass derived from "
            "studies.options.Common, or no annotation"
        )
    if "__dataclass_params__" not in vars(kind):
        raise ValueError(
            f"recipe file {path!r}: the options {kind.__name__} are no dataclass of their own: "
            "write @dataclass(frozen=True, kw_only=True) above the class"
        )
    try:
        bound_flags(kind)
        kind()
    except Exception as error:
        said = " ".join(str(error).split())
        raise ValueError(f"recipe file {path!r}: the options {kind.__name__}: {said}") from error
    return kind


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
    for field, kind in (("models", Model), ("grids", Grid)):
        found = getattr(made, field)
        if not isinstance(found, tuple) or not found:
            raise ValueError(
                f"{name}: the study's {field} are {_brief(found)}, expected a tuple of at least "
                f"one {kind.__name__}"
            )
        for each in found:
            if not isinstance(each, kind):
                raise ValueError(
                    f"{name}: {_brief(each)} is among the study's {field}: expected {kind.__name__}"
                )
    try:
        if not isinstance(made.settings, Mapping):
            raise TypeError(f"found {_brief(made.settings)}")
        json.dumps(dict(made.settings))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: the study's settings cannot be kept as JSON ({error}): expected a dict of "
            "texts, numbers, lists and dicts"
        ) from error
    return made


def _brief(value: object) -> str:
    """A value short enough for a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
