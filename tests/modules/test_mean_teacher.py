import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor, nn

from distill import runs
from distill.modules import Distillation, MeanTeacher, Normalization
from distill.runs.checkpoint_io import SafeCheckpointIO
from tests.fixtures.modules import CE, KD, Recorder, digits, tensors, trainer
from tests.fixtures.networks import tiny
from tests.fixtures.runs import assert_same, final_state, resume_from, train_rows

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)


class Follow(Recorder):
    """Remembers its weights, as it was given them, at every training pass."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.weights.append(self.fc.weight.detach().clone())
        return super().forward(image)


def mean_teacher(student: nn.Module, **options: Any) -> MeanTeacher:
    return MeanTeacher(student, {"ce": CE, "kd": KD}, **options)


def test_the_teacher_is_the_average_of_the_students() -> None:
    """The mean of the first two, then a moving average with decay 0.5."""
    module = mean_teacher(Follow(), average=0.5)
    running = trainer(limit_train_batches=4, limit_val_batches=0)
    running.fit(module, digits())
    assert isinstance(module.student, Follow)
    # The dry pass and the first step saw the weights of before training.
    steps = [*module.student.weights[2:], module.student.fc.weight.detach()]
    assert len(steps) == 4
    expected = steps[0].double()
    for kept, weight in zip((0.5, 0.5, 0.5), steps[1:], strict=True):
        expected = kept * expected + (1 - kept) * weight.double()
    assert isinstance(module.teacher, Follow)
    torch.testing.assert_close(module.teacher.fc.weight, expected.float())


def test_the_first_steps_have_the_plain_mean() -> None:
    module = mean_teacher(Follow(), average=0.999)
    trainer(limit_train_batches=4, limit_val_batches=0).fit(module, digits())
    assert isinstance(module.student, Follow)
    steps = [*module.student.weights[2:], module.student.fc.weight.detach()]
    assert isinstance(module.teacher, Follow)
    torch.testing.assert_close(module.teacher.fc.weight, torch.stack(steps).mean(0))


def test_without_averaging_the_teacher_is_the_student_of_the_last_step() -> None:
    module = mean_teacher(tiny(8), average=0.0)
    trainer().fit(module, digits())
    assert module.teacher is not None
    assert_same(tensors(module.student), tensors(module.teacher))


def test_a_teacher_that_no_term_reads_changes_nothing() -> None:
    start = tiny(8)
    alone = Distillation(None, copy.deepcopy(start), {"ce": CE})
    module = MeanTeacher(start, {"ce": CE})
    for each in (alone, module):
        trainer(max_epochs=2).fit(each, digits())
    assert_same(tensors(alone.student), tensors(module.student))


def test_accumulated_batches_are_one_step_of_the_average() -> None:
    module = mean_teacher(Follow(), average=0.999)
    running = trainer(limit_train_batches=4, limit_val_batches=0, accumulate_grad_batches=2)
    running.fit(module, digits())
    assert isinstance(module.student, Follow)
    # One weight per pass: dry, two of step 1, two of step 2, then what step 2 made.
    steps = [module.student.weights[3], module.student.fc.weight.detach()]
    assert isinstance(module.teacher, Follow)
    torch.testing.assert_close(module.teacher.fc.weight, torch.stack(steps).mean(0))


def test_the_teacher_is_no_part_of_the_module_and_stays_in_its_mode() -> None:
    module = mean_teacher(tiny(8), normalization=Normalization([0.0], [1.0]))
    trainer().fit(module, digits())
    assert {name.split(".")[0] for name in module.state_dict()} == {"student"}
    assert module.teacher is not None
    assert not any(each.training for each in module.teacher.modules())
    assert not any(parameter.requires_grad for parameter in module.teacher.parameters())
    assert module.networks.normalization["teacher"] == module.networks.normalization["student"]


def test_the_accuracy_of_the_teacher_is_measured_each_time() -> None:
    module = mean_teacher(tiny(8))
    data = digits()
    running = trainer(max_epochs=2)
    running.fit(module, data)
    assert module.teacher is not None
    right = total = 0
    for batch in data.val_dataloader():
        image = Normalization(data.mean, data.std)(batch.image)
        right += int((module.teacher(image).argmax(1) == batch.target).sum())
        total += len(batch.target)
    assert running.callback_metrics["val/top1/teacher"].item() == pytest.approx(100 * right / total)


def test_a_finished_run_is_tested_with_the_average_that_it_left(tmp_path: Path) -> None:
    quiet = Console(quiet=True)
    result = runs.fit(recipe(), tmp_path / "run", trusted=("tests",), console=quiet)
    measured = runs.evaluate(tmp_path / "run", trusted=("tests",), console=quiet)
    assert measured["top1"]["teacher"] == result["teacher"]["top1"]["test"]["last"]


@pytest.mark.parametrize("average", [-0.1, 1.0])
def test_the_decay_must_be_below_one(average: float) -> None:
    with pytest.raises(ValueError, match=r"^average must be at least 0 and below 1, got"):
        mean_teacher(tiny(8), average=average)


def recipe(keep: Path | None = None) -> dict[str, Any]:
    terms = {
        "ce": {"loss": "torch.nn.CrossEntropyLoss", "inputs": dict(CE.inputs)},
        "kd": {"loss": "distill.losses.KDLoss", "inputs": dict(KD.inputs)},
    }
    spec = {"class_path": "tests.fixtures.runs.EveryStep", "init_args": {"folder": str(keep)}}
    student = {"class_path": "tests.fixtures.networks.tiny", "init_args": {"width": 8}}
    return {
        "model": {
            "class_path": "distill.modules.MeanTeacher",
            "init_args": {"student": student, "losses": terms, "average": 0.8},
        },
        "data": {
            "class_path": "distill.data.Digits",
            "init_args": {"batch_size": 16, "train_samples": 50},
        },
        "trainer": {
            "max_epochs": 2,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "callbacks": [spec] if keep else [],
        },
    }


@pytest.mark.parametrize(
    "steps", [[2], pytest.param([1, 2, 3, 4, 5], marks=pytest.mark.slow)], ids=["one", "all"]
)
def test_a_resumed_run_ends_bitwise_where_the_whole_one_ends(
    steps: list[int], tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    runs.fit(recipe(whole / "kept"), whole, trusted=("tests",), console=Console(quiet=True))
    teacher = load_file(whole / "teacher.safetensors")
    last = SafeCheckpointIO().load_checkpoint(whole / "checkpoints" / "last.ckpt")
    assert_same(teacher, dict(last["mean_teacher"]))
    for step in steps:
        again = tmp_path / f"from{step}"
        resume_from(step, whole / "kept", again, recipe())
        assert_same(final_state(whole), final_state(again), f"step {step}")
        assert_same(teacher, load_file(again / "teacher.safetensors"), f"step {step}")
        assert train_rows(again) == train_rows(whole)
    result = json.loads((whole / "result.json").read_text())
    assert result["teacher"]["top1"].keys() >= {"val", "test"}
