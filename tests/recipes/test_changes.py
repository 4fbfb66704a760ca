import pytest

from distill.core.errors import RecipeError
from distill.recipes import Recipe
from distill.recipes.changes import check_changes

SGD = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}
COSINE = {"class_path": "torch.optim.lr_scheduler.CosineAnnealingLR", "init_args": {"T_max": 4}}
RUN = Recipe(
    {
        "model": {"class_path": "a.B", "init_args": {"optimizer": SGD, "scheduler": None}},
        "data": {"class_path": "a.C", "init_args": {"train": "a", "batch_size": 8, "workers": 0}},
        "trainer": {"max_epochs": 4, "logger": None},
    }
)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer.max_epochs", 8),
        ("trainer.max_time", "00:01:00:00"),
        ("trainer.callbacks", []),
        ("trainer.logger", True),
        ("data.workers", 2),
    ],
)
def test_lengths_and_workers_may_change(key: str, value: object) -> None:
    check_changes(RUN, RUN.put(key, value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.train", "b"),
        ("data.batch_size", 5),
        ("model.optimizer.lr", 0.001),
        ("model.scheduler", COSINE),
        ("trainer.devices", 2),
        ("seed_everything", 3),
    ],
)
def test_what_a_run_would_only_write_down_is_refused(key: str, value: object) -> None:
    with pytest.raises(RecipeError, match="cannot change when a run goes on") as caught:
        check_changes(RUN, RUN.put(key, value))
    assert caught.value.key.startswith(key)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_schedule_is_not_run_past_its_end(wrapped: bool) -> None:
    schedule = COSINE
    if wrapped:
        warmup = {"steps": 2, "scheduler": COSINE}
        schedule = {"class_path": "distill.modules.Warmup", "init_args": warmup}
    run = RUN.put("model.scheduler", schedule)
    told = r"^trainer\.max_epochs: the run's schedule has T_max 4 and would not follow"
    with pytest.raises(RecipeError, match=told):
        check_changes(run, run.put("trainer.max_epochs", 8))


def test_the_same_value_is_no_change() -> None:
    check_changes(RUN, RUN.put("data.train", "a"))


def staged(**changes: object) -> Recipe:
    return Recipe(RUN.tree | {"stages": {"one": changes}})


def test_keys_of_a_stage_are_held_to_the_same() -> None:
    stage = {"trainer.max_epochs": 2, "data.train": "a"}
    check_changes(staged(**stage), staged(**(stage | {"trainer.max_epochs": 3})))
    check_changes(staged(), staged(**{"trainer.max_epochs": 3}))
    with pytest.raises(RecipeError, match=r"^stages\.one\.data\.train: cannot change"):
        check_changes(staged(**stage), staged(**(stage | {"data.train": "b"})))
