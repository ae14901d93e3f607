"""What `--cluster` may be, whether anything answers there, and what to say when it does not fit.

Text and one socket: so that a wrong address is a sentence within seconds, where a client would
try again for minutes. Nothing is started here.
"""

import re
import socket

from orchestrator.workers.gpus import visible_gpus

DEVICES = ("auto", "cpu", "cuda", "spread")
NAMES = "inline, local, auto, HOST:PORT or ray://HOST:PORT"
ADDRESS = re.compile(r"(?P<client>ray://)?(?P<host>[^\s:/]+):(?P<port>\d{1,5})")
REACH_SECONDS = 5.0
# A gRPC server answers the opening of HTTP/2 and an empty SETTINGS frame with its own SETTINGS.
OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
SETTINGS_TYPE = 4
HOW_TO_START = "start one with `ray start --head`, or use --cluster local"


def check(name: str, *, device: str) -> None:
    """Refuse a cluster or device that cannot be, before anything is written or reached.

    Raises:
        ValueError: the name is unknown, or a GPU is asked for where there is none.
    """
    if name not in ("inline", "local", "auto") and not ADDRESS.fullmatch(name):
        raise ValueError(f"unknown cluster {name!r}: expected one of {NAMES}")
    if device not in DEVICES and not re.fullmatch(r"cuda:\d+", device):
        raise ValueError(f"unknown device {device!r}: expected {', '.join(DEVICES)} or cuda:N")
    if name != "inline" and (device == "spread" or device.startswith("cuda:")):
        raise ValueError(
            f"--device {device} with --cluster {name}: its workers are given their GPUs, several "
            "where a model needs them; use --device cuda, or --cluster inline"
        )
    if name in ("inline", "local") and device.startswith("cuda") and not visible_gpus():
        raise ValueError(f"--device {device}: this machine shows no GPU; use --device cpu or auto")


def reach(address: str, *, asked: str) -> None:
    """See that a Ray cluster may be at an address.

    Raises:
        ValueError: nothing answers there within seconds, or something that is not Ray.
    """
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise ValueError(f"cluster address {address!r}: expected HOST:PORT or ray://HOST:PORT")
    host, port = found["host"], int(found["port"])
    try:
        with socket.create_connection((host, port), timeout=REACH_SECONDS) as stream:
            stream.settimeout(REACH_SECONDS)
            stream.sendall(OPENING)
            answer = stream.recv(16)
    except OSError as error:
        raise ValueError(_unreachable(address, asked=asked, why=str(error))) from error
    if len(answer) < 4 or answer[3] != SETTINGS_TYPE or answer.startswith(b"HTTP"):
        usual = "10001 as ray://HOST:10001" if found["client"] else "6379"
        raise ValueError(
            f"--cluster {asked}: what answers at {host}:{port} is not Ray's port for drivers "
            f"(usually {usual}; 8265 is the dashboard, for `ray job submit`)"
        )


def refusal(error: BaseException, *, address: str) -> str:
    """Why a driver could not join a cluster that answers, as one sentence with what to do."""
    text = "\n".join(str(cause) for cause in _causes(error))
    if versions := re.findall(r"Ray: *(\S+)\s+Python: *(\S+)", text):
        (ray, python), *mine = versions
        here = f"Ray {mine[0][0]} on Python {mine[0][1]}" if mine else "something else"
        return (
            f"the cluster at {address} runs Ray {ray} on Python {python}, this process {here}: "
            f"they must be equal; install ray=={ray} here under Python {python}"
        )
    if "ray[client]" in text:
        return (
            f"{address} needs Ray's client, which is not installed: pip install 'ray[client]', or "
            "run on a machine of the cluster with --cluster auto"
        )
    if re.search("authenti|token", text, re.IGNORECASE):
        return (
            f"the cluster at {address} asks for a token: copy ~/.ray/auth_token from its head to "
            "this machine, or set RAY_AUTH_TOKEN, with RAY_AUTH_MODE=token"
        )
    if "node" in text and "connect" in text:
        return (
            f"this machine is no part of the cluster at {address}: run "
            f"`ray start --address={address}` here first, or use ray://HOST:10001"
        )
    if "Method not found" in text:
        return (
            f"what answers at {address} is not Ray's port for drivers (usually 6379; Ray's client "
            f"answers at 10001 as ray://HOST:10001)"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"cannot join the cluster at {address}: {lines[0] if lines else type(error).__name__}"


def death(text: str, *, node: str) -> str:
    """Why a worker's process is gone, from Ray's own many lines about it."""
    low = text.lower()
    if "low on memory" in low or "due to oom" in low or "outofmemoryerror" in low:
        return (
            f"OutOfMemoryError: node {node} ran low on memory, and Ray killed the worker: give it "
            "fewer models at a time, or a machine with more"
        )
    if "node" in low and re.search(r"node (that|has|which|was|with).{0,80}(dead|died|remov)", low):
        return f"NodeDiedError: node {node} died or was taken away"
    if "unavailable" in low:
        return f"ActorUnavailableError: no connection to the worker on node {node}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else "its process died"
    return f"WorkerCrashedError: the worker on node {node} died: {last}"


def _unreachable(address: str, *, asked: str, why: str) -> str:
    """Nothing is there."""
    if asked == "auto":
        return (
            f"--cluster auto: no Ray cluster runs here (the last one was at {address}, which does "
            f"not answer: {why}): {HOW_TO_START}"
        )
    return (
        f"--cluster {asked}: nothing answers at {address} ({why}): check the address, that the "
        "cluster is up and that no firewall is between"
    )


def _causes(error: BaseException | None) -> list[BaseException]:
    """An exception and what it came from."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
