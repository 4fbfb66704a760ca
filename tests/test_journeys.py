"""The page of journeys is current, and a journey that ends otherwise is told; tests of the wheel
run them all."""

from pathlib import Path

import pytest

from docs import journeys
from docs.journeys import Journey


def hello(*commands: str, told: str = "seen 1") -> Journey:
    files = {"a.py": "import sys\n\nprint('seen', 25, *sys.argv[1:])\n"}
    return Journey("Hello", files, list(commands), [told])


def test_the_table_has_the_lines_and_commands_of_each_journey(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["journeys.py", "--check"])
    journeys.main()
    page = tmp_path / "journeys.md"
    text = journeys.PAGE.read_text()
    page.write_text(text.replace("python mine.py", "python mine.py\npython mine.py"))
    monkeypatch.setattr(journeys, "PAGE", page)
    with pytest.raises(SystemExit, match="not current"):
        journeys.main()


def test_the_results_of_the_table_are_what_the_page_shows() -> None:
    results = [row[-1] for row in journeys.table()]
    for journey, result in zip(journeys.journeys(), results, strict=True):
        assert journeys.search(journey.told[0], result) == result


def test_lines_are_those_that_are_not_empty() -> None:
    assert hello("python a.py").row(1.6, "seen 25") == "| [Hello](#hello) | 2 | 1 | 2 | seen 25 |"


def test_a_journey_is_travelled_in_a_folder_of_images(tmp_path: Path) -> None:
    look = "ls images/train/five/39.png images/val/three/19.png photos/labels.csv"
    assert journeys.run(hello("python a.py", look), tmp_path)[1] == "seen 25"


@pytest.mark.parametrize(
    ("command", "told", "message"),
    [
        ("python a.py", "seen one", "is not in"),
        ("python b.py", "seen 1", "ended with 2"),
        ("python a.py  # refused", "seen 1", "ended with 0"),
    ],
)
def test_what_ends_otherwise_is_told(command: str, told: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=message):
        journeys.run(hello(command, told=told), tmp_path)
