"""The input normalizations of several networks that see the same images."""

from collections.abc import Sequence

from torch import Tensor, nn

Normalization = tuple[tuple[float, ...], tuple[float, ...]]


def own_normalizations(members: Sequence[nn.Module]) -> list[Normalization | None]:
    """List the normalization that each member applies; None where all share one.

    Raises:
        ValueError: If there are no members, or normalizations differ and a member carries none or
            one of other channels.
    """
    if not members:
        raise ValueError("members must name at least one network, got none")
    carried = [getattr(member, "input_normalization", None) for member in members]
    found = {normalization for normalization in carried if normalization is not None}
    if len(found) < 2:
        return [None] * len(members)
    if None in carried:
        shown = " and ".join(str(normalization) for normalization in sorted(found))
        missing = f"member {carried.index(None)} carries none"
        raise ValueError(
            f"members must all carry their input_normalization: {missing}, got {shown}"
        )
    channels = [len(mean) for mean, _ in found]
    if len(set(channels)) > 1:
        counts = " and ".join(str(count) for count in sorted(set(channels)))
        raise ValueError(f"members must take images of the same channels, got {counts}")
    return carried


def common_normalization(
    members: Sequence[nn.Module], own: Sequence[Normalization | None]
) -> Normalization | None:
    """Choose the normalization of all together: none where members normalize, else theirs."""
    if own[0] is not None:
        channels = len(own[0][0])
        return (0.0,) * channels, (1.0,) * channels
    carried = [getattr(member, "input_normalization", None) for member in members]
    return next((found for found in carried if found is not None), None)


def normalized(image: Tensor, normalization: Normalization) -> Tensor:
    """Normalize images (b, c, h, w)."""
    mean, std = (image.new_tensor(values).view(-1, 1, 1) for values in normalization)
    return (image - mean) / std
