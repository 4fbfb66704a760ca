"""Whether a search may write into a folder."""

import json
from os.path import lexists
from pathlib import Path

from distill.core.errors import RecipeError
from distill.results.study import SEARCH
from distill.search.latency import LATENCY

_MAY_STAND = (".lock", ".pid", LATENCY)


def refuse_others(out: Path, digest: str) -> None:
    """Check that a folder is not there, is empty, or is this very search's.

    A table of latencies may have been brought along.

    Args:
        out: The folder.
        digest: Of the search.

    Raises:
        RecipeError: If it holds anything else.
    """
    standing = next(path for path in (out, *out.absolute().parents) if lexists(path))
    if not standing.is_dir():
        raise RecipeError(str(standing), "is a file; choose another --out")
    if not out.is_dir() or not any(path.name not in _MAY_STAND for path in out.iterdir()):
        return
    try:
        known = json.loads((out / SEARCH).read_text())["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        told = "holds files of something else than a search; choose another --out"
        raise RecipeError(str(out), told) from error
    if known != digest:
        told = "holds another search, or one with other settings; choose another --out"
        raise RecipeError(str(out), told)
