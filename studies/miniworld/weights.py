"""Say where the shipped models lie; it knows folders, not what is in them."""

from pathlib import Path

MODELS: tuple[str, ...] = ("miniworld-llama", "miniworld-qwen2", "miniworld-gemma2")
FOLDER = Path(__file__).parent / "models"


def model_folder(name: str, *, revision: str | None = None) -> Path:
    """The folder of one shipped model, or of one of its training checkpoints ("step-400")."""
    if name not in MODELS:
        raise ValueError(f"miniworld has no model {name!r}; it has {', '.join(MODELS)}")
    folder = FOLDER / name.removeprefix("miniworld-")
    if revision is None:
        return folder
    known = [path.name for path in sorted(folder.glob("step-*"), key=_step)]
    if revision not in known:
        raise ValueError(
            f"{name} has no revision {revision!r}; it has {', '.join(known) or 'none'}"
        )
    return folder / revision


def _step(folder: Path) -> int:
    """The training step in a checkpoint's name."""
    return int(folder.name.removeprefix("step-"))
