"""Each loss broken by hand, as public code has broken it; the questionnaire must notice."""

import inspect
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import distill.losses
from tests.losses.feature.mutants import MUTANTS as FEATURE
from tests.losses.relation.mutants import MUTANTS as RELATION
from tests.losses.response.mutants import MUTANTS as RESPONSE
from tests.losses.task.mutants import MUTANTS as TASK

ROOT = Path(__file__).parents[2]
MUTANTS = RESPONSE | FEATURE | RELATION | TASK
TESTS = {
    "checks": ["response/test_kd.py"],
    "kernels": [
        "relation/test_rkd.py",
        "relation/test_pkt.py",
        "feature/test_pkd.py",
        "feature/test_at.py",
    ],
}
QUICK, LONG = "not (any_batch or compiles)", "any_batch or compiles"
CASES = [
    pytest.param(module, right, wrong, id=f"{module}-{name}".replace(" ", "_"))
    for module, mutants in MUTANTS.items()
    for name, (right, wrong) in mutants.items()
]

# Its children start with these loaded, so a mutant costs its tests alone.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["scipy.signal", "scipy.stats", "torch._dynamo"])


def broken(module: str, right: str, wrong: str) -> str:
    source = (ROOT / "distill" / "losses" / f"{module}.py").read_text()
    assert right in source
    return source.replace(right, wrong)


def test_every_mutant_is_a_change_of_the_source() -> None:
    for module, mutants in MUTANTS.items():
        sources = {broken(module, right, wrong) for right, wrong in mutants.values()}
        assert len(sources) == len(mutants)
        for source in sources:
            compile(source, module, "exec")


def test_every_loss_is_broken_in_three_ways() -> None:
    values = (getattr(distill.losses, name) for name in distill.losses.__all__)
    modules = {value.__module__ for value in values if inspect.isclass(value)}
    names = {module.removeprefix("distill.losses.").replace(".", "/") for module in modules}
    assert {name for name in names if len(MUTANTS.get(name, ())) < 3} == set()


@pytest.mark.slow
@pytest.mark.parametrize(("module", "right", "wrong"), CASES)
def test_a_broken_loss_is_noticed(module: str, right: str, wrong: str, tmp_path: Path) -> None:
    link_all_but(tmp_path, Path("distill", "losses", f"{module}.py"), broken(module, right, wrong))
    files = TESTS.get(module, [module.replace("/", "/test_") + ".py"])
    for chosen in (QUICK, LONG):
        with ProcessPoolExecutor(1, mp_context=PROCESSES) as pool:
            code = pool.submit(run_tests, tmp_path, files, chosen).result()
        if code != pytest.ExitCode.OK:
            break
    assert code == pytest.ExitCode.TESTS_FAILED


def link_all_but(folder: Path, changed: Path, source: str) -> None:
    """The project in links, with one file of another content."""
    origin = ROOT
    for part in changed.parts:
        folder.mkdir(exist_ok=True)
        for path in origin.iterdir():
            if path.name not in (part, "__pycache__") and not path.name.startswith("."):
                (folder / path.name).symlink_to(path)
        origin, folder = origin / part, folder / part
    folder.write_text(source)


def run_tests(folder: Path, files: list[str], chosen: str) -> int:
    """In a process of its own: tests of the project in a folder, up to the first failure."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    for name in [name for name in sys.modules if name.partition(".")[0] in ("distill", "tests")]:
        del sys.modules[name]
    paths = [f"tests/losses/{file}" for file in files]
    return pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-k", chosen, *paths])
