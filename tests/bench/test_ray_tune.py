import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from distill.bench import bench
from distill.bench.ray_tune import share
from distill.bench.sweep import sweep
from distill.core.errors import RecipeError
from tests.fixtures import sweeps
from tests.fixtures.clusters import RAY_ENVIRONMENT
from tests.fixtures.sweeps import BAYES as SPEC
from tests.fixtures.sweeps import table

QUIET = Console(quiet=True)
FAST = {"trainer.max_epochs": 2, "trainer.check_val_every_n_epoch": 1}
BENCH: dict[str, Any] = {
    "teacher": "digits/teacher",
    "baseline": "digits/student",
    "methods": ["digits/kd"],
    "seeds": [0, 1],
    "overrides": FAST,
    "teacher_overrides": {**FAST, "data.train_samples": 128},
}


@pytest.fixture
def ray_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in RAY_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    pytest.importorskip("ray", reason="needs distill[ray]")


def test_without_ray_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RecipeError, match=r"--ray: needs Ray: pip install distill\[ray\]"):
        sweep(sweeps.write(tmp_path, **SPEC), tmp_path / "out", QUIET, ray="local")


@pytest.mark.parametrize(
    ("nodes", "jobs", "cores", "gpus"),
    [
        ([{"CPU": 16.0, "GPU": 2.0}], 4, 4, 0.5),
        ([{"CPU": 8.0}, {"CPU": 8.0}], 2, 8, 0),
        ([{"CPU": 8.0}, {"CPU": 4.0}], 1, 8, 0),  # a task is on one node
        ([{"CPU": 4.0, "GPU": 3.0}], 2, 2, 1),  # Ray parts no more than one GPU
        ([{"CPU": 2.0}], 4, 1, 0),
        ([{}], 1, 1, 0),
    ],
)
def test_each_task_gets_its_part_of_what_a_node_has(
    nodes: list[dict[str, float]], jobs: int, cores: int, gpus: float
) -> None:
    assert share(nodes, jobs) == {"cpu": cores, "gpu": gpus}


@pytest.mark.slow
@pytest.mark.usefixtures("ray_environment")
def test_two_ray_workers_carry_out_the_same_trials(tmp_path: Path) -> None:
    changes = {"method": "random", "run_cap": 4, "early_terminate": None}
    path = sweeps.write(tmp_path, **(SPEC | changes))
    sweep(path, tmp_path / "here", QUIET)
    sweep(path, tmp_path / "ray", QUIET, jobs=2, ray="local")
    assert table(tmp_path / "ray") == table(tmp_path / "here")
    assert len(table(tmp_path / "here")) == 4


@pytest.mark.slow
@pytest.mark.usefixtures("ray_environment")
def test_two_ray_workers_give_the_table_of_a_bench_without_ray(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(BENCH))
    bench(path, tmp_path / "here", QUIET)
    bench(path, tmp_path / "ray", QUIET, jobs=2, ray="local")
    assert table(tmp_path / "ray") == table(tmp_path / "here")
    assert len(table(tmp_path / "here")) == 4
    weights = sorted((tmp_path / "here").glob("*/seed*/student.safetensors"))
    assert len(weights) == 4
    for one in weights:
        other = tmp_path / "ray" / one.relative_to(tmp_path / "here")
        assert other.read_bytes() == one.read_bytes()
