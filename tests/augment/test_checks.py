import pytest

from distill.augment.checks import check_number, check_range


@pytest.mark.parametrize("value", [0, 0.3, 1])
def test_a_number_inside_passes(value: float) -> None:
    check_number("share", value, 0, 1)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_number_outside_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=rf"^share must be in 0\.\.1, got {value}$"):
        check_number("share", value, 0, 1)


def test_without_an_upper_bound_the_lower_one_is_told() -> None:
    check_number("size", 10**9, 1)
    with pytest.raises(ValueError, match=r"^size must be at least 1, got 0$"):
        check_number("size", 0, 1)


@pytest.mark.parametrize("value", [(0, 1), (0.5, 0.5), [0.2, 0.3]])
def test_an_ascending_pair_passes(value: tuple[float, float]) -> None:
    check_range("area", value, 0, 1)


@pytest.mark.parametrize("value", [(0.5, 0.4), (-0.1, 1), (0, 1.1), (0.1,), (0, 0.5, 1), ()])
def test_any_other_is_refused(value: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"area must be two ascending numbers in 0\.\.1, got \["):
        check_range("area", value, 0, 1)
    with pytest.raises(ValueError, match=r"area must be two ascending numbers at least 2, got \["):
        check_range("area", value, 2)
