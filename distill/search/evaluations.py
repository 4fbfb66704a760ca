"""How a candidate gets its value."""


class Trained:
    """Each candidate is trained from scratch for a short time, as the recipe says."""


class Inherited:
    """Each candidate takes its weights from a supernet, and is not trained.

    Args:
        recalibrate: Training images, at most, that its batch norms are measured with: those of the
            supernet are the largest design's.

    Raises:
        ValueError: If there are no images.
    """

    def __init__(self, recalibrate: int = 512) -> None:
        if recalibrate < 1:
            raise ValueError(f"recalibrate must be at least 1, got {recalibrate}")
        self.recalibrate = recalibrate


class Blockwise:
    """Designs are rated by what their blocks lose under the teacher, in supernets of one per seed.

    Derived designs are those with the least sum within the limits, exactly; these are trained.

    Args:
        images: Validation images that the losses are of, at most.

    Raises:
        ValueError: If there are no images.
    """

    def __init__(self, images: int = 512) -> None:
        if images < 1:
            raise ValueError(f"images must be at least 1, got {images}")
        self.images = images


Evaluation = Trained | Inherited | Blockwise
