"""Run a command that ends when whoever asked for it does: python guard.py COMMAND...

Stdlib alone, run by its path. The asker holds the other end of this process's standard input; when
that closes, even because it was killed, the command and all processes of its group are killed. A
signal is handed on, and the command's end becomes this process's.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

# prctl(2): which signal a process gets when its parent ends.
PR_SET_PDEATHSIG = 1
HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# What shells report of a command that a signal ended.
BY_SIGNAL = 128


def _die_with_parent() -> None:
    """Have this process killed when its parent is, where the system can do so."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill_all(group: int) -> None:
    """End a command and what it began."""
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)


def _watch_asker(group: int) -> None:
    """Wait until the asker is gone, then end everything."""
    while os.read(0, 1):
        pass
    _kill_all(group)
    os._exit(BY_SIGNAL + signal.SIGKILL)


def main() -> None:
    """Run the command and end as it does."""
    # Signals wait until there is somebody to hand them to; the command has none blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)

    def begin() -> None:
        _die_with_parent()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    command = subprocess.Popen(
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=begin,  # before any thread is begun
    )
    for number in HANDED_ON:
        signal.signal(number, lambda given, _frame: command.send_signal(given))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    threading.Thread(target=_watch_asker, args=(command.pid,), daemon=True).start()
    status = command.wait()
    os._exit(status if status >= 0 else BY_SIGNAL - status)


if __name__ == "__main__":
    main()
