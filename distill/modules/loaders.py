"""Plain loaders of (image, label) as data, for a Lightning ``Trainer`` of one's own."""

import copy
from collections.abc import Iterable
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.outputs import logits_of
from distill.modules.networks import Networks, dry, first_pass
from distill.tasks import Classification, ImageData, Task

OFF = (
    "loaders of (image, label) do not number their images: exact resume, the teacher's cache and "
    "keyed augmentation are off"
)
"""What plain loaders cost, in a line."""
_SLACK = 0.2  # resizing may overshoot


class HasNetworks(Protocol):
    """A LightningModule with networks."""

    networks: Networks


class LoaderData:
    """What modules ask of data, found in the first batch of a loader.

    Images are taken as they come; uint8 is divided by 255. Only networks that carry a normalisation
    of their own, such as a finished run's, or are given one, have theirs applied.

    Args:
        batch: The first images with their labels.
        classes: Names of the classes.

    Attributes:
        task: One class for each image.
        mean: 0 for each channel.
        std: 1 for each channel.
        absent: What terms cannot read, with what to say to those that do.
    """

    def __init__(self, batch: Batch, classes: tuple[str, ...]) -> None:
        self._batch = batch
        self.task: Task = Classification()
        self.classes = classes
        self.absent = {"batch.index": "loaders of (image, label) do not number their images"}
        channels = batch.image.shape[1]
        self.mean, self.std = (0.0,) * channels, (1.0,) * channels

    def example(self, n: int) -> Batch:
        """The first images, at most those of the first batch."""
        return Batch(self._batch.image[:n], self._batch.target[:n], self._batch.index[:n], 0)

    def sizes(self) -> dict[str, int]:
        """Nothing: a loader need not know."""
        return {}

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """The same batch: whoever wrote the loader augments in it."""
        return batch


def data_of(module: Any, stage: str) -> ImageData:  # noqa: ANN401 - a LightningModule with networks
    """A module's datamodule, or what its Trainer's loaders of (image, label) tell of themselves.

    Args:
        module: A LightningModule with ``networks``, in its ``setup``.
        stage: What it is set up for.

    Raises:
        RecipeError: If batches are no (image, label), the student does not take the images, or they
            are normalised already and a network would do it once more; for predictions.
    """
    trainer: Any = module.trainer
    if isinstance(trainer.datamodule, ImageData):
        return trainer.datamodule
    if stage == "predict":
        raise RecipeError("predict", "is not a stage of loaders: call the module with images")
    if stage == "fit":
        rank_zero_info(OFF)
    loader = _loader(trainer, stage)
    batch = labelled(_first(module, loader), None)
    networks: Networks = module.networks
    data = LoaderData(batch, ())
    networks.set_up(data)
    _check_range(networks, batch.image)
    data.classes = _class_names(loader) or _numbered(module, networks, data.example(2))
    return data


def labelled(given: object, classes: int | None, epoch: int = 0, step: int = 0) -> Batch:
    """A loader's (image, label) as a batch without keys.

    Args:
        given: Images (b, c, h, w), uint8 or floating point, and class numbers (b,) or the share of
            each class (b, k).
        classes: How many classes there are; None: not yet known.
        epoch: The epoch.
        step: The number of the batch in the run.

    Raises:
        RecipeError: If it is something else.

    Example:
        >>> labelled((torch.zeros(2, 3, 8, 8), torch.tensor([0, 4])), classes=5).target
        tensor([0, 4])
    """
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise RecipeError("data", f"batches must be (image, label), got {_told(given)}")
    image, target = given
    real = isinstance(image, Tensor) and (image.dtype == torch.uint8 or image.is_floating_point())
    if not real or image.ndim != 4:
        needed = "images must be a tensor (b, c, h, w), uint8 or floating point"
        raise RecipeError("data", f"{needed}, got {_told(image)}")
    if not isinstance(target, Tensor) or target.ndim != 1 + target.is_floating_point():
        needed = "labels must be class numbers (b,), or shares of classes (b, k)"
        raise RecipeError("data", f"{needed}, got {_told(target)}")
    if len(target) != len(image):
        raise RecipeError("data", f"got {len(image)} images with {len(target)} labels")
    target = target if target.is_floating_point() else target.long()
    if classes is not None:
        _check_classes(target, classes)
    numbers = torch.full((len(image),), -1, device=image.device)
    return Batch(image, target, numbers, epoch, step, keyed=False)


def _check_classes(target: Tensor, classes: int) -> None:
    if target.is_floating_point():
        if target.shape[1] != classes:
            told = f"shares of {target.shape[1]} classes, the student has {classes}"
            raise RecipeError("data", f"labels are {told}")
        return
    if len(target) == 0:
        return
    least, most = torch.stack(target.aminmax()).tolist()
    if least < 0 or most >= classes:
        wrong = least if least < 0 else most
        told = f"label {wrong} is no class: the student has {classes}, numbered from 0"
        raise RecipeError("data", told)


def _loader(trainer: Any, stage: str) -> Iterable[Any]:  # noqa: ANN401 - parts that Lightning hides
    """The loader that a stage begins with."""
    if stage == "fit":
        trainer.fit_loop.setup_data()
        loaders, loop = trainer.train_dataloader, "training"
    elif stage == "test":
        trainer.test_loop.setup_data()
        loaders, loop = trainer.test_dataloaders, "the test"
    else:
        trainer.validate_loop.setup_data()
        loaders, loop = trainer.val_dataloaders, "validation"
    if loaders is None:
        raise RecipeError("data", f"there is no batch for {loop}")
    found: Iterable[Any] = loaders
    return found


def _first(module: Any, loader: Iterable[Any]) -> Any:  # noqa: ANN401 - whatever the loader gives
    """Its first batch, as a step would see it; torch's and other generators stay as they were."""
    hooks = module.trainer.datamodule or module
    if isinstance(loader, DataLoader):
        loader = copy.copy(loader)
        # Persistent workers would go on where this pass is left.
        loader.__dict__["_iterator"] = None
    with isolate_rng(include_cuda=False):
        for batch in loader:
            batch = hooks.on_before_batch_transfer(batch, 0)
            batch = hooks.transfer_batch_to_device(batch, module.device, 0)
            return hooks.on_after_batch_transfer(batch, 0)
    raise RecipeError("data", "the loader gives no batch")


def _check_range(networks: Networks, image: Tensor) -> None:
    wrong = beyond_unit(image)
    for name, normalization in networks.normalization.items():
        plain = not any(normalization.mean) and set(normalization.std) == {1.0}
        if wrong and not plain:
            told = f"the {name} normalises images in 0..1 itself, the loader's are in {wrong}"
            raise RecipeError("data", f"{told}: leave their normalisation out of the loader")


def beyond_unit(image: Tensor) -> str:
    """The range of floating-point images that are clearly not in 0..1, and otherwise nothing.

    Example:
        >>> beyond_unit(torch.tensor([-2.0, 1.0])), beyond_unit(torch.tensor([0.0, 1.0]))
        ('-2..1', '')
    """
    if image.dtype == torch.uint8 or image.numel() == 0:
        return ""
    least, most = torch.stack(image.float().aminmax()).tolist()
    return "" if -_SLACK <= least <= most <= 1 + _SLACK else f"{least:.3g}..{most:.3g}"


def _class_names(loader: object) -> tuple[str, ...]:
    """Those of a dataset that has names, as torchvision's have, or a part of one."""
    dataset = getattr(loader, "dataset", None)
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    names = getattr(dataset, "classes", None)
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()


def _numbered(module: pl.LightningModule, networks: Networks, few: Batch) -> tuple[str, ...]:
    """A class for each of the student's logits."""
    image = few.image.to(module.device)
    with dry(module):
        outputs = first_pass("model.student", networks, "student", image)
    try:
        width = logits_of(outputs).shape[-1]
    except ValueError as error:
        raise RecipeError("model.student", str(error)) from error
    return tuple(f"class {number}" for number in range(width))


def _told(given: object) -> str:
    if isinstance(given, Tensor):
        return f"{str(given.dtype).removeprefix('torch.')} {tuple(given.shape)}"
    if isinstance(given, (tuple, list)):
        return f"a {type(given).__name__} of {len(given)}"
    return f"a {type(given).__name__}"
