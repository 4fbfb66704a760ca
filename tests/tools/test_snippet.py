"""The program beside an export runs without the toolkit, and says what the student says."""

import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from distill.data.resize import resized
from distill.tasks import Classification, MultiLabel, TextLines
from distill.tools.export import export
from distill.tools.snippet import snippet
from distill.tools.student import Deployed, Trained, open_student
from tests.fixtures.runs import QUIET
from tests.fixtures.students import Columns, Means, known, write_student

Capture = pytest.CaptureFixture[str]
NAMES = ("red", "green", "blue")
LINES = {
    "task": "TextLines",
    "classes": ("", "a", "b"),
    "channels": 1,
    "size": (4, 12),
    "mean": (0.0,),
    "std": (1.0,),
}


def photograph(path: Path) -> Image.Image:
    """A smooth picture that is wider than high."""
    rows, columns = np.mgrid[:40, :60]
    pixels = np.stack([4 * columns, 6 * rows, 90 + 0 * rows], 2).astype(np.uint8)
    image = Image.fromarray(pixels)
    image.save(path)
    return image


def said(
    student: Trained, image: Path, folder: Path, patch: pytest.MonkeyPatch, capsys: Capture
) -> list[str]:
    """What the program prints where the file says what the student says."""
    facts = {"preprocess": student.preprocessing.text(inside=True)}

    class Session:
        def __init__(self, path: Path) -> None:
            assert path == folder / "s.onnx"

        def get_modelmeta(self) -> SimpleNamespace:
            return SimpleNamespace(custom_metadata_map=facts)

        def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            assert names == ["logits"]
            with torch.no_grad():
                return [student.network(torch.from_numpy(inputs["image"])).numpy()]

    program = folder / "run_onnx.py"
    program.write_text(snippet("s.onnx", student.preprocessing, student.task))
    patch.setattr(onnxruntime, "InferenceSession", Session)
    patch.setattr(sys, "argv", [str(program), str(image)])
    runpy.run_path(str(program))
    return capsys.readouterr().out.splitlines()


def test_it_runs_without_the_toolkit_and_without_torch(tmp_path: Path) -> None:
    run_dir = write_student(tmp_path / "run", Means(), known())
    export(run_dir, trusted=("tests",), console=QUIET)
    image = photograph(tmp_path / "a.png")
    program = (
        "import runpy, sys; sys.modules['torch'] = sys.modules['distill'] = None;"
        f"sys.argv = ['run_onnx.py', {str(tmp_path / 'a.png')!r}];"
        f"runpy.run_path({str(run_dir / 'run_onnx.py')!r})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    check(ran.stdout.splitlines(), open_student(run_dir, ("tests",)), image, 1e-4)


def check(lines: list[str], student: Trained, image: Image.Image, exact: float) -> None:
    """The lines are the classes and probabilities of the student, best first."""
    pixels = resized(image, (14, 14), student.preprocessing.resize).float() / 255
    with torch.no_grad():
        shares = student.network(pixels[None]).softmax(1)[0]
    order = shares.argsort(descending=True).tolist()
    found = [line.split() for line in lines]
    assert [name for name, _ in found] == [NAMES[k] for k in order]
    told = [float(share) for _, share in found]
    assert told == pytest.approx(shares[order].tolist(), abs=exact)


@pytest.mark.parametrize("resize", ["squash", "crop", "letterbox"])
def test_images_are_resized_as_the_student_sees_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, resize: str
) -> None:
    image = photograph(tmp_path / "a.png")
    student = Trained(deployed(Means()), Classification(), known(resize=resize))
    # Of a crop, Pillow and torch round each pixel apart: a level of 255 is 0.016 when normalised.
    exact = 4e-3 if resize == "crop" else 1e-4
    lines = said(student, tmp_path / "a.png", tmp_path, monkeypatch, capsys)
    check(lines, student, image, exact)


def test_a_line_of_text_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    shades = np.repeat([[0, 128, 128, 0, 128, 255, 255, 0, 0, 255, 128, 0]], 4, 0)
    Image.fromarray(shades.astype(np.uint8)).save(tmp_path / "a.png")
    student = Trained(Deployed(Columns(), [0.0], [1.0]), TextLines(), known(**LINES))
    assert said(student, tmp_path / "a.png", tmp_path, monkeypatch, capsys) == ["aabba"]


def test_the_classes_that_are_there_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    Image.new("RGB", (14, 14), (255, 0, 200)).save(tmp_path / "a.png")
    student = Trained(deployed(Means()), MultiLabel(), known())
    found = said(student, tmp_path / "a.png", tmp_path, monkeypatch, capsys)
    assert [line.split()[0] for line in found] == ["red", "blue"]


def test_what_is_not_known_is_not_guessed() -> None:
    text = snippet("s.onnx", known(resize=None), object())
    assert "assert image.size == (width, height)" in text
    assert text.endswith("print(logits)\n")


def deployed(network: nn.Module) -> Deployed:
    return Deployed(network, known().mean, known().std)
