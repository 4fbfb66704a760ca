"""The sweep in front of the bench: every method at its own, a tenth and a hundredth of its weights.

Run with ``python experiments/cifar10/weights.py IMAGES``, where IMAGES is a folder or tar of class
folders, or ``CIFAR10``. It is a bench of one seed, which ``bench.yaml`` does not report; what is
finished is kept, so the same command goes on. ``bench.yaml`` takes what is best on the validation
images.
"""

import json
import sys
from pathlib import Path

import yaml

from distill import recipes
from distill.bench import bench
from distill.bench.spec import Variant, read_bench

HERE, RUNS = Path(__file__).parent, Path("runs/cifar10/weights")
SEED = 10
FACTORS = {"x1": 1.0, "x01": 0.1, "x001": 0.01}  # of the weights that the recipes come with


def main() -> None:
    spec = read_bench(HERE / "bench.yaml")
    tree = {
        "baseline": spec.baseline,
        "seeds": [SEED],
        "overrides": spec.overrides,
        "variants": {
            f"{method}_{name}": {"recipe": variant.recipe, "overrides": overrides}
            for method, variant in spec.competitors().items()
            for name, overrides in _weighed(method, variant).items()
        },
    }
    RUNS.mkdir(parents=True, exist_ok=True)
    path = RUNS / "bench.yaml"
    without_anchors = json.loads(json.dumps(tree))
    path.write_text(yaml.safe_dump(without_anchors, sort_keys=False))
    bench(path, RUNS, overrides=[f"data.train={sys.argv[1]}"], jobs=2)


def _weighed(method: str, variant: Variant) -> dict[str, dict[str, object]]:
    """The overrides of a method with each factor; none if it has one term."""
    losses = recipes.load(recipes.find(variant.recipe))["model"]["init_args"]["losses"]
    fixed = {"ce", "kd"} if method.startswith("kd_") else {"ce"}
    weights = {term: loss.get("weight", 1.0) for term, loss in losses.items() if term not in fixed}
    return {
        name: variant.overrides
        | {
            f"model.losses.{term}.weight": float(f"{factor * weight:g}")
            for term, weight in weights.items()
        }
        for name, factor in FACTORS.items()
        if len(losses) > 1
    }


if __name__ == "__main__":
    main()
