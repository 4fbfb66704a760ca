"""The wheel works where there is no repository: recipes, a teacher, a student, what comes after."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.fixtures.images import picture

ROOT = Path(__file__).parents[1]
CUT = "--trainer.max_epochs=3"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpacked, as pip installs it; the packages it needs are those of the tests."""
    place = tmp_path_factory.mktemp("wheel")
    kept = ("distill", "teachers", "students", "recipes", "pyproject.toml", "README.md", "LICENSE")
    for name in kept:  # a copy: building leaves nothing in the repository
        source, copy = ROOT / name, place / "source" / name
        copy.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
    build = "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", build, str(place)]
    subprocess.run(command, cwd=place / "source", check=True, capture_output=True)
    (built,) = place.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(place / "installed")
    shutil.rmtree(place / "source")
    return place / "installed"


def python(wheel: Path, cwd: Path, *arguments: str) -> str:
    environment = {"PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1", "HOME": str(cwd)}
    command = [sys.executable, *arguments]
    ran = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_a_student_is_distilled_and_used_outside_the_repository(
    wheel: Path, tmp_path: Path
) -> None:
    def distill(*words: str) -> str:
        return python(wheel, tmp_path, "-m", "distill", *words)

    where = python(wheel, tmp_path, "-c", "import distill, students; print(distill.__file__)")
    assert Path(where.strip()).is_relative_to(wheel)
    assert "digits/kd_rkd" in distill("ls", "digits")
    distill("fit", "digits/teacher", "--run_dir", "runs/digits/teacher", CUT)
    distill("fit", "digits/kd", "--run_dir", "runs/kd", CUT)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.fromarray(picture(number)).save(tmp_path / "photos" / f"{number}.png")
    distill("predict", "runs/kd", "photos", "--out", "predictions.csv")
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 4
    distill("export", "runs/kd")
    told = python(wheel, tmp_path, "runs/kd/run_onnx.py", "photos/0.png")
    assert re.search(r"\d\.\d+", told)


@pytest.mark.slow
def test_the_page_on_python_runs_outside_the_repository(wheel: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.S)
    (tmp_path / "page.py").write_text("\n".join(blocks) + "\nprint(distill.__file__, logits.shape)")
    told = python(wheel, tmp_path, "page.py").splitlines()[-1]
    assert str(wheel) in told
    assert "[5, 10]" in told
