from pathlib import Path

import pytest

from distill import recipes
from distill.core.errors import RecipeError

TEXT = """\
model: {student: students.lenet5, losses: {ce: {loss: torch.nn.CrossEntropyLoss, weight: 1}}}
data: {class_path: distill.data.Digits}
trainer: {max_epochs: 4}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "recipe.yaml"
    file.write_text(TEXT)
    return file


def test_a_model_without_a_class_is_a_distillation(path: Path) -> None:
    model = recipes.load(path)["model"]
    assert model["class_path"] == "distill.modules.Distillation"
    assert model["init_args"]["student"] == "students.lenet5"


def test_an_override_reaches_a_single_term(path: Path) -> None:
    tree = recipes.load(path, ["model.losses.ce.weight=3"])
    assert tree["model"]["init_args"]["losses"]["ce"]["weight"] == 3


def test_an_override_enters_a_class_that_had_no_arguments(path: Path) -> None:
    tree = recipes.load(path, ["model.losses.ce.loss.label_smoothing=0.1", "data.batch_size=8"])
    loss = tree["model"]["init_args"]["losses"]["ce"]["loss"]
    expected = {"class_path": "torch.nn.CrossEntropyLoss", "init_args": {"label_smoothing": 0.1}}
    assert loss == expected
    assert tree["data"]["init_args"] == {"batch_size": 8}


def test_values_resolve_after_overrides(path: Path) -> None:
    tree = recipes.load(path, ["trainer.max_steps=${trainer.max_epochs}", "trainer.max_epochs=7"])
    assert tree["trainer"] == {"max_epochs": 7, "max_steps": 7}


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 1e-3), ("1.", 1.0), ("-2E5", -2e5), (".5e1", 5.0), ("3", 3)]
)
def test_numbers_are_read_as_numbers(path: Path, text: str, value: float) -> None:
    found = recipes.load(path, [f"data.x={text}"])["data"]["init_args"]["x"]
    assert found == value
    assert type(found) is type(value)


def test_a_second_file_may_set_trainer_scalars(path: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "gpu.yaml"
    overlay.write_text("trainer: {devices: 2, max_epochs: 9}")
    assert recipes.load(path, overlays=[overlay])["trainer"] == {"max_epochs": 9, "devices": 2}


@pytest.mark.parametrize(
    "text", ["model: {losses: {}}", "trainer: {callbacks: [a]}", "data: {x: 1}"]
)
def test_a_second_file_may_set_nothing_else(path: Path, tmp_path: Path, text: str) -> None:
    overlay = tmp_path / "more.yaml"
    overlay.write_text(text)
    with pytest.raises(RecipeError, match="may only set trainer scalars"):
        recipes.load(path, overlays=[overlay])


def test_a_recipe_is_found_by_name_path_and_checkout_path(path: Path) -> None:
    assert recipes.find(str(path)) == path
    assert recipes.find("digits/kd") == recipes.root() / "digits" / "kd.yaml"
    assert recipes.find("digits/kd.yaml") == recipes.find("digits/kd")


def test_copying_never_overwrites(tmp_path: Path) -> None:
    target = tmp_path / "new" / "mine.yaml"
    recipes.copy("digits/kd", str(target))
    assert target.read_text() == recipes.find("digits/kd").read_text()
    with pytest.raises(RecipeError, match="exists already"):
        recipes.copy("digits/kd", str(target))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"model: \xff")
    with pytest.raises(RecipeError, match=r"latin\.yaml: cannot be read"):
        recipes.read(path)


def test_an_override_value_must_be_readable(path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.x: cannot read the value"):
        recipes.load(path, ["data.x=[1, 2"])


def test_an_override_needs_an_equals_sign(path: Path) -> None:
    with pytest.raises(RecipeError, match=r"--dotted\.key=value"):
        recipes.load(path, ["data.x"])


def test_a_list_entry_is_reached_by_its_number() -> None:
    tree = {"trainer": {"callbacks": [{"class_path": "a.B"}, {"class_path": "a.C"}]}}
    recipes.put(tree, "trainer.callbacks.1.x", 5)
    assert tree["trainer"]["callbacks"][1] == {"class_path": "a.C", "init_args": {"x": 5}}
