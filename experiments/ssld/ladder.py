"""The ladder of SSLD on CIFAR-10, from two teachers to the table.

Run with ``python experiments/ssld/ladder.py IMAGES``, where IMAGES is a folder or tar of class
folders, or ``CIFAR10``. What is finished is kept, so the same command goes on.
"""

import sys
from pathlib import Path

from distill import recipes
from distill.bench import bench
from distill.recipes import Recipe
from distill.runs.repeatable import RepeatableRun, digest
from distill.ssld import prepare

HERE, RUNS = Path(__file__).parent, Path("runs/ssld")
TEACHERS = {"weaker": 2, "better": 6}  # epochs
TOP_K = 500


def main() -> None:
    images = sys.argv[1]
    for name, epochs in TEACHERS.items():
        changes = [f"data.train={images}", f"trainer.max_epochs={epochs}"]
        changes += ["trainer.precision=bf16-mixed", "model.channels_last=true"]
        recipe = Recipe(recipes.load(recipes.find("cifar10/teacher_resnet20"), changes))
        run = RepeatableRun(recipe, RUNS / name, "cifar10/teacher_resnet20", digest(recipe, ""))
        print(name, run.train()["student"]["top1"]["val"])
    if not (RUNS / "selected" / "select.json").is_file():
        changes = [f"data.images.train={images}"]
        prepare(recipes.load(HERE / "pipeline.yaml", changes), TOP_K, command=" ".join(sys.argv))
    bench(HERE / "bench.yaml", RUNS / "ladder", overrides=[f"data.images.train={images}"], jobs=2)


if __name__ == "__main__":
    main()
