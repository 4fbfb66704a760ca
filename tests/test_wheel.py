"""The wheel works where there is no repository: all journeys, the page on Python, every recipe."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image

from docs import journeys
from docs.journeys import Journey
from tests.fixtures.images import picture

ROOT = Path(__file__).parents[1]
CUT = "--trainer.max_epochs=3"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment in which pip installed the wheel; what that needs is of the tests' own."""
    place = tmp_path_factory.mktemp("wheel")
    kept = ("distill", "teachers", "students", "recipes", "pyproject.toml", "README.md", "LICENSE")
    for name in kept:  # a copy: building leaves nothing in the repository
        source, copy = ROOT / name, place / "source" / name
        copy.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
    build = "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", build, str(place)]
    subprocess.run(command, cwd=place / "source", check=True, capture_output=True)
    shutil.rmtree(place / "source")
    subprocess.run([sys.executable, "-m", "venv", str(place / "env")], check=True)
    (wheel,) = place.glob("*.whl")
    found = place / "env" / "bin" / "python"
    install = [str(found), "-m", "pip", "install", "--no-deps", "--no-index", "-q", str(wheel)]
    subprocess.run(install, check=True, env=os.environ | {"PYTHONPATH": ""})
    # As a path alone: what is installed there to be edited, such as this repository, is not seen.
    packages = subprocess.run(
        [str(found), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        check=True,
        capture_output=True,
        text=True,
    )
    (Path(packages.stdout.strip()) / "others.pth").write_text(sysconfig.get_paths()["purelib"])
    return found


def told(python: Path, cwd: Path, *arguments: str) -> str:
    environment = {"OMP_NUM_THREADS": "1", "HOME": str(cwd)}
    command = [str(python), *arguments]
    ran = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_all_packages_and_recipes_are_those_of_the_wheel(python: Path, tmp_path: Path) -> None:
    code = "import distill, teachers, students; from distill import recipes\n"
    code += "for one in (distill, teachers, students): print(one.__file__)\n"
    code += "print(recipes.find('digits/kd'))"
    places = told(python, tmp_path, "-c", code).split()
    assert len(places) == 4
    assert all(Path(place).is_relative_to(python.parents[1]) for place in places), places
    assert python.with_name("distill").is_file()
    listed = told(python, tmp_path, "-m", "distill", "ls")
    shipped = {f"{path.parent.name}/{path.stem}" for path in ROOT.glob("recipes/*/*.yaml")}
    assert shipped <= set(re.findall(r"\w+/\w+", listed))


@pytest.mark.slow
def test_a_student_is_distilled_and_used_outside_the_repository(
    python: Path, tmp_path: Path
) -> None:
    def distill(*words: str) -> str:
        return told(python, tmp_path, "-m", "distill", *words)

    distill("fit", "digits/teacher", "--run_dir", "runs/digits/teacher", CUT)
    distill("fit", "digits/kd", "--run_dir", "runs/kd", CUT)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.fromarray(picture(number)).save(tmp_path / "photos" / f"{number}.png")
    distill("predict", "runs/kd", "photos", "--out", "predictions.csv")
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 4
    distill("export", "runs/kd")
    answer = told(python, tmp_path, "runs/kd/run_onnx.py", "photos/0.png")
    assert re.search(r"\d\.\d+", answer)


@pytest.mark.slow
@pytest.mark.parametrize("journey", journeys.journeys(), ids=lambda one: one.title)
def test_a_journey_ends_as_its_page_says(journey: Journey, python: Path, tmp_path: Path) -> None:
    journeys.run(journey, tmp_path, str(python))


@pytest.mark.slow
def test_the_page_on_python_runs_outside_the_repository(python: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.S)
    (tmp_path / "page.py").write_text("\n".join(blocks) + "\nprint(distill.__file__, logits.shape)")
    last = told(python, tmp_path, "page.py").splitlines()[-1]
    assert str(python.parents[1]) in last
    assert "[5, 10]" in last
