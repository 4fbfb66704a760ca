"""Networks to train: factories ``(num_classes, in_channels=3) -> nn.Module`` for recipes."""

from students.lenet import lenet5
from students.resnet import (
    resnet8,
    resnet8x4,
    resnet14,
    resnet20,
    resnet32,
    resnet32x4,
    resnet44,
    resnet56,
    resnet110,
)
from students.vgg import vgg8, vgg11, vgg13, vgg16, vgg19
from students.wrn import wrn_16_1, wrn_16_2, wrn_40_1, wrn_40_2
from students.zoo import timm_model, torchvision_model

__all__ = [
    "lenet5",
    "resnet8",
    "resnet8x4",
    "resnet14",
    "resnet20",
    "resnet32",
    "resnet32x4",
    "resnet44",
    "resnet56",
    "resnet110",
    "timm_model",
    "torchvision_model",
    "vgg8",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "wrn_16_1",
    "wrn_16_2",
    "wrn_40_1",
    "wrn_40_2",
]
