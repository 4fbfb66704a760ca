from pathlib import Path
from typing import Any

import pytest

from distill.core.errors import RecipeError
from distill.search import Inherited, Trained
from distill.search.spec import read_search
from tests.fixtures.searches import SPEC, inherited, write

TRAINED = "distill.search.Trained"


def test_designs_inherit_where_there_is_a_supernet_and_are_trained_elsewhere(
    tmp_path: Path,
) -> None:
    found = read_search(write(tmp_path, **inherited()))
    assert isinstance(found.evaluation, Inherited)
    assert found.evaluation.recalibrate == 60
    usual = read_search(write(tmp_path, **inherited(evaluation=None)))
    assert isinstance(usual.evaluation, Inherited)
    assert usual.evaluation.recalibrate == 512
    for evaluation in (None, TRAINED):
        file = read_search(write(tmp_path, evaluation=evaluation))
        assert isinstance(file.evaluation, Trained)
        assert file.supernet == {}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"supernet": None}, "supernet: is missing: designs inherit their weights from it"),
        ({"evaluation": TRAINED}, "evaluation: is distill.search.Trained, which has no use for"),
        ({"evaluation": "torch.nn.ReLU"}, "evaluation.class_path: needs distill.search.Trained or"),
        ({"strategy": "distill.search.Inherited"}, "strategy.class_path: needs a strategy: "),
        (
            {"strategy": "distill.search.Derived", "trials": None},
            "evaluation: is for strategies that propose designs; what is derived is trained",
        ),
        ({"parameters": SPEC["parameters"]}, "parameters: would each need a supernet of their own"),
        (
            {"metric": {"name": "agreement", "goal": "maximize"}},
            "metric.name: needs a figure of val/, as designs that inherit have no run, got agree",
        ),
        ({"supernet": "digits/once_for_all"}, "supernet: needs recipe, a file or a name, got"),
        ({"supernet": {"recipe": "a", "override": {}}}, "supernet.override: is not known, did you"),
        ({"supernet": {"recipe": "a", "overrides": 3}}, "supernet.overrides: needs keys and val"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        read_search(write(tmp_path, **inherited(**changes)))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
