"""Manifests: a JSON file for each step, with the hashes of the files that it wrote."""

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
        folder: Of the files and manifests.
        step: ``clean``, ``label`` or ``select``.
        facts: Counts and thresholds.
        files: Names of the files that the step wrote.
    """
    before = STEPS[: STEPS.index(step)][-1:]
    manifest = {
        **facts,
        "files": {name: _digest(folder / name) for name in files},
        "after": {f"{name}.json": _digest(folder / f"{name}.json") for name in before},
    }
    write_json(folder / f"{step}.json", manifest)


def read_manifest(folder: Path, step: str) -> dict[str, Any]:
    """Read the manifest of a step, and check its files and the manifest of the step before.

    Raises:
        RecipeError: If the step was not done, or a file changed since.
    """
    path = folder / f"{step}.json"
    if not path.is_file():
        raise RecipeError(str(path), f"is missing: run `distill ssld` again with --from {step}")
    manifest: dict[str, Any] = json.loads(path.read_text())
    for name, digest in {**manifest["after"], **manifest["files"]}.items():
        if not (folder / name).is_file() or _digest(folder / name) != digest:
            message = f"does not match its hash in {path.name}: run again with --from {step}"
            raise RecipeError(str(folder / name), message)
    return manifest


def is_ours(folder: Path) -> bool:
    """Whether a folder's first manifest is one of these, so that its files may be written anew."""
    try:
        found = json.loads((folder / "clean.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"command", "files", "after"} <= {*found}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
