"""Say of every error inside that a model cannot be opened, in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from actors.errors import out_of_memory
from studies.spec import ModelFacts


@contextmanager
def opening(facts: ModelFacts, *, folder: str) -> Iterator[None]:
    """Turn whatever a model's files make a loader raise into one sentence that names the model.

    Args:
        facts: the model.
        folder: the loader's folder, which stands for that of `facts`.

    Raises:
        ValueError: something was raised that is no lack of memory.
    """
    try:
        yield
    except Exception as error:  # a folder can be wrong in any way
        if out_of_memory(error):
            raise
        said = str(error).strip().splitlines() or [type(error).__name__]
        if said[0].startswith(f"model {facts.label!r}"):
            raise
        raise ValueError(
            f"model {facts.label!r} cannot be loaded from folder {facts.folder!r}: "
            f"{said[0].replace(folder, facts.folder)}"
        ) from error
