"""LeNet-5 for 32x32 images (LeCun et al., Proceedings of the IEEE 1998).

With ReLU and max pooling in place of the original's squashing and trainable subsampling.
Paths to tap: ``conv1``, ``conv2`` (both before their ReLU), ``pool1``, ``pool2``, ``fc1``, ``fc2``
(before their ReLU); the embedding (b, 84) is ``fc3:input``.
"""

from torch import Tensor, nn

from students.checks import check_sizes


class LeNet5(nn.Module):
    """Two convolutions and three fully connected layers."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(120, 84)
        self.relu4 = nn.ReLU()
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, 32, 32).

        Raises:
            ValueError: If the images have another size.
        """
        height, width = image.shape[-2:]
        if (height, width) != (32, 32):
            raise ValueError(f"lenet5 needs images of 32x32 pixels, got {height}x{width}")
        maps = self.pool1(self.relu1(self.conv1(image)))
        maps = self.pool2(self.relu2(self.conv2(maps)))
        hidden = self.relu3(self.fc1(maps.flatten(1)))
        logits: Tensor = self.fc3(self.relu4(self.fc2(hidden)))
        return logits


def lenet5(num_classes: int, in_channels: int = 3) -> nn.Module:
    """LeNet-5, for images of 32x32 pixels.

    Args:
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> sum(p.numel() for p in lenet5(num_classes=10, in_channels=1).parameters())
        61706
    """
    check_sizes(num_classes, in_channels)
    return LeNet5(num_classes, in_channels)
