import copy
from typing import Any

import pytest

from distill.core.errors import RecipeError
from distill.recipes import Recipe
from distill.recipes.stages import stages
from distill.runs.pruned_widths import refuse_unknown_widths

NET = {"class_path": "students.resnet8", "init_args": {"num_classes": 10}}
HINT = {"student_channels": 32, "teacher_channels": 128}
CUT = {"image": [3, 32, 32], "flops": 0.5}


def check(cut: dict[str, Any], tap: str = "student@layer2", first: Any = None, **loss: Any) -> None:
    made = {"class_path": "distill.losses.HintLoss", "init_args": HINT} | loss
    term = {"loss": made, "inputs": {"student": tap, "teacher": "teacher@layer2"}}
    model = {"class_path": "distill.modules.Distillation"}
    model["init_args"] = {"student": copy.deepcopy(first or NET), "losses": {"hint": term}}
    wrap = {"class_path": "distill.compress.pruned", "init_args": CUT | cut}
    low = {"class_path": "distill.compress.quantized", "init_args": {"image": [3, 32, 32]}}
    wraps = {"dense": None, "half": {"wrap": wrap}, "low": {"wrap": low}}
    dense, *later = stages(Recipe({"model": model, "stages": wraps})).values()
    for own in (dense, *later):
        refuse_unknown_widths(dense, own)


def test_a_fixed_width_where_any_number_may_be_left_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"hint: student@layer2 .*keep: \[layer2\] or spread"):
        check({})
    with pytest.raises(RecipeError, match=r"give pruned keep: \[fc\]"):
        check({"keep": ["layer2"]}, "student@fc:input")


@pytest.mark.parametrize("cut", [{"keep": ["layer2"]}, {"spread": "uniform"}, {"flops": 1}])
def test_a_width_that_is_known_is_not(cut: dict[str, Any]) -> None:
    check(cut)


def test_what_takes_any_width_is_not() -> None:
    check({}, class_path="distill.losses.ATLoss", init_args={})
    check({}, "student.logits")


def test_what_the_first_stage_is_built_with_is_known() -> None:
    cut = {"class_path": "distill.compress.pruned", "init_args": {"model": NET, **CUT}}
    check({"flops": 1}, first=cut)
    with pytest.raises(RecipeError, match="student@layer2"):
        check({}, first=cut)
