"""The report as its reader gets it."""

import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from distill.cli import main
from distill.core.errors import RecipeError
from distill.report import report
from tests.report.studies import write_bench, write_run

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
WIDTHS = (1280, 768, 390, 320)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_bench(tmp_path_factory.mktemp("reports") / "toys")
    report(folder)
    return folder


def header(page: str) -> str:
    """The words above the first section."""
    text = re.sub(r"<[^>]+>", " ", page.split("<header>")[1].split("</header>")[0])
    return re.sub(r"\s+", " ", html.unescape(text))


def test_the_first_lines_answer_a_strangers_questions(bench: Path) -> None:
    told = header((bench / "report.html").read_text())
    assert "kd did best on the validation images: 83.83 ± 0.76 % on the test images" in told
    # 5, 4 and 5.5 points over three seeds; Student's interval is 4.833 ± 4.303 * 0.764 / sqrt(3).
    assert "That is 4.83 points above student, with a 95 % interval from +2.94 to +6.73" in told
    assert "after correction for 2 comparisons" in told
    assert "50,000 parameters, 5.0 % of the teacher's; 2 MFLOPs and 0.60 ms per image" in told
    assert "Training took 30 s a run, 1.5 times as long as student" in told
    assert "gap closed" in told
    assert "48 %" in told  # (83.83 - 79) / (89 - 79)


class Tags(HTMLParser):
    """Counts tags, ids and what lacks a description."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.tags.append((tag, given))
        if given.get("id"):
            self.ids.append(str(given["id"]))


def test_the_file_needs_nothing_else(bench: Path) -> None:
    text = (bench / "report.html").read_text()
    tags = Tags(text).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object"}
    links = [given.get(key) for _, given in tags for key in ("src", "href", "xlink:href")]
    assert all(link.startswith(("data:", "#")) for link in links if link)
    outside = {url for url in re.findall(r"https?://[^\s\"<]+", text) if "w3.org" not in url}
    assert not outside
    assert "default-src 'none'" in text


def test_it_can_be_read_without_seeing(bench: Path) -> None:
    found = Tags((bench / "report.html").read_text())
    assert len(found.ids) == len(set(found.ids))
    tags = found.tags
    assert all(given.get("alt") for tag, given in tags if tag == "img")
    pictures = [given for tag, given in tags if tag == "svg"]
    assert len(pictures) > 5
    assert all(g["role"] == "img" and len(str(g["aria-label"])) > 20 for g in pictures)
    for tag, given in tags:
        if tag == "table":
            assert given["aria-labelledby"] in found.ids
        if tag == "th":
            assert given["scope"] in ("row", "col")
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h\d", tag)]
    assert levels == [1] + [2] * (len(levels) - 1)


def test_charts_take_the_colours_of_the_page(bench: Path) -> None:
    text = (bench / "report.html").read_text()
    drawn = text.split("<main>")[1]
    assert "var(--ink)" in drawn
    assert "var(--c1)" in drawn
    assert "prefers-color-scheme: dark" in text
    assert not re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", drawn)
    assert "DejaVu" not in drawn


def test_names_of_classes_are_not_taken_for_html(bench: Path) -> None:
    text = (bench / "report.html").read_text()
    assert "<b>" not in text
    assert "a &lt;b&gt;bold&lt;/b&gt; fox" in text


def test_markdown_has_the_same_tables_and_its_pictures_are_there(bench: Path) -> None:
    text = (bench / "report.md").read_text()
    assert "| kd | 83.83 ± 0.76 (83.83) | +4.83 | +2.94 to +6.73 |" in text
    pictures = re.findall(r"\]\((report_charts/[^)]+)\)", text)
    assert {"report_charts/differences.png", "report_charts/disagreements.png"} <= set(pictures)
    for picture in pictures:
        assert (bench / picture).read_bytes().startswith(b"\x89PNG")
    assert "seed_everything: 0" in text


def test_the_latency_of_one_network_is_one_number(bench: Path) -> None:
    # Seeds took 0.5, 0.6 and 0.7 ms; the same network cannot differ between methods.
    (alt,) = re.findall(r"!\[(.*)\]\(report_charts/cost_cpu", (bench / "report.md").read_text())
    assert alt.count("at 0.6;") == 3
    assert "teacher: 89.00 % at 8" in alt


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_bench(tmp_path / "bench", with_runs=False)
    out = tmp_path / "elsewhere" / "page.html"
    assert main(["report", str(folder), "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == [str(out), str(out.with_suffix(".md"))]
    assert "kd did best on the validation images" in header(out.read_text())


def test_pages_side_by_side_have_charts_of_their_own(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    charts = {}
    for name, seeds in (("a", 2), ("b 2", 3)):
        folder = write_bench(tmp_path / name, seeds, with_runs=False)
        page, text, folder = report(folder, pages / f"{name}.html")
        assert (page, text) == (pages / f"{name}.html", pages / f"{name}.md")
        (shown,) = re.findall(r"\]\((\S+/differences\.png)\)", text.read_text())
        assert pages / unquote(shown) == folder / "differences.png"
        charts[name] = folder / "differences.png"
    assert charts["a"].read_bytes() != charts["b 2"].read_bytes()


def test_a_directory_of_something_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "not a finished run, bench or sweep" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_page_must_be_named_html(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"--out: must end in \.html, got"):
        report(write_run(tmp_path / "run"), tmp_path / "page.pdf")


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_is_one_line(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("distill.report.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    from distill.report.write import report as fresh

    with pytest.raises(RecipeError, match=r"distill report: needs .*pip install distill\[report\]"):
        fresh(write_run(tmp_path / "run"))


PROBE = """<!doctype html><body>{frames}<pre id="out"></pre><script>
window.onload = () => {{
  const told = [...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement;
    const outside = [...page.querySelectorAll("main *")].filter(node => {{
      const box = node.getBoundingClientRect();
      return !node.closest(".scroll > *, pre > *, svg > *") && box.width &&
        (box.right > root.clientWidth + 0.5 || box.left < -0.5);
    }});
    const pictures = [...page.images].filter(image => !image.naturalWidth);
    const small = [...page.querySelectorAll("svg text")].map(text =>
      parseFloat(getComputedStyle(text).fontSize) *
      text.ownerSVGElement.getBoundingClientRect().width /
      text.ownerSVGElement.viewBox.baseVal.width);
    return {{width: +frame.width, scrolls: root.scrollWidth > root.clientWidth,
      outside: outside.map(node => node.outerHTML.slice(0, 80)), broken: pictures.length,
      smallest: Math.min(...small), ink: getComputedStyle(page.body).color}};
  }});
  document.getElementById("out").textContent = JSON.stringify(told);
}}</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt install chromium")
def test_a_browser_shows_it_whole_on_desktops_and_phones(bench: Path, tmp_path: Path) -> None:
    page = html.escape((bench / "report.html").read_text())
    frames = "".join(
        f'<iframe width="{width}" height="900" srcdoc="{page}"></iframe>' for width in WIDTHS
    )
    (tmp_path / "probe.html").write_text(PROBE.format(frames=frames))
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}/chromium",
    ]
    done = subprocess.run(
        [str(CHROMIUM), *options, "--dump-dom", f"file://{tmp_path}/probe.html"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = re.search(r'<pre id="out">(.+?)</pre>', done.stdout)
    assert found is not None
    told = json.loads(html.unescape(found[1]))
    assert [one["width"] for one in told] == list(WIDTHS)
    for one in told:
        assert not one["scrolls"], one
        assert one["outside"] == []
        assert one["broken"] == 0
        assert one["smallest"] >= 7.5  # pixels, of the charts' smallest print
