"""Renders a page as one HTML file that needs nothing else, as Markdown, and as PNG charts."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from distill.report.blocks import Block, Chart, Gallery, Page
from distill.report.style import VARIABLES, styled


def html(page: Page) -> str:
    """Render one HTML file: charts are inline SVG, images are data, no script, no network."""
    return _environment(autoescape=True).get_template("page.html.jinja").render(page=page)


def markdown(page: Page, charts: str) -> str:
    """Render Markdown, with charts as files in the folder ``charts`` beside it."""
    template = _environment(autoescape=False).get_template("page.md.jinja")
    return re.sub(r"\n{3,}", "\n\n", template.render(page=page, charts=quote(charts)))


def write_charts(page: Page, folder: Path) -> None:
    """Write every chart as a PNG file on white."""
    folder.mkdir(parents=True, exist_ok=True)
    for chart in _charts(page):
        with styled():
            chart.figure.savefig(folder / f"{file_name(chart)}.png", dpi=160, facecolor="white")


def file_name(chart: Chart) -> str:
    """Name the file of a chart: characters that do not fit a file name become ``_``."""
    return re.sub(r"[^\w.-]+", "_", chart.name)


def svg(chart: Chart) -> Markup:
    """Render a chart as inline SVG in the page's font and colors, with ids of its own."""
    file = io.StringIO()
    with styled():
        chart.figure.savefig(file, format="svg", metadata={"Date": None})
    chart.figure.set_layout_engine("none")  # the layout is done and serves both files
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]*"', text)
    opening = f'<svg {view[0] if view else ""} role="img" aria-label="{escape(chart.alt)}"'
    text = re.sub(r"<svg[^>]*", lambda _: opening, text, count=1)
    for color, name in VARIABLES.items():
        text = text.replace(color, f"var({name})")
    text = re.sub(r"(font: [\d.]+px) [^;\"]*", r"\1 var(--font)", text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", text)
    name = file_name(chart)
    text = re.sub(r' id="', f' id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    return Markup(text)  # noqa: S704 - matplotlib escapes its texts, the description is escaped above


def data_uri(png: bytes) -> str:
    """Encode an image as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def unbroken(text: str) -> str:
    """Keep percent signs on the line of their numbers."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _environment(autoescape: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=autoescape,  # noqa: S701 - Markdown is not escaped, HTML is
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (svg, data_uri, file_name, unbroken):
        environment.filters[function.__name__] = function
    return environment


def _charts(page: Page) -> Iterator[Chart]:
    blocks: list[Block] = [block for section in page.sections for block in section.blocks]
    for block in blocks:
        if isinstance(block, Chart):
            yield block
        elif isinstance(block, Gallery):
            yield block.chart
