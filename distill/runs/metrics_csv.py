"""``metrics.csv``: always written, and continued when a run is resumed."""

import csv
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger

from distill.core.rank import first_process


def metrics_file(run_dir: Path, resumed_at: int | None = None) -> CSVLogger:
    """A logger that writes ``metrics.csv`` into the run directory.

    Args:
        run_dir: The run's directory.
        resumed_at: The step that a resumed run goes on from: rows before it are kept.
    """
    path = run_dir / "metrics.csv"
    rows = _rows_before(path, resumed_at) if resumed_at is not None else []
    if first_process():
        path.unlink(missing_ok=True)
    logger = CSVLogger(run_dir.parent, name=run_dir.name, version="", flush_logs_every_n_steps=50)
    if rows:
        writer = logger.experiment
        writer.metrics_keys = list(rows[0])
        writer.metrics = rows
        writer.save()
    return logger


def _rows_before(path: Path, step: int) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        # Lightning numbers a row by the last finished step, counted from 0.
        return [row for row in csv.DictReader(file) if int(row["step"]) < step]
