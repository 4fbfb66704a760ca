"""Writes docs/recipes.md, a line per recipe, from the first line of each.

python docs/gallery.py            write the page
python docs/gallery.py --check    exit with a message if it is not current
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "recipes.md"
HEAD = """# Recipes

Written by `python docs/gallery.py` from the first line of each recipe. `distill ls [WORD]` lists
them, `distill show NAME` prints one, and `distill cp NAME FILE` copies one to change it. The head
of a recipe says what it needs, and its published figure where there is one.
"""


def page() -> str:
    """The whole page."""
    text = HEAD
    for folder in sorted(path for path in (ROOT / "recipes").iterdir() if path.is_dir()):
        text += f"\n## {folder.name}\n\n| recipe | what |\n|---|---|\n"
        for path in sorted(folder.glob("*.yaml")):
            title = path.read_text().split("\n")[0].removeprefix("# ").replace("|", r"\|")
            title = re.sub(
                r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", title
            )
            link = path.relative_to(ROOT).as_posix()
            text += f"| [{folder.name}/{path.stem}](../{link}) | {title} |\n"
    return text


def main() -> None:
    """Write or check the page."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        raise SystemExit("docs/recipes.md is not current, run: python docs/gallery.py")


if __name__ == "__main__":
    main()
