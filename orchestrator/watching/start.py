"""Begin a watch: everything that speaks against it is said before anything is written."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rich.console import Console

from orchestrator import cluster as clusters
from orchestrator import launch, signals
from orchestrator.flags import Request
from orchestrator.storage.files import Files
from orchestrator.storage.lease import Lease, holder
from orchestrator.storage.manifest import WATCHING
from orchestrator.storage.store import Store
from orchestrator.watching import crossing, told
from orchestrator.watching.discover import Discovery
from orchestrator.watching.evaluate import MODEL
from orchestrator.watching.loop import Watch
from orchestrator.watching.options import Watching
from orchestrator.watching.timing import SystemClock

# Stands for models that are yet to come.
ANY = "organisation/model"


def begin(asked: Request, *, store: Store, console: Console) -> int:
    """Watch until it is over; returns the exit status.

    Raises:
        ValueError: something speaks against it.
    """
    where = asked.where
    assert isinstance(where, Watching)
    options: Any = asked.options
    if not hasattr(options, "models"):
        raise ValueError(
            f"the study {asked.recipe.name} takes no {MODEL}, so there is nothing to watch for"
        )
    sources = options.models if MODEL in asked.given else ()
    code = bool(getattr(options, "trust_remote_code", False))
    discovery = Discovery(where, sources=sources, code=code)
    if where.cross:
        crossing.check(where.cross)
    clusters.check(where.cluster, device=where.device)
    one = replace(options, models=(sources or (ANY,))[:1])
    study = asked.recipe.study(one)
    store.admit(study.name, settings=dict(study.settings), pins={})
    clock = SystemClock()
    tell = told.teller(console, clock=clock)

    def watch(files: Files, wish: signals.Wish) -> Watch:
        return Watch(asked, discovery, store=store, files=files, wish=wish, tell=tell, clock=clock)

    if where.dry_run:
        watch(Files(store.files.where), signals.Wish()).preview()
        return 0
    with launch.writing(store.address):
        store.files.check_room(0)
    with signals.listening() as wish, held(store) as files:
        return watch(files, wish).run()


def show(asked: Watching, *, console: Console) -> None:
    """Show what was seen in a store and what became of it.

    Raises:
        ValueError: it was never watched, or its file is damaged.
    """
    assert asked.listed is not None
    store = Store(asked.listed)
    lease = Files(inside(store.files.where, WATCHING))
    if asked.json:
        print(json.dumps(told.as_json(store, lease=lease)))
    else:
        told.show(store, lease=lease, console=console)


@contextmanager
def held(store: Store) -> Iterator[Files]:
    """Be the one watcher of a store, among all machines; runs in it are not hindered.

    Yields its files, which refuse to be written once another has taken over.

    Raises:
        ValueError: another watches it.
    """
    files = Files(inside(store.files.where, WATCHING))
    lease = Lease(files)
    with launch.writing(store.address):
        try:
            lease.acquire()
        except OSError:
            raise
        except ValueError as error:
            who = holder(files) or "another process that began just now"
            raise ValueError(
                f"{store.address} is watched already by {who}: end that one, or choose another "
                "--out"
            ) from error
    try:
        own = Files(store.files.where)
        own.guard = lease.check
        yield own
    finally:
        lease.release()


def inside(where: str, name: str) -> str:
    """The address of a folder in a store; what stands behind a `?` stays there."""
    path, mark, query = where.partition("?") if "://" in where else (where, "", "")
    return f"{path.rstrip('/')}/{name}{mark}{query}"
