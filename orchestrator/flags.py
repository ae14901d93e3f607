"""The command line, made from options dataclasses: a study's own flags, and where and how it runs.

What a flag means and how its value is read is said by the dataclasses (`studies/flags.py`); here it
becomes a command of typer, with help, completion and refusals in one sentence.
"""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperCommand

from orchestrator import recipe, study_file
from orchestrator.options import Planning, Running, Where
from orchestrator.recipe import Recipe
from studies.flags import BoundFlag, Given, Options, by_flag, read
from studies.recipes import RECIPES
from studies.values import blank, meant, once, quoted

SUFFIX = ".toml"
LONGEST_METAVAR = 30
WHICH = f"{', '.join(RECIPES)}, FILE.py:function, or a study file FILE.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A study as it was asked for: its recipe and options, where it runs, and all that was given,
    by flag; `words` are those of a command line that gives the same, if a study file gave some.
    """

    recipe: Recipe
    options: Options
    where: Where
    given: Mapping[str, Given]
    words: list[str] | None = None

    @property
    def study_file(self) -> str:
        """The study file that repeats this."""
        own = by_flag(self.recipe.options) | by_flag(Where)
        given = {name: value for name, value in self.given.items() if name in own}
        return study_file.text(self.recipe.name, given)


def recorded(words: list[str], *, app: typer.Typer) -> Request:
    """What the command of an app asked for that made a run, from its words.

    Raises:
        ValueError: it is not a command of this version that makes runs.
    """
    command = typer.main.get_command(app)
    own = getattr(command, "commands", {}).get(words[0])
    said = f"the run's command {' '.join(words)!r}"
    if not isinstance(own, StudyCommand) or isinstance(own, PlanCommand):
        raise ValueError(f"{said} is not one of this version, so its texts cannot be read again")
    try:
        found = own.make_context(words[0], words[1:]).obj
    except ValueError as error:
        raise ValueError(f"{said} cannot be read again: {error}") from error
    assert isinstance(found, Request)
    return found


class Strict(TyperCommand):
    """A command whose flags and arguments are neither empty nor given twice.

    Of a flag that is given twice the last would otherwise count, and nothing would say so. Of those
    in `verbatim` a value may be nothing but spaces or line breaks.
    """

    verbatim: Collection[str] = ()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse what is unknown, empty or repeated, then read the line as usual.

        Raises:
            ValueError: something is.
        """
        if not ctx.resilient_parsing:
            self.given(ctx, args)
        return super().parse_args(ctx, args)

    def given(self, ctx: Any, args: list[str]) -> dict[str, Given]:
        """What is given, by flag: texts, or whether a flag without a value is set."""
        try:
            values, extra, order = self.make_parser(ctx).parse_args(args=list(args))
        except Exception as error:
            # Names and places of these errors differ between versions of typer.
            if type(error).__name__ == "NoSuchOption":
                raise ValueError(self.no_such_flag(str(error.option_name))) from error  # type: ignore[attr-defined]
            if hasattr(error, "format_message"):
                raise ValueError(str(error.format_message()).rstrip(".")) from error
            raise
        if extra:
            raise ValueError(f"{self.name} takes no {quoted(extra[0])}: leave it out")
        found: dict[str, Given] = {}
        for parameter in dict.fromkeys(order):
            value = values.get(str(parameter.name))
            texts = [each for each in _many(value) if isinstance(each, str)]
            is_flag = parameter.param_type_name == "option"
            what = parameter.opts[0] if is_flag else str(parameter.name)
            for text in texts:
                if text == "" or (blank(text) and what not in self.verbatim):
                    raise ValueError(f"{what} {text!r} is empty: give a value, or leave it out")
            if not is_flag:
                once(texts, parameter.metavar or what)
            elif not getattr(parameter, "multiple", False) and order.count(parameter) > 1:
                raise ValueError(f"{what} is given {order.count(parameter)} times: give it once")
            if is_flag:
                found[what] = value if isinstance(value, bool) else texts
        return found

    def no_such_flag(self, name: str) -> str:
        """The sentence about a flag that the command has not."""
        return f"{self.name} has no flag {name}{meant(name, self.flags())}"

    def flags(self) -> list[str]:
        """All flags of the command."""
        return [name for one in self.params for name in one.opts if name.startswith("--")]


class StudyCommand(Strict):
    """A command about a study: it has that study's flags, and its function is given a `Request`."""

    default = ""
    where: type[Where] = Running

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the flags of the study that is named, and read what is asked of it.

        Raises:
            ValueError: there is no such recipe or flag, or a value is refused.
        """
        named = self.default or self._named(ctx, args)
        name: str | None = named
        table: dict[str, object] = {}
        if named is not None and named.endswith(SUFFIX) and not ctx.resilient_parsing:
            name, table = study_file.read(Path(named))
        if name is not None and blank(name):
            raise ValueError(f"recipe_name {name!r} is empty: give a value, or leave it out")
        if name is None and not (ctx.resilient_parsing or "--help" in args):
            raise ValueError(f"{self.name} needs a recipe: expected one of {WHICH}")
        # While a shell completes a word, no file of the user's is executed.
        opened = name in RECIPES or not ctx.resilient_parsing
        self._become(recipe.find(name) if name is not None and opened else None)
        if name is None or self._recipe is None or ctx.resilient_parsing or "--help" in args:
            return TyperCommand.parse_args(self, ctx, args)
        written = study_file.given(table, flags=self._bound, refuse=self.no_such_flag)
        # A flag of the command line takes the place of the study file's.
        given = {**written, **self.given(ctx, args)}
        self._refuse_other_names(given)
        words = [str(self.name), name, *study_file.words(given, flags=self._bound)]
        ctx.obj = Request(
            recipe=self._recipe,
            options=read(self._recipe.options, given),
            where=read(self.where, given),
            given=given,
            words=None if name == named else words,
        )
        return TyperCommand.parse_args(self, ctx, args)

    def _become(self, found: Recipe | None) -> None:
        """Take the flags, the help and the example of a recipe; of none, the common flags."""
        self._recipe = found
        own = by_flag(found.options) if found else {}
        common = by_flag(self.where)
        if found and (taken := own.keys() & common.keys()):
            raise ValueError(
                f"{found.name}: the option {min(taken)} is one that every study has: rename it"
            )
        self._bound = {**own, **common}
        self.verbatim = [name for name, (one, *_) in self._bound.items() if one.flag.verbatim]
        self.params = [*self._argument(), *_params(map(_parameter, self._bound.values()))]
        if found and found.about:
            self.help = escape(found.about)
        if found and found.example:
            named = "" if self.default else f"{found.name} "
            self.epilog = f"Example: [bold]babelscope {self.name} {named}{found.example}[/bold]"

    def invoke(self, ctx: Any) -> Any:
        """Call the function with the request alone."""
        ctx.params = {}
        return super().invoke(ctx)

    def no_such_flag(self, name: str) -> str:
        """Which study has no such flag, and which have it, or what was likely meant."""
        assert self._recipe is not None
        having = [other for other in RECIPES if name in by_flag(recipe.find(other).options)]
        if having:
            return self._elsewhere(f"flag {name}", having)
        return f"the study {self._recipe.name} has no flag {name}{meant(name, self.flags())}"

    def _refuse_other_names(self, given: Mapping[str, Given]) -> None:
        """Raise ValueError for a NAME=VALUE whose name only another study has."""
        for flag, group in self._bound.items():
            texts = given.get(flag, ())
            for text in texts if group[0].is_record and not isinstance(texts, bool) else ():
                name = text.partition("=")[0]
                having = [
                    other
                    for other in RECIPES
                    if name in _names(by_flag(recipe.find(other).options).get(flag, ()))
                ]
                if having and name not in _names(group):
                    raise ValueError(self._elsewhere(f"{group[0].noun} {name}", having))

    def _elsewhere(self, what: str, having: Sequence[str]) -> str:
        assert self._recipe is not None
        studies = "studies have" if len(having) > 1 else "study has"
        return (
            f"the study {self._recipe.name} has no {what} (the {' and '.join(having)} {studies} "
            "it): leave it out"
        )

    def _argument(self) -> list[Any]:
        """The recipe's name, where the command does not fix it."""
        return [] if self.default else _params([RECIPE])

    def _named(self, ctx: Any, args: list[str]) -> str | None:
        """The recipe that a command line names, before or behind its flags."""
        if args and not args[0].startswith("-"):
            return args[0]
        # Flags of a study of one's own are known once its file is.
        if own := [word for word in args if re.fullmatch(r"[^-].*\.py:\w+", word, re.DOTALL)]:
            return own[0]
        every = {**by_flag(self.where)}
        for name in RECIPES:
            every |= by_flag(recipe.find(name).options)
        self.params = [*self._argument(), *_params(map(_parameter, every.values()))]
        ctx.ignore_unknown_options, before = True, ctx.ignore_unknown_options
        try:
            values, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        except Exception:
            values = {}  # a flag without its value: said when the line is read in earnest
        ctx.ignore_unknown_options = before
        found = values.get("recipe_name")
        return found if isinstance(found, str) else None


class DemoCommand(StudyCommand):
    """The study `demo`."""

    default = "demo"


class PlanCommand(StudyCommand):
    """The plan of a study."""

    where = Planning


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of an options dataclass: the annotation of its first parameter."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    options = own[0].annotation
    shared = {_parameter(group): name for name, group in by_flag(options).items()}

    def wrapped(**values: Any) -> None:
        given = {name: values.pop(each.name) for each, name in shared.items()}
        texts = {name: _texts(value) for name, value in given.items() if value is not None}
        command(read(options, texts), **values)

    parameters = [*own[1:], *shared]
    keyword = inspect.Parameter.KEYWORD_ONLY
    wrapped.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=keyword) for parameter in parameters]
    )
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    return wrapped


def _params(parameters: Iterable[inspect.Parameter]) -> list[Any]:
    """Parameters as typer makes them of a function's."""

    def function() -> None: ...

    function.__signature__ = inspect.Signature(list(parameters))  # type: ignore[attr-defined]
    function.__annotations__ = {one.name: one.annotation for one in parameters}
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return list(typer.main.get_command(app).params)


def _parameter(group: Sequence[BoundFlag]) -> inspect.Parameter:
    """A flag as a parameter of a function; the fields that share it, if several, are records."""
    first = group[0]
    texts = [one.flag.help for one in group if one.flag.help]
    name = first.name.removeprefix("--")
    names = [first.name, *first.flag.names[1:]]
    if first.is_switch and first.default:
        names = [f"{first.name}/--no-{name}"]
    if first.is_record:
        texts.append(f"One of {', '.join(_names(group))}.")
    if first.shown:
        texts.append(f"(default: {first.shown})")
    option = typer.Option(
        *names,
        help=escape(" ".join(texts)),
        rich_help_panel=first.flag.panel,
        show_default=False,
        metavar=None if first.is_switch else _metavar(first),
        autocompletion=_completion(lambda: _suggested(group)),
    )
    kind: Any = bool if first.is_switch else list[str] | None if first.several else str | None
    return inspect.Parameter(
        name.replace("-", "_") + "_" * iskeyword(name),
        inspect.Parameter.KEYWORD_ONLY,
        default=first.default if first.is_switch else None,
        annotation=Annotated[kind, option],
    )


def _metavar(one: BoundFlag) -> str:
    """What stands for a value in help."""
    if one.is_record:
        return "NAME=VALUE"
    known = "|".join(one.known)
    if known and len(known) <= LONGEST_METAVAR:
        return known
    return {int: "NUMBER", float: "NUMBER", Path: "DIR"}.get(one.scalar, "TEXT")


def _names(records: Sequence[BoundFlag]) -> list[str]:
    """The names that a flag for NAME=VALUE takes."""
    return [each.rstrip("=") for each in _suggested(records)]


def _suggested(group: Sequence[BoundFlag]) -> list[str]:
    return [value for one in group for value in one.suggested]


def _completion(suggested: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Values for a shell; in a list a,b,c the last one is completed."""

    def complete(incomplete: str) -> list[str]:
        before, comma, _ = incomplete.rpartition(",")
        return [before + comma + each for each in suggested()]

    return complete


def _texts(value: Any) -> Given:
    return value if isinstance(value, bool) else list(_many(value))


def _many(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


RECIPE = inspect.Parameter(
    "recipe_name",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        str,
        typer.Argument(
            help=f"One of {WHICH}.",
            metavar="RECIPE",
            autocompletion=lambda: list(RECIPES),
        ),
    ],
)
