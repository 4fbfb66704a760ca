"""CRNN for lines of text: Shi, Bai and Yao, TPAMI 2017, arXiv 1507.05717.

Convolutions turn a line into a sequence of columns, an LSTM reads it in both directions, and every
step gets logits for CTC. Small: four convolutions for VGG's seven, one LSTM for two.

Paths to tap: ``backbone``, the columns (b, 64, 1, t), which U-DML compares; before it
``backbone.pool1`` (8), ``backbone.pool2`` (16) and ``backbone.pool3`` (32), maps with their
channels; ``fc:input``, what the LSTM gives each step (b, t, 128). ``rnn`` gives a tuple, which no
term takes.
"""

from collections import OrderedDict
from typing import cast

from einops import rearrange
from torch import Tensor, nn

from students.checks import check_sizes

_HIDDEN = 64


class CRNN(nn.Module):
    """Convolutions down to one row, a bidirectional LSTM along it, a linear layer at every step."""

    def __init__(self, num_classes: int, height: int, in_channels: int) -> None:
        super().__init__()
        self.height = height
        self.backbone = nn.Sequential(
            OrderedDict(
                **_stage(1, in_channels, 8, (2, 2)),
                **_stage(2, 8, 16, (2, 2)),
                **_stage(3, 16, 32, (2, 1)),
                conv4=nn.Conv2d(32, 64, (height // 8, 1), bias=False),
                bn4=nn.BatchNorm2d(64),
                relu4=nn.ReLU(),
            )
        )
        self.rnn = nn.LSTM(64, _HIDDEN, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * _HIDDEN, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, t, k) of lines (b, c, h, w), with a step for every 4 pixels of width.

        Raises:
            ValueError: If the images have another height, or are narrower than 4 pixels.
        """
        height, width = image.shape[-2:]
        if height != self.height or width < 4:
            message = f"crnn needs images {self.height} high and at least 4 wide"
            raise ValueError(f"{message}, got {height}x{width}")
        columns = rearrange(self.backbone(image), "b c 1 t -> b t c")
        return cast(Tensor, self.fc(self.rnn(columns)[0]))


def crnn(num_classes: int, height: int, in_channels: int = 3) -> nn.Module:
    """CRNN for text lines of one height and any width.

    Args:
        num_classes: Characters and, as class 0, the blank of CTC; at least 1.
        height: Of a line in pixels; a multiple of 8.
        in_channels: Channels of an image; at least 1.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> crnn(num_classes=11, height=16)(torch.zeros(2, 3, 16, 96)).shape
        torch.Size([2, 24, 11])
    """
    check_sizes(num_classes, in_channels)
    if height < 8 or height % 8:
        raise ValueError(f"height must be a multiple of 8, got {height}")
    return CRNN(num_classes, height, in_channels)


def _stage(
    number: int, in_channels: int, out_channels: int, pool: tuple[int, int]
) -> dict[str, nn.Module]:
    return {
        f"conv{number}": nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        f"bn{number}": nn.BatchNorm2d(out_channels),
        f"relu{number}": nn.ReLU(),
        f"pool{number}": nn.MaxPool2d(pool),
    }
