"""``metrics.csv``: always written, and continued when a run is resumed."""

import csv
import warnings
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger

from distill.core.rank import first_process


def metrics_file(run_dir: Path, resumed_at: int | None = None, ended: bool = False) -> CSVLogger:
    """A logger that writes ``metrics.csv`` into the run directory.

    Args:
        run_dir: The run's directory.
        resumed_at: The step that a resumed run goes on from: rows before it are kept.
        ended: Whether training was ended there, by time say: so that it may have been in a batch
            after the step, whose validation is kept too.
    """
    path = run_dir / "metrics.csv"
    rows = _rows_before(path, resumed_at, ended) if resumed_at is not None else []
    if first_process():
        path.unlink(missing_ok=True)
    logger = CSVLogger(run_dir.parent, name=run_dir.name, version="", flush_logs_every_n_steps=50)
    if rows:
        writer = logger.experiment
        writer.metrics_keys = list(rows[0])
        writer.metrics = rows
        writer.save()
    return logger


def _rows_before(path: Path, step: int, ended: bool) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", errors="replace") as file:
        lines = file.readlines()
    whole = [line for line in lines if line.endswith("\n") and "\0" not in line]
    rows = list(csv.DictReader(whole))
    # Lightning numbers a row by the last finished step, counted from 0.
    kept = [row for row in rows if _is_whole(row)]
    if len(kept) < max(1, len(lines) - 1) and first_process():
        told = f"{path} is damaged: {len(kept)} of its rows are kept"
        warnings.warn(f"{told}; the weights are not touched by it", stacklevel=2)
    return [row for row in kept if int(row["step"]) < step + (ended and not row.get("train/loss"))]


def _is_whole(row: dict[str | None, str | None]) -> bool:
    """Whether a row has a value for each column, and a step."""
    return None not in row and None not in row.values() and (row.get("step") or "").isdecimal()
