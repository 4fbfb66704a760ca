"""W&B's distributions of sweep parameters, each as a list of values or a quantile function.

From the reference of the sweep configuration (docs.wandb.ai, sweep configuration options).
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from scipy import stats

Spec = Mapping[str, Any]
Quantile = Callable[[float], float]
Sampler = tuple[Sequence[Any] | None, Callable[[float], Any] | None]


class Distribution(NamedTuple):
    """The keys of a distribution in a sweep file, and how to draw from it.

    Attributes:
        words: The keys that it takes.
        required: Keys that it cannot do without.
        make: Takes these keys' values and returns the list of possible values, if there is one, and
            the value at a probability between 0 and 1, if there is an order.
    """

    words: Sequence[str]
    required: Sequence[str]
    make: Callable[[Spec], Sampler]


def _uniform(spec: Spec) -> Quantile:
    low, high = spec["min"], spec["max"]
    return lambda u: low + u * (high - low)


def _log_values(spec: Spec) -> Quantile:
    low, high = math.log(spec["min"]), math.log(spec["max"])
    return lambda u: low + u * (high - low)


def _normal(spec: Spec) -> Quantile:
    mean, deviation = spec.get("mu", 0.0), spec.get("sigma", 1.0)
    return lambda u: mean + deviation * float(stats.norm.ppf(u))


def _beta(spec: Spec) -> Quantile:
    return lambda u: float(stats.beta.ppf(u, spec.get("a", 1), spec.get("b", 1)))


def _choice(spec: Spec) -> Sampler:
    return spec["values"], None


def _chances(spec: Spec) -> Sampler:
    edges = list(itertools.accumulate(spec["probabilities"]))
    last = len(edges) - 1

    def quantile(u: float) -> Any:  # noqa: ANN401
        return spec["values"][next((i for i, edge in enumerate(edges) if u < edge), last)]

    return None, quantile


def _constant(spec: Spec) -> Sampler:
    return [spec["value"]], None


def _integers(spec: Spec) -> Sampler:
    low, high = spec["min"], spec["max"]
    return range(low, high + 1), lambda u: min(high, low + int(u * (high - low + 1)))


def _steps(spec: Spec) -> Sampler:
    """Multiples of q, those at the ends half as likely, as rounding a uniform number gives."""
    q = spec.get("q", 1)
    numbers = range(round(spec["min"] / q), round(spec["max"] / q) + 1)
    return [_multiple(n, q) for n in numbers], _rounded(_uniform, float)(spec)[1]


def _continuous(
    distribution: Callable[[Spec], Quantile], transform: Quantile
) -> Callable[[Spec], Sampler]:
    """Make a sampler with the quantile function of a transformed distribution."""

    def make(spec: Spec) -> Sampler:
        exact = distribution(spec)
        return None, lambda u: transform(exact(_inside(u)))

    return make


def _rounded(
    distribution: Callable[[Spec], Quantile], transform: Quantile
) -> Callable[[Spec], Sampler]:
    """As :func:`_continuous`, rounded to multiples of q."""

    def make(spec: Spec) -> Sampler:
        exact, q = distribution(spec), spec.get("q", 1)
        return None, lambda u: _multiple(round(transform(exact(_inside(u))) / q), q)

    return make


def _inside(u: float) -> float:
    """Keep off 0 and 1, where a normal distribution is infinite."""
    return min(max(u, 1e-9), 1 - 1e-9)


def _multiple(n: int, q: float) -> float | int:
    """``n * q`` without digits that are not in q: 3 * 0.1 is 0.3."""
    return n * q if isinstance(q, int) else round(n * q, 12)


_RANGE = ("min", "max")
_BELL = ("mu", "sigma")
_AB = ("a", "b")
_exp, _plain = math.exp, float

DISTRIBUTIONS = {
    "constant": Distribution(("value",), ("value",), _constant),
    "categorical": Distribution(("values",), ("values",), _choice),
    "categorical_w_probabilities": Distribution(
        ("values", "probabilities"), ("values", "probabilities"), _chances
    ),
    "int_uniform": Distribution(_RANGE, _RANGE, _integers),
    "uniform": Distribution(_RANGE, _RANGE, _continuous(_uniform, _plain)),
    "q_uniform": Distribution((*_RANGE, "q"), _RANGE, _steps),
    "log_uniform": Distribution(_RANGE, _RANGE, _continuous(_uniform, _exp)),
    "log_uniform_values": Distribution(_RANGE, _RANGE, _continuous(_log_values, _exp)),
    "q_log_uniform": Distribution((*_RANGE, "q"), _RANGE, _rounded(_uniform, _exp)),
    "q_log_uniform_values": Distribution((*_RANGE, "q"), _RANGE, _rounded(_log_values, _exp)),
    # log(1/x) is uniform: between min and max here, between 1/max and 1/min in the next.
    "inv_log_uniform": Distribution(_RANGE, _RANGE, _continuous(_uniform, lambda y: _exp(-y))),
    "inv_log_uniform_values": Distribution(_RANGE, _RANGE, _continuous(_log_values, _exp)),
    "normal": Distribution(_BELL, (), _continuous(_normal, _plain)),
    "q_normal": Distribution((*_BELL, "q"), (), _rounded(_normal, _plain)),
    "log_normal": Distribution(_BELL, (), _continuous(_normal, _exp)),
    "q_log_normal": Distribution((*_BELL, "q"), (), _rounded(_normal, _exp)),
    "beta": Distribution(_AB, (), _continuous(_beta, _plain)),
    "q_beta": Distribution((*_AB, "q"), (), _rounded(_beta, _plain)),
}
