"""The command `babelscope watch`: a study's own flags and those of watching, or `--list` alone."""

from collections.abc import Sequence
from typing import Any

from orchestrator.flags import StudyCommand
from orchestrator.watching.options import Watching
from studies.flags import read

LIST = "--list"


class WatchCommand(StudyCommand):
    """A study of checkpoints that come; with `--list` its function is given `Watching` alone."""

    where = Watching

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the line as that of a study, unless it only asks what was seen in a store.

        Raises:
            ValueError: as for a study; or beside `--list` stands what has no effect there.
        """
        if not _lists(args) or ctx.resilient_parsing or "--help" in args:
            return super().parse_args(ctx, args)
        self._become(None)
        given = self.given(ctx, args)
        if extra := sorted(given.keys() - {LIST, "--json"}):
            raise ValueError(f"{extra[0]} has no effect beside --list: leave it out")
        ctx.obj, ctx.params, ctx.args = read(Watching, given), {}, []
        return []

    def no_such_flag(self, name: str) -> str:
        """Which study has no such flag, or that it has no effect beside `--list`."""
        if self._recipe is None:
            return f"{name} has no effect beside --list: leave it out"
        return super().no_such_flag(name)


def _lists(args: Sequence[str]) -> bool:
    return any(one == LIST or one.startswith(f"{LIST}=") for one in args)
