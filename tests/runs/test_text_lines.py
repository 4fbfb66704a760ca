"""Text lines through the toolkit: recipes, scores, what a run leaves, and what is refused."""

import copy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from rich.console import Console
from torch import nn

from distill import recipes, runs
from distill.core.errors import RecipeError
from distill.data import TextLines, fonts
from distill.losses import CTCLoss, KDLoss, SSLDLoss, ctc_loss
from distill.metrics import read_lines
from distill.modules import Distillation, MutualLearning, Normalization, Term
from students import crnn, resnet8

QUIET = Console(quiet=True)
CTC = Term(CTCLoss(), inputs={"input": "student.logits", "target": "batch.target"})
PEER_CTC = Term(CTCLoss(), inputs={"input": "peer.logits", "target": "batch.target"})
DML = Term(SSLDLoss(), inputs={"student": "peer.logits", "teacher": "other.logits"})
MAPS = Term(nn.MSELoss(), inputs={"input": "peer@backbone", "target": "other@backbone"})
U_DML = {"each": {"ctc": PEER_CTC, "dml": DML, "maps": MAPS}}
SMALL = {"data.train": 50, "data.val": 30, "data.test": 20, "trainer.max_epochs": 1}

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)


@pytest.fixture(autouse=True)
def one_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on every machine."""
    monkeypatch.setattr(fonts, "_SYSTEM", ())


def network(classes: int = 11, height: int = 16) -> nn.Module:
    return crnn(classes, height, in_channels=1)


def lines(**arguments: Any) -> TextLines:
    return TextLines(**({"train": 50, "val": 30, "test": 0, "batch_size": 25} | arguments))


def trainer(**arguments: Any) -> pl.Trainer:
    plain = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet = {"enable_model_summary": False, "num_sanity_val_steps": 0, "log_every_n_steps": 1}
    return pl.Trainer(**(plain | quiet | {"max_epochs": 1, "accelerator": "cpu"} | arguments))


@pytest.mark.parametrize("name", ["single", "u_dml"])
def test_a_recipe_trains_and_can_be_tested(name: str, tmp_path: Path) -> None:
    tree = recipes.load(recipes.find(f"text_lines/{name}"))
    for key, value in SMALL.items():
        recipes.put(tree, key, value)
    recipes.put(tree, "trainer.check_val_every_n_epoch", 1)
    result = runs.fit(tree, tmp_path / "run", console=QUIET)
    assert result["steps"] == 2
    assert result["dataset"]["images"] == {"train": 50, "val": 30, "test": 20}
    assert set(result["diagnostics"]) == {"student_character_error_rate"}
    assert not (tmp_path / "run" / "validation.safetensors").exists()
    tested = runs.evaluate(tmp_path / "run", console=QUIET)
    assert tested["top1"]["student"] == result["student"]["top1"]["test"]["last"]


def test_two_recipes_have_equal_data_and_schedules() -> None:
    single, u_dml = (recipes.load(recipes.find(f"text_lines/{n}")) for n in ("single", "u_dml"))
    assert single["data"] == u_dml["data"]
    assert single["trainer"] == u_dml["trainer"]
    ours, theirs = single["model"]["init_args"], u_dml["model"]["init_args"]
    for key in ("student", "optimizer", "scheduler", "scheduler_interval"):
        assert ours[key] == theirs[key]
    assert theirs["peers"]["b"] == theirs["student"]


def test_a_peers_weight_of_dml_is_the_number_of_steps() -> None:
    """PP-OCRv2 sums the divergence over steps."""
    tree = recipes.load(recipes.find("text_lines/u_dml"))
    image = torch.zeros(2, 1, 16, tree["data"]["init_args"]["width"])
    weight = tree["model"]["init_args"]["losses"]["each"]["dml"]["weight"]
    assert weight == network()(image).shape[1]


def test_accuracy_and_loss_are_those_of_the_definition() -> None:
    module, data = Distillation(None, network(), {"ctc": CTC}), lines(val=300)
    running = trainer()
    running.fit(module, data)
    module.eval()
    right, losses = 0, []
    with torch.no_grad():
        for batch in data.val_dataloader():
            logits = module.student(Normalization(data.mean, data.std)(batch.image))
            for line, target in zip(
                read_lines(logits).tolist(), batch.target.tolist(), strict=True
            ):
                right += [k for k in line if k] == [k for k in target if k]
            losses.append(len(batch.image) * ctc_loss(logits, batch.target))
    logged = running.callback_metrics
    assert logged["val/top1"].item() == pytest.approx(100 * right / 300)
    assert logged["val/loss"].item() == pytest.approx(sum(losses).item() / 300, rel=1e-5)


def test_equal_peers_have_nothing_to_tell_each_other() -> None:
    student = network()
    module = MutualLearning(student, {"b": copy.deepcopy(student)}, U_DML)
    running = trainer(limit_train_batches=1)
    running.fit(module, lines())
    logged = running.callback_metrics
    for peer, other in (("student", "b"), ("b", "student")):
        assert logged[f"train/loss/{peer}/dml/{other}"] == 0
        assert logged[f"train/loss/{peer}/maps/{other}"] == 0
        assert logged[f"train/loss/{peer}/ctc"] == logged["train/loss"] / 2 > 0
    assert "val/top1/b" in logged


def test_a_teacher_of_lines_teaches_and_is_scored() -> None:
    kd = Term(KDLoss(), inputs={"student": "student.logits", "teacher": "teacher.logits"})
    teacher = network()
    module = Distillation(teacher, network(), {"ctc": CTC, "kd": kd})
    trainer().fit(module, lines())
    assert set(module.evaluation.teacher_scores) == {"val"}


REFUSED = {
    "classes": (network(10), r"needs logits \(b, t, 11\), one per class .*, gives \(2, 24, 10\)$"),
    "no steps": (
        resnet8(11, in_channels=1),
        r"needs logits \(b, t, 11\), one per class of the data, gives \(2, 11\)$",
    ),
    "height": (network(height=24), r"CRNN does not take images \(2, 1, 16, 96\): crnn needs"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_a_network_that_does_not_fit_is_refused(case: tuple[nn.Module, str]) -> None:
    student, message = case
    for module, key in (
        (Distillation(None, student, {"ctc": CTC}), "student"),
        (MutualLearning(network(), {"b": student}, {"each": {"ctc": PEER_CTC}}), r"peers\.b"),
    ):
        with pytest.raises(RecipeError, match=rf"^model\.{key}: {message}"):
            trainer().fit(module, lines())


def test_lines_that_may_not_fit_into_the_steps_are_refused() -> None:
    message = r"^model\.student: needs at least 15 steps t for lines of 8 .* gives .*\(2, 14, 11\)$"
    with pytest.raises(RecipeError, match=message):
        trainer().fit(Distillation(None, network(), {"ctc": CTC}), lines(longest=8, width=56))


def test_a_loss_of_classes_is_refused_with_the_shapes() -> None:
    ce = Term(nn.CrossEntropyLoss(), inputs={"input": "student.logits", "target": "batch.target"})
    with pytest.raises(RecipeError, match=r"^model\.losses\.ce: .*\(2, 24, 11\).*\(2, 6\)"):
        trainer().fit(Distillation(None, network(), {"ce": ce}), lines())
