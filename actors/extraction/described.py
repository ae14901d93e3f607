"""Files that say what they hold: safetensors whose metadata are a record, checked when read.

What is kept for other cells is easy to mistake: one layer off, of another model, read elsewhere. So
a file says all of it, and one that contradicts itself is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Generic, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form(Generic[Record]):
    """A kind of file: what it is called, its version, and the record in its metadata.

    Attributes:
        format: what the metadata call it.
        version: of the format; a file of another one is refused.
        record: a dataclass whose fields JSON can hold.
        noun: what the tensors are called in messages, such as "steering vectors".
    """

    format: str
    version: str
    record: type[Record]
    noun: str

    def pack(self, about: Record, tensors: Mapping[str, Tensor]) -> bytes:
        """Tensors and their record as the content of a safetensors file."""
        metadata = {name: json.dumps(value) for name, value in asdict(about).items()}  # type: ignore[call-overload]
        metadata |= {"format": self.format, "version": self.version}
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        content: bytes = save(whole, metadata=metadata)
        return content

    def unpack(self, content: bytes) -> tuple[Record, dict[str, Tensor]]:
        """What `pack` made; lists of the record are tuples again.

        Raises:
            ValueError: it is no such content, is of another version, or lacks metadata.
        """
        try:
            tensors: dict[str, Tensor] = load(content)
        except SafetensorError as error:
            raise ValueError(
                f"cannot be read as {self.noun} ({error}): give a file that was saved whole"
            ) from error
        # The length of the header in 8 bytes, then the header, which `load` has just read.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return self._about(header.get("__metadata__", {})), tensors

    def _about(self, metadata: Mapping[str, str]) -> Record:
        """The record in a file's metadata."""
        if metadata.get("format") != self.format:
            raise ValueError(
                f"metadata 'format' is {metadata.get('format')!r}: expected {self.format!r}"
            )
        if metadata.get("version") != self.version:
            raise ValueError(
                f"unknown format version {metadata.get('version')!r}: expected {self.version!r}; "
                f"make the {self.noun.split()[-1]} again, or use the release that wrote them"
            )
        names = [item.name for item in fields(self.record)]  # type: ignore[arg-type]
        absent = [name for name in names if name not in metadata]
        if absent:
            raise ValueError(f"metadata lacks {', '.join(absent)}: expected a file as it was saved")
        said: dict[str, Any] = {}
        for name in names:
            try:
                said[name] = _tuples(json.loads(metadata[name]))
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"metadata {name!r} is {metadata[name]!r}: expected JSON, as it was saved"
                ) from error
        return self.record(**said)


def _tuples(value: Any) -> Any:
    """The value with its lists, at any depth, as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
