"""The winner's latency, measured whole in a fresh process: predictions may be off.

A time is measured once: what ``remeasured.csv`` has is not measured again, so that a search which
was killed goes on to the same winner.
"""

import hashlib
import json
import statistics
from collections.abc import Iterable
from typing import Any

import torch

from distill.bench.processes import Task, run_in_subprocess
from distill.core.errors import RecipeError
from distill.core.files import write_csv
from distill.metrics.cost import dummy_image
from distill.recipes import Recipe
from distill.results.study import REMEASURED, remeasured
from distill.search.latency import ROUNDS, milliseconds, student_of
from distill.search.plan import Plan

SLACK = 1.05
_COLUMNS = ("design", "network", "latency_ms", "limit_ms", "taken")
_SECONDS = 0.05
Finalist = tuple[str, Recipe]


def first_within(plan: Plan, ranked: Iterable[Finalist]) -> tuple[Finalist, list[str]]:
    """The first that keeps the limit on latency when it is measured again, and who did not.

    Where latency has no limit it is the first.

    Args:
        plan: The search.
        ranked: Names with recipes, the best first.

    Returns:
        The winner, and a line for each that was passed over.

    Raises:
        RecipeError: If none keeps the limit.
    """
    limit, path = plan.file.limits.latency_ms, plan.folder / REMEASURED
    if limit is None:
        return next(iter(ranked)), []
    known = {row["network"]: float(row["latency_ms"]) for row in remeasured(plan.folder)}
    rows, passed = list[dict[str, Any]](), list[str]()
    for name, recipe in ranked:
        key = hashlib.sha256(json.dumps(recipe.get("model.student")).encode()).hexdigest()[:16]
        if key not in known:
            known[key] = _measured(recipe, plan.image, plan.file.limits.batch)
        taken = known[key] <= SLACK * limit
        row = {"design": name, "network": key, "latency_ms": known[key], "limit_ms": limit}
        rows.append({**row, "taken": taken})
        write_csv(path, rows, _COLUMNS)
        if taken:
            return (name, recipe), passed
        told = f"measured again it takes {known[key]:g} ms, and the limit is {limit:g}"
        passed.append(f"{name} is left out: {told}.")
    told = f"none of {len(rows)} keeps {limit:g} ms when measured again, see {path.name}"
    raise RecipeError("constraints.latency_ms.max", told)


def latency(recipe: Recipe, image: tuple[int, int, int], batch: int) -> float:
    """Milliseconds of a recipe's student on one thread: the median of five rounds.

    Args:
        recipe: The recipe.
        image: Shape (c, h, w).
        batch: Images at once.
    """
    torch.set_num_threads(1)
    student = student_of(recipe).eval()
    images = dummy_image(image).expand(batch, *image).contiguous()
    with torch.no_grad():
        rounds = [milliseconds(lambda: student(images), _SECONDS) for _ in range(ROUNDS)]
    return float(f"{statistics.median(rounds):.4g}")


def _measured(recipe: Recipe, image: tuple[int, int, int], batch: int) -> float:
    result = run_in_subprocess(Task("latency", latency, (recipe, image, batch)))
    if result.error:
        raise RecipeError("constraints.latency_ms", f"could not be measured again: {result.error}")
    return float(result.value)
