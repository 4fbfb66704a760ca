"""A search's recipe with designs and other changes."""

from pathlib import Path

from distill.search.runner import make_plan
from tests.fixtures.searches import write


def test_what_refers_to_a_changed_value_changes_with_it(tmp_path: Path) -> None:
    """The schedule of longer finals ends with them, not where the candidates' did."""
    schedule = {"data.train_samples": 100, "trainer.max_epochs": 1}
    plan = make_plan(write(tmp_path, overrides=schedule), tmp_path / "out", [], 0)
    design = (0,) * len(plan.space.decisions)
    for recipe in (plan.with_design(design, {"trainer.max_epochs": 7}), plan.changed({})):
        assert recipe.get("model.scheduler.T_max") == recipe.get("trainer.max_epochs")
    assert plan.with_design(design, {"trainer.max_epochs": 7}).get("trainer.max_epochs") == 7
