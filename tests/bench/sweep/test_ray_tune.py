import sys
from pathlib import Path

import pytest
from rich.console import Console

from distill.bench.sweep import sweep
from distill.core.errors import RecipeError
from tests.fixtures.sweeps import BAYES as SPEC
from tests.fixtures.sweeps import table, write

QUIET = Console(quiet=True)


def test_without_ray_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RecipeError, match=r"--ray: needs Ray: pip install distill\[ray\]"):
        sweep(write(tmp_path, **SPEC), tmp_path / "out", QUIET, ray="local")


@pytest.mark.slow
def test_two_ray_workers_carry_out_the_same_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs distill[ray]")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789" * 4)
    changes = {"method": "random", "run_cap": 4, "early_terminate": None}
    path = write(tmp_path, **(SPEC | changes))
    sweep(path, tmp_path / "here", QUIET)
    sweep(path, tmp_path / "ray", QUIET, jobs=2, ray="local")
    assert table(tmp_path / "ray") == table(tmp_path / "here")
    assert len(table(tmp_path / "here")) == 4
