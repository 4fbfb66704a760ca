"""The best choice of one option per place under limits on sums of costs, exact."""

from collections.abc import Sequence


def knapsack(
    values: Sequence[Sequence[float]],
    costs: Sequence[Sequence[Sequence[float]]],
    limits: Sequence[float],
) -> list[int] | None:
    """The options with the largest sum of values among those within the limits.

    By dynamic programming over the sums of costs that the first places can have, so its time grows
    with the number of different sums.

    Args:
        values: Of each option, by place.
        costs: Of each option, by place; as many as there are limits.
        limits: On the sum of each cost.

    Returns:
        One option per place, the earlier one of equals; None if none are within the limits.

    Example:
        >>> knapsack([[1.0, 5.0], [1.0, 4.0]], [[[1], [3]], [[1], [2]]], [4])
        [1, 0]
    """
    best: dict[tuple[float, ...], tuple[float, list[int]]] = {(0.0,) * len(limits): (0.0, [])}
    for of_options, prices in zip(values, costs, strict=True):
        found: dict[tuple[float, ...], tuple[float, list[int]]] = {}
        for spent, (value, chosen) in best.items():
            for option, (more, price) in enumerate(zip(of_options, prices, strict=True)):
                total = tuple(a + b for a, b in zip(spent, price, strict=True))
                if any(a > most for a, most in zip(total, limits, strict=True)):
                    continue
                if total not in found or value + more > found[total][0]:
                    found[total] = (value + more, [*chosen, option])
        best = found
    return max(best.values(), key=lambda one: one[0])[1] if best else None
