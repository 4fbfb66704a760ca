import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import distill
from distill.core.errors import RecipeError
from tests.fixtures.modules import CE, KD, digits, tensors
from tests.fixtures.networks import tiny

pytestmark = pytest.mark.filterwarnings("ignore:.*have no `val_dataloader`.*")


def images() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    image = torch.randint(256, (40, 1, 8, 8), generator=draw, dtype=torch.uint8)
    return image, torch.randint(10, (40,), generator=draw)


def loader() -> DataLoader:
    return DataLoader(TensorDataset(*images()), batch_size=8)


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters)


def parts(**others: Any) -> dict[str, Any]:
    given = {"student": tiny(8), "losses": {"ce": CE}, "data": loader(), "trainer__max_epochs": 1}
    return given | others


def test_parts_are_trained_and_measured(tmp_path: Path) -> None:
    student, teacher = tiny(8), tiny(12)
    before = tensors(student)
    losses = {"ce": CE, "kd": KD}
    given = parts(student=student, teacher=teacher, losses=losses, data=(loader(), loader()))
    fitted = distill.fit(**given, run_dir=tmp_path / "run", model__optimizer=adam)
    assert fitted.student is student
    assert not student.training
    assert not torch.equal(student.state_dict()["fc.weight"], before["fc.weight"])
    image, target = images()
    for network, name in ((student, "val/top1"), (teacher, "val/top1/teacher")):
        right = (network.eval()(image.float() / 255).argmax(1) == target).float().mean().item()
        assert fitted.metrics[name] == pytest.approx(100 * right)
    assert set(fitted.metrics) == {"val/top1", "val/top1/teacher"}


def test_a_training_leaves_curves_and_weights(tmp_path: Path) -> None:
    fitted = distill.fit(**parts(), run_dir=tmp_path / "run")
    left = {path.name for path in (tmp_path / "run").iterdir() if path.name != ".lock"}
    assert left == {"metrics.csv", "student.safetensors"}
    saved = load_file(tmp_path / "run" / "student.safetensors")
    assert all(torch.equal(value, saved[n]) for n, value in fitted.student.state_dict().items())
    assert fitted.to_pandas()["train/loss"].notna().sum() == 5
    assert fitted.metrics == {}


def test_a_datamodule_of_ours_keeps_its_keys(tmp_path: Path) -> None:
    fitted = distill.fit(**parts(data=digits()), run_dir=tmp_path / "run")
    assert 0 <= fitted.metrics["val/top1"] <= 100


def test_lines_say_what_is_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pytorch_lightning.utilities.rank_zero"):
        distill.fit(**parts(), run_dir=tmp_path / "run")
    objects, loaders = [text for text in caplog.messages if text.endswith("off")]
    assert "resume, test, export and load_student" in objects
    assert "exact resume" in loaders


def test_the_generator_stays_as_it_was(tmp_path: Path) -> None:
    given, before = parts(), torch.random.get_rng_state()
    distill.fit(**given, run_dir=tmp_path / "run")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"trainer__max_epochs": None}, "trainer.max_epochs: is missing: say trainer__max_epochs"),
        ({"seed_everything": 1}, "seed_everything: parts take model.NAME, of Distillation, and "),
        ({"model__optimiser": adam}, "model: .*unexpected keyword argument 'optimiser'"),
        ({"trainer__epochs": 3}, "trainer: .*unexpected keyword argument 'epochs'"),
        ({"data": (1, 2, 3)}, "data: needs a training and a validation loader, got 3"),
        ({"student": tiny(8, in_channels=3)}, "model.student: TinyNet does not take images"),
    ],
)
def test_what_is_wrong_is_told_and_leaves_no_directory(
    changed: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=f"^{told}"):
        distill.fit(**parts(**changed), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
