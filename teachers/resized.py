"""A teacher that takes images of another size than the student's."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Resized(nn.Module):
    """Resizes images for a network that takes another size.

    Bilinear, with antialiasing where images shrink. Its layers are tapped as
    ``teacher@network.PATH``. It carries the network's ``input_normalization``, if there is one:
    whether images are normalized before or after makes no difference.

    Args:
        teacher: The network.
        size: Height and width in pixels of the images that it takes, one number if they are equal.

    Raises:
        ValueError: If a side is below 1 or there are more than two.

    Example:
        >>> Resized(nn.Flatten(), size=4)(torch.zeros(2, 1, 9, 9)).shape
        torch.Size([2, 16])
    """

    def __init__(self, teacher: nn.Module, size: int | tuple[int, int]) -> None:
        super().__init__()
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or min(sides) < 1:
            raise ValueError(f"size must be one or two numbers of at least 1, got {size}")
        self.network, self.size = teacher, sides
        carried = getattr(teacher, "input_normalization", None)
        if carried is not None:
            self.input_normalization = carried

    def forward(self, image: Tensor) -> Tensor:
        """The network's output for images (b, c, h, w), resized in at least float32."""
        if tuple(image.shape[-2:]) != self.size:
            wide = image.to(torch.promote_types(image.dtype, torch.float32))
            wide = F.interpolate(wide, self.size, mode="bilinear", antialias=True)
            image = wide.to(image.dtype)
        output: Tensor = self.network(image)
        return output
