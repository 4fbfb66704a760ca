import io
from pathlib import Path

import pytest
from PIL import Image

from distill import recipes, runs
from distill.core.errors import RecipeError
from distill.tools.init_recipe import Answers, init_recipe
from tests.fixtures.images import folder
from tests.fixtures.runs import QUIET


def data(path: Path) -> str:
    """A set that is split already."""
    folder(path / "train", each=8)
    folder(path / "val", each=3, first=100)
    return str(path)


def test_from_images_to_a_student_in_two_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = data(Path("images"))
    init_recipe(Path("teacher.yaml"), Answers(images, "none", "resnet14"), epochs=1)
    assert recipes.load(Path("teacher.yaml"))["data"]["init_args"]["val"] == "images/val"
    runs.fit("teacher.yaml", Path("runs/teacher"), console=QUIET)
    found = init_recipe(Path("kd.yaml"), Answers(images, "runs/teacher", "resnet8"), epochs=1)
    assert found[0] == "data     24 images of 3 classes in images/train"
    result = runs.fit("kd.yaml", Path("runs/kd"), console=QUIET)
    assert result["teacher"] is not None
    with pytest.raises(RecipeError, match=r"kd\.yaml: exists already"):
        init_recipe(Path("kd.yaml"), Answers(images, "none", "resnet8"))
    folder(Path("others"), classes="xyz")
    with pytest.raises(RecipeError, match="differ in classes: not in both: a, b, c, x, y"):
        init_recipe(Path("x.yaml"), Answers("others", "runs/teacher", "resnet8"))
    assert not Path("x.yaml").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Answers("nowhere", "none", "resnet8"), "--data: no such file or folder"),
        (Answers("images/train/a", "none", "resnet8"), "--data: no class folders"),
        (Answers("images", "nowhere", "resnet8"), "--teacher: .*`none` makes the recipe"),
        (Answers("images", "none", "resnet81"), "--student: 'resnet81' is neither in"),
        (Answers("images", "none", "SimKD"), "SimKD"),
        (Answers("images", "none", "lenet5"), "--student: .*needs images of 32x32"),
        (Answers("images", "none"), "--student: is needed where nobody can be asked"),
    ],
)
def test_a_wrong_answer_is_one_line_and_writes_nothing(
    given: Answers, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    data(Path("images"))
    with pytest.raises(RecipeError, match=told):
        init_recipe(Path("x.yaml"), given)
    assert not Path("x.yaml").exists()


def test_in_a_terminal_it_asks_until_an_answer_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    stdin = io.StringIO(f"nowhere\n{data(Path('images'))}\nnone\nresnet8\n")
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", stdin)
    init_recipe(Path("x.yaml"), Answers())
    assert Path("x.yaml").is_file()
    assert "no such file or folder: nowhere" in capsys.readouterr().out
    with pytest.raises(RecipeError, match="--data: was not answered"):
        init_recipe(Path("y.yaml"), Answers())


def test_large_grey_images_of_several_sizes_are_scaled(tmp_path: Path) -> None:
    for name, side in (("a", 150), ("b", 120)):
        (tmp_path / "grey" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (side, side + 9), number).save(
                tmp_path / "grey" / name / f"{number}.png"
            )
    file = tmp_path / "x.yaml"
    init_recipe(file, Answers(str(tmp_path / "grey"), "none", "resnet10t"))
    tree = recipes.load(file)
    assert tree["data"]["init_args"]["image_size"] == 128
    assert len(tree["data"]["init_args"]["mean"]) == 1
    assert tree["model"]["init_args"]["student"]["class_path"] == "students.timm_model"
