import pytest

from distill.search import Blockwise, Inherited


def test_batch_norms_are_measured_with_some_images() -> None:
    assert Inherited().recalibrate == 512
    with pytest.raises(ValueError, match=r"^recalibrate must be at least 1, got 0$"):
        Inherited(recalibrate=0)


def test_blocks_are_rated_by_some_images() -> None:
    assert Blockwise().images == 512
    with pytest.raises(ValueError, match=r"^images must be at least 1, got 0$"):
        Blockwise(images=0)
