"""Fill a dataclass from JSON that anybody may have changed: every value of its declared type.

Without it a damaged file shows only where a value is used, and there as another fault.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def filled(kind: type[T], content: object) -> T:
    """A dataclass from a JSON object with exactly its fields, and theirs in turn.

    Raises:
        TypeError: a field is missing, strange or of another type.
    """
    assert is_dataclass(kind)
    names = {field.name for field in fields(kind)}
    if not isinstance(content, Mapping) or content.keys() != names:
        raise TypeError(f"expected an object with {', '.join(sorted(names))}")
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], content[name], name) for name in sorted(names)})


def _value(hint: Any, value: object, name: str) -> Any:
    """One value as its type asks."""
    origin, parts = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return filled(hint, value)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        return tuple(_value(parts[0], each, name) for each in value)
    if origin is Literal and value in parts:
        return value
    if origin in (Union, UnionType):
        if value is None and type(None) in parts:
            return None
        return _value(parts[0], value, name)
    if origin is Mapping and isinstance(value, Mapping):
        return {_value(parts[0], key, name): _value(parts[1], value[key], name) for key in value}
    if hint is float and type(value) in (int, float) and isfinite(value):  # type: ignore[arg-type]
        return value
    if hint in (str, int, bool) and type(value) is hint:
        return value
    raise TypeError(f"{name} is {value!r:.40}")
