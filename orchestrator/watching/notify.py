"""Tell others what happened: a command with the facts in its environment, and a web address.

What cannot be told is counted and said, and changes nothing else. The address is never shown, as
its path is often all that protects it.
"""

import json
import os
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from socket import gaierror
from urllib.error import HTTPError
from urllib.parse import urlsplit

from analysis.storage.redact import redact

COMMAND_SECONDS = 60.0
WEB_SECONDS = 10.0
PREFIX = "BABELSCOPE_"
# Errors whose texts are the system's own.
OF_SYSTEM = (ConnectionRefusedError, ConnectionResetError, TimeoutError, OSError, gaierror)
SHELL = ("/bin/sh", "-c")


def environment(facts: Mapping[str, object]) -> dict[str, str]:
    """This process's environment with each fact as BABELSCOPE_NAME; what is unknown is empty."""
    named = {f"{PREFIX}{name.upper()}": value for name, value in facts.items()}
    texts = {name: "" if value is None else str(value) for name, value in named.items()}
    return {**os.environ, **texts}


def host(address: str) -> str:
    """Of an address what may be shown."""
    found = urlsplit(address)
    return f"{found.scheme}://{found.hostname}/..."


def post(address: str, *, text: str, facts: Mapping[str, object]) -> None:
    """Send one JSON object: the facts, and beside them a `text` as chat services show it.

    Raises:
        ValueError: it was not taken; the text holds no part of the address but its host.
    """
    shown = {name: redact(one) if isinstance(one, str) else one for name, one in facts.items()}
    content = json.dumps({"text": redact(text), **shown}, ensure_ascii=False).encode()
    request = urllib.request.Request(
        address, data=content, headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=WEB_SECONDS):
            return
    except HTTPError as error:
        error.close()
        why = f"it answered {error.code}"
    except (OSError, ValueError, HTTPException) as error:
        # What other errors say may hold the address; what the system says of a connection does not.
        inner = getattr(error, "reason", None)
        reason = inner if isinstance(inner, OSError) else error
        said = reason.strerror if isinstance(reason, OSError) and type(reason) in OF_SYSTEM else ""
        why = f"it could not be reached: {said or type(reason).__name__}"
    raise ValueError(f"the webhook at {host(address)} took no message ({why})")
