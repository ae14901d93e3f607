"""Which files of a folder are opened by anybody, as the kernel tells (inotify, Linux alone)."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

IN_OPEN = 0x20
IN_ISDIR = 0x40000000
EVENT = struct.Struct("iIII")


@contextmanager
def opened_in(folder: Path) -> Iterator[set[str]]:
    """The names of the files in a folder, and below it, that are opened inside the block.

    The set is filled when the block ends.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    queue = libc.inotify_init1(os.O_NONBLOCK)
    assert queue >= 0, os.strerror(ctypes.get_errno())
    watched = {}
    for at in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        watch = libc.inotify_add_watch(queue, os.fsencode(at), IN_OPEN)
        assert watch >= 0, os.strerror(ctypes.get_errno())
        watched[watch] = at.relative_to(folder)
    found: set[str] = set()
    try:
        yield found
        with suppress(BlockingIOError):
            while events := os.read(queue, 1 << 16):
                while events:
                    watch, mask, _, length = EVENT.unpack_from(events)
                    name = events[EVENT.size : EVENT.size + length].rstrip(b"\0").decode()
                    events = events[EVENT.size + length :]
                    assert watch in watched, "events were lost"
                    if name and not mask & IN_ISDIR:
                        found.add((watched[watch] / name).as_posix())
    finally:
        os.close(queue)
