"""SimKD, the reused teacher classifier: Chen et al., CVPR 2022, arXiv 2203.14001.

The student's last maps are projected to the teacher's channels and classified by the teacher's own
classifier. The loss is the mean squared error of the projected maps and the teacher's last maps;
labels are not used. Where the projected maps are the teacher's, so are the logits, bit by bit.
"""

from collections import OrderedDict
from copy import deepcopy

from torch import Tensor, nn


class SimKD(nn.Module):
    """Adds a projector behind a backbone's last maps and replaces its classifier by the teacher's.

    Both are put into the backbone, so that a forward pass is the backbone's: there are no hooks,
    and every parameter that is trained gets a gradient. The classifier is frozen and part of the
    state dict.

    Between ``features`` and ``classifier`` the backbone must do what the teacher does there, such
    as average pooling. The loss wants the maps of both networks to have one height and width.

    Paths to tap: the projected maps at ``backbone.{features}.projector``, the backbone's own at
    ``backbone.{features}.body``.

    Args:
        backbone: The student network, changed in place.
        features: Path of its layer that gives the last maps (b, c, h, w).
        classifier: Path of its classifier, which is removed.
        teacher: The network whose classifier is copied; nothing else of it is kept.
        head: Path of that classifier.
        student_channels: Channels of the backbone's last maps.
        teacher_channels: Channels of the teacher's.
        reduction: The projector works on ``teacher_channels / reduction`` channels inside.

    Raises:
        ValueError: If a path leads to no layer, if the classifier has buffers, which training would
            change, or if a number is out of range.

    Example:
        >>> import torch
        >>> from students import resnet8, resnet14
        >>> student = SimKD(resnet8(10), "layer3", "fc", resnet14(10), "fc", 64, 64)
        >>> student(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        backbone: nn.Module,
        features: str,
        classifier: str,
        teacher: nn.Module,
        head: str,
        student_channels: int,
        teacher_channels: int,
        reduction: int = 2,
    ) -> None:
        super().__init__()
        body = _layer("features", backbone, features)
        _layer("classifier", backbone, classifier)
        own = _layer("head", teacher, head)
        if f"{features}.".startswith(f"{classifier}."):
            message = f"features must be a layer before the classifier {classifier!r}"
            raise ValueError(f"{message}, got {features!r}")
        if list(own.buffers()):
            raise ValueError(f"head must be without running statistics, {head!r} has some")
        projector = _projector(student_channels, teacher_channels, reduction)
        projected = nn.Sequential(OrderedDict(body=body, projector=projector))
        backbone.set_submodule(features, projected)
        backbone.set_submodule(classifier, deepcopy(own).requires_grad_(False))
        self.backbone = backbone
        if hasattr(backbone, "input_normalization"):
            self.input_normalization = backbone.input_normalization

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        logits: Tensor = self.backbone(image)
        return logits


def _layer(argument: str, network: nn.Module, path: str) -> nn.Module:
    layers: dict[str, nn.Module] = dict(network.named_modules())
    if not path or path not in layers:
        message = f"{argument} must be the path of a layer of {type(network).__name__}"
        raise ValueError(f"{message}, got {path!r}")
    return layers[path]


def _projector(student_channels: int, teacher_channels: int, reduction: int) -> nn.Sequential:
    """Convolutions of 1x1, 3x3 and 1x1, each with batch norm and ReLU."""
    numbers = {
        "student_channels": student_channels,
        "teacher_channels": teacher_channels,
        "reduction": reduction,
    }
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    inner = teacher_channels // reduction
    if inner == 0:
        raise ValueError(f"reduction must be at most {teacher_channels}, got {reduction}")
    return nn.Sequential(
        nn.Conv2d(student_channels, inner, 1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, inner, 3, padding=1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, teacher_channels, 1, bias=False),
        nn.BatchNorm2d(teacher_channels),
        nn.ReLU(),
    )
