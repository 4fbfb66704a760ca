"""Writes the report of a directory."""

from pathlib import Path

from distill.core.errors import RecipeError


def report(folder: Path, out: Path | None = None) -> list[Path]:
    """Write the report of a run, a bench, a sweep or a search as HTML, Markdown and PNG charts.

    Args:
        folder: Its directory.
        out: The HTML file; the others go beside it, with its name. None: ``report.html`` in the
            directory.

    Returns:
        The HTML file, the Markdown file and the folder of charts.

    Raises:
        RecipeError: If the directory is none of these, or matplotlib or Jinja is missing.
    """
    out = out or folder / "report.html"
    if out.suffix != ".html":
        raise RecipeError("--out", f"must end in .html, got {out}")
    try:
        from distill.report.bench_page import bench_page
        from distill.report.render import html, markdown, write_charts
        from distill.report.run_page import run_page
        from distill.report.search_page import search_page
        from distill.report.sweep_page import sweep_page
        from distill.results.study import read_study
    except ImportError as error:
        problem = f"needs {error.name}: pip install distill[report]"
        raise RecipeError("distill report", problem) from error
    study = read_study(folder)
    pages = {"run": run_page, "bench": bench_page, "sweep": sweep_page, "search": search_page}
    page = pages[study.kind](study)
    text, charts = out.with_suffix(".md"), out.with_name(f"{out.stem}_charts")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html(page))
    text.write_text(markdown(page, charts.name))
    write_charts(page, charts)
    return [out, text, charts]
