"""An exported file is tested beside the student."""

import json
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file

from distill import runs
from distill.cli import main
from distill.core.errors import RecipeError
from tests.fixtures.runs import QUIET
from tests.fixtures.stopped import fit, recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose student is one linear layer, which an ONNX file is easily written of."""
    tree = recipe(None, "epoch", {"max_epochs": 2})
    tree["model"]["init_args"]["student"] = {"class_path": "tests.runs.test_exported.Linear"}
    tree["data"]["init_args"]["test"] = 0.2
    run_dir = tmp_path_factory.mktemp("exported") / "run"
    fit(tree, run_dir)
    return run_dir


class Linear(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.fc(image.flatten(1))


def written(run: Path, path: Path, output: str = "logits", turned: bool = False) -> Path:
    """The student as a file, its normalisation folded; turned, its classes are shifted by one."""
    state = load_file(run / "student.safetensors")
    known = json.loads((run / "result.json").read_text())["normalization"]
    weight = state["fc.weight"] / known["std"][0]
    bias = state["fc.bias"] - known["mean"][0] * weight.sum(dim=1)
    if turned:
        weight, bias = weight.roll(1, 0), bias.roll(1)
    tensors = [
        numpy_helper.from_array(value.numpy(), name)
        for name, value in {"weight": weight.T.contiguous(), "bias": bias}.items()
    ]
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], [output]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["b", 1, 8, 8])
    logits = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["b", 10])
    graph = helper.make_graph(nodes, "file", [image], [logits], tensors)
    opset = [helper.make_opsetid("", 21)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
    )
    return path


def test_a_file_has_the_student_s_figure_and_a_wrong_one_has_not(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(run, tmp_path / "a.onnx")
    assert main(["test", str(run), "--file", str(file), "--trust", "tests"]) == 0
    found = json.loads((run / "test.json").read_text())
    assert found["file"] == str(file)
    assert found["top1"]["file"] == found["top1"]["student"] > 30
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["student", "file"]
    turned = written(run, tmp_path / "b.onnx", turned=True)
    wrong = runs.evaluate(run, trusted=("tests",), console=QUIET, file=turned)
    assert wrong["top1"]["file"] < 30


def test_what_is_no_such_file_is_told_in_a_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    other = written(run, tmp_path / "other.onnx", output="scores")
    cases = {
        tmp_path / "a.pt2": "must be an ONNX file, which is data",
        tmp_path / "none.onnx": "there is no file",
        tmp_path / "text.onnx": "cannot be opened",
        other: "gives scores, not logits",
    }
    for file, message in cases.items():
        with pytest.raises(RecipeError, match=f"--file: .*{message}") as told:
            runs.evaluate(run, trusted=("tests",), console=QUIET, file=file)
        assert "\n" not in str(told.value)


def test_a_file_for_images_of_another_shape_is_told(run: Path, tmp_path: Path) -> None:
    model = onnx.load(written(run, tmp_path / "a.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9
    (tmp_path / "odd.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(RecipeError, match=r"odd.onnx (does not take images|cannot be opened)"):
        runs.evaluate(run, trusted=("tests",), console=QUIET, file=tmp_path / "odd.onnx")
