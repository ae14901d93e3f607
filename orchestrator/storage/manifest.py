"""`run.json`: the study as planned, with its provenance, and what must not lie beside it.

The one idea: a store says by its manifest what it is. A folder that says nothing and holds files of
others is left alone, and one that a newer version wrote is refused. Rows are unknown here.
"""

import json
from collections.abc import Iterator, Mapping

from analysis.places import Place
from orchestrator.storage.files import Files

NAME = "run.json"
# 2: failed cells may lie in errors/ too, and shards may be merged. 1 is read as it is.
VERSION = 2
# What a store may hold before its first manifest.
OURS = {"artifacts", "errors", "errors.parquet", "leases", "quarantine", "run.lock"}
OURS |= {"status.html", "status.json", "tables"}


def read(place: Place) -> dict[str, object] | None:
    """What `run.json` says, or None for a folder that no run has used.

    Raises:
        ValueError: the folder is something other than a run's, or a newer version wrote it.
    """
    if place.is_local and place.local.exists() and not place.local.is_dir():
        raise ValueError(f"--out {place.address} is a file: choose a folder")
    try:
        text = place.read(NAME)
    except FileNotFoundError:
        _refuse_strangers(place)
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"{place.text(NAME)} is not valid JSON: restore it, or choose another --out"
        ) from error
    version = content.get("version", 0) if isinstance(content, dict) else 0
    if version > VERSION:
        raise ValueError(
            f"{place.address} was written by a newer Babelscope (store version {version}, this one "
            f"knows {VERSION}): update, or choose another --out"
        )
    return dict(content)


def write(files: Files, content: Mapping[str, object]) -> None:
    """Put `run.json` in place of the one before."""
    whole = {"version": VERSION, **{name: content[name] for name in content if name != "version"}}
    files.put(NAME, json.dumps(whole, indent=1, ensure_ascii=False).encode())


def admit(
    place: Place, study: str, *, settings: Mapping[str, object], pins: Mapping[str, object]
) -> None:
    """Refuse a study whose rows must not lie beside those already here.

    Raises:
        ValueError: the folder holds another study, other settings, or other texts or weights under
            the same names.
    """
    manifest = read(place)
    if manifest is None:
        return
    if manifest["study"] != study:
        raise ValueError(
            f"{place.address} holds the study {manifest['study']!r}, this is {study!r}: choose "
            "another --out"
        )
    for name, kept, given in _differences(manifest["settings"], settings):
        raise ValueError(
            f"{place.address} was run with {name} {kept}, this run has {given}: choose another "
            "--out, or go back to the same"
        )
    for name, _, _ in _differences(manifest["pins"], pins):
        raise ValueError(
            f"{place.address} was computed from another {name} than this run would read: choose "
            "another --out, or go back to the same"
        )


def _refuse_strangers(place: Place) -> None:
    """A folder with files of others is no place for a run."""
    strangers = set(place.children()) - OURS
    if strangers:
        raise ValueError(
            f"{place.address} is not a run folder (it holds {min(strangers)!r} and no {NAME}): "
            "choose another --out"
        )


def _differences(kept: object, given: Mapping[str, object]) -> Iterator[tuple[str, object, object]]:
    """Name, kept value and given value wherever both have one and they differ."""
    assert isinstance(kept, dict)
    for name, value in given.items():
        if name in kept and kept[name] != value:
            yield name, kept[name], value
