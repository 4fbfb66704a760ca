"""Born-again chains: every generation learns from the one before (Furlanello et al., ICML 2018).

Born Again Neural Networks, arXiv 1805.04770. The recipe says how a generation learns from its
teacher; the first generation is the same recipe without a teacher.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from rich.console import Console

from distill import recipes
from distill.core.errors import RecipeError
from distill.core.randomness import fold
from distill.recipes import Tree
from distill.runs.repeatable import Run, digest
from distill.runs.result import Result
from distill.wiring.term import NETWORKS


def chain(
    tree: Tree,
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
        tree: What ``recipes.load`` returned: a student, and terms that read from its teacher.
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
    console = console or Console()
    results: list[Result] = []
    before = ""
    for number in range(generations + 1):
        own = _generation(tree, number, run_dir)
        before = digest(own, before)
        run = Run(own, run_dir / f"generation{number}", name, before, tuple(trusted))
        results.append(run.carry_out())
        top1 = results[-1]["student"]["top1"]
        told = "  ".join(f"{stage} {top1[stage]['last']:.2f} %" for stage in top1 if top1[stage])
        console.print(
            f"generation {number}  {told}  {run.run_dir}", highlight=False, soft_wrap=True
        )
    return results


def _generation(tree: Tree, number: int, run_dir: Path) -> Tree:
    own = deepcopy(tree)
    seed = tree.get("seed_everything", 0)
    own["seed_everything"] = fold(seed, "generation", number) % 2**31 if number else seed
    if number:
        spec = {"run_dir": str(run_dir / f"generation{number - 1}")}
        teacher = {"class_path": "teachers.from_run", "init_args": spec}
        recipes.put(own, "model.teacher", teacher)
    else:
        recipes.put(own, "model.teacher", None)
        recipes.put(own, "model.losses", _without_teacher(tree))
    return own


def _without_teacher(tree: Tree) -> dict[str, Any]:
    losses = (tree.get("model") or {}).get("init_args", {}).get("losses")
    if not isinstance(losses, Mapping):
        raise RecipeError("model.losses", "needs terms by name")
    kept = {name: term for name, term in losses.items() if not _reads_teacher(term)}
    if not kept or len(kept) == len(losses):
        needed = "a chain needs a term that reads from the teacher and one that does not"
        raise RecipeError("model.losses", f"{needed}, got {', '.join(losses)}")
    return kept


def _reads_teacher(term: Any) -> bool:  # noqa: ANN401 - whatever a recipe holds
    inputs = term.get("inputs") if isinstance(term, Mapping) else None
    sources = inputs.values() if isinstance(inputs, Mapping) else ()
    keys = [key for each in sources for key in (each if isinstance(each, list) else [each])]
    return any(str(key).startswith(NETWORKS[1]) for key in keys)
