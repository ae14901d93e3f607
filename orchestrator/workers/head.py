"""The process in which a private Ray lives: it starts Ray's servers, says where, and waits.

It is run as a script by private.py, in a session of its own: what is sent to the command's process
group (Ctrl-C, `timeout`, a batch system) does not reach Ray, whose running units may then finish.
When the command ends, however it ends, its end of the pipe closes: all that was started goes, and
so does the folder. Nothing of ours is imported here.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_SECONDS = 10.0


def main(folder: str, settings: dict[str, object]) -> None:
    """Start Ray with its files in a folder, print its address, and end it all with the pipe."""
    # What is blocked here stays blocked in all that is started: a signal to every process of a
    # job's control group is for the command, which says what is to become of the others.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    import ray._private.node
    import ray._private.parameter

    print(flush=True)  # Ray can be imported here
    ray_params = ray._private.parameter.RayParams(temp_dir=folder, **settings)
    node = ray._private.node.Node(
        ray_params, head=True, shutdown_at_exit=False, spawn_reaper=True, ray_init_cluster=True
    )
    print(json.dumps({"address": node.gcs_address}), flush=True)
    sys.stdin.read()
    end(os.getpid(), folder=folder)


def end(session: int, *, folder: str) -> None:
    """End every process of a session but this one, and then remove their folder.

    Ray's workers have process groups of their own, and one that is left makes its folder anew.
    """
    until = time.monotonic() + END_SECONDS
    while (left := _others(session)) and time.monotonic() < until:
        for process in left:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.005)
    while os.path.exists(folder) and time.monotonic() < until:
        shutil.rmtree(folder, ignore_errors=True)


def _others(session: int) -> list[int]:
    """The other living processes of a session; without /proc, its first one alone."""
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        return [session] if session != os.getpid() and not _ended(session) else []
    found = []
    for place in proc.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, _, _, number = place.read_text().rpartition(")")[2].split()[:4]
            if int(number) == session and state != "Z":
                found.append(int(place.parent.name))
    return [process for process in found if process != os.getpid()]


def _ended(process: int) -> bool:
    try:
        return os.waitpid(process, os.WNOHANG) != (0, 0)
    except OSError:
        return True


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
