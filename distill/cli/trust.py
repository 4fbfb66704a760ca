"""``--trust``: further packages whose classes a recipe may name."""

import argparse
import os
import sys
from collections.abc import Sequence

_HELP = "further packages whose classes the recipe may name, of the working directory too: one, a"
_HELP += " list a,b, or --trust several times; their code is run"


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Give a command the option."""
    parser.add_argument(
        "--trust", action="extend", default=[], metavar="PACKAGE", type=_names, help=_HELP
    )


def on_the_path(packages: Sequence[str]) -> None:
    """Find modules of the working directory too, after all others, where packages are trusted."""
    here = os.getcwd()
    if packages and here not in sys.path:
        sys.path.append(here)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if not name.isidentifier():
            told = f"needs names of packages such as mynet, got {name!r}"
            raise argparse.ArgumentTypeError(told)
    return names
