from collections.abc import Callable

import pytest
import torch
from torch import nn

from distill.core.errors import RecipeError
from distill.modules import Distillation, Normalization
from students import vit32
from teachers import Ensemble
from tests.fixtures.modules import CE, KD, digits, trainer
from tests.fixtures.networks import tiny


def test_bytes_and_unit_floats_give_the_same() -> None:
    image = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    normalize = Normalization([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    torch.testing.assert_close(normalize(image), normalize(image.float() / 255))


def test_each_channel_has_its_own_mean_and_deviation() -> None:
    image = torch.rand(2, 2, 3, 3)
    result = Normalization([0.25, 0.5], [0.5, 2.0])(image)
    for channel, (mean, std) in enumerate([(0.25, 0.5), (0.5, 2.0)]):
        torch.testing.assert_close(result[:, channel], (image[:, channel] - mean) / std)


@pytest.mark.parametrize(("mean", "std"), [([0.5], [0.5, 0.5]), ([0.5], [0.0]), ([0.5], [-1.0])])
def test_what_cannot_normalise_is_refused(mean: list[float], std: list[float]) -> None:
    with pytest.raises(ValueError, match="std"):
        Normalization(mean, std)


@pytest.mark.parametrize(("channels", "images"), [(3, 1), (1, 3), (3, 4)])
def test_it_is_never_stretched_to_other_channels(channels: int, images: int) -> None:
    normalize = Normalization([0.5] * channels, [0.5] * channels)
    message = rf"^its mean and std are for {channels} channels, the images have {images}$"
    with pytest.raises(ValueError, match=message):
        normalize(torch.zeros(2, images, 4, 4))


def assert_refused_before_training(module: Distillation, message: str) -> None:
    running = trainer()
    with pytest.raises(RecipeError, match=message):
        running.fit(module, digits())
    assert running.global_step == 0


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_networks_for_colour_are_refused_grey_images_before_training(name: str) -> None:
    networks = {"teacher": tiny(12), "student": tiny(8)}
    networks[name] = tiny(8, in_channels=3)
    networks[name].input_normalization = ((0.5,) * 3, (0.25,) * 3)
    module = Distillation(**networks, losses={"ce": CE, "kd": KD})
    message = (
        rf"^model\.{name}: TinyNet does not take images \(2, 1, 8, 8\): "
        r"its mean and std are for 3 channels, the images have 1$"
    )
    assert_refused_before_training(module, message)


@pytest.mark.parametrize(
    ("name", "way"), [("teacher", r"; teachers\.Resized resizes for it"), ("student", "")]
)
def test_the_size_that_a_network_takes_is_told(name: str, way: str) -> None:
    networks = {"teacher": tiny(12), "student": tiny(8)}
    networks[name] = vit32(10, in_channels=1)
    module = Distillation(**networks, losses={"ce": CE, "kd": KD})
    message = (
        rf"^model\.{name}: VisionTransformer does not take images \(2, 1, 8, 8\): "
        rf"vit32 needs images of 32x32 pixels, got 8x8 \(it takes 32x32 pixels{way}\)$"
    )
    assert_refused_before_training(module, message)


@pytest.mark.parametrize("wrap", [lambda network: network, lambda network: Ensemble([network])])
def test_teachers_of_another_order_of_classes_are_refused_before_training(
    wrap: Callable[[nn.Module], nn.Module],
) -> None:
    network = tiny(12)
    network.trained_classes = ("1", "0", *map(str, range(2, 10)))
    module = Distillation(wrap(network), tiny(8), {"ce": CE, "kd": KD})
    message = (
        r"^model\.teacher: its run and the data have the same classes in another order: "
        r"number 0 is 1 and 0; give data\.classes in the run's order$"
    )
    assert_refused_before_training(module, message)


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*")
@pytest.mark.parametrize("classes", [tuple(map(str, range(10))), ("a", "b")])
def test_teachers_of_the_same_order_or_of_other_classes_train(classes: tuple[str, ...]) -> None:
    network = tiny(12)
    network.trained_classes = classes
    trainer().fit(Distillation(network, tiny(8), {"ce": CE, "kd": KD}), digits())
