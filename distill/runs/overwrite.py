"""A run put aside for a new one in its directory: back if that one never begins."""

import shutil
from collections.abc import Iterable
from pathlib import Path

ASIDE = ".overwritten"


def put_aside(run_dir: Path, files: Iterable[Path]) -> None:
    """Move the files of a run into a hidden folder of its directory, and no others.

    Args:
        run_dir: The directory; one that holds no run is left as it is.
        files: What the run wrote; folders and links among them stay.
    """
    shutil.rmtree(run_dir / ASIDE, ignore_errors=True)
    if not (run_dir / "config.yaml").is_file():
        return
    for path in sorted(files):
        if path.is_file() and not path.is_symlink():
            _move(path, run_dir / ASIDE / path.relative_to(run_dir))


def put_back(run_dir: Path) -> None:
    """Undo it."""
    aside = run_dir / ASIDE
    for path in sorted(path for path in aside.rglob("*") if path.is_file()):
        _move(path, run_dir / path.relative_to(aside))
    drop(run_dir)


def drop(run_dir: Path) -> None:
    """Remove what was put aside."""
    shutil.rmtree(run_dir / ASIDE, ignore_errors=True)


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
