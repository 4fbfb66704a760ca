"""A trial on a clock that only steps turn."""

from collections.abc import Callable

import pytest

from distill.runs.speed_trial import Trial, Way, trial

PLAIN, TURNED = Way("32-true", False), Way("32-true", True)
HALF, HALF_TURNED = Way("bf16-mixed", False), Way("bf16-mixed", True)
WAYS = [PLAIN, TURNED, HALF, HALF_TURNED]


class Machine:
    """Takes a known time per step."""

    def __init__(self, cost: Callable[[Way, int, int], float]) -> None:
        self.now, self._cost = 0.0, cost
        self.steps: list[tuple[Way, int]] = []

    def clock(self) -> float:
        return self.now

    def step(self, way: Way, images: int) -> None:
        self.now += self._cost(way, images, len(self.steps))
        self.steps.append((way, images))

    def trial(self, batch: int = 64) -> Trial:
        return trial(self.step, WAYS, batch, self.clock)


def costs(*ms: float) -> Machine:
    """Milliseconds per image of the four ways."""
    return Machine(lambda way, images, _: images * ms[WAYS.index(way)] / 1000)


@pytest.mark.parametrize("best", range(4))
def test_the_fastest_way_is_taken(best: int) -> None:
    ms = [1.2] * 4
    ms[best] = 1.0
    assert costs(*ms).trial().fastest() == WAYS[best]


@pytest.mark.parametrize(("half", "taken"), [(0.98, TURNED), (0.96, HALF)])
def test_a_tie_goes_to_float32(half: float, taken: Way) -> None:
    assert costs(1.2, 1.0, half, 1.1).trial().fastest() == taken


def test_times_are_of_whole_batches() -> None:
    found = costs(1.2, 1.0, 1.1, 1.3).trial(batch=32)
    assert found.images == 32
    expected = {PLAIN: 38.4, TURNED: 32.0, HALF: 35.2, HALF_TURNED: 41.6}
    assert found.ms == pytest.approx(expected)


def test_first_steps_and_disturbed_rounds_do_not_count() -> None:
    """A way's first step builds its kernels; then most of its rounds are disturbed."""

    def cost(way: Way, images: int, number: int) -> float:
        slow = number < 4 or number // 4 != 3
        return images * (1.0 if way is HALF else 1.1) / 1000 * (100 if slow and way is HALF else 1)

    assert Machine(cost).trial(batch=8).fastest() == HALF


def test_ways_take_turns() -> None:
    machine = costs(1.0, 1.1, 1.2, 1.3)
    machine.trial(batch=8)
    assert [way for way, _ in machine.steps] == WAYS * (len(machine.steps) // 4)


def test_a_hopeless_way_never_sees_a_whole_batch() -> None:
    machine = costs(1.0, 1.2, 1.4, 13.0)
    found = machine.trial()
    assert {images for way, images in machine.steps if way is HALF_TURNED} == {8}
    assert found.ms[HALF_TURNED] == pytest.approx(64 * 13.0)


def test_a_slow_student_is_tried_on_few_images_for_five_rounds() -> None:
    machine = costs(49.0, 51.0, 52.0, 53.0)
    found = machine.trial(batch=256)
    assert found.images == 10
    assert len(machine.steps) == 2 * 4 * (1 + 5)


def test_a_fast_student_takes_half_a_second_at_most() -> None:
    machine = costs(0.01, 0.01, 0.01, 0.01)
    machine.trial()
    assert machine.now < 0.5


def test_a_way_that_fails_is_left_out() -> None:
    def cost(way: Way, images: int, _: int) -> float:
        if way.precision == "bf16-mixed":
            raise RuntimeError("not implemented for BFloat16")
        return images * (2.0 if way is PLAIN else 1.0)

    found = Machine(cost).trial()
    assert set(found.ms) == {PLAIN, TURNED}
    assert found.fastest() == TURNED


def test_nothing_is_found_where_all_fail() -> None:
    def cost(way: Way, images: int, number: int) -> float:
        raise ValueError

    assert Machine(cost).trial().ms == {}
