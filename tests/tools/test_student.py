from pathlib import Path

import pytest
import torch

from distill.core.errors import RecipeError
from distill.tasks import Classification
from distill.tools.student import _without_downloads, open_student
from tests.fixtures.students import Means, known, write_student


def test_a_student_comes_with_its_normalisation_and_task(tmp_path: Path) -> None:
    run_dir = write_student(tmp_path / "run", Means(2.0), known())
    student = open_student(run_dir, ("tests",))
    assert isinstance(student.task, Classification)
    assert student.preprocessing == known()
    assert not student.network.training
    image = torch.rand(2, 3, 14, 14)
    expected = 2 * ((image - 0.5) / 0.25).mean((2, 3))
    torch.testing.assert_close(student.network(image), expected)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    run_dir = write_student(tmp_path / "run", Means(), known())
    weights = run_dir / "student.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(RecipeError, match="is damaged: it does not match its hash"):
        open_student(run_dir, ("tests",))


def test_weights_that_a_student_began_with_are_not_fetched_again() -> None:
    timm = {"class_path": "students.timm_model", "init_args": {"name": "x", "pretrained": True}}
    own = {"class_path": "mine.Net", "init_args": {"backbone": timm, "weights": [1, 2]}}
    found = _without_downloads(own)["init_args"]
    assert found["backbone"]["init_args"] == {"name": "x", "pretrained": False}
    assert found["weights"] == [1, 2]
    assert timm["init_args"]["pretrained"]
