"""Recipes spoilt at random: each is checked, or refused in one line, and nothing else."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from distill import recipes
from distill.core.errors import RecipeError
from distill.recipes.stages import check
from tests.fixtures.spoiling import (
    NAMES,
    TREES,
    Spoil,
    add,
    drop,
    nest,
    places,
    rename,
    retype,
    swap,
)

RECIPES = 2_000


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
