"""Argument checks that the students share."""


def check_sizes(num_classes: int, in_channels: int) -> None:
    """Require at least one class and one channel.

    Raises:
        ValueError: If either number is below 1.
    """
    for name, value in (("num_classes", num_classes), ("in_channels", in_channels)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
