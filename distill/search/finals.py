"""Finals: the best designs, a student made by hand and random designs, anew with fresh seeds."""

from collections.abc import Sequence
from pathlib import Path

import yaml
from rich.console import Console

from distill.bench.runner import bench
from distill.core.files import write_bytes
from distill.core.randomness import fold
from distill.recipes import Recipe
from distill.results.ranking import Row
from distill.search.outcome import design_in, short_list, write_recipe
from distill.search.plan import Plan
from distill.search.remeasured import first_within
from distill.search.spec import Finals
from distill.search.strategies.random import Random
from distill.search.strategy import Design, Search, draw
from distill.search.tuning import tuned

BY_HAND = "by_hand"


def run_finals(
    plan: Plan, finals: Finals, rows: Sequence[Row], console: Console, jobs: int
) -> tuple[Recipe, list[str]]:
    """Train the finalists as a bench, in ``finals`` of the search's folder.

    Args:
        plan: The search.
        finals: Who takes part.
        rows: Of all candidates.
        console: For messages.
        jobs: Runs at once.

    Returns:
        The recipe of the best design, and its figures in lines.
    """
    folder, changes = plan.folder / "finals", finals.overrides
    designs = _designs(plan, finals, rows)
    found = {BY_HAND: plan.by_hand(plan.changed(changes))}
    found |= {name: plan.with_design(design, changes) for name, design in designs}
    if finals.tune:
        found = tuned(plan, found, finals.tune, console, jobs)
    for name, recipe in found.items():
        _write(folder / "recipes" / f"{name}.yaml", recipe, name)
    paths = [str(folder / "recipes" / f"{name}.yaml") for name in found]
    spec = {"baseline": paths[0], "methods": paths[1:], "seeds": finals.seeds}
    write_bytes(folder / "bench.yaml", yaml.safe_dump(spec, sort_keys=False).encode())
    console.print(f"finals   {len(paths)} students, {len(finals.seeds)} seeds", highlight=False)
    table = bench(folder / "bench.yaml", folder, console, (), jobs, plan.trusted)
    ranked = sorted(_tops(found), key=lambda name: -_mean(table, name))
    (best, recipe), passed = first_within(plan, [(name, found[name]) for name in ranked])
    seeds = len(finals.seeds)
    figures = [
        f"Validation accuracy over {seeds} seeds: {_mean(table, best):.2f} %; by hand"
        f" {_mean(table, BY_HAND):.2f} %."
    ]
    return recipe, [*figures, *passed]


def _designs(plan: Plan, finals: Finals, rows: Sequence[Row]) -> list[tuple[str, Design]]:
    """The best of the search by place, and random ones within the limits."""
    ranked = [design_in(plan, row) for row in short_list(plan, rows)[: finals.top]]
    found = [(f"top{place}", design) for place, design in enumerate(ranked, 1)]
    search = Search(plan.space, fold(plan.seed, "finals"), finals.random)
    known = {plan.space.key(design) for design in ranked}
    for number in range(finals.random):
        drawn = draw(
            Random(),
            search,
            number,
            [],
            lambda design: plan.space.key(design) not in known and plan.fits(design),
        )
        if drawn is not None:
            known.add(plan.space.key(drawn))
            found.append((f"random{number + 1}", drawn))
    return found


def _tops(names: Sequence[str] | dict[str, Recipe]) -> list[str]:
    return [name for name in names if name.startswith("top")]


def _mean(table: Sequence[Row], method: str) -> float:
    values = [float(row["val_last"]) for row in table if row["method"] == method]
    return sum(values) / len(values)


def _write(path: Path, recipe: Recipe, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recipe(path, recipe, [f"A finalist of a search: {name}"])
