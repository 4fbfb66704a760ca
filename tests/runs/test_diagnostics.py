"""What a run's result says of its student, against a computation from the saved weights alone."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from scipy.special import log_softmax
from torch import Tensor, nn

from distill import runs
from distill.recipes.build import build
from distill.results.predictions import load_predictions
from distill.runs.diagnostics import cost
from tests.fixtures.networks import tiny
from tests.fixtures.recipes import EMA, RECIPE


def fit(run_dir: Path, **trainer: Any) -> dict[str, Any]:
    tree = copy.deepcopy(RECIPE)
    tree["trainer"] |= trainer
    return runs.fit(tree, run_dir, trusted=("tests",), console=Console(quiet=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    run_dir = tmp_path_factory.mktemp("diagnostics") / "run"
    return run_dir, fit(run_dir, callbacks=[EMA])


def logits_of_saved_weights(run_dir: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    built = build(RECIPE, str(run_dir), ("tests",))
    built.data.setup("fit")
    built.model.student.load_state_dict(load_file(run_dir / "student.safetensors"))
    student, teacher, target = [], [], []
    with torch.no_grad():
        for batch in built.data.val_dataloader():
            image = (batch.image / 255 - built.data.mean[0]) / built.data.std[0]
            student.append(built.model.student.eval()(image))
            teacher.append(built.model.teacher(image))
            target.append(batch.target)
    rows = [torch.cat(parts).double().numpy() for parts in (student, teacher)]
    return rows[0], rows[1], torch.cat(target).numpy()


def test_agreement_and_divergence_are_those_of_the_saved_weights(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    run_dir, result = finished
    student, teacher, target = logits_of_saved_weights(run_dir)
    found = result["diagnostics"]
    same = (student.argmax(1) == teacher.argmax(1)).mean()
    p, q = log_softmax(teacher, axis=1), log_softmax(student, axis=1)
    assert found["agreement"] == pytest.approx(same, abs=1e-6)
    assert found["kl_to_teacher_nats"] == pytest.approx((np.exp(p) * (p - q)).sum(1).mean(), 1e-4)
    accuracy = 100 * (student.argmax(1) == target).mean()
    assert result["student"]["top1"]["val"]["last"] == pytest.approx(accuracy, abs=1e-4)
    assert {"student_calibration_error", "teacher_calibration_error"} <= set(found)


def test_predictions_of_every_validation_image_are_kept(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    run_dir, _ = finished
    predictions = load_predictions(run_dir)
    assert predictions is not None
    student, teacher, target = logits_of_saved_weights(run_dir)
    assert predictions.target.tolist() == target.tolist()
    assert predictions.student.tolist() == student.argmax(1).tolist()
    assert predictions.reference.tolist() == teacher.argmax(1).tolist()


def test_costs_and_speed_stand_beside_the_accuracy(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    _, result = finished
    convolution, classifier = 4 * 4 * 9 * 8, 8 * 10
    assert result["student"]["flops"] == 2 * (convolution + classifier)
    assert result["teacher"]["flops"] == result["student"]["flops"] * 12 / 8
    assert result["student"]["cpu_latency_ms"] > 0
    assert result["train_images_per_s"] > 0
    assert result["cpu_threads"] == torch.get_num_threads()


@pytest.mark.filterwarnings("ignore:.*could not find the monitored key")
def test_a_run_without_validation_has_no_diagnostics(tmp_path: Path) -> None:
    tree = copy.deepcopy(RECIPE)
    tree["trainer"] |= {"limit_val_batches": 0, "max_epochs": 1}
    result = runs.fit(tree, tmp_path / "run", trusted=("tests",), console=Console(quiet=True))
    assert result["diagnostics"] == {}
    assert not (tmp_path / "run" / "validation.safetensors").exists()


class Stubborn(nn.Module):
    """Takes no image but those of its size."""

    def forward(self, image: Tensor) -> Tensor:
        raise RuntimeError("wants 9x9\nand more")


def test_a_network_that_cannot_be_measured_costs_no_run() -> None:
    with pytest.warns(UserWarning, match="cost of Stubborn is unknown: wants 9x9$"):
        assert cost(Stubborn(), (1, 8, 8)) == dict.fromkeys(
            ("flops", "cpu_latency_ms", "bits", "nonzero", "bops")
        )
    assert cost(tiny(), (1, 8, 8))["flops"]
