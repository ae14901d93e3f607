"""What a connection to machines must offer so that workers can be kept on them.

Two ways of failing are told apart, as all that follows hangs on it: a call that raised where it
ran, and a call whose process is gone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from orchestrator.workers.machines import Listed


class Raised(Exception):  # noqa: N818  # it is no error of ours
    """A call raised in its process, which lives on: `cause` is what it raised."""

    def __init__(self, cause: Exception, text: str) -> None:
        """Keep the cause, and its traceback as text."""
        super().__init__(text)
        self.cause = cause


class Died(Exception):  # noqa: N818  # it is no error of ours
    """A call's process, machine or answer is gone."""


class LostError(ValueError):
    """The cluster itself is gone in the middle of a run."""


class Session(Protocol):
    """A connection to machines on which processes can be started."""

    address: str
    home: str
    private: bool

    def machines(self) -> tuple[Listed, ...]:
        """The machines that are alive."""

    def actor(self, machine: str | None, *, gpus: float) -> Any:
        """A new worker on a machine, or on any, with its share of the GPUs there."""

    def task(self, function: Any, machine: str, *given: Any) -> Any:
        """Begin to call a function on a machine, beside whatever works there."""

    def cancel(self, call: Any) -> None:
        """End a task, wherever it is at."""

    def put(self, value: bytes) -> Any:
        """What stands for a value as an argument of many calls; machines get it once each."""

    def first(self, calls: Sequence[Any], *, seconds: float) -> Sequence[Any]:
        """Those calls that are answered, one at least unless the time is up."""

    def get(self, call: Any) -> Any:
        """The answer to a call; raises `Raised` or `Died`."""

    def end(self, actor: Any) -> None:
        """End a worker's process at once."""

    def request(self, bundles: Sequence[Mapping[str, float]]) -> None:
        """Tell an autoscaler what is to fit at once."""

    def may_grow(self, *, patience: float) -> bool:
        """Whether machines may come by themselves; where that is unknown, after `patience`."""

    def ended(self) -> bool:
        """Whether it is known at once that the cluster is no more."""

    def lost(self, why: str) -> LostError:
        """The one error of a cluster that is no more."""

    def close(self, *, broken: bool) -> None:
        """Let go; what is broken is not waited for."""
