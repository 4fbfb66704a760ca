from dataclasses import replace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.augment import Mixup, RandomCrop
from distill.core.errors import RecipeError
from distill.losses import CenterLoss, DKDLoss, KDLoss, OverhaulLoss, RKDLoss
from distill.modules import Distillation, Normalization, Term
from tests.fixtures.modules import CE, KD, Recorder, digits, tensors, trainer
from tests.fixtures.networks import TinyNet, tiny

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)


class FixedSlope(nn.Module):
    """Its gradient is 1 everywhere."""

    def forward(self, at: Tensor) -> Tensor:
        return at.sum()


@pytest.mark.parametrize("mode", ["eval", "batch_statistics"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_teacher_is_bitwise_unchanged_and_the_student_is_not(
    mode: Any, channels_last: bool
) -> None:
    teacher, student = tiny(12), tiny(8)
    before, untrained = tensors(teacher), tensors(student)
    module = Distillation(
        teacher, student, {"ce": CE, "kd": KD}, teacher_mode=mode, channels_last=channels_last
    )
    trainer().fit(module, digits())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not torch.equal(student.state_dict()["fc.weight"], untrained["fc.weight"])
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_the_teacher_stays_in_eval_mode_while_the_student_trains() -> None:
    modes = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, _: pl.Trainer, module: Any, *rest: Any) -> None:
            teacher = [each.training for each in module.teacher.modules()]
            student = [each.training for each in module.student.modules()]
            modes.append((any(teacher), all(student)))

    trainer(callbacks=[Watch()]).fit(
        Distillation(tiny(12), tiny(8), {"ce": CE, "kd": KD}), digits()
    )
    assert set(modes) == {(False, True)}


def test_a_teacher_in_another_mode_stops_the_run() -> None:
    module = Distillation(tiny(12), tiny(8), {"ce": CE, "kd": KD})
    assert module.teacher is not None
    module.teacher.train()
    with pytest.raises(RuntimeError, match="is in train mode, declared 'eval'"):
        trainer().fit(module, digits())


def test_a_teacher_that_changed_is_noticed() -> None:
    module = Distillation(tiny(12), tiny(8), {"ce": CE, "kd": KD})

    class Spoil(pl.Callback):
        def on_train_epoch_end(self, _: pl.Trainer, module: Any) -> None:
            module.teacher.bn.running_mean += 1

    with pytest.raises(RuntimeError, match="teacher's weights or buffers changed"):
        trainer(callbacks=[Spoil()]).fit(module, digits())


def test_the_teacher_is_no_part_of_the_module_but_moves_with_it() -> None:
    module = Distillation(tiny(12), tiny(8), {"kd": KD})
    assert {name.split(".")[0] for name in module.state_dict()} == {"student"}
    assert len(list(module.parameters())) == len(list(tiny(8).parameters()))
    module.double()
    assert module.teacher is not None
    assert {p.dtype for p in module.teacher.parameters()} == {torch.float64}


def test_the_loss_is_the_weighted_sum_of_the_terms() -> None:
    student, teacher = Recorder(), Recorder()
    module = Distillation(teacher, student, {"ce": CE, "kd": KD}, optimizer=_still)
    running = trainer(limit_train_batches=1, limit_val_batches=0)
    data = digits()
    running.fit(module, data)
    batch = next(iter(data.pipeline.train_loader(None)))
    image = Normalization(data.mean, data.std)(batch.image).flatten(1)
    s, t = student.fc(image), teacher.fc(image)
    ce = F.cross_entropy(s, batch.target)
    kd = 16 * F.kl_div((s / 4).log_softmax(1), (t / 4).softmax(1), reduction="batchmean")
    logged = running.callback_metrics
    torch.testing.assert_close(logged["train/loss"], (ce + 0.5 * kd).detach())
    torch.testing.assert_close(logged["train/loss/kd"], kd.detach())


def test_a_term_that_warms_up_counts_for_more_in_each_epoch() -> None:
    totals = []

    class Watch(pl.Callback):
        def on_train_epoch_end(self, running: pl.Trainer, _: pl.LightningModule) -> None:
            logged = running.callback_metrics
            ce, kd = logged["train/loss/ce"], logged["train/loss/kd"]
            totals.append(((logged["train/loss"] - ce) / kd).item())

    terms = {"ce": CE, "kd": replace(KD, weight=0.6, warmup_epochs=3)}
    running = trainer(max_epochs=4, limit_train_batches=1, callbacks=[Watch()])
    running.fit(Distillation(tiny(12), tiny(8), terms), digits())
    assert totals == pytest.approx([0.2, 0.4, 0.6, 0.6], rel=1e-4)


def test_both_networks_see_the_same_augmented_view() -> None:
    student, teacher = Recorder(), Recorder()
    module = Distillation(teacher, student, {"ce": CE, "kd": KD})
    data = digits(augment=[RandomCrop(2)])
    trainer(limit_train_batches=2, limit_val_batches=0).fit(module, data)
    for seen_by_student, seen_by_teacher in zip(student.seen, teacher.seen, strict=True):
        assert torch.equal(seen_by_student, seen_by_teacher)
    plain = next(iter(data.pipeline.train_loader(None))).image
    assert not torch.equal(student.seen[-2], Normalization(data.mean, data.std)(plain))


def test_each_network_gets_its_own_normalisation() -> None:
    student, teacher = Recorder(), Recorder()
    teacher.input_normalization = ((0.5,), (0.25,))  # type: ignore[assignment]
    given = Normalization([0.0], [1.0])
    module = Distillation(teacher, student, {"kd": KD}, normalization={"student": given})
    trainer(limit_train_batches=1, limit_val_batches=0).fit(module, digits())
    torch.testing.assert_close((student.seen[-1] - 0.5) / 0.25, teacher.seen[-1])


def test_trainable_parts_of_losses_are_trained() -> None:
    inputs: dict[str, str | list[str]] = {"student": "student@bn", "teacher": "teacher@bn"}
    loss = OverhaulLoss(8, 12)
    before = tensors(loss)
    module = Distillation(tiny(12), tiny(8), {"overhaul": Term(loss, inputs=inputs)})
    trainer().fit(module, digits())
    after = loss.state_dict()
    assert not torch.equal(before["connector.0.weight"], after["connector.0.weight"])
    assert after["margin"].max() < 0


def test_the_dry_pass_leaves_student_and_losses_as_they_were() -> None:
    student, loss = tiny(8), OverhaulLoss(8, 12)
    before = tensors(student) | tensors(loss)
    inputs: dict[str, str | list[str]] = {"student": "student@bn", "teacher": "teacher@relu:input"}
    module = Distillation(tiny(12), student, {"overhaul": Term(loss, inputs=inputs)})
    trainer(limit_train_batches=0, limit_val_batches=0).fit(module, digits())
    after = tensors(student) | tensors(loss)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("place", ["student.logits", "student@relu"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradient_norms_are_those_of_the_weighted_terms(place: str, precision: Any) -> None:
    kd = Term(KDLoss(), weight=0.25, inputs=KD.inputs)
    fixed = Term(FixedSlope(), weight=0.5, inputs={"at": place})
    terms = {"ce": CE, "kd": kd, "fixed": fixed}
    module = Distillation(Recorder(), tiny(8), terms, gradient_norms=place)
    running = trainer(
        limit_train_batches=1, limit_val_batches=0, log_every_n_steps=1, precision=precision
    )
    running.fit(module, digits())
    logged = running.callback_metrics
    # Its value is the sum of all elements: a gradient of ones.
    elements = 16 * 10 if place == "student.logits" else 16 * 8 * 4 * 4
    assert logged["train/gradient/fixed"].item() == pytest.approx(0.5 * elements**0.5, rel=1e-3)
    assert logged["train/gradient/ce"] > 0
    assert logged["train/gradient/kd"] > 0


def test_gradient_norms_are_taken_on_logged_steps_only_and_change_nothing() -> None:
    rows, weights = [], []
    for place in (None, "student@relu"):
        seen = []

        class Watch(pl.Callback):
            def on_train_batch_end(self, running: pl.Trainer, *rest: Any, seen: Any = seen) -> None:
                seen.append("train/gradient/ce" in running.callback_metrics)

        torch.manual_seed(0)
        module = Distillation(None, tiny(8), {"ce": CE}, gradient_norms=place)
        trainer(log_every_n_steps=3, limit_val_batches=0, callbacks=[Watch()]).fit(module, digits())
        rows.append(seen)
        weights.append(module.student.state_dict()["fc.weight"])
    assert rows == [[False] * 4, [False, False, True, True]]
    assert torch.equal(*weights)


def test_a_student_alone_needs_no_teacher() -> None:
    module = Distillation(None, tiny(8), {"ce": CE})
    running = trainer(max_epochs=2)
    running.fit(module, digits())
    assert module.teacher is None
    assert 0 <= running.callback_metrics["val/top1"] <= 100


def test_accuracies_are_those_of_a_loop() -> None:
    teacher = tiny(12)
    module = Distillation(teacher, tiny(8), {"ce": CE})
    data = digits()
    running = trainer(limit_train_batches=1)
    running.fit(module, data)
    module.eval()
    right: dict[str, int] = {"student": 0, "teacher": 0}
    total = 0
    for batch in data.val_dataloader():
        total += len(batch.target)
        image = Normalization(data.mean, data.std)(batch.image)
        for name, network in (("student", module.student), ("teacher", teacher)):
            right[name] += int((network(image).argmax(1) == batch.target).sum())
    assert running.callback_metrics["val/top1"].item() == pytest.approx(
        100 * right["student"] / total
    )
    assert module.evaluation.teacher_scores["val"] == pytest.approx(100 * right["teacher"] / total)


def test_the_teachers_accuracy_is_that_of_its_running_statistics_in_either_mode() -> None:
    scores = []
    for mode in ("eval", "batch_statistics"):
        module = Distillation(tiny(12), tiny(8), {"ce": CE, "kd": KD}, teacher_mode=mode)
        trainer(limit_train_batches=1).fit(module, digits())
        scores.append(module.evaluation.teacher_scores["val"])
    assert scores[0] == scores[1]


def test_epoch_schedules_step_once_per_epoch() -> None:
    rates = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, running: pl.Trainer, *rest: Any) -> None:
            rates.append(running.optimizers[0].param_groups[0]["lr"])

    module = Distillation(None, tiny(8), {"ce": CE}, optimizer=_sgd, scheduler=_halve)
    trainer(max_epochs=3, callbacks=[Watch()]).fit(module, digits())
    assert rates == [0.5] * 4 + [0.25] * 4 + [0.125] * 4


def test_step_schedules_step_once_per_step() -> None:
    module = Distillation(
        None, tiny(8), {"ce": CE}, optimizer=_sgd, scheduler=_halve, scheduler_interval="step"
    )
    running = trainer()
    running.fit(module, digits())
    assert running.optimizers[0].param_groups[0]["lr"] == 0.5 / 2**4


def test_a_cnn_and_a_transformer_distil_into_each_other() -> None:
    import timm

    vit = timm.create_model(
        "vit_tiny_patch16_224", img_size=8, patch_size=4, depth=2, num_classes=10, in_chans=1
    )
    rkd = Term(RKDLoss(), inputs={"student": "student@fc:input", "teacher": "teacher@blocks.1"})
    back = Term(RKDLoss(), inputs={"student": "student@norm", "teacher": "teacher@conv"})
    forwards = Distillation(vit, tiny(8), {"kd": KD, "rkd": rkd})
    trainer(limit_train_batches=1).fit(forwards, digits())
    assert forwards.objective.shapes["teacher@blocks.1"] == (2, 5, 192)
    student = timm.create_model(
        "vit_tiny_patch16_224", img_size=8, patch_size=4, depth=2, num_classes=10, in_chans=1
    )
    backwards = Distillation(tiny(8), student, {"kd": KD, "rkd": back})
    trainer(limit_train_batches=1).fit(backwards, digits())
    assert backwards.objective.shapes["student@norm"] == (2, 5, 192)


WRONG = {
    "student classes": (
        tiny(8),
        TinyNet(8, 7, 1),
        r"model.student: needs logits \(b, 10\).*\(2, 7\)",
    ),
    "teacher classes": (tiny(8, 5), tiny(8), r"model.teacher: needs logits \(b, 10\).*\(2, 5\)"),
    "channels": (
        tiny(8, 10, 3),
        tiny(8),
        r"model.teacher: TinyNet does not take images \(2, 1, 8, 8\)",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_networks_that_do_not_fit_the_data_are_refused(
    case: tuple[nn.Module, nn.Module, str],
) -> None:
    teacher, student, message = case
    with pytest.raises(RecipeError, match=message):
        trainer().fit(Distillation(teacher, student, {"ce": CE, "kd": KD}), digits())


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (10, r"model\.losses\.dkd: .*target needs one class number per image, got \(2, 10\)"),
        (3, r"data\.augment: num_classes must be above class \d, got 3"),
    ],
)
def test_what_mixed_images_do_not_fit_is_said_before_training(classes: int, message: str) -> None:
    dkd = Term(
        DKDLoss(),
        inputs={
            "student": "student.logits",
            "teacher": "teacher.logits",
            "target": "batch.target",
        },
    )
    module = Distillation(tiny(12), tiny(8), {"dkd": dkd})
    with pytest.raises(RecipeError, match=message):
        trainer().fit(module, digits(augment=[Mixup(num_classes=classes)]))


def test_a_bad_rate_is_refused_before_training() -> None:
    module = Distillation(None, tiny(8), {"ce": CE}, optimizer=_negative)
    with pytest.raises(RecipeError, match=r"model\.optimizer: Invalid learning rate: -1"):
        trainer().fit(module, digits())


def _still(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.0)


def _sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.5)


def _negative(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=-1.0)


def _halve(optimizer: torch.optim.Optimizer) -> Any:
    return torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)


def test_training_passes_are_compiled_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[str, bool]] = []

    def compiled(network: nn.Module) -> Any:
        def run(image: Tensor) -> Tensor:
            calls.append((type(network).__name__, torch.is_grad_enabled()))
            return network(image)

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    module = Distillation(tiny(12), Recorder(), {"ce": CE, "kd": KD}, compile=True)
    trainer().fit(module, digits())
    assert calls == [("TinyNet", False), ("Recorder", True)] * 4


def test_a_teacher_of_features_needs_no_logits_where_nobody_reads_them() -> None:
    inputs: dict[str, str | list[str]] = {"input": "student@relu", "target": "teacher@relu"}
    features = Term(nn.MSELoss(), inputs=inputs)
    module = Distillation(tiny(8, 7), tiny(8), {"ce": CE, "features": features})
    running = trainer()
    running.fit(module, digits())
    assert module.evaluation.scored == ["student"]
    assert module.evaluation.teacher_scores == {}
    assert running.callback_metrics["train/loss/features"] > 0


def test_a_loss_too_small_for_the_data_is_told_before_training() -> None:
    inputs: dict[str, str | list[str]] = {"features": "student.logits", "target": "batch.target"}
    module = Distillation(None, tiny(8), {"center": Term(CenterLoss(3, 10), inputs=inputs)})
    with pytest.raises(RecipeError, match=r"^model\.losses\.center: num_classes"):
        trainer().fit(module, digits())
