"""Embeddings of several networks as one."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teachers.members import common_normalization, normalized, own_normalizations


class Embeddings(nn.Module):
    """Concatenates the embeddings of several networks, each scaled to length 1.

    So no network outweighs the others by its scale, and the cosine of two images is the mean of
    their cosines in all of them. Images are normalised as in :class:`~teachers.Ensemble`. A
    member's own embedding, not scaled, is ``teacher@members.0``, for terms that learn from
    one of them alone, and its layers are ``teacher@members.0.PATH``.

    Args:
        members: Networks that give an embedding (b, d), of any width.

    Raises:
        ValueError: If there are no members, or normalisations differ and a member carries none or
            one of other channels.

    Example:
        >>> pair = Embeddings([nn.Linear(3, 2), nn.Linear(3, 4)])
        >>> pair(torch.ones(5, 3)).shape
        torch.Size([5, 6])
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self._own = own_normalizations(members)
        carried = common_normalization(members, self._own)
        if carried is not None:
            self.input_normalization = carried
        self.members = nn.ModuleList(members)

    def forward(self, image: Tensor) -> Tensor:
        """Embeddings (b, sum of widths) of images (b, c, h, w), in at least float32.

        Raises:
            ValueError: If a member gives something other than (b, d).
        """
        found = []
        for place, (member, own) in enumerate(zip(self.members, self._own, strict=True)):
            given = member(image if own is None else normalized(image, own))
            if not isinstance(given, Tensor) or given.ndim != 2:
                what = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
                raise ValueError(
                    f"members must give embeddings (b, d), member {place} gives {what}"
                )
            wide = given.to(torch.promote_types(given.dtype, torch.float32))
            found.append(F.normalize(wide, dim=1))
        return torch.cat(found, dim=1)
