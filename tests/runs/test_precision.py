import pytest

from distill.recipes import Recipe
from distill.recipes.build import Built
from distill.runs import precision
from distill.runs.precision import resolve_precision


def settled(wanted: str, accelerator: str) -> tuple[str, str, str]:
    trainer = {"precision": wanted, "accelerator": accelerator}
    built = Built(None, None, dict(trainer), Recipe({"trainer": dict(trainer)}))  # type: ignore[arg-type]
    note = resolve_precision(built)
    return built.trainer["precision"], built.config.get("trainer.precision"), note


@pytest.mark.parametrize("wanted", ["bf16-mixed", "bf16-true"])
def test_a_cpu_without_bf16_units_computes_in_float32_and_says_so(
    wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    used, written, told = settled(wanted, "cpu")
    assert (used, written) == ("32-true", "32-true")
    assert told == f"note     32-true instead of {wanted}: this CPU has no bf16 units"


@pytest.mark.parametrize(
    ("wanted", "accelerator", "units"),
    [("bf16-mixed", "cpu", True), ("32-true", "cpu", False), ("bf16-mixed", "gpu", False)],
)
def test_otherwise_the_recipe_has_its_way(
    wanted: str, accelerator: str, units: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: units)
    assert settled(wanted, accelerator) == (wanted, wanted, "")


@pytest.mark.parametrize("available", [False, True])
def test_auto_is_the_cpu_where_there_is_nothing_else(
    available: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    monkeypatch.setattr(precision.torch.accelerator, "is_available", lambda: available)
    assert settled("bf16-mixed", "auto")[0] == ("bf16-mixed" if available else "32-true")


def test_this_machine_can_be_asked() -> None:
    assert precision.cpu_has_bf16() in (True, False)
