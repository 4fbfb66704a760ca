import pytest

from distill.core.errors import RecipeError
from distill.tools.describe import describe


def test_a_loss_tells_the_options_of_its_function_and_its_inputs() -> None:
    lines = describe("distill.losses.KDLoss").splitlines()
    place = lines.index("  temperature: a number; default 4.0")
    assert lines[place + 1].startswith("      T, divides both logits")
    assert lines[-1] == "called with: student, teacher"


def test_what_is_given_to_optimizers_and_schedules_is_no_option() -> None:
    text = describe("torch.optim.SGD")
    assert "  params:" not in text
    assert "  nesterov: true or false; default false" in text
    assert "  maximize" in text
    schedule = describe("torch.optim.lr_scheduler.StepLR")
    assert "  optimizer:" not in schedule
    assert "  step_size: a whole number; needed" in schedule


def test_a_function_and_a_class_without_options() -> None:
    text = describe("students.timm_model")
    assert "  img_size: a whole number or null; default null" in text
    assert "As in timm.list_models()" in text
    assert "called with" not in text
    assert "It takes no options." in describe("distill.losses.SPLoss")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("torch.load", "may not be named"),
        ("os.system", "outside the trusted packages"),
        ("distill.losses.KDLos", "did you mean 'KDLoss'"),
        ("KDLoss", "needs a dotted path"),
    ],
)
def test_what_no_recipe_may_name_is_refused(path: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        describe(path)
