import copy
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from distill.callbacks import CKA
from distill.core.errors import RecipeError
from distill.losses import CRDLoss
from distill.modules import Distillation, MeanTeacher, MutualLearning, Normalization, Term
from distill.modules.loaders import labelled
from tests.fixtures.modules import CE, KD, Recorder, trainer
from tests.fixtures.networks import tiny

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*callbacks returned in.*",
    "ignore:.*have no `val_dataloader`.*",
)


def images(n: int = 48) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    image = torch.randint(256, (n, 1, 8, 8), generator=draw, dtype=torch.uint8)
    return image, torch.randint(10, (n,), generator=draw)


def loader(image: Tensor | None = None, target: Tensor | None = None, **options: Any) -> DataLoader:
    given = images()
    image = given[0] if image is None else image
    data = TensorDataset(image, given[1][: len(image)] if target is None else target)
    return DataLoader(data, **({"batch_size": 16} | options))


class Named(Dataset):
    """Ten classes with names, as torchvision's datasets have them."""

    def __init__(self, classes: list[str]) -> None:
        self.classes = classes

    def __len__(self) -> int:
        return 32

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return torch.full((1, 8, 8), place / 32), place % 10


class Nothing(IterableDataset):
    def __iter__(self) -> Iterator[object]:
        return iter(())


class OwnData(pl.LightningDataModule):
    """Loaders of (image, label) with a hook that sees them so."""

    def train_dataloader(self) -> DataLoader:
        return loader()

    def val_dataloader(self) -> DataLoader:
        return loader()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        image, target = batch
        return image.float() / 510, target


def test_training_is_that_of_a_plain_loop() -> None:
    """With the loader's own shuffling and the network's own dropout, from the caller's seed."""
    student, teacher = tiny(8), tiny(12)
    other = copy.deepcopy(student)
    torch.manual_seed(7)
    module = Distillation(teacher, student, {"ce": CE, "kd": KD})
    trainer(max_epochs=2).fit(module, loader(shuffle=True))

    torch.manual_seed(7)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    for _ in range(2):
        for image, target in loader(shuffle=True):
            with torch.no_grad():
                t = teacher.eval()(image.float() / 255)
            s = other.train()(image.float() / 255)
            kd = 16 * F.kl_div((s / 4).log_softmax(1), (t / 4).softmax(1), reduction="batchmean")
            optimizer.zero_grad()
            (F.cross_entropy(s, target) + 0.5 * kd).backward()
            optimizer.step()
    for name, value in other.state_dict().items():
        torch.testing.assert_close(student.state_dict()[name], value)


def test_accuracies_are_those_of_all_images_after_a_sanity_check_too() -> None:
    module = Distillation(tiny(12), tiny(8), {"ce": CE})
    running = trainer(num_sanity_val_steps=1)
    running.fit(module, loader(), loader())
    image, target = images()
    for network, top1 in (
        (module.student, running.callback_metrics["val/top1"].item()),
        (module.teacher, module.evaluation.teacher_scores["val"]),
    ):
        found = network.eval()(image.float() / 255).argmax(1)  # type: ignore[misc]
        assert top1 == pytest.approx(100 * (found == target).float().mean().item())
    (tested,) = running.test(module, loader(), verbose=False)
    assert tested["test/top1"] == running.callback_metrics["test/top1"].item()
    (validated,) = running.validate(module, loader(), verbose=False)
    assert validated["val/top1"] == pytest.approx(tested["test/top1"])


def test_a_line_says_once_what_is_off(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pytorch_lightning.utilities.rank_zero"):
        trainer(max_epochs=2).fit(Distillation(None, tiny(8), {"ce": CE}), loader(), loader())
    (line,) = [text for text in caplog.messages if "loaders" in text]
    assert all(each in line for each in ("exact resume", "cache", "keyed augmentation", "off"))


def test_a_datamodule_of_ones_own_keeps_its_hooks() -> None:
    student = Recorder()
    trainer().fit(Distillation(tiny(12), student, {"ce": CE, "kd": KD}), OwnData())
    assert len(student.seen) > 6
    assert max(seen.max().item() for seen in student.seen) == 0.5


def test_peers_and_a_mean_teacher_take_them_too() -> None:
    each = {"ce": Term(nn.CrossEntropyLoss(), inputs=CE.inputs | {"input": "peer.logits"})}
    peers = MutualLearning(tiny(8), {"b": tiny(8)}, {"each": each})
    for module in (peers, MeanTeacher(tiny(8), {"ce": CE, "kd": KD})):
        running = trainer()
        running.fit(module, loader(), loader())
        assert 0 <= running.callback_metrics["val/top1"] <= 100


def test_shares_of_classes_are_trained_on() -> None:
    shares = torch.rand(48, 10).softmax(1)
    student = tiny(8)
    before = copy.deepcopy(student.state_dict())
    trainer().fit(Distillation(None, student, {"ce": CE}), loader(target=shares))
    assert not torch.equal(student.state_dict()["fc.weight"], before["fc.weight"])


def test_an_epoch_of_a_schedule_is_the_loaders() -> None:
    def halved(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.StepLR:
        return torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)

    running = trainer(max_epochs=3)
    running.fit(Distillation(None, tiny(8), {"ce": CE}, scheduler=halved), loader())
    assert running.optimizers[0].param_groups[0]["lr"] == 0.05 / 8


def test_no_batch_of_persistent_workers_is_lost() -> None:
    workers = loader(num_workers=1, persistent_workers=True)
    running = trainer()
    running.fit(Distillation(None, tiny(8), {"ce": CE}), workers, workers)
    assert running.global_step == len(workers)
    assert "val/top1" in running.callback_metrics


def test_a_callback_that_looks_at_images_sees_them() -> None:
    cka = CKA({"bn": ["student@bn", "teacher@bn"]})
    module = Distillation(tiny(12), tiny(8), {"ce": CE})
    trainer(callbacks=[cka]).fit(module, loader(), loader())
    assert 0 < cka.values["bn"] <= 1


def test_names_of_classes_are_the_datasets_through_its_parts() -> None:
    names = [str(number) for number in (0, 1, 3, 2, 4, 5, 6, 7, 8, 9)]
    teacher = tiny(12)
    teacher.trained_classes = tuple(sorted(names))  # type: ignore[assignment]
    part = DataLoader(Subset(Subset(Named(names), range(20)), range(16)), batch_size=8)
    with pytest.raises(RecipeError, match=r"^model.teacher: .*another order: number 2 is 2 and 3"):
        trainer().fit(Distillation(teacher, tiny(8), {"kd": KD}), part)


@pytest.mark.parametrize("count", [9, 11])
def test_a_student_has_the_datasets_classes(count: int) -> None:
    data = DataLoader(Named([str(number) for number in range(count)]), batch_size=8)
    told = rf"^model.student: needs logits \(b, {count}\), one per class of the data, gives"
    with pytest.raises(RecipeError, match=told):
        trainer().fit(Distillation(None, tiny(8), {"ce": CE}), data)


@pytest.mark.parametrize("network", ["student", "teacher"])
def test_images_are_not_normalised_twice(network: str) -> None:
    normalized = (images()[0].float() / 255 - 0.5) / 0.25
    module = Distillation(
        tiny(12),
        tiny(8),
        {"kd": KD},
        normalization={network: Normalization([0.5], [0.25])},  # type: ignore[dict-item]
    )
    told = rf"^data: the {network} normalises images in 0..1 itself, the loader's are in -2..2: "
    with pytest.raises(RecipeError, match=told):
        trainer().fit(module, loader(normalized))
    trainer().fit(module, loader(normalized / 4 + 0.5))
    trainer().fit(Distillation(tiny(12), tiny(8), {"kd": KD}), loader(normalized))


INDEX: dict[str, str | list[str]] = {
    "student": "student@fc:input",
    "teacher": "teacher@fc:input",
    "target": "batch.target",
    "index": "batch.index",
}


def test_what_needs_numbers_of_images_is_refused() -> None:
    crd = Term(CRDLoss(8, 12, 48, n_negatives=16), inputs=INDEX)
    told = r"^model.losses.crd.inputs: reads batch.index, but loaders of \(image, label\) do not"
    with pytest.raises(RecipeError, match=told):
        trainer().fit(Distillation(tiny(12), tiny(8), {"crd": crd}), loader())
    with pytest.raises(RecipeError, match=r"^model.cache: needs a datamodule with a fingerprint"):
        trainer().fit(Distillation(tiny(12), tiny(8), {"kd": KD}, cache="auto"), loader())


@pytest.mark.parametrize(
    ("label", "told"),
    [(10, "label 10 is no class: the student has 10, numbered from 0"), (-1, "label -1 is no")],
)
def test_a_label_that_is_no_class_stops_the_run(label: int, told: str) -> None:
    target = images()[1]
    target[-1] = label
    module = Distillation(None, tiny(8), {"ce": CE})
    with pytest.raises(RecipeError, match=f"^data: {told}"):
        trainer().fit(module, loader(target=target))
    with pytest.raises(RecipeError, match=f"^data: {told}"):
        trainer().validate(module, loader(target=target))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"image": 1}, r"batches must be \(image, label\), got a dict"),
        (torch.zeros(2, 1, 8, 8), r"batches must be \(image, label\), got float32 \(2, 1, 8, 8\)"),
        ((torch.zeros(2, 1, 8, 8),), r"batches must be \(image, label\), got a tuple of 1"),
        ((torch.zeros(2, 8, 8), torch.zeros(2)), r"images must be .*, got float32 \(2, 8, 8\)"),
        ((torch.zeros(2, 1, 8, 8).long(), 0), r"images must be .*, got int64 \(2, 1, 8, 8\)"),
        (([], torch.zeros(2)), "images must be .*, got a list of 0"),
        ((torch.zeros(2, 1, 8, 8), ("a", "b")), "labels must be .*, got a tuple of 2"),
        ((torch.zeros(2, 1, 8, 8), torch.zeros(2, 1).long()), r"labels must be .*int64 \(2, 1\)"),
        ((torch.zeros(2, 1, 8, 8), torch.zeros(2)), r"labels must be .*, got float32 \(2,\)"),
        ((torch.zeros(2, 1, 8, 8), torch.zeros(3).long()), "got 2 images with 3 labels"),
        ((torch.zeros(2, 1, 8, 8), torch.zeros(2, 4)), "labels are shares of 4 classes, the stud"),
    ],
)
def test_a_batch_of_another_form_is_told_in_a_line(given: object, told: str) -> None:
    with pytest.raises(RecipeError, match=f"^data: {told}"):
        labelled(given, classes=10)


def test_labels_of_any_whole_number_are_taken() -> None:
    image, target = images()
    batch = labelled([image, target.to(torch.uint8)], classes=10, epoch=3, step=5)
    assert torch.equal(batch.target, target)
    assert (batch.target.dtype, batch.epoch, batch.step, batch.keyed) == (torch.int64, 3, 5, False)
    assert labelled((image[:0], target[:0]), classes=10).target.shape == (0,)


def test_nothing_to_begin_with_is_told() -> None:
    module = Distillation(None, tiny(8), {"ce": CE})
    with pytest.raises(RecipeError, match=r"^data: the loader gives no batch"):
        trainer().validate(module, DataLoader(Nothing()))
    with pytest.raises(RecipeError, match=r"^data: there is no batch for training"):
        trainer(limit_train_batches=0).fit(module, loader())
    with pytest.raises(RecipeError, match=r"^predict: is not a stage of loaders: call the module"):
        trainer().predict(module, loader())


def test_a_student_that_does_not_take_the_images_or_gives_no_logits_is_told() -> None:
    class TwoOutputs(nn.Module):
        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            return image, image

    with pytest.raises(RecipeError, match=r"^model.student: TinyNet does not take images \(2, 1"):
        trainer().fit(Distillation(None, tiny(8, in_channels=3), {"ce": CE}), loader())
    with pytest.raises(RecipeError, match=r"^model.student: needs one tensor of logits"):
        trainer().fit(Distillation(None, TwoOutputs(), {"ce": CE}), loader())
