"""What a report is made of, before it becomes HTML or Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Table:
    """Words and numbers in rows; the first cell of each row names it.

    Attributes:
        caption: One line on what is in it.
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
        caption: What is drawn and how to read it.
        alt: What it shows, for those who do not see it.
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
        png: Its file's bytes.
        lines: What stands below it.
        alt: What is known about it.
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
    """A file's text that is folded away until asked for."""

    title: str
    text: str
    kind: str = "code"


Block = Table | Chart | Gallery | Code


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph and what belongs below it."""

    title: str
    text: str
    blocks: Sequence[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """A number that answers a question.

    Attributes:
        name: What it is.
        value: The number with its unit.
        note: How sure it is, or what it is compared with.
    """

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes:
        title: What it is about.
        answer: Sentences, the most important first.
        figures: The numbers of the answer.
        sections: The evidence.
    """

    title: str
    answer: Sequence[str]
    figures: Sequence[Figure]
    sections: Sequence[Section]
