"""What a step did, in a JSON file beside what it wrote."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.core.errors import RecipeError
from distill.core.files import write_json

STEPS = ("clean", "label", "select")


def write_manifest(folder: Path, step: str, facts: dict[str, Any], files: Sequence[str]) -> None:
    """Write ``<step>.json``: facts, hashes of the files and of the manifest of the step before.

    Args:
        folder: Where all of them are.
        step: ``clean``, ``label`` or ``select``.
        facts: Counts and thresholds.
        files: Names of what the step wrote.
    """
    before = STEPS[: STEPS.index(step)][-1:]
    manifest = {
        **facts,
        "files": {name: _digest(folder / name) for name in files},
        "after": {f"{name}.json": _digest(folder / f"{name}.json") for name in before},
    }
    write_json(folder / f"{step}.json", manifest)


def read_manifest(folder: Path, step: str) -> dict[str, Any]:
    """What a step did, if its files and what it came after are still as they were.

    Raises:
        RecipeError: If the step was not done, or something that it depends on changed since.
    """
    path = folder / f"{step}.json"
    if not path.is_file():
        raise RecipeError(str(path), f"is missing: begin with --from {step}")
    manifest: dict[str, Any] = json.loads(path.read_text())
    for name, digest in {**manifest["after"], **manifest["files"]}.items():
        if not (folder / name).is_file() or _digest(folder / name) != digest:
            again = f"begin with --from {step}"
            raise RecipeError(str(folder / name), f"is not what {path.name} tells of: {again}")
    return manifest


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
