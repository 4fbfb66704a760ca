"""Born-again chains: every generation learns from the one before (Furlanello et al., ICML 2018).

Born Again Neural Networks, arXiv 1805.04770. The recipe says how a generation learns from its
teacher; the first generation is the same recipe without a teacher.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from distill.core.errors import RecipeError
from distill.core.randomness import fold
from distill.recipes import Recipe, Tree
from distill.results.scores import scores_of
from distill.runs.repeatable import RepeatableRun, check_owner, digest
from distill.runs.result import Result
from distill.runs.table_precision import TablePrecision
from distill.wiring.keys import split_key

_FROM_RUN = "teachers.from_run"


def chain(
    recipe: Recipe | Tree,
    run_dir: Path,
    generations: int,
    *,
    name: str = "",
    trusted: Sequence[str] = (),
    console: Console | None = None,
) -> list[Result]:
    """Train a chain of students; finished generations are kept, a broken one is gone on with.

    Every generation begins from weights of its own, by the recipe's seed and its number.

    Args:
        recipe: A student, and terms that read from its teacher.
        run_dir: Where the runs go: ``generation0``, without a teacher, ``generation1``, ...
        generations: How many follow the first; at least 1.
        name: What to call the recipe in ``result.json``.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print a line per generation.

    Returns:
        The results of all generations, the first included.

    Raises:
        RecipeError: If the recipe is wrong, or no term reads from a teacher.
    """
    if generations < 1:
        raise RecipeError("--generations", f"must be at least 1, got {generations}")
    recipe, console = Recipe.of(recipe), console or Console()
    for number in range(generations + 1):
        check_owner(run_dir / f"generation{number}")
    results: list[Result] = []
    before = ""
    precisions = TablePrecision(run_dir, trusted, console)
    for number in range(generations + 1):
        own = _generation(recipe, number, run_dir)
        before = digest(own, before)
        folder = run_dir / f"generation{number}"
        run = RepeatableRun(own, folder, name, before, tuple(trusted))
        results.append(precisions.of(run).train())
        scores = scores_of(results[-1], "student")
        told = "  ".join(f"{s} {scores[s]['last']:.2f} %" for s in scores if scores[s])
        console.print(f"generation {number}  {told}  {folder}", highlight=False, soft_wrap=True)
    return results


def _generation(recipe: Recipe, number: int, run_dir: Path) -> Recipe:
    seed = fold(recipe.seed, "generation", number) % 2**31 if number else recipe.seed
    own = recipe.put("seed_everything", seed)
    if not number:
        return own.put("model.teacher", None).put("model.losses", _without_teacher(recipe))
    arguments = {"run_dir": str(run_dir / f"generation{number - 1}")}
    return own.put("model.teacher", {"class_path": _FROM_RUN, "init_args": arguments})


def _without_teacher(recipe: Recipe) -> dict[str, Any]:
    losses = recipe.get("model.losses")
    if not isinstance(losses, Mapping):
        raise RecipeError("model.losses", "expected terms by name")
    kept = {name: term for name, term in losses.items() if not _reads_teacher(term)}
    if not kept or len(kept) == len(losses):
        needed = "a chain needs a term that reads from the teacher and one that does not"
        raise RecipeError("model.losses", f"{needed}, got {', '.join(losses)}")
    return kept


def _reads_teacher(term: Any) -> bool:  # noqa: ANN401 - whatever a recipe holds
    inputs = term.get("inputs") if isinstance(term, Mapping) else None
    sources = inputs.values() if isinstance(inputs, Mapping) else ()
    keys = [key for each in sources for key in (each if isinstance(each, list) else [each])]
    return any(split_key(str(key)).head == "teacher" for key in keys)
