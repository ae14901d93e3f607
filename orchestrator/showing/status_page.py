"""How far a run is as one HTML page: no server, only a file.

The run writes it anew every few seconds, with its numbers, and the browser reloads it.
"""

from datetime import datetime
from importlib.resources import files

from orchestrator.showing.progress import span
from orchestrator.showing.snapshot import Snapshot

SECONDS = 3


def render(snapshot: Snapshot, *, root: str) -> str:
    """The page for one moment of a run; it no longer reloads itself when the run has ended."""
    from jinja2 import Environment, StrictUndefined

    template = files("orchestrator.showing").joinpath("templates", "status.html")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        snapshot=snapshot,
        root=root,
        live=snapshot.state in ("running", "finishing"),
        seconds=SECONDS,
        percent=int(_share(snapshot.done, snapshot.cells)),
        left="?" if snapshot.seconds_left is None else span(snapshot.seconds_left),
        elapsed=span(snapshot.now - snapshot.started),
        when=datetime.fromtimestamp(snapshot.now).isoformat(sep=" ", timespec="seconds"),
        share=_share,
        span=span,
    )


def _share(part: int, whole: int) -> float:
    """A part in percent."""
    return round(100 * part / whole, 2) if whole else 100.0
