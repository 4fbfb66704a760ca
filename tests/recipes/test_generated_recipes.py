"""Recipes spoilt at random: each is checked, or refused in one line, and nothing else."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from distill import recipes
from distill.core.errors import RecipeError
from distill.recipes.stages import check

NAMES = recipes.names()
TREES = {name: yaml.safe_load(recipes.find(name).read_text()) for name in NAMES}
RECIPES = 2_000

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**300, 10**18]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["", " ", "a.b", "torch.nn", "torch.nn.ReLU", "students.resnet8", "distill.losses.KDLoss"]
    ),
    st.sampled_from(
        ["torch.optim.Adam", "x" * 5_000, "\0", "null", "1e3", "{a: 1}", "[1", "${a}", "${trainer}"]
    ),
    st.sampled_from(["../..", "/dev/null", "recipe.yaml", "class_path", "%s{}", "\ud800", "é"]),
)
KEYS = st.one_of(
    st.text(max_size=10),
    st.integers(),
    st.sampled_from(
        ["class_path", "init_args", "dict_kwargs", "__path__", "stages", "train", "", "a.b", "self"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
Place = tuple[Any, Any]
Spoil = Callable[[Any, Any, st.DataObject], None]


def places(node: Any) -> list[Place]:
    """Every container of a tree with each of its keys or indices."""
    pairs = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    found = [(node, key) for key, _ in pairs]
    for _, item in pairs:
        if isinstance(item, dict | list):
            found += places(item)
    return found


def drop(node: Any, key: Any, data: st.DataObject) -> None:
    del node[key]


def retype(node: Any, key: Any, data: st.DataObject) -> None:
    node[key] = data.draw(VALUES)


def rename(node: Any, key: Any, data: st.DataObject) -> None:
    if isinstance(node, dict):
        node[data.draw(KEYS)] = node.pop(key)


def nest(node: Any, key: Any, data: st.DataObject) -> None:
    for _ in range(data.draw(st.sampled_from([1, 2, 5, 70, 300]))):
        node[key] = [node[key]] if data.draw(st.booleans()) else {data.draw(KEYS): node[key]}


def add(node: Any, key: Any, data: st.DataObject) -> None:
    if isinstance(node, dict):
        node[data.draw(KEYS)] = data.draw(VALUES)
    else:
        node.append(data.draw(VALUES))


def swap(node: Any, key: Any, data: st.DataObject) -> None:
    """With a value of another recipe."""
    other = copy.deepcopy(TREES[data.draw(st.sampled_from(NAMES))])
    container, its_key = data.draw(st.sampled_from(places(other)))
    node[key] = container[its_key]


@pytest.mark.slow
@given(data=st.data())
@settings(
    max_examples=RECIPES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_a_spoilt_recipe_is_checked_or_refused_in_one_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tree = copy.deepcopy(TREES[data.draw(st.sampled_from(NAMES))])
    for _ in range(data.draw(st.integers(1, 3))):
        spoil: Spoil = data.draw(st.sampled_from([drop, retype, rename, nest, add, swap]))
        if found := places(tree):
            node, key = found[data.draw(st.integers(0, len(found) - 1))]
            spoil(node, key, data)
    path = tmp_path_factory.getbasetemp() / "spoilt.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), errors="surrogatepass")
    assert_told_in_one_line(path)


def assert_told_in_one_line(path: Path) -> None:
    told = ""
    try:
        check(recipes.load(path))
    except RecipeError as error:
        told = str(error)
    event("refused" if told else "passed")
    assert "\n" not in told
    assert len(told) < 800


@pytest.mark.slow
@given(text=st.text(max_size=200), name=st.sampled_from(NAMES), place=st.integers(0, 10**6))
@settings(max_examples=RECIPES, deadline=None, derandomize=True)
def test_a_recipe_with_any_text_in_it_is_checked_or_refused_in_one_line(
    text: str, name: str, place: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = recipes.find(name).read_text()
    cut = place % len(whole)
    path = tmp_path_factory.getbasetemp() / "mixed.yaml"
    path.write_bytes((whole[:cut] + text + whole[cut:]).encode(errors="surrogatepass"))
    assert_told_in_one_line(path)


@pytest.mark.parametrize("override", ["=1", ".=1", "a=1", "model=1", "data.x.0.y=1", "a" * 9_999])
def test_an_override_that_leads_nowhere_is_refused_in_one_line(override: str) -> None:
    with pytest.raises(RecipeError) as told:
        check(recipes.load(recipes.find("digits/kd"), [override]))
    assert len(str(told.value)) < 400
