"""Defaults that no recipe can hold are left to the classes that have them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from distill import runs
from distill.recipes import Recipe
from distill.recipes.build import build
from teachers import from_run
from tests.fixtures.images import folder
from tests.fixtures.runs import QUIET

TASK = {
    "ce": {
        "loss": "torch.nn.CrossEntropyLoss",
        "inputs": {"input": "student.logits", "target": "batch.target"},
    }
}
PEER = {"input": "peer.logits", "target": "batch.target"}
LAYERS = (nn.Tanh,)
NORM = partial(nn.LayerNorm, eps=1e-6)


class Chooses(nn.Module):
    """A network whose parts may be chosen."""

    def __init__(
        self,
        width: int = 4,
        norm: Callable[..., nn.Module] = NORM,
        block: type[nn.Module] = nn.ReLU,
        layers: tuple[type[nn.Module], ...] = LAYERS,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, width), norm(width), block())
        self.head = nn.Sequential(nn.Linear(width, 10), *(layer() for layer in layers))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image))


def recipe(student: object, data: object = "distill.data.Digits") -> dict[str, Any]:
    model = {"teacher": None, "student": student, "losses": TASK}
    return {
        "model": {"class_path": "distill.modules.Distillation", "init_args": model},
        "data": data if isinstance(data, dict) else {"class_path": data},
        "trainer": {
            "max_epochs": 1,
            "accelerator": "cpu",
            "limit_train_batches": 1,
            "log_every_n_steps": 1,
        },
    }


def of(arguments: dict[str, Any] | None) -> Any:
    path = f"{__name__}.Chooses"
    return path if arguments is None else {"class_path": path, "init_args": arguments}


@pytest.mark.parametrize("given", [None, {}, {"width": 6}])
def test_classes_and_functions_that_a_recipe_does_not_name_are_left_out(given: Any) -> None:
    built = build(recipe(of(given)), "run", ("tests",))
    student = built.config.get("model.student.init_args")
    assert student == {"width": (given or {}).get("width", 4)}
    again = build(built.config, "run", ("tests",)).model.student
    assert str(again) == str(built.model.student)


def test_those_that_it_names_stay() -> None:
    built = build(recipe(of({"block": "torch.nn.GELU"})), "run", ("tests",))
    assert built.config.get("model.student.block") == "torch.nn.GELU"
    again = build(built.config, "run", ("tests",)).model.student
    assert isinstance(again.body[3], nn.GELU)


def test_networks_in_a_mapping_and_in_a_list_are_looked_at_too() -> None:
    tree = recipe(None)
    tree["model"] = {
        "class_path": "distill.modules.MutualLearning",
        "init_args": {
            "student": of({}),
            "peers": {"a": of({}), "b": of(None)},
            "losses": {"each": {"ce": TASK["ce"] | {"inputs": PEER}}},
        },
    }
    found = build(tree, "run", ("tests",)).config.get("model.peers")
    assert [peer["init_args"] for peer in found.values()] == [{"width": 4}, {"width": 4}]
    tree = recipe({"class_path": "teachers.Ensemble", "init_args": {"members": [of({})]}})
    found = build(tree, "run", ("tests",)).config.get("model.student.members")
    assert found[0]["init_args"] == {"width": 4}


SIZES = {"num_layers": 1, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 32, "num_classes": 3}


def test_the_run_of_such_a_network_is_tested_gone_on_with_and_taken_as_a_teacher(
    tmp_path: Path,
) -> None:
    network = {
        "class_path": "torchvision.models.vision_transformer.VisionTransformer",
        "init_args": {"image_size": 16, "patch_size": 8, **SIZES},
    }
    train = folder(tmp_path / "images")
    data = {"class_path": "distill.data.Images", "init_args": {"train": train, "batch_size": 8}}
    run_dir = tmp_path / "run"
    result = runs.fit(recipe(network, data), run_dir, console=QUIET)
    assert runs.evaluate(run_dir, train, console=QUIET)["images"] == 30
    written = Recipe.of(run_dir / "config.yaml")
    resumed = runs.fit(written, run_dir, resume=True, console=QUIET)
    assert resumed["sha256"] == result["sha256"]
    assert type(from_run(str(run_dir))).__name__ == "VisionTransformer"
