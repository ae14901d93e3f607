"""`run.json`: the study as planned, with its provenance, and which folders may hold it.

A folder without a manifest that holds files of others is left alone, and one that a newer version
wrote is refused.
"""

import json
import re
from collections.abc import Mapping

from analysis.storage.folder import Folder
from analysis.storage.record import (
    ERRORS_FILE,
    ERRORS_FOLDER,
    NAME,
    TABLES,
    VERSION,
    Record,
    clash,
    parse,
)
from orchestrator.storage.artifacts import FOLDER as ARTIFACTS
from orchestrator.storage.files import LEFTOVER, Files
from orchestrator.storage.lease import FOLDER as LEASES
from orchestrator.storage.shards import QUARANTINE

LOCK = "run.lock"
STATUS = "status.json"
# What a watch knows of checkpoints, the lease of the one watcher, and models it had converted.
WATCHED, WATCHING, CONVERTED = "watch.json", "watching", "converted"
# What a store may hold before its first manifest: each folder, and the names of files in it.
OUR_FOLDERS = {
    ARTIFACTS: r"[^/]+\.safetensors(\.sha256)?",
    ERRORS_FOLDER: r"[^/]+\.parquet",
    LEASES: r"[0-9a-f]+\.json",
    QUARANTINE: r".*",
    TABLES: r"[a-z_]+/(compact-)?[0-9a-f]{32}\.parquet",
    WATCHING: rf"{LEASES}/[0-9a-f]+\.json",
    CONVERTED: r".*",
}
OUR_FILES = {ERRORS_FILE, LOCK, "status.html", STATUS, WATCHED}
# What systems, tools and shells leave in any folder, and nobody loses a run to.
STRAY = re.compile(
    r"\.DS_Store|\._.*|\.directory|\.git(keep|ignore|attributes)|\.keep|\.nfs.*|\.snapshots?|\.Trash.*"
    r"|Thumbs\.db|desktop\.ini|lost\+found|nohup\.out|[^/]*\.(log|out|err)|logs?"
)


def read(run: Folder) -> dict[str, object] | None:
    """What `run.json` says, or None for a folder that no run has used.

    Raises:
        ValueError: the folder is something other than a run's, or a newer version wrote it.
    """
    if run.kind() == "file":
        raise ValueError(f"--out {run.address} is a file: choose a folder")
    try:
        content = run.read(NAME)
    except FileNotFoundError:
        _refuse_strangers(run)
        return None
    return parse(content, where=run.text(NAME))


def essence(record: Record) -> Record:
    """Of a manifest what tells its rows from another run's: study, settings and pins."""
    return {name: record[name] for name in ("study", "settings", "pins") if name in record}


def kept_essence(run: Folder) -> Record | None:
    """The essence of `run.json`, None where there is none."""
    try:
        return essence(parse(run.read(NAME), where=run.text(NAME)))
    except FileNotFoundError:
        return None


def write(files: Files, content: Mapping[str, object]) -> Record:
    """Put `run.json` in place of the one before; returns its essence as it will be read."""
    whole = {"version": VERSION, **{name: content[name] for name in content if name != "version"}}
    text = json.dumps(whole, indent=1, ensure_ascii=False)
    files.put(NAME, text.encode())
    return essence(json.loads(text))


def admit(
    run: Folder, study: str, *, settings: Mapping[str, object], pins: Mapping[str, object]
) -> None:
    """Refuse a study whose rows must not lie beside those already here.

    Raises:
        ValueError: the folder holds another study, other settings, or other texts or weights under
            the same names.
    """
    manifest = read(run)
    this: Record = {"study": study, "settings": settings, "pins": pins}
    if manifest is not None and (why := clash(manifest, this)):
        raise ValueError(f"{run.address} {why}: choose another --out, or go back to the same")


def _refuse_strangers(run: Folder) -> None:
    """A folder with files of others is no place for a run, whatever its folders are called."""
    for name in run.children():
        if name in OUR_FILES or _stray(name):
            continue
        found = _stranger(run, name) if name in OUR_FOLDERS else name
        if found:
            raise ValueError(
                f"{run.address} is not a run folder (it holds {found!r} and no {NAME}): "
                "choose another --out"
            )


def _stranger(run: Folder, folder: str) -> str:
    """A file that is not ours in a folder called like one of ours, empty if there is none."""
    if run.entry(folder) is not None:
        return folder
    below = [*run.entries(folder), *run.entries(folder, hidden=True)]
    names = (entry.name for entry in below if not _stray(entry.name.rpartition("/")[2]))
    ours = re.compile(f"{folder}/{OUR_FOLDERS[folder]}")
    return next((name for name in names if not ours.fullmatch(name)), "")


def _stray(name: str) -> bool:
    """Whether a file may lie in any folder."""
    return bool(STRAY.fullmatch(name) or LEFTOVER.match(name))
