"""Where units run: in this process, or in Ray actors; the only file that knows Ray.

Here Ray is started or joined, given processes to run and asked for their answers; workers/remote.py
says what the answers mean.
"""

import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, cast

from analysis.storage.redact import redact
from orchestrator import signals
from orchestrator.workers import code
from orchestrator.workers.address import HOW_TO_START, reach, refusal
from orchestrator.workers.address import check as check
from orchestrator.workers.events import Cluster as Cluster
from orchestrator.workers.events import Event as Event
from orchestrator.workers.events import summary as summary
from orchestrator.workers.inline import InlineCluster as InlineCluster
from orchestrator.workers.machines import Listed, listed
from orchestrator.workers.pinned import Pinned
from orchestrator.workers.private import PrivateRay
from orchestrator.workers.remote import RemoteCluster
from orchestrator.workers.session import Died, LostError, Raised
from orchestrator.workers.worker import Worker
from studies.spec import Model

# Environment that must be the same wherever models are loaded; no secret is among it.
PASSED_ON = ("HF_HUB_OFFLINE",)
CLOSE_SECONDS = 15.0
REPLY_SECONDS = 30.0


def connect(name: str, *, device: str) -> "InlineCluster | RayCluster":
    """The cluster of this name, which `check` has accepted.

    Raises:
        ValueError: it cannot be reached or joined, or has no machine to work on.
    """
    if name == "inline":
        return InlineCluster(device=device)
    return RayCluster(name, device=device)


def pin(model: str | Model, *, cluster: str = "local", device: str = "auto") -> Pinned:
    """A model on a cluster for a person: the methods of `ModelActor`, which run there.

    Args:
        model: a folder, a hub id or an embedded model, `ID` or `ID@REVISION`, or a full `Model`.
        cluster: as `--cluster`.
        device: as `--device`.

    Raises:
        ValueError: there is no such model, or the cluster cannot be had or cannot hold it.
    """
    check(cluster, device=device)
    return Pinned(model, connect=lambda: connect(cluster, device=device))


class RayCluster(RemoteCluster):
    """Ray actors as workers, on this machine (`local`) or on a cluster that runs already."""

    def __init__(self, name: str, *, device: str, worker: type[Worker] = Worker) -> None:
        """Start or join Ray and look at its machines; `worker` is what runs in each process."""
        super().__init__(RaySession(name, cpu_only=device == "cpu", worker=worker), device=device)


class RaySession:
    """One user of this process's connection to Ray."""

    _sharing: ClassVar[list["RaySession"]] = []
    _foreign: ClassVar[bool] = False
    _own: ClassVar[PrivateRay | None] = None
    _shown: ClassVar[dict[str, str | None]] = {}

    def __init__(self, name: str, *, cpu_only: bool, worker: type[Worker]) -> None:
        """Start a private Ray, join a running one, or share the one that this process has.

        Raises:
            ValueError: it cannot be started, reached or joined, or this process is in another one.
        """
        self.name = name
        self.private = name == "local"
        with ExitStack() as undo:  # whatever fails below, no process of Ray's is left
            own = None
            if self.private and not RaySession._sharing:
                own = PrivateRay(cpu_only=cpu_only)  # it comes up while Ray is imported here
                undo.callback(own.close)
            import ray

            logging.getLogger("ray").setLevel(logging.ERROR)  # notices about settings, not about us
            self.ray: Any = ray
            self._imports = code.import_settings(same_machine=self.private)
            self._share_or_join(own)
            RaySession._sharing.append(self)
            undo.pop_all()
            undo.callback(self.close, broken=False)
            # Sent by value: where they arrive, nothing of ours can be imported before they run.
            ray.cloudpickle.register_pickle_by_value(code)
            self._host, self._call = ray.remote(code.Host), ray.remote(code.call)
            self._worker = ray.cloudpickle.dumps(worker)
            self.address = str(ray.get_runtime_context().gcs_address)
            client = ray.util.client.ray.is_connected()
            self.home = "" if client else str(ray.get_runtime_context().get_node_id())
            undo.pop_all()

    def machines(self) -> tuple[Listed, ...]:
        """The machines that are alive."""
        return tuple(listed(entry) for entry in self.ray.nodes() if entry["Alive"])

    def actor(self, machine: str | None, *, gpus: float) -> Any:
        """A new worker with its share of the machine's GPUs, or a core of it, for itself."""
        options = {"num_cpus": 0 if gpus else 1, "num_gpus": gpus}
        options |= {"max_restarts": 0, "max_task_retries": 0, **self._on(machine)}
        return self._host.options(**options).remote(self._imports, self._worker)

    def task(self, function: Callable[..., Any], machine: str, *given: Any) -> Any:
        """Begin to call a function on a machine, beside whatever works there."""
        options = {"num_cpus": 0, "max_retries": 2, **self._on(machine)}
        pickled = self.ray.cloudpickle.dumps((function, given))
        return self._call.options(**options).remote(self._imports, pickled)

    def cancel(self, call: Any) -> None:
        """End a task, wherever it is at."""
        self.ray.cancel(call, force=True)

    def put(self, value: bytes) -> Any:
        """What stands for a value as an argument of many calls; machines get it once each."""
        return self.ray.put(value)

    def first(self, calls: Sequence[Any], *, seconds: float) -> Sequence[Any]:
        """Those calls that are answered, one at least unless the time is up."""
        try:
            ready, _ = self.ray.wait(list(calls), num_returns=1, timeout=seconds)
        except ConnectionError as error:  # of Ray's client alone
            raise self.lost(str(error)) from error
        return list(ready)

    def get(self, call: Any) -> Any:
        """The answer to a call.

        Raises:
            Raised: the call raised in its process.
            Died: its process, machine or answer is gone, in whichever way Ray puts it.
        """
        try:
            return self.ray.get(call)
        except self.ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            raise Raised(cause, str(error)) from None
        except self.ray.exceptions.RayError as error:
            raise Died(f"{type(error).__name__}: {error}") from error
        except ConnectionError as error:
            raise self.lost(str(error)) from error

    def end(self, actor: Any) -> None:
        """End a worker's process at once."""
        self.ray.kill(actor, no_restart=True)

    def request(self, bundles: Sequence[Mapping[str, float]]) -> None:
        """Tell the autoscaler what is to fit at once, in place of what it was told before."""
        self._near_head(_request, [dict(bundle) for bundle in bundles])

    def may_grow(self, *, patience: float) -> bool:
        """Whether machines may come by themselves: False only where Ray says that none will.

        A head says so some seconds after its start.
        """
        until = time.monotonic() + patience
        while not self.private:
            status = self._near_head(_autoscaler_status)
            report = json.loads(status or "{}").get("autoscaler_report")
            if report:
                return not all(
                    kind.startswith("node_") for kind in report["node_type_mapping"].values()
                )
            if time.monotonic() > until:
                return True
            time.sleep(0.5)
        return False

    def ended(self) -> bool:
        """Whether a private Ray is no more."""
        return RaySession._own is not None and RaySession._own.ended

    def lost(self, why: str) -> LostError:
        """The one error of a cluster that is no more."""
        what, when = f"the Ray cluster at {self.address}", "when it is back, "
        if self.private:
            what, when = "this run's own Ray", ""
        return LostError(
            f"{what} is lost: {why}; what was computed is kept: {when}run the same command again, "
            "which continues"
        )

    def close(self, *, broken: bool) -> None:
        """Let go; the last one ends a private Ray. One that is broken is not waited for."""
        if self in RaySession._sharing:
            RaySession._sharing.remove(self)
        if RaySession._sharing or RaySession._foreign:
            return
        if broken and RaySession._own is not None:
            RaySession._own.close()  # then nobody is waited for
        ending = threading.Thread(target=self.ray.shutdown, daemon=True)
        try:
            ending.start()
            ending.join(CLOSE_SECONDS if broken else None)
        finally:
            if RaySession._own is not None:
                RaySession._own.close()
                RaySession._own = None
                self._show_token(None)

    def _share_or_join(self, own: PrivateRay | None) -> None:
        """Make sure that this process is connected, and to what was asked for."""
        if RaySession._sharing:
            there = RaySession._sharing[0].name
            if there != self.name:
                raise ValueError(
                    f"this process works on cluster {there!r}: close that before {self.name!r}"
                )
            return
        RaySession._foreign = bool(self.ray.is_initialized())
        if RaySession._foreign and self.private:
            raise ValueError(
                "this process has called ray.init itself: use cluster 'auto' to work there, or "
                "call ray.shutdown() first"
            )
        if own is not None:
            self._join_own(own)
        elif not RaySession._foreign:
            self._join()

    def _join_own(self, own: PrivateRay) -> None:
        """Join a private Ray."""
        address = own.address()
        self._show_token(own.token)
        try:
            self._init(address)
        except BaseException as error:
            self._show_token(None)
            if not isinstance(error, Exception):
                raise
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ValueError(f"Ray started, but cannot be joined: {lines[0]}") from error
        RaySession._own = own

    def _join(self) -> None:
        """Join a running cluster and send it the code that this process runs."""
        address = self._find()
        reach(address, asked=self.name)
        self._authenticate(address)
        try:
            self._init(address, runtime_env=shipment())
        except Exception as error:  # Ray raises half a dozen kinds; each becomes one sentence
            raise ValueError(refusal(error, address=address)) from error

    def _init(self, address: str, **settings: Any) -> None:
        """Connect from an empty directory, as Ray has workers import from the driver's before all
        else; and without its handler of SIGTERM, which ends the driver. What Ray keeps of the
        command line, in its table of jobs and its logs, is without secrets.
        """
        self.ray._private.utils.get_entrypoint_name = lambda: redact(" ".join(sys.argv))
        try:
            with _nowhere(), signals.undisturbed():
                self.ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level="ERROR",
                    configure_logging=False,
                    **settings,
                )
        except BaseException:
            self.ray.shutdown()
            raise

    def _show_token(self, token: str | None) -> None:
        """Have this process show a token to Ray's servers, or what it showed before."""
        names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
        if token is not None:
            RaySession._shown = {name: os.environ.get(name) for name in names}
        shown = RaySession._shown if token is None else {names[0]: "token", names[1]: token}
        for name, value in shown.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        self.ray._raylet.Config.initialize("")
        self.ray._raylet.AuthenticationTokenLoader.instance().reset_cache()

    def _find(self) -> str:
        """The address of the cluster that was asked for."""
        if self.name != "auto":
            return self.name
        if given := os.environ.get("RAY_ADDRESS"):
            return given
        try:
            found = self.ray._private.services.canonicalize_bootstrap_address("auto")
        except ConnectionError:
            found = None
        if found is None:
            raise ValueError(f"--cluster auto: no Ray cluster runs here: {HOW_TO_START}")
        return str(found)

    def _authenticate(self, address: str) -> None:
        """Show this machine's token where the cluster asks for one, and only there: a driver that
        comes with a token to a cluster without loses its actors (seen with Ray 2.60).
        """
        error = None if "://" in address else self._refused(address)
        if error is None and "://" not in address:
            return
        if error is None or "token" in str(error).lower():
            try:
                from ray._private.authentication import authentication_token_setup as tokens
            except ImportError:  # a Ray before tokens
                return
            tokens.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
            error = error and self._refused(address)
        if error is not None:
            raise ValueError(refusal(error, address=address)) from error

    def _refused(self, address: str) -> Exception | None:
        """What the head says to a first question, which costs nothing; None where it answers."""
        try:
            self.ray._raylet.GcsClient(address=address)
        except self.ray.exceptions.RayError as error:
            return cast("Exception", error)
        return None

    def _near_head(self, function: Callable[..., Any], *given: Any) -> Any:
        """Call what speaks with the head: here, or there where this is a client outside."""
        if self.home:
            return function(*given)
        pickled = self.ray.cloudpickle.dumps((function, given))
        call = self._call.options(num_cpus=0).remote(self._imports, pickled)
        return self.ray.get(call, timeout=REPLY_SECONDS)

    def _on(self, machine: str | None) -> dict[str, Any]:
        """The option that places something on a machine and nowhere else."""
        if machine is None:
            return {}
        strategies = self.ray.util.scheduling_strategies
        return {
            "scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(machine, soft=False)
        }


def shipment() -> dict[str, Any] | None:
    """The packages as this process imports them, for machines that lack them or have others.

    Nothing for a submitted job: its own environment reaches every machine already.
    """
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return None
    return {
        "py_modules": list(code.folders_here().values()),
        "excludes": ["__pycache__/", "*.pyc"],
        "env_vars": {name: os.environ[name] for name in PASSED_ON if name in os.environ},
    }


@contextmanager
def _nowhere() -> Iterator[None]:
    """Work from an empty directory for a while."""
    before = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
    try:
        with tempfile.TemporaryDirectory() as empty:
            os.chdir(empty)
            try:
                yield
            finally:
                os.fchdir(before)
    finally:
        os.close(before)


def _request(bundles: list[dict[str, float]]) -> None:
    """Ask the autoscaler."""
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=bundles)


def _autoscaler_status() -> bytes:
    """The last report of the autoscaler as JSON, empty if there is none."""
    from ray.experimental.internal_kv import _internal_kv_get

    return bytes(_internal_kv_get(b"__autoscaling_status") or b"")
