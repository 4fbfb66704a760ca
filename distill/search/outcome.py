"""What a search leaves: its tables, the designs that no other beats, and the best as a recipe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from distill.core.files import write_bytes, write_csv
from distill.recipes import Recipe
from distill.results.ranking import Row, best_first
from distill.search.pareto import fronts
from distill.search.plan import Plan
from distill.search.strategy import Design

_FIRST = ("trial", "state", "parent", "value", "best_so_far")
_LAST = ("wall_s", "run_dir")
_MOST_ROWS = 10


def write_tables(plan: Plan, rows: Sequence[Row]) -> None:
    """Write ``results.csv`` and ``pareto.csv``.

    Args:
        plan: The search.
        rows: One per finished candidate, in order.
    """
    middle = (*plan.space.decisions, *cost_names(plan))
    written = _with_best_so_far(plan, rows)
    scored = ("score",) if plan.file.prefilter else ()
    write_csv(plan.folder / "results.csv", written, (*_FIRST, *middle, *scored, *_LAST))
    kept = [{key: row.get(key) for key in ("trial", "value", *middle)} for row in front(plan, rows)]
    write_csv(plan.folder / "pareto.csv", kept, ("trial", "value", *middle))


def cost_names(plan: Plan) -> tuple[str, ...]:
    """The costs that a search knows of its designs."""
    latency = ("latency_ms",) if plan.file.needs_latency else ()
    return ("parameters", "flops", *latency)


def front(plan: Plan, rows: Sequence[Row]) -> list[Row]:
    """The rows that no other is better than in the value and all costs, the best value first."""
    ranked = short_list(plan, rows)
    sign = 1 if plan.file.sweep.metric.goal == "maximize" else -1
    values = [(sign * r["value"], *(-r[name] for name in cost_names(plan))) for r in ranked]
    return [ranked[place] for place in sorted(fronts(values)[0])] if ranked else []


def short_list(plan: Plan, rows: Sequence[Row]) -> list[Row]:
    """The candidates with a value, the best first."""
    return [row for row in best_first(rows, plan.file.sweep.metric) if row["value"] is not None]


def design_in(plan: Plan, row: Row) -> Design:
    """The design of a row of the table."""
    decisions = plan.space.decisions.items()
    return tuple(list(values).index(row[name]) for name, values in decisions)


def write_recipe(path: Path, recipe: Recipe, head: Sequence[str]) -> None:
    """Write a recipe with comments at its head."""
    comments = "".join(f"# {line}\n" for line in head)
    text = yaml.safe_dump(plain(recipe.tree), sort_keys=False, width=100)
    write_bytes(path, (comments + text).encode())


def plain(value: Any) -> Any:  # noqa: ANN401 - any value of a recipe
    """The value without tuples, and without one list standing in two places (a YAML anchor)."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _with_best_so_far(plan: Plan, rows: Sequence[Row]) -> list[Row]:
    best, found = None, []
    for row in rows:
        if row["value"] is not None:
            seen = [row["value"]] if best is None else [best, row["value"]]
            best = plan.file.sweep.metric.best(seen)
        found.append({**row, "best_so_far": best})
    return found


def markdown(plan: Plan, rows: Sequence[Row]) -> str:
    """Write the best candidates as a Markdown table."""
    names = ("trial", "value", *plan.space.decisions, *cost_names(plan))
    ranked = short_list(plan, rows)
    lines = [names, ["---"] * len(names)]
    lines += [[_cell(row[name]) for name in names] for row in ranked[:_MOST_ROWS]]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    told = f"The best of {len(rows)} candidates by {plan.file.sweep.metric.name}, one seed each."
    return f"{table}\n\n{told} The best of many is partly luck: finals decide.\n"


def plot(path: Path, rows: Sequence[Row]) -> bool:
    """Plot values against parameters.

    Returns:
        False where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    axes = figure.subplots()
    known = [row for row in rows if row["value"] is not None]
    axes.plot([row["parameters"] for row in known], [row["value"] for row in known], "o", alpha=0.5)
    axes.set_xscale("log")
    axes.set_xlabel("parameters")
    axes.set_ylabel("value")
    figure.savefig(path, dpi=150)
    return True


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
