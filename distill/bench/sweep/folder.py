"""Whether a sweep may write into a folder."""

import json
from itertools import islice
from os.path import lexists
from pathlib import Path

from distill.bench.sweep import studies
from distill.bench.sweep.trial_queue import JOURNAL
from distill.core.errors import RecipeError
from distill.runs.repeatable import check_owner, refuse_others

_WRITTEN = ("sweep.json", "results.csv", "table.md", "parallel.png", "importance.png", "locks")


def refuse_other_files(out: Path) -> None:
    """Check that a folder is a sweep's, or that none of a sweep's files would stand in it.

    Raises:
        RecipeError: If a file or a trial's folder is somebody else's.
    """
    standing = next(path for path in (out, *out.absolute().parents) if lexists(path))
    if not standing.is_dir():
        raise RecipeError(str(standing), "is a file; choose another --out")
    journal = out / JOURNAL
    if not lexists(journal):
        refuse_others(out, _WRITTEN)
    elif not _is_ours(journal):
        raise RecipeError(str(journal), "is not of a sweep; choose another --out")
    for folder in out.glob("trial[0-9][0-9][0-9]*"):
        check_owner(folder)


def _is_ours(journal: Path) -> bool:
    """Whether a sweep's study begins a journal, and its settings follow if anything does."""
    try:
        with journal.open(encoding="utf-8") as file:
            records = [json.loads(line) for line in islice(file, 2)]
    except (OSError, ValueError):
        return False
    match records:
        case [] | [{"study_name": studies.STUDY}]:
            return True
        case [{"study_name": studies.STUDY}, {"user_attr": {"digest": str()}}]:
            return True
    return False
