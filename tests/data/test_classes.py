import pytest
import torch

from distill.data.classes import by_number, difference, label_text, renumbered


def test_targets_follow_their_classes_into_another_order() -> None:
    there, here = ["0", "1", "10", "2"], ["0", "1", "2", "10"]
    targets = torch.tensor([0, 1, 2, 3, -100, 2])
    moved = renumbered(targets, there, here)
    named = [there[t] if t >= 0 else None for t in targets.tolist()]
    assert [here[t] if t >= 0 else None for t in moved.tolist()] == named
    assert renumbered(targets, there, there) is targets


def test_other_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="not in both: b, c"):
        renumbered(torch.tensor([0]), ["a", "b"], ["a", "c"])


def test_a_difference_is_told_whatever_it_is() -> None:
    assert difference(["a", "b"], ["a", "b"]) == ""
    assert difference(["a", "b"], ["b", "a"]).startswith("the same classes in another order")
    assert difference(["a", "b"], ["b", "a"], in_order=False) == ""
    many = difference([str(n) for n in range(10)], ["x"])
    assert many == "not in both: 0, 1, 2, 3, 4 and 6 more"


def test_digits_of_other_scripts_are_numbers_and_raised_ones_are_not() -> None:
    assert by_number(["10", "\u0663"]) == ["\u0663", "10"]
    assert by_number(["10", "\u00b2", "9"]) == ["10", "9", "\u00b2"]


@pytest.mark.parametrize("value", [True, 3, "ant", "3.5", "a-1", "-x"])
def test_one_class_is_taken(value: object) -> None:
    assert label_text(value, "row 0") == str(value)


@pytest.mark.parametrize("value", [None, "", " ", float("nan"), [], [1], {}, b"a", 0.5, -1, "-3"])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(
        ValueError, match=r"^row 0 (has no label|needs one class|has the label -\d,)"
    ):
        label_text(value, "row 0")
