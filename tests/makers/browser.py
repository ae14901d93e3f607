"""A headless Chromium that runs a script on a page and says what it found, if it is installed."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The clipboard of a headless browser belongs to nobody: what is copied is kept in a list.
BEFORE = """<script>
const copied = [];
const clipboard = {writeText: async (text) => copied.push(text)};
Object.defineProperty(navigator, "clipboard", {value: clipboard});
</script>"""
AFTER = """<script>
(async () => {
  let found;
  try { found = await (async () => { %s })(); }
  catch (error) { found = {failed: String(error.stack)}; }
  const held = document.createElement("pre");
  held.id = "found-by-test";
  held.textContent = JSON.stringify(found);
  document.body.append(held);
})();
</script>"""


def chromium() -> str:
    """Where Chromium is; the test is skipped where it is not."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium is installed ({', '.join(NAMES)}): the page's script is not run")
    return found


def run(page: Path, script: str, *, folder: Path, width: int = 1400, dark: bool = False) -> Any:
    """What the body of an async function returns on a page, and what the page wrote to the console.

    Raises:
        AssertionError: the script failed, or the page complained.
    """
    text = page.read_text(encoding="utf-8")
    copy = folder / "page.html"
    text = text.replace("<body>", f"<body>{BEFORE}", 1).replace(
        "</body>", AFTER % script + "</body>"
    )
    copy.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--window-size={width},1000", f"--user-data-dir={folder / 'profile'}",
         f"--blink-settings=preferredColorScheme={0 if dark else 1}",
         "--virtual-time-budget=20000", "--dump-dom", copy.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not said, said
    held = re.search(r'<pre id="found-by-test">(.*?)</pre>', done.stdout, re.DOTALL)
    assert held is not None, done.stdout[-500:]
    found = json.loads(unescape(held[1]))
    assert not (isinstance(found, dict) and "failed" in found), found["failed"]
    return found
