"""A search's recipe with designs and other changes."""

from pathlib import Path

from distill.search.plan import of_supernets
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


def test_what_refers_to_a_changed_value_of_supernets_changes_too(tmp_path: Path) -> None:
    """And the command line has the last word, as everywhere."""
    supernet = {"recipe": "digits/once_for_all", "overrides": {"trainer.max_epochs": 7}}
    path = write(tmp_path, supernet=supernet, parameters=None)
    for given, wanted in (([], 7), (["trainer.max_epochs=3"], 3)):
        plan = make_plan(path, tmp_path / "out", given, 0)
        recipe = of_supernets(plan)
        assert recipe.get("trainer.max_epochs") == wanted
        assert recipe.get("model.scheduler.T_max") == wanted
