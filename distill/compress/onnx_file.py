"""The ONNX file of a quantised network: weights in 8, 4 or 2 bits, and what a runtime makes of it.

INT4 and INT2 weights are cast to INT8 before they are dequantised: onnxruntime folds that when it
loads the file, and computes in 8 bits. The file is smaller, not faster.
"""

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from distill.compress.codes import packed

_CONVOLUTIONS = {"Conv", "FusedConv", "NhwcFusedConv", "ConvInteger"}
_INTEGER = {"QLinearConv"}
_OPSET = {2: (25, 13), 4: (21, 10), 8: (21, 10)}
"""By bits of a container: the opset that has it, and the version of the file's format."""


def store(model: Any, bits: Mapping[str, int], least: int = 2) -> None:  # noqa: ANN401 - onnx's ModelProto
    """Put weights into containers of 2, 4 or 8 bits, and strip what no runtime reads.

    Args:
        model: Changed in place.
        bits: Of each tensor of weights, by the end of its name.
        least: The smallest container.
    """
    from onnx import TensorProto, helper, numpy_helper

    smallest = 8
    for tensor in list(model.graph.initializer):
        own = next((b for name, b in bits.items() if tensor.name.endswith(name)), 8)
        container = next(size for size in (2, 4, 8) if size >= max(own, least))
        if container == 8:
            continue
        smallest = min(smallest, container)
        codes = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        name, kind = tensor.name, getattr(TensorProto, f"INT{container}")
        stored = packed(codes, container).numpy().tobytes()
        tensor.CopyFrom(helper.make_tensor(f"{name}.stored", kind, codes.shape, stored, raw=True))
        cast = helper.make_node("Cast", [tensor.name], [name], to=TensorProto.INT8)
        model.graph.node.insert(0, cast)
    opset, version = _OPSET[smallest]
    for used in model.opset_import:
        if used.domain in ("", "ai.onnx"):
            used.version = max(used.version, opset)
    model.ir_version = max(model.ir_version, version)
    _strip(model)


def convolutions(path: Path) -> tuple[int, int]:
    """How many convolutions onnxruntime computes in integers, of how many."""
    import onnx
    from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

    options = SessionOptions()
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        InferenceSession(path, options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(options.optimized_model_filepath).graph.node
    kinds = Counter(node.op_type for node in nodes)
    whole = sum(kinds[kind] for kind in _INTEGER)
    return whole, whole + sum(kinds[kind] for kind in _CONVOLUTIONS)


def _strip(model: Any) -> None:  # noqa: ANN401
    """Remove the exporter's notes on nodes and values: up to half of a small file."""
    graph = model.graph
    del graph.value_info[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output, graph):
        del part.metadata_props[:]
        part.doc_string = ""
    _shorten(graph)


def _shorten(graph: Any) -> None:  # noqa: ANN401
    """Number what lies between input and output: names are a tenth of a small file of few bits."""
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        return  # graphs inside of it read its names
    kept = {"", *(value.name for value in (*graph.input, *graph.output))}
    numbers: dict[str, str] = {}

    def short(name: str) -> str:
        return name if name in kept else numbers.setdefault(name, f"{len(numbers):x}")

    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
    for node in graph.node:
        node.name = ""
        for names in (node.input, node.output):
            names[:] = [short(name) for name in names]
