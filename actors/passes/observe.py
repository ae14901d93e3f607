"""Run a model under watchers, and stop as soon as the last of them has seen what it wants.

The head never runs, and no block above the last one watched.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import NamedTuple

from torch import Tensor

from actors.structure.sites import Port, SiteName, Sites, watch, watch_input, watch_output

# Shapes: B rows, T tokens, D width of a site


class Watcher(NamedTuple):
    """Whom to show the tensor [B, T, D] of one site at one layer. `port` may be another tensor of
    the same layer, such as what goes into an activation."""

    site: SiteName
    layer: int
    look: Callable[[Tensor], None]
    port: Port | None = None


def lengths_of(sequences: Sequence[Sequence[int]], *, skip: int) -> list[int]:
    """How many tokens each text has.

    Raises:
        ValueError: there is no text, or one has no token after the first `skip`.
    """
    if not sequences:
        raise ValueError("no texts to read: expected at least one")
    lengths = [len(sequence) for sequence in sequences]
    if min(lengths) <= skip:
        empty = next(place for place, length in enumerate(lengths) if length <= skip)
        raise ValueError(f"text {empty} has no token besides the prefix: leave it out")
    return lengths


class _Stop(Exception):  # noqa: N818 - a signal, not an error
    """Raised from the last hook: nobody needs the rest of the forward pass."""


def observe(sites: Sites, inputs: Mapping[str, Tensor], watchers: Sequence[Watcher]) -> None:
    """Run the base of the model on `inputs` (`input_ids` [B, T] and what else it takes).

    Raises:
        ValueError: a site does not exist at a layer.
    """
    seen = [0] * len(watchers)
    rows = len(inputs["input_ids"])
    with ExitStack() as stack:
        for place, watcher in enumerate(watchers):
            port = watcher.port or _port(sites, watcher)
            look = _counted(watcher.look, seen, place)
            stack.enter_context(watch(port, look, rows=rows))
        # Entered last, so that it fires after the watchers of the same module.
        stack.enter_context(_stop_after(sites, watchers))
        with suppress(_Stop):
            sites.base(**inputs, use_cache=False)
    silent = [watcher[:2] for watcher, count in zip(watchers, seen, strict=True) if count != 1]
    assert not silent, f"hooks that did not fire exactly once: {silent}"


def _port(sites: Sites, watcher: Watcher) -> Port:
    """Where a watcher looks; the head's input is where logits are computed from."""
    sites.check(watcher.site, layer=watcher.layer)
    site: SiteName = "final_norm" if watcher.site == "head" else watcher.site
    return sites.port(site, layer=watcher.layer)


def _counted(
    look: Callable[[Tensor], None], seen: list[int], place: int
) -> Callable[[Tensor], None]:
    def counting(value_BTD: Tensor) -> None:
        seen[place] += 1
        look(value_BTD)

    return counting


def _stop_after(sites: Sites, watchers: Sequence[Watcher]) -> AbstractContextManager[None]:
    """Hook the last module needed."""

    def stop(_value: Tensor) -> None:
        raise _Stop

    if any(watcher.site in ("final_norm", "head") for watcher in watchers):
        return watch_output(sites.final_norm, stop)
    last = max(watcher.layer for watcher in watchers)
    port = sites.port("resid_post", layer=last)
    return (watch_input if port.side == "input" else watch_output)(port.module, stop)
