"""A student's file says what the student says, without the toolkit."""

import copy
import json
import shutil
from pathlib import Path

import onnxruntime
import pytest
import torch
import yaml
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from distill import runs
from distill.cli import main
from distill.core.errors import RecipeError
from distill.runs.directory import read_finished
from distill.tools.export import export
from tests.fixtures.networks import tiny
from tests.fixtures.recipes import RECIPE

QUIET = Console(quiet=True)


class Counts(nn.Module):
    """What it does depends on a value of its input, which no tracer can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        flat = image.flatten(1)
        return self.fc(flat if flat.sum() > 0 else flat + 1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("export") / "run"
    tree = copy.deepcopy(RECIPE)
    tree["trainer"]["max_epochs"] = 1
    runs.fit(tree, run_dir, trusted=("tests",), console=QUIET)
    return run_dir


def logits_of_saved_weights(run_dir: Path, image: Tensor) -> Tensor:
    student = tiny().eval()
    student.load_state_dict(load_file(run_dir / "student.safetensors"))
    known = read_finished(run_dir)[1]["normalization"]
    with torch.no_grad():
        return student((image - known["mean"][0]) / known["std"][0])


@pytest.fixture(scope="module")
def onnx_file(finished: Path) -> Path:
    path = export(finished, trusted=("tests",), console=QUIET)
    assert path == finished / "student.onnx"
    return path


@pytest.mark.parametrize("b", [1, 5])
def test_an_onnx_file_says_what_the_student_says(finished: Path, onnx_file: Path, b: int) -> None:
    path = onnx_file
    image = torch.rand(b, 1, 8, 8, generator=torch.Generator().manual_seed(b))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(["logits"], {"image": image.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), logits_of_saved_weights(finished, image))


def facts(run_dir: Path) -> dict[str, object]:
    """What a run knows of its images, with the normalisation inside."""
    found = json.loads((run_dir / "preprocess.json").read_text())
    assert found["normalization"] == "outside"
    return found | {"normalization": "inside"}


def test_an_onnx_file_says_how_an_image_becomes_an_input(finished: Path, onnx_file: Path) -> None:
    metadata = onnxruntime.InferenceSession(onnx_file).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["preprocess"]) == facts(finished)
    assert facts(finished)["classes"] == list("0123456789")
    assert (finished / "run_onnx.py").is_file()


def test_a_program_of_torch_says_how_an_image_becomes_an_input(
    finished: Path, tmp_path: Path
) -> None:
    path = export(finished, tmp_path / "student.pt2", ("tests",), QUIET)
    found = {"preprocess.json": ""}
    torch.export.load(path, extra_files=found)
    assert json.loads(found["preprocess.json"]) == facts(finished)
    assert not (tmp_path / "run_onnx.py").exists()


def test_the_runs_own_weights_say_it_too(finished: Path) -> None:
    with safe_open(finished / "student.safetensors", "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["preprocess"]) | {"normalization": "inside"} == facts(finished)


@pytest.mark.parametrize("b", [1, 5])
def test_a_program_of_torch_says_what_the_student_says(
    finished: Path, b: int, tmp_path: Path
) -> None:
    path = export(finished, tmp_path / "new" / "student.pt2", ("tests",), QUIET)
    image = torch.rand(b, 1, 8, 8, generator=torch.Generator().manual_seed(b))
    found = torch.export.load(path).module()(image)
    torch.testing.assert_close(found, logits_of_saved_weights(finished, image))


def test_neither_teacher_nor_images_are_needed(finished: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(finished, tmp_path / "moved")
    tree = yaml.safe_load((moved / "config.yaml").read_text())
    tree["model"]["init_args"]["teacher"] = {"class_path": "tests.no_where"}
    tree["data"] = {"class_path": "distill.data.Images", "init_args": {"train": "no/where"}}
    (moved / "config.yaml").write_text(yaml.safe_dump(tree))
    assert export(moved, moved / "student.pt2", ("tests",), QUIET).is_file()


def test_the_command_tells_what_goes_in_and_comes_out(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "student.pt2"
    assert main(["export", str(finished), "--out", str(out), "--trust", "tests"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "input    image: float32 (b, 1, 8, 8) in 0..1; the normalisation is inside"
    assert lines[1].startswith("output   logits: 10 classes; off by ")
    assert lines[2].startswith(f"file     {out}: 0.0")


def test_another_ending_is_refused(finished: Path) -> None:
    with pytest.raises(RecipeError, match=r"--out: must end in \.onnx or \.pt2, got x\.tflite"):
        export(finished, Path("x.tflite"))


def test_a_missing_package_is_named(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.tools.export.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"needs onnxscript: pip install 'distill\[export\]'"):
        export(finished)


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is missing: not the directory of a finished run"):
        export(tmp_path)


def test_a_student_that_cannot_be_traced_is_told_in_a_line(tmp_path: Path) -> None:
    tree = copy.deepcopy(RECIPE)
    arguments = tree["model"]["init_args"]
    arguments["student"] = {"class_path": "tests.tools.test_export.Counts"}
    arguments["losses"] = {"ce": arguments["losses"]["ce"]}
    del tree["data"]["init_args"]["augment"]
    tree["trainer"]["max_epochs"] = 1
    runs.fit(tree, tmp_path / "run", trusted=("tests",), console=QUIET)
    (tmp_path / "old.pt2").write_text("kept")
    with pytest.raises(RecipeError, match=r"run: the student cannot be exported: \S.*"):
        export(tmp_path / "run", tmp_path / "old.pt2", ("tests",))
    assert (tmp_path / "old.pt2").read_text() == "kept"
    assert not list(tmp_path.glob("*.tmp*"))


def test_a_file_that_says_something_else_is_refused(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "distill.tools.export._read_pt2", lambda _: lambda image: torch.zeros(1, 10)
    )
    with pytest.raises(RecipeError, match="the file's logits are off by 1 of their size"):
        export(finished, tmp_path / "student.pt2", ("tests",))
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "student.pt2"
    folder.mkdir()
    with pytest.raises(RecipeError, match=r"--out: must be a file, .* is a folder"):
        export(finished, folder)


def test_a_run_that_does_not_know_its_images_is_refused(finished: Path, tmp_path: Path) -> None:
    old = shutil.copytree(finished, tmp_path / "old")
    result = json.loads((old / "result.json").read_text())
    del result["dataset"]["shape"]
    (old / "result.json").write_text(json.dumps(result))
    with pytest.raises(RecipeError, match=r"result\.json: does not say the images' shape"):
        export(old, trusted=("tests",))
