"""Reads an ONNX file as data: what it holds, which other files belong to it, and a session of it.

Libraries of custom operators, which are code, are never loaded: a file that needs one is refused.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class OnnxTensor:
    """An input or output of a file.

    Attributes:
        dtype: As onnxruntime writes it, such as ``tensor(float)``.
        shape: Numbers, or names where a size is free.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


def digest(path: Path) -> str:
    """A SHA-256 of an ONNX file and of the files beside it that hold its weights.

    Raises:
        ValueError: If a package or a file is missing, damaged or outside of the file's folder.
    """
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            raise ValueError(f"onnx_model needs {package}: pip install 'distill[export]'")
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    state = hashlib.sha256(path.read_bytes())
    for file in sorted(_external(path)):
        if not file.is_file():
            raise ValueError(f"{path} keeps its weights in {file}, which is not there")
        with file.open("rb") as content:
            state.update(hashlib.file_digest(content, "sha256").digest())
    return state.hexdigest()


@lru_cache(maxsize=8)
def session(path: Path, expected: str) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """A session on the CPU, with as many threads as torch uses.

    Args:
        path: The file.
        expected: Its :func:`digest`.

    Raises:
        ValueError: If the file has changed or cannot be run.
    """
    import onnxruntime  # an optional package

    if digest(path) != expected:
        raise ValueError(f"{path} has changed since it was opened")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds, which share no base
        raise ValueError(f"{path} cannot be run by onnxruntime: {first_line(error)}") from error


def inputs_of(path: Path, expected: str) -> list[OnnxTensor]:
    """The inputs of a file."""
    return [_tensor(given) for given in session(path, expected).get_inputs()]


def outputs_of(path: Path, expected: str) -> list[OnnxTensor]:
    """The outputs of a file."""
    return [_tensor(given) for given in session(path, expected).get_outputs()]


def metadata_of(path: Path, expected: str) -> dict[str, str]:
    """What a file says about itself."""
    return dict(session(path, expected).get_modelmeta().custom_metadata_map)


def first_line(error: Exception) -> str:
    """An error of onnxruntime's in one short line, without its code in front."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.rpartition("[ONNXRuntimeError] : ")[2][:200]


def _tensor(given: Any) -> OnnxTensor:  # noqa: ANN401 - onnxruntime has no types
    return OnnxTensor(given.name, given.type, tuple(given.shape))


def _external(path: Path) -> set[Path]:
    """The files that hold weights of an ONNX file; they lie in its folder or below it."""
    import onnx  # an optional package

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # of protobuf, whose kinds depend on its version
        raise ValueError(f"{path} is damaged, or no ONNX file ({type(error).__name__})") from error
    if not model.graph.output:
        raise ValueError(f"{path} is damaged, or no ONNX file: it has no outputs")
    folder, found = path.parent.resolve(), set()
    for place in _locations(model):
        file = (folder / place).resolve()
        if not file.is_relative_to(folder):
            raise ValueError(f"{path} names a file outside of its folder: {place}")
        found.add(file)
    return found


def _locations(part: Any) -> Iterator[str]:  # noqa: ANN401 - a message of protobuf
    """Where the tensors of a message, and of those inside it, are kept in other files."""
    if part.DESCRIPTOR.name == "TensorProto":
        yield from (entry.value for entry in part.external_data if entry.key == "location")
        return
    for field, value in part.ListFields():
        if field.message_type is not None:
            for inner in value if isinstance(value, Sequence) else [value]:
                yield from _locations(inner)
