"""What `--out` and its like may be: a folder of this machine, or a bucket of an object store.

An address is understood whole before anything is reached, as what an object store's client makes of
a wrong one is a hang or the end of the process.
"""

import os
import re
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pyarrow import fs

from analysis.storage.redact import redact

# A scheme is followed by a slash (a Path folds two into one); these are no folders even without.
SCHEME = re.compile(
    r"([A-Z][A-Z0-9+.-]+):(?=/)|(s3[an]?|gs|gcs|az|abfss?|hdfs|file|https?):", re.IGNORECASE
)
ENDPOINT = re.compile(r"^(?:(https?):/+)?([^/@?#\s]+)/?$", re.IGNORECASE)
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What is no letter of a name, by its category in Unicode.
NO_LETTERS: Mapping[str, str] = {
    "Cc": "a control character",
    "Cs": "which is a byte that is no Unicode text",
    "Zl": "a line's end",
    "Zp": "a paragraph's end",
    "Cf": "a mark that cannot be seen",
}
JOINERS = "\u200c\u200d"
OPTIONS = ("endpoint_override", "region", "scheme")
EXPECTED = "expected a folder or an address such as s3://bucket/folder"


class Bucket(NamedTuple):
    """A folder in an object store: how it is opened, and as people read it."""

    where: str
    address: str
    name: str
    folder: str
    user: str | None
    password: str | None
    options: dict[str, str]

    def open(self) -> tuple[fs.FileSystem, str]:
        """The file system and the folder in it, the AWS_* variables filling in what is left open.

        Small files are put in one request, which is atomic and leaves nothing where it is cut off.
        """
        named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        given = self.options.get("endpoint_override") or named
        endpoint = ENDPOINT.match(given)
        if given and not endpoint:
            raise ValueError(f"endpoint {redact(given)} of {self.address}: expected http(s)://host")
        scheme, host = endpoint.groups() if endpoint else (None, "")
        region = self.options.get("region") or os.environ.get("AWS_REGION")
        region = region or os.environ.get("AWS_DEFAULT_REGION")
        if not region:
            region = "us-east-1" if host else fs.resolve_s3_region(self.name)
        system = fs.S3FileSystem(
            access_key=self.user,
            secret_key=self.password,
            region=region,
            scheme=self.options.get("scheme") or (scheme or "https").lower(),
            endpoint_override=host or None,
            allow_delayed_open=True,
            background_writes=False,
        )
        return system, f"{self.name}{self.folder}"


def parse(where: str) -> tuple[Bucket | None, str]:
    """A bucket, or None and the folder of this machine that is meant.

    Raises:
        ValueError: it is neither; no secret of the address is in what is said.
    """
    shown = redact(where)
    if not where.strip():
        raise ValueError(f"an empty name is no place for runs: {EXPECTED}")
    _refuse_unwritable(where, shown=shown)
    found = SCHEME.match(where)
    if found is None:
        return None, os.path.expanduser(where) if where.startswith("~/") else where
    scheme, rest = (found[1] or found[2]).lower(), where[found.end() :]
    if scheme == "file":
        return None, _folder(rest, shown=shown)
    if scheme == "s3" and rest.startswith("/"):
        return _bucket(rest, shown=shown), ""
    other = "" if scheme == "s3" else f"; {scheme}: is not known"
    raise ValueError(f"{shown} is no place for runs: {EXPECTED}{other}")


def _refuse_unwritable(text: str, *, shown: str) -> None:
    """Refuse what no folder's name can be written with, or what makes it read as another.

    Spaces of any script and joiners, which Persian and Indic names have, are letters of a name.
    """
    for one in text:
        why = NO_LETTERS.get(unicodedata.category(one))
        if why and one not in JOINERS:
            name = unicodedata.name(one, "")
            which = f"U+{ord(one):04X}{f' ({name})' if name else ''}"
            raise ValueError(f"{shown!a} is no place for runs: it holds {which}, {why}; rename it")


def _folder(rest: str, *, shown: str) -> str:
    """The path of a file: address."""
    if rest.startswith("//") and not rest.startswith("///"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() != "localhost":
            raise ValueError(f"{shown} names another machine: write file:///folder")
        rest = slash + path
    if not rest.startswith("/"):
        raise ValueError(f"{shown} is no place for runs: expected file:///folder")
    path = unquote(rest, errors="surrogateescape")
    _refuse_unwritable(path, shown=shown)
    return "/" + path.lstrip("/")


def _bucket(rest: str, *, shown: str) -> Bucket:
    """What follows `s3:`."""
    where = f"s3://{rest[2:] if rest.startswith('//') else rest[1:]}"
    try:
        parts = urlsplit(where, allow_fragments=False)
        given = parse_qsl(parts.query, strict_parsing=True) if parts.query else []
    except ValueError:
        raise ValueError(f"{shown} is no address: expected s3://bucket/folder?region=...") from None
    options = dict(given)
    for name in options.keys() - set(OPTIONS):
        raise ValueError(f"unknown option {name!r} in {shown}: expected {', '.join(OPTIONS)}")
    if len(options) < len(given):
        raise ValueError(f"{shown} gives an option twice: once is expected")
    if options.get("scheme", "https") not in ("http", "https"):
        raise ValueError(f"{shown}: expected scheme=http or scheme=https")
    endpoint = options.get("endpoint_override", "")
    if endpoint and not ENDPOINT.match(endpoint):
        raise ValueError(f"{shown}: expected endpoint_override=host:port, without user and path")
    return _named(parts, where=where, options=options, shown=shown)


def _named(parts: SplitResult, *, where: str, options: dict[str, str], shown: str) -> Bucket:
    """A bucket whose name and folder an object store may have."""
    user, at, name = parts.netloc.rpartition("@")
    if not name:
        raise ValueError(f"{shown} names no bucket: expected s3://bucket/folder")
    if not BUCKET.fullmatch(name):
        raise ValueError(
            f"{shown}: no bucket has such a name; expected s3://bucket/folder, and a / in a secret "
            "key written as %2F"
        )
    folder = parts.path.rstrip("/")
    if any(part in ("", ".", "..") for part in folder.split("/")[1:]):
        raise ValueError(f"{shown}: a part of the path is empty or made of dots: leave it out")
    key, colon, secret = user.partition(":")
    if at and not (key and colon and secret):
        raise ValueError(f"{shown}: expected key and secret, as in s3://KEY:SECRET@bucket/folder")
    return Bucket(
        where=where,
        address=f"s3://{name}{folder}",
        name=name,
        folder=folder,
        user=unquote(key) if at else None,
        password=unquote(secret) if at else None,
        options=options,
    )
