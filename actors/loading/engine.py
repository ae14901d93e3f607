"""Prepare for vLLM to open a model: flags, environment, memory, and silence.

vLLM itself is imported in actors/engine.py alone.
"""

import multiprocessing
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from multiprocessing import resource_tracker
from pathlib import Path

from transformers import AutoConfig

from actors.errors import opening
from actors.loading.device import available_memory
from actors.tokens.tokenised import TokenisedModel, ends_of, prefix_of
from actors.tokens.tokenizer import load_tokenizer
from studies.spec import ModelFacts

# In the worker's own process, without a report to vLLM's makers.
ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}
LOGGING = "VLLM_LOGGING_LEVEL"
# What a CPU's engine keeps for keys and values at most: many workers share one machine's memory.
CACHE_BYTES = 4 << 30
LEAST_CACHE_BYTES = 64 << 20
# As many texts of the whole context as it keeps at once, where that is less.
WHOLE_TEXTS = 32

# Where Linux keeps what processes share.
SHARED = Path("/dev/shm")
SEMAPHORE = "sem."

HOW_TO_INSTALL = (
    "on a machine with a GPU run `pip install 'babelscope[vllm]'`, without one `make vllm` in the "
    "project's folder, or use --engine hf"
)


def refuse(facts: ModelFacts, *, device: str) -> None:
    """Raise ValueError for what vLLM is not there for, or would do in another way."""
    if facts.adapter:
        raise ValueError(
            f"model {facts.label!r} has an adapter that is merged into its weights, which vLLM "
            "does not do: use --engine hf"
        )
    if facts.quantisation:
        raise ValueError(
            f"model {facts.label!r} is asked for in {facts.quantisation}, which vLLM packs in "
            "another way than transformers, with other answers: use --engine hf"
        )
    if device.startswith("cuda:"):
        raise ValueError(
            f"--device {device} with --engine vllm: vLLM takes the first GPU that it sees; set "
            f"CUDA_VISIBLE_DEVICES={device.partition(':')[2]} and use --device cuda"
        )
    if find_spec("vllm") is None:
        raise ValueError(f"--engine vllm needs the package 'vllm': {HOW_TO_INSTALL}")


def tokenised(facts: ModelFacts, *, folder: str) -> tuple[TokenisedModel, list[int]]:
    """The model without its weights, and the tokens that end its texts.

    Raises:
        ValueError: a file of it cannot be read.
    """
    with opening(facts, folder=folder):
        config = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=facts.trust_remote_code
        )
        tokenizer, notes = load_tokenizer(facts, folder=folder)
    ends = ends_of(config, tokenizer, more=facts.ends)
    model = TokenisedModel(
        facts=facts,
        tokenizer=tokenizer,
        prefix=prefix_of(tokenizer),
        vocabulary=config.get_text_config().vocab_size,
        notes=notes,
    )
    return model, ends


def cache_bytes(facts: ModelFacts) -> int:
    """What a CPU's engine keeps for keys and values, unless VLLM_CPU_KVCACHE_SPACE says it."""
    number = 4 if facts.dtype == "float32" else 2
    whole = 2 * facts.layers * facts.width * number * facts.context * WHOLE_TEXTS
    free = available_memory() or 4 * CACHE_BYTES
    return max(LEAST_CACHE_BYTES, min(whole, CACHE_BYTES, free // 4))


def reason(error: BaseException) -> str:
    """The line of an error that says what is wrong, without the list of all that is known."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if "rchitecture" in line] or lines
    line = said[0].removeprefix("Value error, ") if said else type(error).__name__
    return line.partition(". Supported")[0].rstrip(".")


@contextmanager
def environment() -> Iterator[None]:
    """What vLLM reads while it opens and closes; whatever it sets itself is undone as well."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    os.environ.setdefault(LOGGING, "ERROR")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def silence() -> Iterator[None]:
    """Keep what this process writes to its standard error, and say it only where it fails.

    vLLM and what it loads warn in half a dozen ways of settings that are as they should be.
    """
    with tempfile.TemporaryFile() as kept, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stderr = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(stderr, kept.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextmanager
def nameless() -> Iterator[None]:
    """Take the names off the shared memory that this process and its children open here.

    What is open stays open. Without a name it is gone with the last process that has it, however
    that ends: one that is killed, with all it has started, cleans up nothing.
    """
    before = _shared_memory()
    yield
    for path in _shared_memory() - before:
        path.unlink(missing_ok=True)
        semaphore = path.name.startswith(SEMAPHORE)
        name = path.name.removeprefix(SEMAPHORE) if semaphore else path.name
        resource_tracker.unregister(f"/{name}", "semaphore" if semaphore else "shared_memory")


def _shared_memory() -> set[Path]:
    """The files of Python's shared memory and semaphores that are open here and in children.

    They are known by their inodes: a semaphore is opened under another name than it is given.
    """
    inodes = set()
    for process in ("self", *(child.pid for child in multiprocessing.active_children())):
        with suppress(OSError):
            maps = Path(f"/proc/{process}/maps").read_text()
            inodes |= {line.split()[4] for line in maps.splitlines()}
    files = [path for kind in ("psm_*", f"{SEMAPHORE}mp-*") for path in SHARED.glob(kind)]
    return {path for path in files if str(path.stat().st_ino) in inodes}
