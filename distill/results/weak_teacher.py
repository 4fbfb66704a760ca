"""A teacher that is worse than those it teaches is told of, in a sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distill.results.compare import Row, headline, teacher_accuracy
from distill.results.scores import scores_of

_MARGIN = 5.0
"""Points by which a student may well be above a good teacher, such as one of its own size."""
_ADVICE = "look at its weights, normalisation and order of classes."


def weak_in_run(result: Mapping[str, Any]) -> list[str]:
    """A sentence on a teacher that is clearly worse than its student; none on any other.

    Args:
        result: The content of a ``result.json``.
    """
    for split in ("val", "test"):
        student, teacher = (scores_of(result, n).get(split) or {} for n in ("student", "teacher"))
        if student.get("last") is None or teacher.get("last") is None:
            continue
        gap = student["last"] - teacher["last"]
        if (-gap if result.get("goal") == "minimize" else gap) <= _MARGIN:
            return []
        told = f"The teacher's {teacher['last']:.2f} % is {abs(gap):.2f} points worse than the"
        return [f"{told} student's: {_ADVICE}"]
    return []


def weak_in_bench(rows: Sequence[Row]) -> list[str]:
    """A sentence on a teacher that is below a student alone; none on any other.

    Args:
        rows: One per run, as in ``results.csv``.
    """
    split = headline(rows).removesuffix("_last")
    teacher = teacher_accuracy(rows, split)
    alone = [row[f"{split}_last"] for row in rows if row.get(f"teacher_{split}") is None]
    if teacher is None or not alone or teacher >= np.mean(alone):
        return []
    told = f"The teacher's {teacher:.2f} % {split} is below the {np.mean(alone):.2f} % of a student"
    return [f"{told} alone: {_ADVICE}"]
