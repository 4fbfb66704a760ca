"""The space of a sweep: W&B's parameters, each as a list of values or a quantile function."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distill.bench.sweep.distributions import DISTRIBUTIONS, Spec
from distill.core.errors import RecipeError
from distill.core.suggest import nearest


@dataclass(frozen=True)
class Parameter:
    """One parameter of a sweep.

    Attributes:
        name: The dotted key in the recipe.
        values: Its possible values; None where that is no list.
        quantile: Its value at a probability between 0 and 1; None where it is chosen from a list
            without an order.
    """

    name: str
    values: Sequence[Any] | None = None
    quantile: Callable[[float], Any] | None = None


def read_parameters(key: str, spec: Spec) -> dict[str, Parameter]:
    """Read the ``parameters`` of a sweep file; nested ones are joined by dots.

    Args:
        key: Names the section in messages.
        spec: The section of the file.

    Raises:
        RecipeError: For the first thing that is wrong.
    """
    if not isinstance(spec, Mapping) or not spec:
        raise RecipeError(key, f"needs at least one parameter, got {spec!r}")
    found: dict[str, Parameter] = {}
    for name, inner in spec.items():
        here = f"{key}.{name}"
        if not isinstance(inner, Mapping):
            raise RecipeError(here, f"needs value, values or a distribution, got {inner!r}")
        if "parameters" in inner:
            _check_words(here, inner, ("parameters",))
            nested = read_parameters(f"{here}.parameters", inner["parameters"])
            found |= {f"{name}.{p}": replace(q, name=f"{name}.{p}") for p, q in nested.items()}
        else:
            found[str(name)] = _parameter(here, str(name), inner)
    return found


def combinations(key: str, parameters: Mapping[str, Parameter]) -> int:
    """Count the combinations of values.

    Args:
        key: Names the parameters in messages.
        parameters: By name.

    Raises:
        RecipeError: If a parameter is no list of values.
    """
    for name, parameter in parameters.items():
        if parameter.values is None:
            message = "a grid needs value, values, int_uniform or q_uniform"
            raise RecipeError(f"{key}.{name}", message)
    return math.prod(len(parameter.values or ()) for parameter in parameters.values())


def combination(parameters: Mapping[str, Parameter], number: int) -> dict[str, int]:
    """One combination as places in the lists; the last parameter changes fastest.

    Example:
        >>> two = {"a": Parameter("a", [1, 2]), "b": Parameter("b", ["x", "y", "z"])}
        >>> combination(two, 4)
        {'a': 1, 'b': 1}
    """
    places = {}
    for name in reversed(list(parameters)):
        number, places[name] = divmod(number, len(parameters[name].values or ()))
    return {name: places[name] for name in parameters}


def _parameter(key: str, name: str, spec: Spec) -> Parameter:
    distribution = _distribution(key, spec)
    one = DISTRIBUTIONS[distribution]
    _check_words(key, spec, (*one.words, "distribution"))
    for word in one.required:
        if word not in spec:
            raise RecipeError(f"{key}.{word}", f"is required by distribution {distribution}")
    if "values" in spec:
        _check_values(key, spec)
    elif "value" not in spec:
        _check_numbers(key, distribution, {w: v for w, v in spec.items() if w != "distribution"})
    return Parameter(name, *one.make(spec))


def _distribution(key: str, spec: Spec) -> str:
    """The named distribution, or the one that W&B infers."""
    if "distribution" in spec:
        named = spec["distribution"]
        if named not in DISTRIBUTIONS:
            hint = nearest(str(named), DISTRIBUTIONS)
            raise RecipeError(f"{key}.distribution", f"no distribution {named!r}{hint}")
        return str(named)
    if "values" in spec:
        return "categorical_w_probabilities" if "probabilities" in spec else "categorical"
    if "value" in spec:
        return "constant"
    if "min" in spec and "max" in spec:
        whole = all(isinstance(spec[word], int) for word in ("min", "max"))
        return "int_uniform" if whole else "uniform"
    words = ("value", "values", "min", "max", "distribution", "parameters", "probabilities")
    _check_words(key, spec, words)
    raise RecipeError(key, f"needs value, values, min and max, or distribution, got {dict(spec)}")


def _check_values(key: str, spec: Spec) -> None:
    values = spec["values"]
    if not isinstance(values, list) or not values:
        raise RecipeError(f"{key}.values", f"needs a list, got {values!r}")
    if "probabilities" not in spec:
        return
    chances, here = spec["probabilities"], f"{key}.probabilities"
    if not isinstance(chances, list) or len(chances) != len(values):
        raise RecipeError(here, f"needs one number per value, got {chances!r}")
    if not all(_is_number(p) and p >= 0 for p in chances) or abs(sum(chances) - 1) > 1e-6:
        raise RecipeError(here, f"must be at least 0 and sum to 1, got {chances}")


def _check_numbers(key: str, distribution: str, spec: Spec) -> None:
    kind = int if distribution == "int_uniform" else (int, float)
    for word, value in spec.items():
        here = f"{key}.{word}"
        if not _is_number(value) or not isinstance(value, kind):
            whole = "whole " if kind is int else ""
            raise RecipeError(here, f"needs a {whole}number, got {value!r}")
        if word in ("q", "a", "b") and value <= 0:
            raise RecipeError(here, f"must be above 0, got {value}")
    if spec.get("sigma", 0) < 0:
        raise RecipeError(f"{key}.sigma", f"must be at least 0, got {spec['sigma']}")
    if "min" in spec and spec["min"] > spec["max"]:
        raise RecipeError(f"{key}.min", f"must not exceed max, got {spec['min']}, {spec['max']}")
    if distribution.endswith("_values") and spec["min"] <= 0:
        raise RecipeError(f"{key}.min", f"must be above 0 in {distribution}, got {spec['min']}")


def _check_words(key: str, spec: Spec, words: Sequence[str]) -> None:
    for word in spec:
        if word not in words:
            message = f"is not known here{nearest(str(word), words)}"
            raise RecipeError(f"{key}.{word}", message)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
