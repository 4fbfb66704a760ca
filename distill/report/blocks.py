"""Parts of a report, before it is rendered as HTML or Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Table:
    """Words and numbers in rows; the first cell of each row names it.

    Attributes:
        caption: One line on its content.
        header: A title per column.
        rows: As many cells each as the header has.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind: str = "table"


@dataclass(frozen=True)
class Chart:
    """A picture drawn by matplotlib.

    Attributes:
        name: Of its PNG file, without the ending.
        caption: The content and how to read it.
        alt: Description for those who do not see it.
        figure: A matplotlib figure.
    """

    name: str
    caption: str
    alt: str
    figure: Any
    kind: str = "chart"


@dataclass(frozen=True)
class Picture:
    """An image of the data set.

    Attributes:
        png: Bytes of the file.
        lines: Text below the image.
        alt: Description for those who do not see it.
    """

    png: bytes
    lines: Sequence[str]
    alt: str


@dataclass(frozen=True)
class Gallery:
    """Images side by side; ``chart`` is the same in one picture, for Markdown."""

    caption: str
    pictures: Sequence[Picture]
    chart: Chart
    kind: str = "gallery"


@dataclass(frozen=True)
class Code:
    """The text of a file, folded until it is opened."""

    title: str
    text: str
    kind: str = "code"


Block = Table | Chart | Gallery | Code


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph and blocks below it."""

    title: str
    text: str
    blocks: Sequence[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """A number that answers a question.

    Attributes:
        name: Label of the number.
        value: The number with its unit.
        note: Its interval, or the value that it is compared with.
    """

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes:
        title: Heading of the page.
        answer: Sentences, the most important first.
        figures: The numbers of the answer.
        sections: The evidence.
    """

    title: str
    answer: Sequence[str]
    figures: Sequence[Figure]
    sections: Sequence[Section]


def titled(kind: str, folder: Path) -> str:
    """The title of a page on a folder; one of a general name is told by the folder around it.

    Example:
        >>> titled("Bench", Path("/digits/bench")), titled("Sweep", Path("/digits/lr"))
        ('Bench digits', 'Sweep lr')
    """
    folder = folder.resolve()
    general = folder.name in ("bench", "sweep", "runs", "out", "trials")
    return f"{kind} {(folder.parent if general else folder).name}".rstrip()
