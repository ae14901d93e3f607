"""Short texts kept in the user's cache between runs, such as the hash of a large file.

A note is written aside and moved into place, so that no reader sees half of one, and is sealed, so
that a damaged one counts as none. Without a cache that can be written, nothing is kept.
"""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path | None:
    """The project's folder in the user's cache; None without a home."""
    given = os.environ.get("XDG_CACHE_HOME")
    with suppress(RuntimeError):  # no home
        return (Path(given) if given else Path.home() / ".cache") / "babelscope"
    return None


def recall(kind: str, mark: str) -> str | None:
    """The text of the note `mark` in the folder `kind`; None where there is no whole one."""
    note = _note(kind, mark)
    with suppress(OSError, ValueError):
        text, _, seal = note.read_text(encoding="utf-8").rpartition(" ") if note else ("", "", "")
        if seal == _seal(mark, text):
            return text
    return None


def remember(kind: str, mark: str, text: str) -> None:
    """Keep a text as the note `mark` in the folder `kind`, where that is possible."""
    note, aside = _note(kind, mark), None
    if note is None:
        return
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=note.parent, delete=False, encoding="utf-8"
        ) as file:
            aside = file.name
            file.write(f"{text} {_seal(mark, text)}")
        os.replace(aside, note)
    except OSError:  # a read-only home costs some seconds per run, not the run
        if aside is not None:
            with suppress(OSError):
                os.unlink(aside)


def _note(kind: str, mark: str) -> Path | None:
    folder = cache_folder()
    return folder and folder / kind / mark[:32]


def _seal(mark: str, text: str) -> str:
    """Tells the note of this very mark from a damaged one."""
    return hashlib.sha256(f"{mark} {text}".encode()).hexdigest()
