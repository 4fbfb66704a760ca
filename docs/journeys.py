"""Runs the journeys of docs/journeys.md and writes their table into the page.

python docs/journeys.py            run all, write the table
python docs/journeys.py --check    exit with a message if lines or commands are not current
"""

import csv
import os
import re
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "journeys.md"
HEAD = "| journey | own lines | commands | CPU s | result |\n|---|---|---|---|---|\n"
_BLOCK = re.compile(r'```(\w+)(?: title="([^"]+)")?\n(.*?)```', re.DOTALL)
_CLASSES = {3: "three", 5: "five", 8: "eight"}


@dataclass(frozen=True)
class Journey:
    """A section of the page.

    Attributes:
        title: Its heading.
        files: What is written, by name.
        commands: What is typed; one that ends in ``# refused`` exits with 2.
        told: What must be among the output, whatever its numbers are; the first is the result.
    """

    title: str
    files: dict[str, str]
    commands: list[str]
    told: list[str]

    @property
    def lines(self) -> int:
        """Lines of files that are not empty."""
        return sum(bool(line.strip()) for text in self.files.values() for line in text.split("\n"))

    def row(self, seconds: float, result: str) -> str:
        """Its row of the table."""
        link = re.sub(r"[^\w\s-]", "", self.title.lower()).replace(" ", "-")
        start = f"| [{self.title}](#{link}) | {self.lines} | {len(self.commands)} |"
        return f"{start} {seconds:.0f} | {result} |"


def journeys() -> list[Journey]:
    """Those of the page."""
    found = []
    for section in PAGE.read_text().split("\n## ")[1:]:
        blocks = _BLOCK.findall(section)
        files = {name: text for _, name, text in blocks if name}
        by_kind = {kind: text.strip().split("\n") for kind, name, text in blocks if not name}
        title = section.split("\n")[0]
        found.append(Journey(title, files, by_kind["sh"], by_kind["text"]))
    return found


def given(folder: Path) -> None:
    """Write the images that a journey finds."""
    digits, seen = load_digits(), dict.fromkeys(range(10), 0)
    rows = [("path", "labels")]
    (folder / "photos").mkdir()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        image = Image.fromarray((pixels * 255 / 16).astype("uint8")).resize((32, 32))
        if number < 100:
            image.save(folder / "photos" / f"{number}.png")
            names = ["odd"] * (label % 2) + ["prime"] * (label in (2, 3, 5, 7))
            rows.append((f"{number}.png", ";".join(names)))
        seen[int(label)] += 1
        if label in _CLASSES and seen[label] <= 60:
            split = "train" if seen[label] <= 40 else "val"
            place = folder / "images" / split / _CLASSES[label]
            place.mkdir(parents=True, exist_ok=True)
            image.convert("RGB").save(place / f"{(seen[label] - 1) % 40}.png")
    with (folder / "photos" / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def run(journey: Journey, folder: Path, python: str = "") -> tuple[float, str]:
    """Travel it in an empty folder.

    Args:
        journey: Which one.
        folder: The empty folder.
        python: Where the packages are installed; by default this one, with those of the repository.

    Returns:
        Seconds of the processor, and the result.

    Raises:
        RuntimeError: If a command ends otherwise than it should, or what should be told is not.
    """
    given(folder)
    for name, text in journey.files.items():
        (folder / name).write_text(text)
    environment = os.environ | {"PYTHONPATH": "" if python else str(ROOT), "COLUMNS": "200"}
    begun, output = _seconds(), ""
    for command in journey.commands:
        line = re.sub(r"^distill ", "python -m distill ", command)
        line = re.sub(r"^python ", lambda _: f"'{python or sys.executable}' ", line)
        done = subprocess.run(  # noqa: S602 - lines of our own page
            line, shell=True, cwd=folder, env=environment, capture_output=True, text=True
        )
        output += done.stdout + done.stderr
        if done.returncode != (2 if command.endswith("# refused") else 0):
            raise RuntimeError(f"{command}\nended with {done.returncode}:\n{done.stderr}")
    seconds = _seconds() - begun
    found = [search(told, output) for told in journey.told]
    for told, one in zip(journey.told, found, strict=True):
        if one is None:
            raise RuntimeError(f"{told!r} is not in:\n{output}")
    return seconds, str(found[0])


def _seconds() -> float:
    """What all commands so far took of the processor: other work beside them does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def search(told: str, output: str) -> str | None:
    """The last place where it stands, with numbers of its own."""
    pattern = re.sub(r"\d+(\\\.\d+)?", lambda _: r"\d+(?:\.\d+)?", re.escape(told))
    found = re.findall(re.sub(r"(\\ )+", lambda _: r"\s+", pattern), output)
    return " ".join(found[-1].split()) if found else None


def table() -> list[list[str]]:
    """The cells of the page's table."""
    rows = re.findall(r"^\| \[.*\|$", PAGE.read_text(), re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def main() -> None:
    """Write or check the table."""
    if "--check" in sys.argv[1:]:
        shown = [row[:3] for row in table()]
        if shown != [one.row(0, "").strip("| ").split(" | ")[:3] for one in journeys()]:
            raise SystemExit("docs/journeys.md is not current, run: python docs/journeys.py")
        return
    text = re.sub(r"\| journey \|.*?\n\n", "", PAGE.read_text(), flags=re.DOTALL)
    intro, *sections = text.split("\n## ")
    rows = []
    for place, journey in enumerate(journeys()):
        with tempfile.TemporaryDirectory() as folder:
            seconds, result = run(journey, Path(folder))
        rows.append(journey.row(seconds, result))
        shown = f"```text\n{journey.told[0]}\n"
        sections[place] = sections[place].replace(shown, f"```text\n{result}\n")
    PAGE.write_text("\n## ".join([f"{intro}\n{HEAD}" + "\n".join(rows) + "\n", *sections]))


if __name__ == "__main__":
    main()
