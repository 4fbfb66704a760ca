"""AlexNet for small images (Krizhevsky et al., NeurIPS 2012).

The paper's five convolutions, three overlapping poolings and three fully connected layers, with the
widths of "One weird trick" (arXiv 1404.5997), as torchvision has them. What changes for 32x32: the
first convolution is 5x5 with stride 1 (11x11 with stride 4 in the paper), the poolings alone divide
the size, by 8, and the fully connected layers have 1024 units (4096), behind a pooling to 4x4 that
lets images of any size fit. For large images: ``torchvision_model("alexnet", num_classes)``.

Paths to tap, for convolutions i = 1 to 5:

- maps after convolution i: ``relu{i}``, and before its ReLU ``conv{i}``
- stages at 1/2, 1/4 and 1/8 of the size: ``pool1``, ``pool2``, ``pool3``
- embedding (b, 1024): ``fc3:input``
"""

from torch import Tensor, nn

from students.checks import check_sizes


class AlexNet(nn.Module):
    """Five convolutions and three fully connected layers."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 5, padding=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(64, 192, 5, padding=2)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(192, 384, 3, padding=1)
        self.relu3 = nn.ReLU()
        self.conv4 = nn.Conv2d(384, 256, 3, padding=1)
        self.relu4 = nn.ReLU()
        self.conv5 = nn.Conv2d(256, 256, 3, padding=1)
        self.relu5 = nn.ReLU()
        self.pool3 = nn.MaxPool2d(3, stride=2, padding=1)
        self.avgpool = nn.AdaptiveAvgPool2d(4)
        self.dropout1 = nn.Dropout()
        self.fc1 = nn.Linear(256 * 4 * 4, 1024)
        self.relu6 = nn.ReLU()
        self.dropout2 = nn.Dropout()
        self.fc2 = nn.Linear(1024, 1024)
        self.relu7 = nn.ReLU()
        self.fc3 = nn.Linear(1024, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        maps = self.pool1(self.relu1(self.conv1(image)))
        maps = self.pool2(self.relu2(self.conv2(maps)))
        maps = self.relu4(self.conv4(self.relu3(self.conv3(maps))))
        maps = self.pool3(self.relu5(self.conv5(maps)))
        hidden = self.dropout1(self.avgpool(maps).flatten(1))
        hidden = self.dropout2(self.relu6(self.fc1(hidden)))
        logits: Tensor = self.fc3(self.relu7(self.fc2(hidden)))
        return logits


def alexnet(num_classes: int, in_channels: int = 3) -> nn.Module:
    """AlexNet for small images.

    Args:
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.

    Raises:
        ValueError: If an argument is below 1.

    Example:
        >>> import torch
        >>> alexnet(num_classes=10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    check_sizes(num_classes, in_channels)
    return AlexNet(num_classes, in_channels)
