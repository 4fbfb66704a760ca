"""Subnets cut out of a Once-for-All network against the same networks, each trained on its own.

Six designs of the space of digits/once_for_all: the largest, the smallest, and four that were drawn
before anything was trained. On their own they have the same teacher and half the supernet's steps.
"""

import argparse
import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import distill
from distill import recipes
from distill.data import Digits
from distill.modules import recalibrate
from distill.recipes import Recipe
from distill.runs.repeatable import RepeatableRun, digest
from distill.search.strategy import Search, random_design
from students.spaces import Chain

SEEDS, EPOCHS, DRAWN, IMAGES = (0, 1, 2), 80, 4, 300
HEADS = {"num_classes": 10, "in_channels": 1}
SHARED = {"model.cache": "auto", "data.seed": 0, "data.train_samples": IMAGES}
IN_PLACE = {"student": "student.logits", "teacher": "largest.logits"}
SUPERNETS: dict[str, dict[str, Any]] = {
    "teacher": {},
    "in place": {
        "model.losses_of": "largest",
        "model.in_place": {
            "kd": {
                "loss": {"class_path": "distill.losses.KDLoss", "init_args": {"temperature": 1.0}},
                "inputs": IN_PLACE,
            }
        },
    },
}
Row = dict[str, Any]


def space_of(stem: list[int] | None, expand: list[int] | None) -> Chain:
    """The recipe's space, with other values of the stem's width and of all expansions if given."""
    given = Recipe(recipes.load(recipes.find("digits/once_for_all"))).get("model.student.init_args")
    stages = [{**stage, **({"expand": expand} if expand else {})} for stage in given["stages"]]
    return Chain(stem or given["stem"], stages)


def probes(space: Chain) -> dict[str, dict[str, Any]]:
    """The architectures of the six by name."""
    sizes = [len(values) for values in space.decisions.values()]
    designs = {"largest": tuple(n - 1 for n in sizes), "smallest": (0,) * len(sizes)}
    draws = Search(space, 0, DRAWN)
    designs |= {f"drawn {n + 1}": random_design(draws, n, 0) for n in range(DRAWN)}
    return {name: space.architecture(design) for name, design in designs.items()}


def trained(name: str, changes: dict[str, Any], seed: int, run_dir: Path) -> dict[str, Any]:
    """The result of a run, which is carried out unless it was before."""
    recipe = Recipe(recipes.load(recipes.find(name)))
    for key, value in {**SHARED, "seed_everything": seed, **changes}.items():
        recipe = recipe.put(key, value)
    return RepeatableRun(recipe, run_dir, name, digest(recipe, "")).train()


@torch.no_grad()
def accuracy(student: nn.Module, network: nn.Module, data: Digits) -> float:
    """Of a part of a student, on the test images in percent."""
    right = [
        (network(_normalized(student, batch.image)).argmax(1) == batch.target)
        for batch in data.test_dataloader()
    ]
    return 100 * torch.cat(right).float().mean().item()


def of_supernet(how: str, space: Chain, seed: int, out: Path) -> Iterator[Row]:
    """Each subnet with the supernet's batch norms, and with its own."""
    run_dir = out / how.replace(" ", "_") / f"seed{seed}"
    spec = space.supernet()
    changes = {
        "model.student": {**spec, "init_args": {**HEADS, **spec["init_args"]}},
        "trainer.max_epochs": EPOCHS,
        "trainer.check_val_every_n_epoch": EPOCHS,
    }
    trained("digits/once_for_all", {**changes, **SUPERNETS[how]}, seed, run_dir)
    student = distill.load_student(run_dir)
    elastic: Any = student.network
    data = Digits(train_samples=IMAGES, batch_size=50, seed=0)
    data.setup("fit")
    images = [_normalized(student, batch.image) for batch in data.train_dataloader()]
    for name, architecture in probes(space).items():
        elastic.choose(architecture)
        network = elastic.extract().eval()
        row = {"subnet": name, "parameters": sum(p.numel() for p in network.parameters())}
        raw = accuracy(student, network, data)
        recalibrate(network, images)
        for method, test in ((f"{how}, raw norms", raw), (how, accuracy(student, network, data))):
            yield {**row, "method": method, "seed": seed, "test_top1": test}


def alone(space: Chain, seed: int, out: Path) -> Iterator[Row]:
    """Each design trained on its own, half as long."""
    for name, architecture in probes(space).items():
        heads = {"architecture": architecture, **HEADS}
        changes = {
            "model.student": {"class_path": "students.from_architecture", "init_args": heads},
            "trainer.max_epochs": EPOCHS // 2,
            "trainer.check_val_every_n_epoch": EPOCHS // 2,
        }
        result = trained(
            "digits/kd", changes, seed, out / "alone" / f"{name.replace(' ', '')}_{seed}"
        )
        test = result["student"]["top1"]["test"]["last"]
        size = result["student"]["parameters"]
        row = {"subnet": name, "parameters": size, "method": "alone"}
        yield {**row, "seed": seed, "test_top1": test}


def _normalized(student: nn.Module, image: Tensor) -> Tensor:
    normalization: Any = student.normalization
    found: Tensor = normalization(image)
    return found


def write(rows: list[Row], path: Path) -> None:
    """Write the table."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, [*rows[0]], lineterminator="\n")
        table.writeheader()
        table.writerows({**row, "test_top1": round(row["test_top1"], 3)} for row in rows)


def summary(rows: list[Row]) -> str:
    """Means over seeds, a line per subnet, and the gaps to the networks on their own."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = [f"| subnet | parameters | {' | '.join(methods)} |", "|---" * (2 + len(methods)) + "|"]
    means: dict[tuple[str, str], float] = {}
    for name in dict.fromkeys(row["subnet"] for row in rows):
        cells = []
        for method in methods:
            given = [r for r in rows if (r["subnet"], r["method"]) == (name, method)]
            found = torch.tensor([row["test_top1"] for row in given])
            means[name, method] = found.mean().item()
            cells.append(f"{found.mean():.1f} ± {found.std():.1f}")
        lines.append(f"| {name} | {given[0]['parameters']:,} | {' | '.join(cells)} |")
    names = list(dict.fromkeys(name for name, _ in means))
    for method in methods:
        gaps = {name: means[name, "alone"] - means[name, method] for name in names}
        mean = sum(gaps.values()) / len(gaps)
        lines.append(f"{method}: mean gap {mean:+.2f}, smallest's {gaps['smallest']:+.2f} points")
    return "\n".join(lines)


def main() -> None:
    """Train and measure all, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("experiments/digits_search/subnets.csv"))
    parser.add_argument("--runs", type=Path, default=Path("runs/digits_search/subnets"))
    parser.add_argument("--stem", type=int, nargs="+", help="widths of the stem")
    parser.add_argument("--expand", type=int, nargs="+", help="expansions of all stages")
    given = parser.parse_args()
    torch.set_num_threads(1)
    space = space_of(given.stem, given.expand)
    rows: list[Row] = []
    for seed in SEEDS:
        of_supernets = (of_supernet(how, space, seed, given.runs) for how in SUPERNETS)
        for row in chain(alone(space, seed, given.runs), *of_supernets):
            rows.append(row)
            print(row, flush=True)
    write(rows, given.out)
    print(summary(rows))


if __name__ == "__main__":
    main()
