"""Networks by name: what goes into them, what comes out, and whether they fit the data."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from pytorch_lightning.utilities import move_data_to_device
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.echo import short
from distill.core.errors import RecipeError
from distill.core.outputs import Outputs
from distill.core.suggest import difference
from distill.tasks import ImageData

# Tried where a network refuses the images' own size.
_USUAL_SIDES = (28, 32, 64, 112, 128, 224, 256, 384, 448, 512, 518)


@dataclass(frozen=True)
class Normalization:
    """Per-channel mean and standard deviation of images in 0..1.

    Raises:
        ValueError: If the lengths differ or a standard deviation is not positive.

    Example:
        >>> image = torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)
        >>> Normalization([0.5], [0.25])(image).unique()
        tensor([2.])
    """

    mean: Sequence[float]
    std: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean and std must have equal lengths, got {self.mean}, {self.std}")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std must be positive, got {self.std}")

    def __call__(self, image: Tensor) -> Tensor:
        """Normalise images (b, c, h, w), uint8 in 0..255 or floating point in 0..1; in float32.

        Raises:
            ValueError: If they have more or fewer channels.
        """
        if image.shape[1] != len(self.mean):
            counts = f"{len(self.mean)} channels, the images have {image.shape[1]}"
            raise ValueError(f"its mean and std are for {counts}")
        unit = 255.0 if image.dtype == torch.uint8 else 1.0
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=image.device).view(-1, 1, 1) * unit
            for values in (self.mean, self.std)
        )
        return (image.float() - mean) / std


@runtime_checkable
class CarriesNormalization(Protocol):
    """A network that knows what its inputs are normalised with: mean and std per channel."""

    input_normalization: tuple[tuple[float, ...], tuple[float, ...]]


class Holder(Protocol):
    """Whatever holds a network outside its owner's module tree."""

    @property
    def network(self) -> nn.Module | None:
        """The network."""


class Networks:
    """The networks of a module, with their input normalisation, memory layout and compilation.

    It holds no weights of its own: the module that owns it registers the networks.

    Args:
        networks: By name, themselves or what holds them.
        normalization: By name, where it is not the network's own or else the data's.
        channels_last: Keep images and weights in channels-last layout; None as False, until
            ``lay_out`` says otherwise.
        compile: Compile training passes with ``torch.compile``.

    Attributes:
        fitting: Names of the networks that give what the task needs, known after a dry run.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module | Holder],
        normalization: Mapping[Any, Normalization] | None = None,
        channels_last: bool | None = None,
        compile: bool = False,
    ) -> None:
        self._held = dict(networks)
        self.normalization: dict[str, Normalization] = dict(normalization or {})
        self._compile = compile
        self._compiled: dict[str, Callable[[Tensor], Outputs]] = {}
        self.fitting = list(networks)
        self.lay_out(bool(channels_last))

    def lay_out(self, channels_last: bool) -> None:
        """Keep images and weights in channels-last layout, or contiguous."""
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        for network in self.by_name.values():
            network.to(memory_format=self._format)

    @property
    def by_name(self) -> dict[str, nn.Module]:
        """The networks themselves."""
        pairs = self._held.items()
        found = {n: held if isinstance(held, nn.Module) else held.network for n, held in pairs}
        return {name: network for name, network in found.items() if network is not None}

    def set_up(self, data: ImageData) -> None:
        """Settle each network's normalisation; forget what was compiled."""
        self._compiled.clear()
        for name, network in self.by_name.items():
            self.normalization.setdefault(name, own_normalization(network, data))

    def outputs(self, name: str, image: Tensor, training: bool = False) -> Outputs:
        """What a network gives for images as they are.

        Args:
            name: The network's.
            image: (b, c, h, w), uint8 or in 0..1.
            training: Whether this is a pass of training, which may be compiled.
        """
        network = self.by_name[name]
        normalized = self.normalization[name](image).to(_dtype(network))
        run: Callable[[Tensor], Outputs] = network
        if self._compile and training:
            if name not in self._compiled:
                self._compiled[name] = torch.compile(run)
            run = self._compiled[name]
        return run(normalized.contiguous(memory_format=self._format))

    def dry_run(
        self,
        batch: Batch,
        data: ImageData,
        key: Callable[[str], str] = "model.{}".format,
        unread: Collection[str] = (),
    ) -> dict[str, Outputs]:
        """What every network gives for a few samples, after checking that it fits the data.

        Args:
            batch: The samples.
            data: Where they are from.
            key: From a network's name to its dotted key in the recipe.
            unread: Networks whose outputs nobody reads: they may give anything.

        Raises:
            RecipeError: If a network does not take the images, or gives something else.
        """
        found, fitting = {}, []
        for name, network in self.by_name.items():
            found[name] = first_pass(key(name), self, name, batch.image)
            try:
                data.task.check_outputs(found[name], data)
                fitting.append(name)
            except ValueError as error:
                if name not in unread:
                    raise RecipeError(key(name), str(error)) from error
            if name not in unread:
                _check_class_order(key(name), network, data.classes)
        self.fitting = fitting
        return found


def _check_class_order(key: str, network: nn.Module, classes: Sequence[str]) -> None:
    """Refuse a finished run's network that numbers the data's classes in another order."""
    for part in network.modules():
        carried = getattr(part, "trained_classes", None)
        if not isinstance(carried, tuple) or set(carried) != set(classes):
            continue  # not a finished run's, or made for other classes
        if told := difference(carried, classes):
            told = f"its run and the data have {told}; give data.classes in the run's order"
            raise RecipeError(key, told)


@contextmanager
def dry(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, for a pass that leaves everything as it is."""
    module.eval()
    with torch.no_grad():
        yield
    module.train()


def own_normalization(network: nn.Module, data: ImageData) -> Normalization:
    """The network's ``input_normalization``, where it carries one, or else the data's."""
    if isinstance(network, CarriesNormalization):
        return Normalization(*network.input_normalization)
    return Normalization(data.mean, data.std)


def dry_run_batch(data: ImageData, device: torch.device) -> Batch:
    """The augmented views of the first two training samples, for a dry pass.

    Raises:
        RecipeError: If an augmentation does not take them.
    """
    batch: Batch = move_data_to_device(data.example(2), device)
    try:
        return data.on_after_batch_transfer(batch, 0)
    except Exception as error:  # of augmentations of any kind
        raise RecipeError("data.augment", short(str(error), 300)) from error


def checked_outputs(
    key: str,
    network: nn.Module,
    run: Callable[[Tensor], Outputs],
    image: Tensor,
    data: ImageData,
) -> Outputs:
    """What a network gives for images of the data, if that is what the task needs.

    Args:
        key: The network's dotted key in the recipe.
        network: What ``run`` calls.
        run: From images to outputs.
        image: (b, c, h, w).
        data: Where the images are from.

    Raises:
        RecipeError: If the network does not take the images, or gives something else.
    """
    outputs = _forward(key, network, run, image)
    try:
        data.task.check_outputs(outputs, data)
    except ValueError as error:
        raise RecipeError(key, str(error)) from error
    return outputs


def first_pass(key: str, networks: Networks, name: str, image: Tensor) -> Outputs:
    """What a network gives for its first images.

    Args:
        key: Its dotted key in the recipe.
        networks: It is one of them.
        name: Its name.
        image: As they are.

    Raises:
        RecipeError: If it does not take them.
    """
    return _forward(key, networks.by_name[name], partial(networks.outputs, name), image)


def _forward(
    key: str, network: nn.Module, run: Callable[[Tensor], Outputs], image: Tensor
) -> Outputs:
    try:
        return run(image)
    except Exception as error:  # of networks of any kind
        problem = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = f"{type(network).__name__} does not take images {tuple(image.shape)}: {problem}"
        raise RecipeError(key, message + _other_size(key, run, image)) from error


def _other_size(key: str, run: Callable[[Tensor], Outputs], image: Tensor) -> str:
    """What to say of a network that takes images of another size, nothing of others."""
    way = "; teachers.Resized resizes for it" if "teacher" in key else ""
    for side in _USUAL_SIDES:
        with suppress(Exception):  # of networks of any kind
            run(image.new_zeros(*image.shape[:-2], side, side))
            return f" (it takes {side}x{side} pixels{way})"
    return ""


def _dtype(network: nn.Module) -> torch.dtype:
    """The floating-point type of a network's weights."""
    types = (weight.dtype for weight in network.parameters() if weight.is_floating_point())
    return next(types, torch.float32)
