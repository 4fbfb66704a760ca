"""A teacher from a file of weights."""

import hashlib
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import torch
from torch import nn

from teachers.weights import load_exactly, read_tensors


def from_checkpoint(
    model: nn.Module, path: str, key: str | None = None, sha256: str | None = None
) -> nn.Module:
    """A network with the weights of a file; every tensor must match.

    Args:
        model: The network to fill.
        path: A ``.safetensors`` file or a torch checkpoint, read as data only. A URL is taken only
            with its hash.
        key: The entry of a torch checkpoint that holds the tensors; None where they are the file's
            own or under ``state_dict`` or ``model``.
        sha256: The hash of the file, hexadecimal; checked before the file is read.

    Raises:
        ValueError: If the file is missing, damaged, has another hash, or does not match the model.

    Example:
        >>> from_checkpoint(nn.Linear(2, 2), "nowhere.safetensors")
        Traceback (most recent call last):
        ValueError: no such file: nowhere.safetensors
    """
    if "://" not in path:
        return _fill(model, Path(path), path, key, sha256)
    if sha256 is None:
        raise ValueError(f"sha256 is needed to load weights from a URL: {path}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(urlsplit(path).path).name
        try:
            torch.hub.download_url_to_file(path, str(file), progress=False)
        except OSError as error:
            raise ValueError(f"path {path} cannot be downloaded: {error}") from error
        return _fill(model, file, path, key, sha256)


def _fill(
    model: nn.Module, file: Path, source: str, key: str | None, sha256: str | None
) -> nn.Module:
    if sha256 is not None and file.is_file():
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != sha256.lower():
            raise ValueError(f"sha256 of {source} is {found}, not {sha256}")
    load_exactly(model, read_tensors(file, key), source)
    return model
