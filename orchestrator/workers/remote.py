"""Workers in processes elsewhere: what each is at, what it answers, and what its death means.

Whatever dies, the loop hears of each lost piece of work exactly once: by the failure of its worker,
or by its node's having left; the schedule says what is to be done then. Processes are started and
asked by a session (session.py; Ray's is in cluster.py).
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

from actors.answer import EngineDiedError
from orchestrator.scheduling.actions import Node
from orchestrator.workers.address import death
from orchestrator.workers.events import Event, done, summary
from orchestrator.workers.gpus import GpuUse
from orchestrator.workers.listing import LOST_SECONDS, OBSERVE_SECONDS, Listing
from orchestrator.workers.machines import Machines
from orchestrator.workers.prefetch import Prefetches
from orchestrator.workers.session import Died, Raised, Session
from orchestrator.workers.worker import Order, look, studies_folder
from studies.spec import ModelFacts
from studies.unit import Unit

USAGE_SECONDS = 5.0
LOOK_SECONDS = 60.0
PLACE_SECONDS = 300.0
REPORT_SECONDS = 15.0
REFRESH_SECONDS = 2.0
# Cloud machines with a GPU take minutes to come, and a shared cluster may be full for a while.
JOIN_SECONDS = 1200.0
# How often a head is asked whether machines may come by themselves.
GROWTH_SECONDS = 2.0
ENDING_SECONDS = 120.0

Call = Literal["hello", "load", "run"]


@dataclass(slots=True)
class _Process:
    """A worker's actor, the calls it has yet to answer, and its process id once it has one."""

    actor: Any
    node: str
    calls: dict[Any, Call]
    since: float = field(default_factory=time.monotonic)
    process: int = 0


class RemoteCluster:
    """Workers on the machines of a session, each with its share of a machine's GPUs or a core."""

    def __init__(self, session: Session, *, device: str) -> None:
        """Look at the machines.

        Raises:
            ValueError: there is none to work on, and none will come.
        """
        self._session = session
        self._device = device
        self._processes: dict[int, _Process] = {}
        self._lost: dict[int, str] = {}
        self._ending: dict[str, list[tuple[int, float]]] = {}
        self._looks: dict[Any, str] = {}
        self._prefetches = Prefetches(session)
        # One vector serves the many units of a sweep: it is handed over once and stays there.
        self._artifacts: dict[str, Any] = {}
        self._events: deque[Event] = deque()
        self._requested = False
        self._machines = Machines(device=device)
        self._worked = self._asked = self._changed = time.monotonic()
        self._may_grow = False
        self._asked_growth = 0.0
        with ExitStack() as undo:
            undo.callback(session.close, broken=True)
            self._listing = Listing(session.machines)
            undo.pop_all()
            undo.callback(self.close)
            self._first_look()
            undo.pop_all()

    def nodes(self) -> tuple[Node, ...]:
        """The machines on which workers may be opened now; later ones come as `joined`."""
        return self._machines.nodes()

    def need(self, gpus: Sequence[float]) -> None:
        """Ask the autoscaler, if any, for room for workers of these sizes at once."""
        if self._may_grow:
            self._session.request([{"GPU": size} if size else {"CPU": 1.0} for size in gpus])
            self._requested = bool(gpus)
            self._changed = time.monotonic()

    def growing(self) -> bool:
        """Whether an autoscaler may still bring machines: some minutes after the last change.

        A head that is busy says late whether it has one, so it is asked again.
        """
        now = time.monotonic()
        if self._may_grow and now - self._asked_growth > GROWTH_SECONDS:
            self._asked_growth = now
            self._may_grow = self._session.may_grow(patience=0)
        return self._may_grow and now - self._changed < JOIN_SECONDS

    def open(self, worker: int, model: ModelFacts, *, node: str, gpus: float) -> None:
        """Start an actor on the node, or on any where its name is empty, and have it load."""
        self.kill(worker)
        machine = self._machines.id(node)
        if node and machine is None:
            if not self._lost_with(node, worker):
                error = f"NodeDiedError: node {node} has left the cluster"
                self._events.append(Event(worker, "open_failed", error=error, gone=True))
            return
        actor = self._session.actor(machine, gpus=gpus)
        order = Order(
            model=model,
            device=self._device_for(node, gpus=gpus),
            threads=None if gpus else 1,
            node=node,
            gpus=gpus,
            origin=studies_folder(),
            ending=self._ending_on(node),
        )
        calls: dict[Any, Call] = {actor.hello.remote(): "hello", actor.load.remote(order): "load"}
        self._processes[worker] = _Process(actor, node, calls)

    def prefetch(self, model: ModelFacts, *, node: str) -> None:
        """Have the node read the model's files, beside whatever works there."""
        machine = self._machines.id(node)
        if machine is not None:
            self._prefetches.ask(model, machine)

    def submit(self, worker: int, unit: Unit, artifacts: Mapping[str, bytes]) -> None:
        """Send the unit to the worker's actor; where there is none any more it fails now."""
        process = self._processes.get(worker)
        if process is not None:
            for key in artifacts.keys() - self._artifacts.keys():
                self._artifacts[key] = self._session.put(artifacts[key])
            keys = tuple(artifacts)
            values = (self._artifacts[key] for key in keys)
            process.calls[process.actor.run.remote(unit, keys, *values)] = "run"
        elif worker not in self._lost:
            error = "WorkerCrashedError: the worker's process had ended"
            self._events.append(Event(worker, "unit_failed", error=error, gone=True))

    def kill(self, worker: int) -> None:
        """End the worker's process and forget all that it has to say."""
        self._end(worker)
        self._events = deque(event for event in self._events if event.worker != worker)

    def wait(self, *, seconds: float) -> Event | None:
        """The next event of any worker or machine."""
        until = time.monotonic() + seconds
        while True:
            self._observe()
            left = until - time.monotonic()
            if not self._events:
                self._collect(max(0.0, min(left, OBSERVE_SECONDS)))
            if self._events:
                return self._deliver()
            if left <= 0:
                return None

    def ask(self, worker: int, method: str, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """What a method of the worker's model returns, or the error that it raised there."""
        process = self._processes[worker]
        try:
            return self._session.get(process.actor.ask.remote(method, given, named))
        except Raised as error:
            raise error.cause from None
        except Died as error:
            raise ValueError(death(str(error), node=process.node)) from error

    def usage(self) -> Mapping[str, tuple[GpuUse, ...]]:
        """What the last looks saw; has the machines looked at again if that was a while ago."""
        now = time.monotonic()
        if now - self._asked > USAGE_SECONDS and not self._looks:
            self._asked = now
            for machine in self._machines.ids():
                self._look_at(machine)
        return self._machines.uses()

    def close(self) -> None:
        """End every actor, and the private Ray; a cluster that was joined stays as it was."""
        self._listing.stop()
        lost = self._listing.lost or self._session.ended()
        try:
            if not lost:  # nobody would answer, and the processes end by themselves
                for worker in list(self._processes):
                    self.kill(worker)
                self._prefetches.end()
                if self._requested:
                    self.need(())
        finally:
            self._processes.clear()
            self._artifacts.clear()
            self._session.close(broken=lost)

    def _first_look(self) -> None:
        """See what there is; where nothing is and nothing will come, that is an error."""
        if self._session.private:
            self._machines.arrived(self._listing.machines)
            self._machines.looked_at(self._session.home, look())
        until = time.monotonic() + LOOK_SECONDS
        self._observe()
        while self._looks and time.monotonic() < until:
            self._collect(OBSERVE_SECONDS)
            self._observe()
        self._machines.settle()
        self._events.clear()
        patience = 0.0 if self.nodes() else REPORT_SECONDS
        self._may_grow = self._session.may_grow(patience=patience)
        if not self.nodes() and not (self._may_grow and not self._machines.faults):
            raise ValueError(f"the cluster {self._session.address} has {self._nothing()}")

    def _nothing(self) -> str:
        """What is missing, what there is, and what would help."""
        kind = "GPU" if self._device == "cuda" else "machine to work on"
        help_ = "use --device auto" if self._device == "cuda" else "add a machine"
        return (
            f"no {kind} ({self._machines.told()}): {help_}, or add one with "
            f"`ray start --address={self._session.address}`"
        )

    def _observe(self) -> None:
        """Take note of machines that came and went, and of all that takes too long."""
        if self._session.ended():
            raise self._session.lost("its processes have ended")
        if self._listing.lost:
            time.sleep(2 * OBSERVE_SECONDS)  # the watch may only have had no turn
        if self._listing.lost:
            raise self._session.lost(f"its head has not answered for {LOST_SECONDS:.0f} s")
        self._come_and_go()
        self._refuse_waiting_for_ever()

    def _come_and_go(self) -> None:
        """Machines that are new are looked at; what ran on those that went is lost."""
        machines = self._listing.machines
        if self._session.home and self._session.home not in {there.id for there in machines}:
            raise self._session.lost("the Ray node of this machine died")
        for there in self._machines.arrived(machines):
            self._look_at(there.id)
        for node in self._machines.departed(machines):
            self._events.append(Event(-1, "left", node=node))
            self._ending.pop(node.name, None)
            for worker, process in list(self._processes.items()):
                if process.node == node.name:
                    self._end(worker)
                    self._lost[worker] = node.name

    def _refuse_waiting_for_ever(self) -> None:
        """No machine at all, or no room on one that should have some."""
        now = time.monotonic()
        if self.nodes() or self._looks:
            self._worked = now
        if now - self._worked > JOIN_SECONDS:
            raise ValueError(
                f"for {JOIN_SECONDS / 60:.0f} minutes the cluster {self._session.address} has had "
                f"{self._nothing()}"
            )
        for worker, process in list(self._processes.items()):
            if not process.process and now - process.since > PLACE_SECONDS:
                error = (
                    f"no room on node {process.node or '(any)'} for {PLACE_SECONDS:.0f} s: other "
                    "jobs may hold its GPUs or cores (`ray status` tells)"
                )
                self._fail(worker, "load", error, gone=True)

    def _look_at(self, machine: str) -> None:
        """Begin to look at a machine."""
        self._looks[self._session.task(look, machine)] = machine

    def _collect(self, seconds: float) -> None:
        """Take in the next answer of any actor or look."""
        calls = {call: w for w, process in self._processes.items() for call in process.calls}
        waited = [*self._looks, *self._prefetches.calls, *calls]
        if not waited:
            time.sleep(seconds)
            return
        for call in self._session.first(waited, seconds=seconds):
            if call in self._looks:
                self._looked(call)
            elif call in calls:
                self._answer(calls[call], call)
            else:
                self._prefetches.answered(call)

    def _looked(self, call: Any) -> None:
        """Take in a look at a machine."""
        machine = self._looks.pop(call)
        try:
            node = self._machines.looked_at(machine, self._session.get(call))
        except Raised as error:
            self._machines.fault(machine, str(error.cause))
            return
        except Died as error:
            self._machines.fault(machine, death(str(error), node=self._machines.name(machine)))
            return
        if node is not None:
            self._changed = time.monotonic()
            self._events.append(Event(-1, "joined", node=node))

    def _answer(self, worker: int, call: Any) -> None:
        """Take in what an actor answers, or why it does not."""
        process = self._processes[worker]
        kind = process.calls.pop(call)
        try:
            result = self._session.get(call)
        except Raised as error:
            if kind == "hello":  # it lives, but would not run this command's code
                raise ValueError(f"node {process.node}: {error.cause}") from error
            gone = isinstance(error.cause, EngineDiedError)
            self._fail(worker, kind, summary(error.cause), traceback=str(error), gone=gone)
        except Died as error:
            # Ray tells of the deaths on a node before the listing does: `left` says it all.
            self._listing.refresh(seconds=REFRESH_SECONDS)
            self._come_and_go()
            if worker in self._processes:
                reason = death(str(error), node=process.node)
                self._fail(worker, kind, reason, traceback=str(error), gone=True)
        else:
            if kind == "hello":
                process.process = result
            elif kind == "load":
                self._events.append(Event(worker, "open", about=result))
            else:
                self._events.append(done(worker, result))

    def _fail(
        self, worker: int, call: Call, error: str, *, traceback: str = "", gone: bool = False
    ) -> None:
        """Say once that a worker's work is lost; without a model or a process it is ended."""
        kind: Literal["unit_failed", "open_failed"] = (
            "unit_failed" if call == "run" else "open_failed"
        )
        if gone or kind == "open_failed":
            self.kill(worker)
        self._events.append(
            Event(worker, kind, error=error, traceback=traceback or error, gone=gone)
        )

    def _end(self, worker: int) -> None:
        """End a worker's process, and remember it until it will surely have ended."""
        number = self.process(worker)
        process = self._processes.pop(worker, None)
        if process is None:
            return
        if number and process.node:
            self._ending.setdefault(process.node, []).append((number, time.monotonic()))
        self._session.end(process.actor)

    def _deliver(self) -> Event:
        """The next event; with `left`, the workers lost there are known to be lost."""
        event = self._events.popleft()
        if event.kind == "left" and event.node is not None:
            name = event.node.name
            self._lost = {worker: node for worker, node in self._lost.items() if node != name}
        return event

    def _lost_with(self, node: str, worker: int) -> bool:
        """Whether a worker is lost by an event that is yet to be delivered, with its node."""
        for event in self._events:
            if event.kind == "left" and event.node is not None and event.node.name == node:
                self._lost[worker] = node
                return True
        return False

    def process(self, worker: int) -> int:
        """The number of a worker's process on its machine, 0 while it has none."""
        process = self._processes.get(worker)
        if process is None:
            return 0
        for call in [call for call, kind in process.calls.items() if kind == "hello"]:
            if self._session.first([call], seconds=0):
                self._answer(worker, call)
        return process.process

    def _ending_on(self, node: str) -> tuple[int, ...]:
        """Processes that were ended on a node a short while ago; older numbers may be others'."""
        recent = time.monotonic() - ENDING_SECONDS
        self._ending[node] = [entry for entry in self._ending.get(node, ()) if entry[1] > recent]
        return tuple(number for number, _ in self._ending[node])

    def _device_for(self, node: str, *, gpus: float) -> str:
        """The device by the name that the model's loader knows."""
        if self._device == "cpu" or not gpus:
            return "cpu" if self._device == "auto" else self._device
        if gpus > 1:
            return "spread"
        # Where a driver tells of GPUs, a model must not fall back to the CPU in silence.
        known = any(there.gpu_bytes for there in self.nodes() if node in ("", there.name))
        return "cuda" if known else self._device
