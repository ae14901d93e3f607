"""A thread that keeps listing a cluster's machines, and tells when the listing has stopped.

A listing blocks once the cluster's head is gone, which must not block the run's loop. One tuple is
handed over by assignment, so no lock is needed.
"""

import threading
import time
from collections.abc import Callable

from orchestrator.workers.machines import Listed

OBSERVE_SECONDS = 1.0
# Ray ends a driver that has not heard of its head for 60 seconds: we speak first.
LOST_SECONDS = 20.0


class Listing:
    """The machines as last listed."""

    def __init__(self, lister: Callable[[], tuple[Listed, ...]]) -> None:
        """List once, and from then on again and again until `stop`."""
        self._lister = lister
        self._stop = threading.Event()
        self._now = threading.Event()
        self._count = 0
        self.machines = lister()
        self._seen = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether the head has not answered for too long."""
        return time.monotonic() - self._seen > LOST_SECONDS

    def refresh(self, *, seconds: float) -> None:
        """Have the machines listed anew, and wait for it at most so long."""
        until = time.monotonic() + seconds
        fresh = self._count + 2  # the next one may have begun before
        while self._count < fresh and time.monotonic() < until:
            self._now.set()
            time.sleep(0.005)

    def stop(self) -> None:
        """List no more."""
        self._stop.set()
        self._now.set()
        self._thread.join(OBSERVE_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._now.wait(OBSERVE_SECONDS)
            self._now.clear()
            try:
                self.machines = self._lister()
            except Exception:  # whatever it was: `lost` tells if it goes on
                self._stop.wait(OBSERVE_SECONDS)
                continue
            self._count += 1
            self._seen = time.monotonic()
