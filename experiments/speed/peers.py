"""The same training step in other toolkits, each as its users would write it.

torchdistill is in the extra ``peers``; timm and torchvision come with the toolkit.
"""

import copy
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder

import students

CLASSES, BATCH, WORKERS = 100, 64, 2
TEMPERATURE, ALPHA = 4.0, 0.9
MEAN, STD = (0.507, 0.487, 0.441), (0.267, 0.256, 0.276)


def image_folder(images: Path) -> ImageFolder:
    """Images decoded and augmented one at a time, as in most code."""
    steps = [
        transforms.RandomCrop(32, padding=4),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return ImageFolder(str(images), transforms.Compose(steps))


def plain(images: Path, steps: int) -> list[float]:
    """When each step of a plain float32 loop with torchvision's transforms ended."""
    teacher, student, optimizer = _networks()
    ended = []
    for image, target in _batches(images, steps):
        with torch.no_grad():
            soft = teacher(image)
        loss = kd_and_ce(student(image), soft, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ended.append(time.perf_counter())
    return ended


def timm_task(images: Path, steps: int) -> list[float]:
    """When each step with timm's LogitDistillationTask ended."""
    from timm.task import DistillationTeacher, LogitDistillationTask

    teacher, student, optimizer = _networks()
    for network in (teacher, student):  # what timm's own models carry
        network.pretrained_cfg = {"mean": MEAN, "std": STD}
    task = LogitDistillationTask(
        student,
        DistillationTeacher(teacher, num_classes=CLASSES),
        criterion=nn.CrossEntropyLoss(),
        task_loss_weight=1 - ALPHA,
        distill_loss_weight=ALPHA,
        temperature=TEMPERATURE,
        verbose=False,
    )
    task.train()
    ended = []
    for image, target in _batches(images, steps):
        loss: Tensor = task(image, target)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ended.append(time.perf_counter())
    return ended


def torchdistill_box(images: Path, steps: int) -> list[float]:
    """When each step with torchdistill's DistillationBox ended."""
    logging.disable(logging.INFO)
    from torchdistill.core.distillation import get_distillation_box

    teacher, student, _ = _networks()
    box = get_distillation_box(
        teacher,
        student,
        {"train": image_folder(images)},
        copy.deepcopy(_BOX),
        torch.device("cpu"),
        None,
        False,
        1,
    )
    box.teacher_model.eval()
    box.student_model.train()
    ended: list[float] = []
    while len(ended) < steps:
        for image, target, extra in box.train_data_loader:
            box.pre_forward_process()
            loss = box.forward_process(image, target, extra)
            box.post_forward_process(loss)
            ended.append(time.perf_counter())
            if len(ended) == steps:
                break
    box.clean_modules()
    logging.disable(logging.NOTSET)
    return ended


def kd_and_ce(logits: Tensor, soft: Tensor, target: Tensor) -> Tensor:
    """0.1 times cross-entropy and 0.9 times KD at temperature 4."""
    student, teacher = (F.log_softmax(v.float() / TEMPERATURE, dim=1) for v in (logits, soft))
    kd = TEMPERATURE**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return (1 - ALPHA) * F.cross_entropy(logits.float(), target) + ALPHA * kd


def _networks() -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
    teacher, student = students.resnet32x4(CLASSES).eval(), students.resnet8x4(CLASSES).train()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    return teacher, student, optimizer


def _batches(images: Path, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    loader = DataLoader(
        image_folder(images), BATCH, shuffle=True, drop_last=True, num_workers=WORKERS
    )
    while steps:
        for batch in loader:
            yield batch
            steps -= 1
            if not steps:
                return


_BOX: dict[str, Any] = {
    "num_epochs": 1,
    "train_data_loader": {
        "dataset_id": "train",
        "sampler": {"class_or_func": RandomSampler, "kwargs": {}},
        "kwargs": {"batch_size": BATCH, "num_workers": WORKERS, "drop_last": True},
    },
    "teacher": {
        "forward_proc": "forward_batch_only",
        "forward_hook": {"input": [], "output": []},
        "requires_grad": False,
        "wrapper": None,
    },
    "student": {
        "forward_proc": "forward_batch_only",
        "forward_hook": {"input": [], "output": []},
        "requires_grad": True,
        "wrapper": None,
    },
    "optimizer": {
        "key": "SGD",
        "kwargs": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0005},
    },
    "criterion": {
        "key": "WeightedSumLoss",
        "kwargs": {
            "sub_terms": {
                "kd": {
                    "criterion": {
                        "key": "KDLoss",
                        "kwargs": {
                            "student_module_path": ".",
                            "student_module_io": "output",
                            "teacher_module_path": ".",
                            "teacher_module_io": "output",
                            "temperature": TEMPERATURE,
                            "alpha": 1 - ALPHA,
                            "reduction": "batchmean",
                        },
                    },
                    "weight": 1.0,
                }
            }
        },
    },
}
