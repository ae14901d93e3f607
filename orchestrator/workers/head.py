"""The process in which a private Ray lives: it starts Ray's servers, says where, and waits.

It is run as a script by private.py, in a session of its own: what is sent to the command's process
group (Ctrl-C, `timeout`, a batch system) does not reach Ray, whose running units may then finish.
When the command ends, however it ends, its end of the pipe closes: all that was started goes, and
so does the folder. Nothing of ours is imported here.
"""

import json
import os
import shutil
import signal
import sys

import ray._private.node
import ray._private.parameter

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(folder: str, settings: dict[str, object]) -> None:
    """Start Ray with its files in a folder, print its address, and end it all with the pipe."""
    # What is blocked here stays blocked in all that is started: a signal to every process of a
    # job's control group is for the command, which says what is to become of the others.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    print(flush=True)  # Ray can be imported here
    ray_params = ray._private.parameter.RayParams(temp_dir=folder, **settings)
    node = ray._private.node.Node(
        ray_params, head=True, shutdown_at_exit=False, spawn_reaper=True, ray_init_cluster=True
    )
    print(json.dumps({"address": node.gcs_address}), flush=True)
    sys.stdin.read()
    node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
