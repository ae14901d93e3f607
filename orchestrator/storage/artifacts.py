"""Files that cells make for other cells, such as steering vectors, each under its maker's key.

Beside each is the digest of its bytes, so that a damaged one counts as missing. Those used last are
kept in memory, as one vector serves the many units of a sweep.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable

from orchestrator.storage.files import Files

FOLDER = "artifacts"
SUFFIX = ".safetensors"
DIGEST = ".sha256"
KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")
HELD_BYTES = 256_000_000


class Artifacts:
    """The artifacts of one store."""

    def __init__(self, files: Files) -> None:
        """Of the store whose files these are."""
        self._files = files
        self._held: OrderedDict[str, bytes] = OrderedDict()

    def write(self, key: str, data: bytes) -> None:
        """Keep one, whole or not at all, in place of any other of this key."""
        # The digest first: a kill between the two leaves what counts as missing.
        self._files.put(_name(key) + DIGEST, hashlib.sha256(data).hexdigest().encode())
        self._files.put(_name(key), data)
        self._hold(key, data)

    def delete(self, key: str) -> None:
        """Remove one, if it is there."""
        self._held.pop(key, None)
        self._files.delete(_name(key))
        self._files.delete(_name(key) + DIGEST)

    def some(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Those of the keys that there are."""
        found = ((key, self._find(key)) for key in keys)
        return {key: data for key, data in found if data is not None}

    def sound(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that have one, undamaged."""
        return {key for key in keys if self._find(key) is not None}

    def keys(self) -> set[str]:
        """The keys of all."""
        names = (entry.name.removeprefix(f"{FOLDER}/") for entry in self._files.entries(FOLDER))
        keys = {name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)}
        return {key for key in keys if KEY.fullmatch(key)}

    def _find(self, key: str) -> bytes | None:
        """One, None where there is none."""
        if key not in self._held:
            try:
                data = self._files.read(_name(key))
            except FileNotFoundError:
                return None
            if not self._intact(key, data):
                return None
            self._hold(key, data)
        self._held.move_to_end(key)
        return self._held[key]

    def _intact(self, key: str, data: bytes) -> bool:
        """Whether these are the bytes that were written; an older version kept no digest."""
        try:
            digest = self._files.read(_name(key) + DIGEST)
        except FileNotFoundError:
            return bool(data)
        return digest == hashlib.sha256(data).hexdigest().encode()

    def _hold(self, key: str, data: bytes) -> None:
        """Remember one, and forget those not used for longest where they become too many."""
        self._held[key] = data
        self._held.move_to_end(key)
        while len(self._held) > 1 and sum(map(len, self._held.values())) > HELD_BYTES:
            self._held.popitem(last=False)


def _name(key: str) -> str:
    """The file of an artifact."""
    if not KEY.fullmatch(key):
        raise ValueError(f"artifact key {key!r}: expected letters, digits and . _ - only")
    return f"{FOLDER}/{key}{SUFFIX}"
