"""What docs/using_a_student.md says to write and to run can be written and run."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from distill.cli import app, main
from distill.core.preprocessing import Preprocessing
from distill.data import Images
from tests.fixtures.images import folder
from tests.fixtures.sources import png, tar
from tests.fixtures.students import Means, known, write_student

PAGE = (Path(__file__).parents[1] / "docs" / "using_a_student.md").read_text()
BLOCKS = re.findall(r"^ *```(\w*)\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [
    line.strip().partition("  #")[0]
    for kind, block in BLOCKS
    if not kind
    for line in block.splitlines()
    if line.strip()
]


def code(kind: str) -> str:
    (found,) = (block for name, block in BLOCKS if name == kind)
    return found


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run, and the images that the page names, in the working directory."""
    run = write_student(tmp_path / "run", Means(), known())
    folder(tmp_path / "photos", each=1)
    folder(tmp_path / "more", classes="d", each=1)
    tar(tmp_path / "archive.tar", {"a.png": png(0)})
    (tmp_path / "more/d/0.png").rename(tmp_path / "more/0.jpg")
    monkeypatch.chdir(tmp_path)
    return run


def words(command: str) -> list[str]:
    """The arguments of a command, without what may be left out and the environment."""
    plain = re.sub(r"\[.*?\]|^[A-Z_]+=\S+ ", "", command)
    program, *rest = shlex.split(plain)
    assert program == "distill"
    return rest


def test_every_command_of_the_page_is_there() -> None:
    kinds = {words(command)[0] for command in COMMANDS}
    assert kinds == {"predict", "export", "resume", "fit", "push"}
    for command in COMMANDS:
        _, rest = app._parser().parse_known_args(words(command))
        assert all(word.startswith("--trainer.") for word in rest), command


@pytest.mark.parametrize("command", [each for each in COMMANDS if " predict " in each])
def test_images_are_told_as_the_page_says(
    run_dir: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [word.replace("RUN_DIR", str(run_dir)) for word in words(command)]
    assert main([*arguments, "--trust", "tests"]) == 0
    told = capsys.readouterr()
    if "--out" in arguments:
        out = Path(arguments[arguments.index("--out") + 1])
        assert told.err == f"images   3 told  {out}\n"
        assert out.exists()
    else:
        assert len(told.out.splitlines()) == 5


def test_the_python_of_the_page_runs(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = code("python").replace("most=1", 'most=1, trusted=("tests",)')
    exec(source, {"run_dir": run_dir})  # noqa: S102 - it is what the page shows
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f"photos/{c}/0.png" for c in "abc"]


def test_the_recipe_of_the_page_names_a_rule() -> None:
    given = yaml.safe_load(code("yaml"))["data"]
    assert Images("nowhere", **given).resize == given["resize"]


def test_the_page_describes_every_rule_and_field() -> None:
    for rule in ("squash", "letterbox", "crop"):
        assert f"| `{rule}`" in PAGE
    for field in Preprocessing.__dataclass_fields__:
        assert f"`{field}`" in PAGE, field
