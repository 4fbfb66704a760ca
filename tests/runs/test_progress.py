import re
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from torch import nn

from distill.runs.progress import RunRecord, few, parameters
from distill.tasks import Classification


def record_of(console: Console | None = None) -> RunRecord:
    """As it is once training has begun."""
    record = RunRecord(console or Console(quiet=True))
    record._task = Classification()
    return record


def trainer(top1: float, epoch: int, trained: bool = True) -> SimpleNamespace:
    validation = SimpleNamespace(_has_run=trained)
    return SimpleNamespace(
        callback_metrics={"val/top1": torch.tensor(top1), "train/loss": torch.tensor(0.5)},
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(val_loop=validation)),
        current_epoch=epoch,
        max_epochs=3,
        max_steps=-1,
        global_step=0,
        progress_bar_callback=None,
    )


def test_last_and_best_accuracy_are_kept() -> None:
    record = record_of()
    for epoch, top1 in enumerate([50.0, 75.0, 62.5]):
        record.on_validation_end(trainer(top1, epoch), nn.Module())
    assert record.scores == {"last": 62.5, "best": 75.0, "best_epoch": 1}


def test_an_accuracy_of_zero_can_be_the_best() -> None:
    record = record_of()
    record.on_validation_end(trainer(0.0, 0), nn.Module())
    assert record.scores == {"last": 0.0, "best": 0.0, "best_epoch": 0}


def test_the_check_before_training_does_not_count() -> None:
    record = record_of()
    record.on_validation_end(trainer(90.0, 0, trained=False), nn.Module())
    assert record.scores == {}


def test_a_resumed_run_goes_on_from_its_record() -> None:
    first = record_of()
    first.on_validation_end(trainer(80.0, 0), nn.Module())
    first.wall_s = 100.0
    second = record_of()
    second.load_state_dict(first.state_dict())
    second.on_validation_end(trainer(70.0, 1), nn.Module())
    assert second.scores == {"last": 70.0, "best": 80.0, "best_epoch": 0}
    assert second.wall_s == 100.0


def test_a_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    record = record_of(Console(width=100))
    record._started = 0.0
    record.on_validation_end(trainer(81.25, 1), nn.Module())
    record.on_train_epoch_end(trainer(81.25, 1), nn.Module())
    told = capsys.readouterr().out
    assert re.match(r"epoch 2/3  loss 0.5000  val 81.25 %  \d+ s, \d+ s left\n", told)


def test_shared_parameters_count_once() -> None:
    layer = nn.Linear(2, 2, bias=False)
    assert parameters(nn.Sequential(layer, layer)) == 4


def test_speed_counts_the_images_of_steps_but_no_validation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 2.0, 4.0, 50.0, 51.0])
    monkeypatch.setattr("distill.runs.progress.time.monotonic", lambda: next(clock))
    record, module = record_of(), nn.Module()
    batch = SimpleNamespace(image=torch.zeros(6, 1, 2, 2))
    own = trainer(50.0, 0)
    own.world_size = 2
    assert record.images_per_s is None
    record.on_train_epoch_start(own, module)
    for _ in range(2):
        record.on_train_batch_end(own, module, None, batch, 0)
    record.on_validation_end(own, module)
    record.on_train_batch_end(own, module, None, batch, 0)
    assert record.images_per_s == 36 / 5
    resumed = record_of()
    resumed.load_state_dict(record.state_dict())
    assert resumed.images_per_s == 36 / 5


def test_a_line_is_printed_above_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    own = trainer(81.25, 1)
    own.progress_bar_callback = SimpleNamespace(print=told.append)
    record_of(Console(width=100)).on_train_epoch_end(own, nn.Module())
    record_of(Console(quiet=True)).on_train_epoch_end(own, nn.Module())
    assert len(told) == 1
    assert told[0].startswith("epoch 2/3  loss 0.5000")
    assert capsys.readouterr().out == ""


def test_of_many_classes_the_first_and_the_last_are_told() -> None:
    assert few(["bird", "cat"]) == "bird, cat"
    assert few([str(number) for number in range(10)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert few([str(number) for number in range(11)]) == "0, 1, 2, 3, 4, 5, 6, 7, ..., 10"
