"""How the tests themselves are laid out."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
MODULES = sorted(TESTS.rglob("test_*.py"))
# Of several modules together, or of pages and recipes.
INTEGRATION = {
    "augment/test_contract.py",
    "augment/test_docs.py",
    "bench/test_two_hosts.py",
    "cli/test_dense.py",
    "cli/test_occupied.py",
    "data/test_unlabelled_sources.py",
    "data/test_malformed_annotations.py",
    "losses/test_imports.py",
    "losses/test_known_defects.py",
    "losses/test_mutants.py",
    "metrics/test_docs.py",
    "modules/test_margins_of_moving_teachers.py",
    "modules/test_pairs.py",
    "modules/test_reseed_by_step.py",
    "recipes/test_canaries.py",
    "recipes/test_generated_recipes.py",
    "recipes/test_malformed_recipes.py",
    "recipes/test_shipped_recipes.py",
    "report/test_pages.py",
    "runs/test_annotated.py",
    "runs/test_cached_training.py",
    "runs/test_compressed.py",
    "runs/test_dense.py",
    "runs/test_exact_resume.py",
    "runs/test_generated_runs.py",
    "runs/test_foreign.py",
    "runs/test_foreign_teachers.py",
    "runs/test_killed.py",
    "runs/test_larger_than_memory.py",
    "runs/test_processes.py",
    "runs/test_resume.py",
    "runs/test_signals_any_time.py",
    "runs/test_stale_cache.py",
    "runs/test_text_lines.py",
    "runs/test_true_precision.py",
    "search/test_best_recipe.py",
    "search/test_kills.py",
    "search/test_replay.py",
    "ssld/test_recipes.py",
    "ssld/test_resume.py",
    "students/test_structures.py",
    "wiring/test_peer_wiring.py",
}


def test_a_test_stands_where_its_source_stands() -> None:
    """``tests/core/test_files.py`` is of ``distill/core/files.py``."""
    without = set()
    for path in MODULES:
        place = path.relative_to(TESTS)
        name = place.stem.removeprefix("test_")
        source = place.with_name("__init__.py" if name == "init" else f"{name}.py")
        roots = (TESTS.parent / "distill", TESTS.parent)
        if len(place.parts) > 1 and not any((root / source).is_file() for root in roots):
            without.add(str(place))
    assert without == INTEGRATION


def test_no_test_module_takes_anything_from_another() -> None:
    """Neither by import nor by class path: what two of them need is in ``tests/fixtures``."""
    taken = []
    for path in sorted(TESTS.rglob("*.py")):
        own = ".".join(path.relative_to(TESTS.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            named: list[str] = []
            if isinstance(node, ast.ImportFrom):
                named = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = re.findall(r"\btests(?:\.\w+)+", node.value)
            for name in named:
                module = re.match(r"tests(\.\w+)*?\.test_\w+", name)
                if module and module.group() != own:
                    taken.append(f"{own}: {name}")
    assert taken == []
