"""The integer file of a run, beside the student that it is made of."""

import json
from pathlib import Path

import onnx
import pytest
import torch
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

from distill import runs
from distill.core.errors import RecipeError
from distill.tools import export_integers
from distill.tools.export import export
from distill.tools.student import open_student
from tests.fixtures.runs import QUIET
from tests.fixtures.stopped import recipe

pytestmark = pytest.mark.slow  # torch's exporter takes seconds
IMAGES = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=[2, 4])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = recipe(None, "epoch", {"max_epochs": 1})
    student = {"class_path": "students.resnet8", "init_args": {"num_classes": 10, "in_channels": 1}}
    arguments = {"model": student, "image": [1, 8, 8], "weights": request.param}
    arguments |= {"activations": request.param}
    quantized = {"class_path": "distill.compress.quantized", "init_args": arguments}
    tree["model"]["init_args"]["student"] = quantized
    run_dir: Path = tmp_path_factory.mktemp("run") / "run"
    runs.fit(tree, run_dir, trusted=("tests",), console=QUIET)
    export(run_dir, console=QUIET)
    return run_dir


def test_all_convolutions_run_as_integers_and_both_times_are_told(run: Path) -> None:
    facts = json.loads((run / "export.json").read_text())
    assert facts["convolutions"] == {"integer": 9, "of": 9}
    assert facts["latency_ms"].keys() == {"float32", "integer"}
    assert all(ms > 0 for times in facts["latency_ms"].values() for ms in times.values())
    assert facts["bytes"]["integer"] == (run / "student.onnx").stat().st_size
    assert facts["bytes"]["integer"] < facts["bytes"]["float32"] / 4
    assert not list(run.glob("*.float.onnx"))


def test_the_file_unfused_is_the_student(run: Path) -> None:
    options = SessionOptions()
    options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    session = InferenceSession(run / "student.onnx", options)
    (found,) = session.run(None, {"image": IMAGES.numpy()})
    with torch.no_grad():
        expected = open_student(run).network(IMAGES)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=2e-3)


def test_weights_lie_in_containers_of_their_bits(run: Path) -> None:
    model = onnx.load(run / "student.onnx")
    bits = json.loads((run / "export.json").read_text())["bits"]["least"]
    kinds = [t.data_type for t in model.graph.initializer]
    assert kinds.count(getattr(onnx.TensorProto, f"INT{bits}")) == 8
    assert [entry.key for entry in model.metadata_props] == ["preprocess"]


def test_a_file_that_says_something_else_is_not_kept(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_integers, "_EXACT", {8: -1.0})
    before = (run / "student.onnx").read_bytes()
    with pytest.raises(RecipeError, match="the integer file is off by"):
        export(run, console=QUIET)
    assert (run / "student.onnx").read_bytes() == before
