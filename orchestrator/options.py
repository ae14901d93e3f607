"""Where a study's data and results lie, what computes it, and what is shown of it.

None of it bears identity.
"""

from dataclasses import dataclass
from pathlib import Path

from studies.flags import Options, flag, where_flag
from studies.rows import Source


@dataclass(frozen=True, kw_only=True)
class Device(Options):
    """What computes."""

    device: str = where_flag(
        "What computes, such as --device cuda:1: auto, cpu, cuda, cuda:N, or spread, one model "
        "over all GPUs.",
        default="auto",
        suggested=lambda: ("auto", "cpu", "cuda", "spread"),
    )


@dataclass(frozen=True, kw_only=True)
class Where(Device):
    """Where data and results lie, and what computes."""

    data_root: Path | None = where_flag(
        "Read DIR/<benchmark>/<language>.jsonl in place of the hub, such as --data-root data."
    )
    out: str | None = where_flag(
        "Folder of the run, or s3://bucket/run, such as --out runs/first.", shown="runs/RECIPE"
    )
    cluster: str = where_flag(
        "Where it runs, such as --cluster inline. local: Ray on this machine; inline: this "
        "process; auto, host:port or ray://host:port: a Ray cluster that is running.",
        default="local",
        suggested=lambda: ("local", "inline", "auto"),
    )
    workers: int | None = where_flag(
        "Processes that work at the same time, at most, such as --workers 2.",
        least=1,
        shown="as GPUs or cores allow",
    )
    allow_truncation: bool = where_flag("Cut texts that exceed the model's context.", default=False)
    retry_errors: bool = where_flag("Compute cells again that failed before.", default=False)
    verify: bool = where_flag(
        "Check every byte of what is there; compute again what is damaged.", default=False
    )
    skip_bad_models: bool = where_flag(
        "Leave out models that cannot be used, and say so.", default=False
    )

    @property
    def source(self) -> Source:
        """Where data sets are read from."""
        return Source(data_root=self.data_root)


@dataclass(frozen=True, kw_only=True)
class Running(Where):
    """What `run` and `demo` take beside the study's own flags."""

    dry_run: bool = where_flag("Show the plan and stop.", default=False)
    report: bool = where_flag("Write the report when the cells are done.", default=True)


@dataclass(frozen=True, kw_only=True)
class Planning(Where):
    """What `plan` takes beside the study's own flags."""

    json: bool = flag("Print the plan as one JSON object (docs/scripts.md).", default=False)
    toml: bool = flag("Print the study file that repeats this command, and stop.", default=False)
