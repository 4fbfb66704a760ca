"""Do blocks under the teacher, or shared weights, rank the designs of the table?

python experiments/digits_cells/shared_weights.py runs/digits/teacher OUT

For each of five seeds a network that holds all designs is trained twice: block by block
(``digits/blockwise``), where a design is rated by the sum of what its blocks lose, and whole
(``digits/once_for_all``), where it is rated by its accuracy with the shared weights, its batch
norms measured anew. Both ratings are of validation images. Writes ``shared_weights.csv`` beside
itself, a column per seed and way: the same command goes on from what is there. Prints Kendall's
tau-b, with the mean accuracy over three seeds, of the 85 designs that differ and among their best
third.
"""

import csv
import sys
from pathlib import Path
from typing import cast

import numpy as np
import torch
from rich.console import Console
from scipy.stats import kendalltau

from distill import recipes
from distill.core.files import write_csv
from distill.modules import Blockwise, OnceForAll, recalibrate
from distill.recipes import Recipe
from distill.runs.directory import WEIGHTS, load_weights
from distill.runs.fit import fit
from distill.runs.session import Session, quiet_lightning
from distill.search.blockwise import ratings
from experiments.digits_cells.proxies import distinct
from experiments.digits_cells.table import SPACE, read

SCORES = Path(__file__).parent / "shared_weights.csv"
STUDENT = "experiments.digits_cells.shared_cells.SharedEdges"
SEEDS, EPOCHS = (0, 1, 2, 3, 4), 100
PLACES = (("first", "layer1", 64), ("second", "layer2", 128))
RECIPES = {"blocks": "digits/blockwise", "shared": "digits/once_for_all"}
Columns = dict[str, list[float]]


def recipe(way: str, teacher: Path, seed: int) -> Recipe:
    """What a network of all designs is trained with: four random ones a step, 600 steps."""
    found = Recipe(recipes.load(recipes.find(RECIPES[way]), [f"trainer.max_epochs={EPOCHS}"]))
    changes = {
        "model.teacher.run_dir": str(teacher),
        "model.student": {"class_path": STUDENT},
        "model.subnets": {"largest": False, "smallest": False, "random": 4},
        "data.seed": 0,
        "trainer.check_val_every_n_epoch": EPOCHS,
        "seed_everything": seed,
    }
    if way == "blocks":
        keys = ("student", "teacher", "student_channels", "teacher_channels")
        blocks = [dict(zip(keys, (own, of, 8, wide), strict=True)) for own, of, wide in PLACES]
        changes["model.blocks"] = blocks
    for key, value in changes.items():
        found = found.put(key, value)
    return found


def scored(way: str, seed: int, teacher: Path, out: Path) -> list[float]:
    """What a network says of the designs, larger for better ones."""
    run, run_dir = recipe(way, teacher, seed), out / way / f"seed{seed}"
    fit(run, run_dir, trusted=("experiments",), console=Console(quiet=True), overwrite=True)
    with quiet_lightning():
        session = Session(run, run_dir, ("experiments",))
    designs = [SPACE.architecture(design) for design in distinct(read())[0]]
    if way == "blocks":
        of = ratings(session, cast(Blockwise, session.module), run_dir, images=1000).of
        return [-sum(of(design)) for design in designs]
    return _accuracies(session, run_dir, designs)


@torch.no_grad()
def _accuracies(session: Session, run_dir: Path, designs: list[dict[str, str]]) -> list[float]:
    """In percent of the validation images, with batch norms measured on training images."""
    module = cast(OnceForAll, session.module)
    load_weights(module.student, run_dir / WEIGHTS)
    session.set_up_data()
    module.networks.set_up(session.data)
    normalized = module.networks.normalization["student"]
    training = [normalized(batch.image) for batch in session.datamodule.train_dataloader()]
    held_out = list(session.datamodule.val_dataloader())
    found = []
    for design in designs:
        module.elastic.choose(design)
        network = module.elastic.extract()
        recalibrate(network, training)
        right = [network(normalized(batch.image)).argmax(1).eq(batch.target) for batch in held_out]
        found.append(100 * torch.cat(right).double().mean().item())
    return found


def scores() -> Columns:
    """What is there, by way and seed."""
    if not SCORES.is_file():
        return {}
    with SCORES.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def table(found: Columns) -> str:
    """Kendall's tau-b by way, of each seed in order and in the mean."""
    known = distinct(read())[1]
    values, ways = known["val_top1"], {"flops": [known["flops"].tolist()]}
    for name, each in found.items():
        ways.setdefault(name.split()[0], []).append(each)
    best = np.argsort(-values)[: len(values) // 3]
    lines = ["| way | tau, all | of each seed | tau, best third | of each seed |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for way, columns in ways.items():
        cells = [way]
        for places in (np.arange(len(values)), best):
            pairs = ((np.asarray(each)[places], values[places]) for each in columns)
            taus = [kendalltau(*pair).statistic for pair in pairs]
            cells += [f"{np.mean(taus):.2f}", ", ".join(f"{tau:.2f}" for tau in taus)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    torch.set_num_threads(1)
    found, (teacher, out) = scores(), (Path(each) for each in sys.argv[1:3])
    for way in RECIPES:
        for seed in SEEDS:
            name = f"{way} {seed}"
            if name not in found:
                found[name] = [round(one, 6) for one in scored(way, seed, teacher, out)]
                rows = [
                    dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)
                ]
                write_csv(SCORES, rows, list(found))
                print(name, kendalltau(found[name], distinct(read())[1]["val_top1"]).statistic)
                sys.stdout.flush()
    print(table(found))


if __name__ == "__main__":
    main()
