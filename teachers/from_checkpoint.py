"""A teacher from a file of weights."""

import hashlib
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import torch
from torch import nn

from teachers.weights import load_exactly, read_tensors


def from_checkpoint(
    model: nn.Module,
    path: str | None = None,
    key: str | None = None,
    sha256: str | None = None,
    prefix: str | None = None,
    leave_out: list[str] | None = None,
    normalization: dict[str, list[float]] | None = None,
) -> nn.Module:
    """Load the weights of a file into a network; every tensor must match.

    Files of training code are read as they are: with a ``Namespace`` of arguments beside the
    weights, from a compiled, wrapped or averaged network, or from a LightningModule's checkpoint.

    Args:
        model: The network to fill.
        path: A ``.safetensors`` file or a torch checkpoint, read as data only. A URL is taken only
            with its hash. None: the model keeps its weights.
        key: The entry of a torch checkpoint that holds the tensors, dotted if it lies deeper; None
            where they are the file's own, under a usual name such as ``state_dict`` or ``model``,
            or where one entry alone holds tensors.
        sha256: The hash of the file, hexadecimal; checked before the file is read.
        prefix: Take the tensors whose names begin with it, without it, and no others. None takes
            all, and takes off ``module.``, ``model.``, ``student.``, ``backbone.``, ``network.``
            and ``net.`` where all names have it and the model's do not, ``_orig_mod.`` anywhere.
        leave_out: Names of the model's layers that keep the values they have, such as a classifier
            for other classes.
        normalization: ``mean`` and ``std`` of each channel, which the weights were trained with.

    Raises:
        ValueError: If the file is missing, damaged, has another hash, or does not match the model,
            or if the normalization is no mean and no std.

    Example:
        >>> from_checkpoint(nn.Linear(2, 2), "nowhere.safetensors")
        Traceback (most recent call last):
        ValueError: no such file: nowhere.safetensors
    """
    if normalization is not None:
        model.input_normalization = _pair(normalization)  # type: ignore[assignment]

    def fill(file: Path, source: str) -> nn.Module:
        _check_hash(file, source, sha256)
        _check_names(model, leave_out or [])
        load_exactly(model, read_tensors(file, key), source, prefix, leave_out or ())
        return model

    if path is None:
        return model
    if "://" not in path:
        return fill(Path(path), path)
    if sha256 is None:
        raise ValueError(f"sha256 is needed to load weights from a URL: {path}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(urlsplit(path).path).name
        try:
            torch.hub.download_url_to_file(path, str(file), progress=False)
        except OSError as error:
            raise ValueError(f"path {path} cannot be downloaded: {error}") from error
        return fill(file, path)


def _pair(given: dict[str, list[float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if given.keys() != {"mean", "std"} or len(given["mean"]) != len(given["std"]):
        raise ValueError(f"normalization needs mean and std of each channel, got {given}")
    return tuple(given["mean"]), tuple(given["std"])


def _check_names(model: nn.Module, leave_out: list[str]) -> None:
    names = {*dict(model.named_modules()), *model.state_dict()}
    for name in leave_out:
        if name not in names:
            raise ValueError(
                f"leave_out names {name!r}, which {type(model).__name__} does not have"
            )


def _check_hash(file: Path, source: str, sha256: str | None) -> None:
    if sha256 is not None and file.is_file():
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != sha256.lower():
            raise ValueError(f"sha256 of {source} is {found}, not {sha256}")
