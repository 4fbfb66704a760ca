import json

import pytest

from distill.modules.subnets import Sandwich, Subnets
from tests.fixtures.elastic import elastic

NETWORK = elastic()


def varied(sandwich: Sandwich, steps: int = 60) -> set[str]:
    """The dimensions in which the subnets of many steps differ."""
    found: set[str] = set()
    largest = sandwich.largest
    for step in range(steps):
        for one in sandwich.of_step(0, step):
            found |= {"width"} if one["stem"] != largest["stem"] else set()
            for stage, most in zip(one["stages"], largest["stages"], strict=True):
                found |= {name for name in stage if stage[name] != most[name]}
    return found


def test_a_step_trains_the_largest_then_the_smallest_then_others() -> None:
    sandwich = Sandwich(NETWORK, Subnets(random=2), None)
    found = sandwich.of_step(3, 7)
    assert found[0]["stages"][1] == {
        "op": "mbconv",
        "width": 8,
        "depth": 2,
        "kernel": 5,
        "expand": 3,
        "stride": 2,
    }
    assert found[1]["stages"][1] == {
        "op": "mbconv",
        "width": 6,
        "depth": 1,
        "kernel": 3,
        "expand": 1,
        "stride": 2,
    }
    assert found[:2] == [sandwich.largest, sandwich.smallest]
    assert len(found) == 4


def test_the_others_follow_from_seed_step_and_number_alone() -> None:
    one, two = (Sandwich(NETWORK, Subnets(random=n), None) for n in (1, 3))
    assert one.of_step(3, 7) == two.of_step(3, 7)[:3]
    drawn = [json.dumps(two.of_step(seed, step)) for seed in (0, 1) for step in range(20)]
    assert len(set(drawn)) == 40


def test_every_value_of_a_decision_is_drawn() -> None:
    sandwich = Sandwich(NETWORK, Subnets(False, False, 1), None)
    drawn = [sandwich.of_step(0, step)[0] for step in range(300)]
    kernels = [one["stages"][0]["kernel"] for one in drawn]
    assert {kernels.count(size) // 70 for size in (3, 5, 7)} == {1}  # 100 each, give or take 30


@pytest.mark.parametrize("dimensions", [[], ["kernel"], ["kernel", "depth"], ["expand", "width"]])
def test_subnets_differ_in_the_elastic_dimensions_alone(dimensions: list) -> None:
    assert varied(Sandwich(NETWORK, Subnets(), dimensions)) == set(dimensions)


def test_equal_subnets_are_one() -> None:
    sandwich = Sandwich(NETWORK, Subnets(random=3), [])
    assert sandwich.of_step(0, 0) == [sandwich.largest]


@pytest.mark.parametrize("given", [(False, False, 0), (True, True, -1)])
def test_some_must_be_left(given: tuple) -> None:
    with pytest.raises(ValueError, match=r"^subnets must leave some to train, got Subnets"):
        Subnets(*given)
