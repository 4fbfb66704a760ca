from pathlib import Path

import pytest

from distill.core.errors import RecipeError
from distill.search.supernet_keys import read_seeds

PATH, GOOD = Path("s.yaml"), {"supernet": {"recipe": "digits/darts"}}


def test_there_are_as_many_trials_as_seeds() -> None:
    found = read_seeds(PATH, GOOD | {"seeds": [3, 1]}, derives=True)
    assert found == {"seeds": [3, 1], "trials": 2}
    assert read_seeds(PATH, GOOD, derives=True)["seeds"] == [0]
    assert read_seeds(PATH, {"trials": 3}, derives=False) == {}


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({}, "s.yaml: supernet: is missing: designs are derived from it"),
        (GOOD | {"seeds": [1, 1]}, "s.yaml: seeds: needs seeds, none twice"),
        (GOOD | {"seeds": ["a"]}, "s.yaml: seeds: needs whole numbers"),
        (GOOD | {"seeds": []}, "s.yaml: seeds: needs whole numbers"),
        (GOOD | {"trials": 3}, "s.yaml: trials: is the number of seeds where designs are derived"),
        (GOOD | {"parameters": {}}, "s.yaml: parameters: are not searched where designs are"),
        (GOOD | {"prefilter": {}}, "s.yaml: prefilter: has nothing to choose from where designs"),
    ],
)
def test_bad_keys_are_told_in_one_line(tree: dict[str, object], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_seeds(PATH, tree, derives=True)
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_they_are_of_derived_designs_alone() -> None:
    with pytest.raises(RecipeError, match=r"seeds: is for strategy distill\.search\.Derived"):
        read_seeds(PATH, {"seeds": [1]}, derives=False)
