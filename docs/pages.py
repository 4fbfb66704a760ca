"""Hooks of mkdocs: what lies outside docs/ and is linked, and the reference of all public names."""

import re
from importlib import import_module
from pathlib import Path
from posixpath import join, normpath, relpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)]*)?\))")
FENCE = re.compile(r"(^ *```.*?^ *```)", re.MULTILINE | re.DOTALL)
PUBLIC = (
    "distill",
    "distill.losses",
    "distill.modules",
    "distill.data",
    "distill.tasks",
    "distill.augment",
    "distill.cache",
    "distill.callbacks",
    "distill.compress",
    "distill.metrics",
    "distill.recipes",
    "distill.report",
    "distill.runs",
    "distill.ssld",
    "distill.bench",
    "distill.bench.sweep",
    "distill.search",
    "teachers",
    "students",
    "students.spaces",
)


def target(source: str, link: str) -> str:
    """A link's file in the repository, relative to its root; of a folder its README.md."""
    path = normpath(join(source, "..", link))
    return join(path, "README.md") if (ROOT / path).is_dir() else path


def links(source: str) -> list[str]:
    """The files of the repository that a page links to; code is no page."""
    text = FENCE.sub("", (ROOT / source).read_text())
    return [target(source, found[1]) for found in LINK.findall(text)]


def outside() -> list[str]:
    """The files outside docs/ that the site needs: those that its pages link to, and so on."""
    waiting = [f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")]
    waiting += ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
    waiting += [path.relative_to(ROOT).as_posix() for path in ROOT.glob("experiments/*/README.md")]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path not in seen and (ROOT / path).is_file():
            seen.add(path)
            waiting += links(path) if path.endswith(".md") else []
    return sorted(path for path in seen if not path.startswith("docs/"))


def reference(package: str) -> str:
    """A page of every public name of a package."""
    module = import_module(package)
    blocks = [f"# {package}\n"]
    for name in sorted(module.__all__):
        value = getattr(module, name)
        place = getattr(value, "__module__", None) or ""
        ours = place.split(".")[0] in ("distill", "teachers", "students")
        path = f"{place}.{value.__qualname__}" if ours and callable(value) else f"{package}.{name}"
        blocks.append(f"::: {path}\n")
    return "\n".join(blocks)


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add what is linked and what is generated."""
    from mkdocs.structure.files import File  # the tests of links need no mkdocs

    for path in outside():
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    for package in PUBLIC:
        uri = f"reference/{package}.md"
        files.append(File.generated(config, uri, content=reference(package)))
    return files


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Links as the repository has them become links within the site."""
    uri = page.file.src_uri
    source = f"docs/{uri}" if (ROOT / "docs" / uri).is_file() else uri

    def moved(link: re.Match[str]) -> str:
        to = target(source, link[2]).removeprefix("docs/")
        return link[1] + relpath(to, join(uri, "..") if "/" in uri else ".") + link[3]

    parts = FENCE.split(markdown)
    return "".join(part if i % 2 else LINK.sub(moved, part) for i, part in enumerate(parts))


def on_page_content(html: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Take the roles of docstrings off, ``:func:`` and the like."""
    return re.sub(r":(?:func|class|mod|meth|data|attr|py:\w+):(?=<code>)", "", html)
