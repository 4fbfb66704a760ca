from pathlib import Path

import pytest
import yaml

from distill import recipes
from distill.tools.recipe_template import Images, plain, recipe_text

PHOTOGRAPHS = Images("my photos", "0.1", "", ("a", "b"), 1000, 3, 224, 224)
STUDENT = "{class_path: students.resnet8, init_args: {num_classes: 2}}"


@pytest.mark.parametrize(
    "text", ["a/b", "my photos", "true", "NO", "1.5", "a: b", "~", '"', "é\n#"]
)
def test_any_text_is_read_back(text: str) -> None:
    assert yaml.safe_load(f"key: {plain(text)}") == {"key": text}


def test_with_a_teacher_it_is_a_recipe_like_the_shipped_ones(tmp_path: Path) -> None:
    text = recipe_text("mine.yaml", PHOTOGRAPHS, "runs/t", STUDENT, 5)
    lines = text.splitlines()
    assert lines[1] == "# distill fit mine.yaml --run_dir runs/mine"
    header = [line for line in lines if line.startswith("#")]
    assert "Published: " in header[-1]
    assert "Ours: " in header[-1]
    assert lines.index("model:") < lines.index("data:") < lines.index("trainer:")
    assert len(lines) <= 45
    (tmp_path / "mine.yaml").write_text(text)
    tree = recipes.load(tmp_path / "mine.yaml")
    model, data = tree["model"]["init_args"], tree["data"]["init_args"]
    assert set(model["losses"]) == {"ce", "kd"}
    assert sum(term["weight"] for term in model["losses"].values()) == 1
    assert data["train"] == "my photos"
    assert (data["val"], data["image_size"], data["batch_size"]) == (0.1, 224, 64)
    assert len(data["augment"]) == 2


def test_without_one_it_is_the_student_alone_and_digits_are_not_flipped() -> None:
    grey = Images("grey", "val", "test", ("a", "b"), 20, 1, None, 8)
    tree = yaml.safe_load(recipe_text("x.yaml", grey, None, STUDENT, 1))
    assert tree["model"]["teacher"] is None
    assert set(tree["model"]["losses"]) == {"ce"}
    data = tree["data"]["init_args"]
    assert (data["val"], data["test"], data["mean"], data["batch_size"]) == (
        "val",
        "test",
        [0.5],
        4,
    )
    assert "image_size" not in data
    assert [one["class_path"] for one in data["augment"]] == ["distill.augment.RandomCrop"]
