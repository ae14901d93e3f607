"""What people may read of a text that may hold secrets: addresses without user part and query.

Whatever is shown or stored passes here, so that a password in an address, a signed link or a token
of the environment stays where it was given.
"""

import os
import re

HIDDEN = "***"
# One slash is enough: a Path folds two into one.
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+[^\s'\"<>`|\\]*[^\s'\"<>`|\\.,:;)\]}]")
# `user:password@host` without a scheme; a port is no password.
USER = re.compile(r"(?<![\w/@.-])[^\s/@:'\"=<>()\[\]{},]+:[^\s/@'\"<>]+@(?=[\w\[])")
TOKEN = re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{8,}|(?<=Bearer )[^\s'\"]+")
# Parts of a query that say where and how, and open nothing.
HARMLESS = ("endpoint_override", "region", "scheme", "revision", "download")
# A part of a name between underscores, or how it ends: PGPASSWORD, MYSQL_PWD, SSHPASS, but neither
# PWD, which is a folder, nor SSH_AUTH_SOCK, which is a path.
SECRET_NAME = re.compile(
    r"(?i)((token|secret|password|passwd|passphrase)(_|$)"
    r"|(^|_)(credentials?|creds|sas|pat|dsn|cookie|authorization|(ssh)?pass)(_|$)"
    r"|(^|_)(api|access|account|auth|private|secret)?key(_|$)"
    r"|_connection_string$|_pwd$|_auth$)"
)
NO_SECRET = re.compile(r"(?i)_(path|file|dir|home|url)$")
SHORTEST = 8


def redact(text: str) -> str:
    """A text without what opens anything.

    Left out are the user part and the query of addresses, tokens of the hub, and the values, of 8
    characters or more, of environment variables whose name says that they are secret.
    """
    text = TOKEN.sub(HIDDEN, URL.sub(lambda found: _address(found[0]), text))
    text = USER.sub("", text)
    for secret in _of_the_environment():
        text = text.replace(secret, HIDDEN)
    return text


def _address(url: str) -> str:
    """An address without user part, and of its query what opens nothing."""
    where = re.split("[?#]", url, maxsplit=1)[0]
    query = url[len(where) :]
    scheme, rest = where.split(":", 1)
    slashes = rest[: len(rest) - len(rest.lstrip("/"))]
    rest = rest.lstrip("/")
    first = rest.partition("/")[0]
    # A password may hold slashes, though it should not: what looks like one goes up to the last @.
    if "@" in first or (":" in first and not re.fullmatch(r".*:\d*", first)):
        rest = rest.rpartition("@")[2] if "@" in rest else HIDDEN
    parts = [_parameter(part) for part in re.split("[&;#?]", query) if part]
    return f"{scheme}:{slashes}{rest}{query[:1] if parts else ''}{'&'.join(parts)}"


def _parameter(part: str) -> str:
    """One part of a query; an endpoint may hold a user of its own."""
    name, equals, value = part.partition("=")
    if not equals:
        return HIDDEN
    return f"{name}={value.rpartition('@')[2] if name in HARMLESS else HIDDEN}"


def _of_the_environment() -> list[str]:
    """The secrets of this process's environment, long ones first."""
    found = {
        value.strip()
        for name, value in os.environ.items()
        if SECRET_NAME.search(name)
        and not NO_SECRET.search(name)
        and len(value.strip()) >= SHORTEST
    }
    return sorted(found, key=len, reverse=True)
