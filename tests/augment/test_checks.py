import pytest

from distill.augment.checks import check_number, check_range, check_whole


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


@pytest.mark.parametrize("value", ["0.5", None, True, float("inf")])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=rf"^share must be at least 0, got {value}$"):
        check_number("share", value, 0)


@pytest.mark.parametrize("value", [2.0, "3", True, None, float("nan")])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    check_whole("size", 3, 1, 8)
    with pytest.raises(ValueError, match=rf"^size must be a whole number, got {value}$"):
        check_whole("size", value, 1, 8)
    with pytest.raises(ValueError, match=r"^size must be in 1\.\.8, got 9$"):
        check_whole("size", 9, 1, 8)


@pytest.mark.parametrize("value", [0.5, 224, ("0", "1"), None, (False, True)])
def test_what_is_no_pair_of_numbers_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"area must be two ascending numbers in 0\.\.1, got "):
        check_range("area", value, 0, 1)
