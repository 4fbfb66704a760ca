import pytest

from distill.core.refused import is_private, is_refused


@pytest.mark.parametrize(
    "path", ["torch.hub", "torch.hub.load", "torch.load", "torch.utils.benchmark.Timer", "a.__b__"]
)
def test_a_listed_module_and_all_below_it_are_refused(path: str) -> None:
    assert is_refused(path)


@pytest.mark.parametrize("path", ["torch.hubs.load", "torch.loads", "torch.nn.Linear", "hub"])
def test_names_that_only_begin_alike_are_not(path: str) -> None:
    assert not is_refused(path)


def test_private_parts_count_wherever_they_stand() -> None:
    assert is_private("a._b.c")
    assert not is_private("a.b_.c")
