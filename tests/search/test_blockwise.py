"""Searches of the digits by blocks, under a teacher that was not trained."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from distill import recipes
from distill.core.errors import RecipeError
from distill.modules.blockwise import Blockwise
from distill.recipes import Recipe
from distill.runs.session import Session
from distill.search import Blockwise as Rated
from distill.search.blockwise import Ratings, best_design, ratings
from distill.search.derivation import derived_design, run_of, with_supernets
from distill.search.plan import Plan
from distill.search.runner import make_plan, search
from distill.search.spec import read_search
from distill.search.strategies.derived import Derived
from tests.fixtures.searches import table, write

QUIET = Console(quiet=True)
STAGE = {"op": "mbconv", "width": [4, 8], "depth": [1, 2], "kernel": 3, "expand": [1, 2]}
SPACE = {"stem": 4, "stages": [{**STAGE, "stride": 1}, {**STAGE, "stride": 2}]}
HEADS = {"num_classes": 10, "in_channels": 1}
PLACES = (("stages.0", "layer1", 16), ("stages.1", "layer2", 32))
BLOCKS = [
    {"student": own, "teacher": of, "student_channels": 8, "teacher_channels": wide}
    for own, of, wide in PLACES
]
MOST = 900


def changed(folder: Path, **changes: Any) -> Path:
    overrides = {
        "model.teacher": {"class_path": "students.resnet8", "init_args": HEADS},
        "model.blocks": BLOCKS,
        "data.train_samples": 100,
        "trainer.max_epochs": 1,
        "trainer.check_val_every_n_epoch": 1,
    }
    given = {
        "space": {"class_path": "students.spaces.Chain", "init_args": SPACE},
        "parameters": None,
        "constraints": {"parameters": {"max": MOST}},
        "strategy": "distill.search.Derived",
        "evaluation": {"class_path": "distill.search.Blockwise", "init_args": {"images": 60}},
        "supernet": {"recipe": "digits/blockwise", "overrides": overrides},
        "seeds": [1],
        "trials": None,
    }
    return write(folder, **json.loads(json.dumps(given | changes)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("blocks")
    return with_supernets(make_plan(changed(folder), folder / "out", [], 0), QUIET, 1)


def test_the_choice_is_the_best_of_all() -> None:
    """Losses and costs of blocks that depend on their own decisions, and on two that they share."""
    rng, sizes, groups, answers = np.random.default_rng(0), (2, 3, 2, 2, 3), [[1, 3], [4]], []
    for _ in range(40):
        losses = [rng.normal(size=(2, 2, 3, 2)), rng.normal(size=(2, 2, 3))]
        costs = [rng.integers(0, 9, (2, 2, 3, 2, 2)), rng.integers(0, 9, (2, 2, 3, 2))]
        limits = rng.integers(4, 16, size=2)

        def rate(d: Any, of: Any = losses) -> list[float]:
            return [of[0][d[0], d[2], d[1], d[3]], of[1][d[0], d[2], d[4]]]

        def cost(d: Any, of: Any = costs) -> list[float]:
            both = of[0][d[0], d[2], d[1], d[3]] + of[1][d[0], d[2], d[4]]
            return [float(one) for one in both + 3]

        every = itertools.product(*(range(size) for size in sizes))
        fitting = [d for d in every if (np.array(cost(d)) <= limits).all()]
        found = best_design(sizes, groups, rate, cost, limits.tolist())
        answers.append(found is None)
        assert found == min(fitting, key=lambda d: sum(rate(d)), default=None)
    assert 0 < sum(answers) < 30


def rated(plan: Plan) -> tuple[Blockwise, Ratings]:
    run = run_of(plan, 1)
    session = Session(run.recipe, plan.folder)
    module: Any = session.module
    return module, ratings(session, module, run.run_dir, images=60)


def fitting(plan: Plan) -> list[tuple[int, ...]]:
    space = plan.space.designs
    every = itertools.product(range(2), repeat=6)
    return [d for d in every if space.costs(d, 10, (1, 8, 8))["parameters"] <= MOST]


@pytest.mark.slow
def test_the_derived_design_loses_least(trained: Plan) -> None:
    _, found = rated(trained)
    (derived,), known = trained.derived, fitting(trained)
    assert derived in known
    losses = [
        sum(found.of(trained.space.designs.architecture(d))) for d in known[:: len(known) // 8]
    ]
    assert sum(found.of(trained.space.designs.architecture(derived))) <= min(losses)


def test_the_derived_design_is_the_best_of_all_within_the_limit(
    trained: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where larger blocks lose less, as of supernets that were trained longer."""

    def losses(self: object, architecture: Any) -> list[float]:
        return [
            -(stage["depth"] ** 0.7) * stage["expand"] ** 0.9 * (stage["width"] + at)
            for at, stage in enumerate(architecture["stages"])
        ]

    known, space = fitting(trained), trained.space.designs
    assert 8 < len(known) < 60
    monkeypatch.setattr(Ratings, "of", losses)
    found = derived_design(trained, run_of(trained, 1), Derived())
    assert found == min(known, key=lambda d: sum(losses(None, space.architecture(d))))


def test_a_rating_is_the_mean_over_images_and_leaves_the_network_as_it_is(trained: Plan) -> None:
    module, found = rated(trained)
    ((batch, _),) = found._batches
    images = {"image": batch.image[:100], "target": batch.target[:100], "index": batch.index[:100]}
    halves = [
        replace(batch, **{name: each[rows] for name, each in images.items()})
        for rows in (slice(0, 70), slice(70, 100))
    ]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    architecture = trained.space.designs.architecture([1, 0, 1, 0, 1, 0])
    whole = Ratings(module, halves).of(architecture)
    parts = [Ratings(module, [half]).of(architecture) for half in halves]
    np.testing.assert_allclose(whole, 0.7 * np.array(parts[0]) + 0.3 * np.array(parts[1]))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    module.student.train()
    losses = module.block_losses(halves[0], module.teacher_maps(halves[0]), architecture)
    assert parts[0] == pytest.approx([each.item() for each in losses.values()], rel=1e-6)


def test_supernets_are_runs_of_their_seeds_with_the_space_as_student(trained: Plan) -> None:
    config = Recipe(recipes.load(trained.folder / "supernet" / "seed1" / "config.yaml"))
    assert config.get("seed_everything") == 1
    assert config.get("model.student.init_args") == SPACE | HEADS


BRANCHES = {
    "class_path": "students.spaces.Branches",
    "init_args": {"layers": 2, "width": 8, "ops": ["conv3", "pool3"]},
}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"constraints": None}, "constraints: blocks lose least where they are large; give param"),
        ({"constraints": {"parameters": {"max": 100}}}, "constraints.parameters.max: 100, the sma"),
        ({"space": BRANCHES}, "space: Branches has no supernet, as Chain has"),
        (
            {"supernet": {"recipe": "digits/student"}},
            "supernet.recipe: needs distill.modules.Blockwise",
        ),
        (
            {"strategy": "distill.search.Random", "seeds": None, "trials": 2},
            "evaluation: rates designs for strategy distill.search.Derived, which takes the best",
        ),
    ],
)
def test_what_cannot_be_searched_is_told_in_one_line_and_leaves_no_folder(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        search(changed(tmp_path, **changes), tmp_path / "out", QUIET)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_stage_without_a_block_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path)
    tree = yaml.safe_load(path.read_text())
    del tree["supernet"]["overrides"]["model.blocks"][1]
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(RecipeError, match=r"^supernet\.recipe: has no block for stages\.1\.depth"):
        make_plan(path, tmp_path / "out", [], 0)


@pytest.mark.slow
def test_derived_designs_are_trained_as_candidates(tmp_path: Path) -> None:
    rows = search(changed(tmp_path, seeds=[0, 1]), tmp_path / "out", QUIET)
    assert {row["state"] for row in rows} == {"finished"}
    assert all(row["parameters"] <= MOST for row in rows)
    assert len(table(tmp_path / "out" / "results.csv")) == len(rows)


def test_the_search_of_chains_by_blocks_is_read() -> None:
    found = read_search(Path(__file__).parents[2] / "experiments/digits_search/blockwise.yaml")
    assert isinstance(found.evaluation, Rated)
    assert (found.evaluation.images, found.sweep.trials) == (512, 4)
