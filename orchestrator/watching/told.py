"""What a watch says to people: what was found, what is waited for, when the next look is."""

from collections.abc import Callable, Iterable, Sequence

from rich.console import Console
from rich.table import Table

from analysis.storage.redact import redact
from orchestrator.storage.files import Files
from orchestrator.storage.lease import holder
from orchestrator.storage.store import Store
from orchestrator.watching.state import NAME, Record, Watched, read
from orchestrator.watching.timing import Clock, local

Tell = Callable[[str], None]
# Of more names than this it is said how many they are.
NAMED = 5


def teller(console: Console, *, clock: Clock) -> Tell:
    """Prints sentences, each with the time of day and without secrets."""

    def tell(sentence: str) -> None:
        console.print(f"{local(clock.now())}  {redact(sentence)}", markup=False, highlight=False)

    return tell


def why(error: Exception) -> str:
    """What an error says, without the number that the system has for it."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    place = "" if error.filename is None else f" ({error.filename})"
    return f"{error.strerror}{place}"


def named(records: Sequence[Record], *, why: Callable[[Record], str] = lambda _: "") -> str:
    """The first few of some checkpoints, and how many more there are."""
    parts = [
        f"{one.name} ({reason})" if (reason := why(one)) else one.name for one in records[:NAMED]
    ]
    more = [f"{len(records) - NAMED:,} more"] if len(records) > NAMED else []
    return ", ".join([*parts, *more])


def found(new: Sequence[Record]) -> str:
    """What a look has found that was not there before."""
    return f"found {len(new):,} new: {named(new)}" if new else "nothing new"


def waiting(records: Iterable[Record]) -> str:
    """What is waited for, and why; empty where nothing is."""
    held = [one for one in records if one.state == "waiting"]
    return f"{len(held):,} wait: {named(held, why=lambda one: one.reason)}" if held else ""


def standing(watched: Watched) -> str:
    """How many checkpoints are in each state."""
    counts = [f"{number:,} {state}" for state, number in watched.counts().items()]
    return ", ".join(counts) or "no checkpoint so far"


def until(seconds: float, *, clock: Clock) -> str:
    """When the next look is."""
    return f"the next look is at {local(clock.now() + seconds)}, in {span(seconds)}"


def span(seconds: float) -> str:
    """A time as people say it: its two largest units."""
    left, parts = round(seconds), list[str]()
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number and len(parts) < 2:
            parts.append(f"{number} {name}")
    return " ".join(parts) or "0 s"


def as_json(store: Store, *, lease: Files) -> dict[str, object]:
    """What was seen in a store and what became of it, for scripts.

    Raises:
        ValueError: the store was never watched, or its file is damaged.
    """
    watched = _watched(store)
    who = holder(lease)
    content = watched.as_json()
    return {
        "run": store.address,
        "watching": who is not None,
        "held_by": None if who is None else str(who),
        "webhook": content["webhook"],
        "checkpoints": content["checkpoints"],
    }


def show(store: Store, *, lease: Files, console: Console) -> None:
    """The same as a table.

    Raises:
        ValueError: as for `as_json`.
    """
    watched = _watched(store)
    who = holder(lease)
    console.print(
        f"{store.address}: {standing(watched)}; "
        + ("nobody watches now" if who is None else f"watched by {who}"),
        markup=False,
        highlight=False,
    )
    table = Table()
    table.add_column("checkpoint", overflow="fold")
    table.add_column("step", justify="right")
    for title in ("state", "made", "evaluated"):
        table.add_column(title)
    table.add_column("failures", justify="right")
    table.add_column("what to know", overflow="fold")
    for one in sorted(watched.records.values(), key=lambda one: (one.source, one.step or 0)):
        table.add_row(
            redact(one.name),
            "" if one.step is None else f"{one.step:,}",
            one.state,
            _day(one.date),
            _day(one.finished),
            str(one.attempts or ""),
            redact(one.error or one.reason),
        )
    console.print(table, markup=False, highlight=False)
    if watched.webhook.failed:
        console.print(
            f"the webhook missed {watched.webhook.failed:,} of "
            f"{watched.webhook.failed + watched.webhook.sent:,} messages: {watched.webhook.error}",
            markup=False,
        )


def _watched(store: Store) -> Watched:
    if store.files.entry(NAME) is None:
        raise ValueError(
            f"{store.address} was never watched: it holds no {NAME}; name the --out of a watch"
        )
    return read(store.files)


def _day(text: str | None) -> str:
    """A moment to the minute, in UTC."""
    return "" if text is None else text[:16].replace("T", " ")
