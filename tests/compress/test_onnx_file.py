import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from distill.compress.onnx_file import store

IMAGE = np.arange(6, dtype=np.float32).reshape(2, 3)


def model(codes):
    """Logits are image times weights, which are codes times 0.5, by way of a long name."""
    step = numpy_helper.from_array(np.float32(0.5), "a.rather.long.path.to.weight.step")
    weight = numpy_helper.from_array(codes, "a.rather.long.path.to.weight.codes")
    whole = ["a.rather.long.path.to.weight"]
    nodes = [
        helper.make_node("DequantizeLinear", [weight.name, step.name], whole, name="node_0"),
        helper.make_node("MatMul", ["image", *whole], ["logits"], name="node_1"),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", n])
        for name, n in (("image", 3), ("logits", 2))
    ]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:], [weight, step])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def logits(made):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    return session.run(["logits"], {"image": IMAGE})[0]


@pytest.mark.parametrize(("bits", "kind"), [(8, TensorProto.INT8), (4, TensorProto.INT4)])
def test_names_between_input_and_output_are_numbers_and_nothing_else_changes(bits, kind):
    codes = np.array([[-8, 7], [3, -1], [0, 5]], dtype=np.int8)
    made = model(codes)
    size = made.ByteSize()
    store(made, {"weight.codes": bits})
    assert np.array_equal(logits(made), IMAGE @ (codes * np.float32(0.5)))
    assert {tensor.data_type for tensor in made.graph.initializer} == {kind, TensorProto.FLOAT}
    names = {name for node in made.graph.node for name in (*node.input, *node.output)}
    assert {"image", "logits"} < names
    assert not any(node.name for node in made.graph.node)
    assert max(map(len, names - {"image", "logits"})) == 1
    assert made.ByteSize() < size - 80


def test_a_graph_within_keeps_its_names():
    made = model(np.ones((3, 2), dtype=np.int8))
    inner = helper.make_graph([], "inner", [], [])
    made.graph.node[1].attribute.append(helper.make_attribute("body", inner))
    before = [list(node.input) for node in made.graph.node]
    store(made, {})
    assert [list(node.input) for node in made.graph.node] == before
