"""Files that are whole at any time: written beside the old one, then renamed over it."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file, whole or not at all; a full disk is an ``OSError`` and leaves the old one."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write_through(temporary, content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_through(path: Path, content: bytes | memoryview) -> None:
    """Write a file to the disk; an ``OSError`` names it, which the system's does not."""
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file."""
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, with texts by name in its head."""
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    write_bytes(path, save(contiguous, metadata))


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write a table.

    Args:
        path: The file.
        rows: A mapping from column to value per row; None is written as nothing.
        columns: The header, in order.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
