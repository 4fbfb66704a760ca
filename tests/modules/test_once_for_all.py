import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from distill import runs
from distill.core.errors import RecipeError
from distill.losses import HintLoss, SPLoss
from distill.modules import Distillation, OnceForAll, Subnets, Term
from distill.recipes import Recipe
from tests.fixtures.elastic import SPACE, elastic
from tests.fixtures.modules import CE, KD, digits, tensors, trainer
from tests.fixtures.networks import tiny
from tests.fixtures.runs import assert_resumes, assert_same, final_state

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)
IN_PLACE = Term(KD.loss, inputs={"student": "student.logits", "teacher": "largest.logits"})
ONE = Subnets(smallest=False, random=0)
TWO = Subnets(random=0)


TEACHER = tiny(8)


def teacher() -> nn.Module:
    return copy.deepcopy(TEACHER)


class Steps(torch.optim.SGD):
    """Remembers the gradients of each step, and takes none."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, lr=0.0)
        self.gradients: list[list[Tensor | None]] = []

    def step(self, closure: Any = None) -> Any:
        loss = closure()
        given = [p.grad for group in self.param_groups for p in group["params"]]
        self.gradients.append([None if each is None else each.clone() for each in given])
        return loss


def gradients(module: Distillation, data: Any = None) -> dict[str, Tensor | None]:
    """Of the first step, by parameter."""
    made: list[Steps] = []
    module._optimization._optimizer = lambda p: made.append(Steps(p)) or made[-1]
    trainer(limit_train_batches=1, limit_val_batches=0).fit(module, data or digits())
    names = [name for name, p in module.named_parameters() if p.requires_grad]
    return dict(zip(names, made[-1].gradients[0], strict=True))


def alone(student: Any, architecture: Any, terms: dict[str, Term]) -> dict[str, Tensor]:
    """The gradients of one subnet on the first batch, those beyond it zero, without the module."""

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = copy.deepcopy(student)
            self.network.choose(architecture)

        def forward(self, image: Tensor) -> Tensor:
            return self.network(image)

    found = gradients(Distillation(teacher(), Fixed(), terms))
    return {name.replace("student.network", "student"): value for name, value in found.items()}


def test_with_the_largest_alone_it_is_distillation_bit_by_bit() -> None:
    start = elastic()
    plain = Distillation(teacher(), copy.deepcopy(start), {"ce": CE, "kd": KD})
    module = OnceForAll(teacher(), start, {"ce": CE, "kd": KD}, ONE)
    for each in (plain, module):
        trainer(max_epochs=2).fit(each, digits())
    assert_same(tensors(plain), tensors(module))


def test_a_stage_without_elastic_dimensions_trains_the_largest_alone() -> None:
    start = elastic()
    plain = Distillation(None, copy.deepcopy(start), {"ce": CE})
    module = OnceForAll(None, start, {"ce": CE}, elastic=[])
    for each in (plain, module):
        trainer().fit(each, digits())
    assert_same(tensors(plain), tensors(module))


def test_gradients_are_the_mean_of_those_of_the_subnets() -> None:
    student, terms = elastic(), {"ce": CE, "kd": KD}
    module = OnceForAll(teacher(), copy.deepcopy(student), terms)
    subnets = module.sandwich.of_step(0, 0)
    assert len(subnets) == 4
    each = [alone(student, architecture, terms) for architecture in subnets]
    for name, found in gradients(module).items():
        parts = [one[name] for one in each]
        assert (found is None) == all(part is None for part in parts), name
        if found is not None:
            known = [part if part is not None else torch.zeros_like(found) for part in parts]
            torch.testing.assert_close(found, sum(known) / 4, rtol=1e-4, atol=1e-6)


def test_what_the_largest_gives_is_a_constant_to_the_others() -> None:
    """The largest's gradients are those of its own terms, whatever reads what it gives."""
    student = elastic()
    gap = Term(nn.MSELoss(), inputs={"input": "student.logits", "target": "largest.logits"})
    module = OnceForAll(
        None, copy.deepcopy(student), {"ce": CE}, TWO, {"gap": gap}, losses_of="largest"
    )
    largest = alone(student, module.sandwich.largest, {"ce": CE})
    found = gradients(module)
    beyond = "student.stages.0.layers.1.units.0.convolution.weight"
    assert largest[beyond].any()
    torch.testing.assert_close(found[beyond], largest[beyond] / 2)
    # The smallest learns in place.
    inside = "student.stages.0.layers.0.units.0.convolution.transforms.0"
    assert largest[inside] is None
    assert found[inside].any()


def test_only_the_largest_moves_the_running_statistics() -> None:
    start = elastic()
    one, several = (
        OnceForAll(None, copy.deepcopy(start), {"ce": CE}, subnets) for subnets in (ONE, Subnets())
    )
    for module in (one, several):
        running = trainer(limit_train_batches=1, limit_val_batches=0)
        running.fit(module, digits())
    name = "student.stem.0.norm.running_mean"
    assert torch.equal(tensors(one)[name], tensors(several)[name])
    assert not torch.equal(tensors(one)[name], start.state_dict()["stem.0.norm.running_mean"])


def test_validation_is_that_of_the_largest() -> None:
    module = OnceForAll(None, elastic(), {"ce": CE})
    running = trainer()
    running.fit(module, digits())
    module.elastic.choose(module.sandwich.largest)
    plain = Distillation(None, module.elastic.extract(), {"ce": CE})
    found = trainer().validate(plain, digits(), verbose=False)[0]
    assert running.callback_metrics["val/top1"].item() == found["val/top1"]
    assert running.callback_metrics["val/loss"].item() == found["val/loss"]


def test_sorting_comes_before_training_alone() -> None:
    start = elastic()
    module = OnceForAll(None, copy.deepcopy(start), {"ce": CE}, sort_channels=True)
    trainer().validate(module, digits(), verbose=False)
    assert_same(tensors(start), tensors(module.student))
    gradients(module)  # of a step that changes nothing
    start.sort_channels()
    assert torch.equal(start.fc.weight, module.student.fc.weight)


def test_a_feature_of_fixed_width_is_refused_where_subnets_differ() -> None:
    hint = Term(
        HintLoss(student_channels=8, teacher_channels=8),
        inputs={"student": "student@stages.1", "teacher": "teacher@conv"},
    )
    module = OnceForAll(teacher(), elastic(), {"hint": hint})
    with pytest.raises(RecipeError) as caught:
        trainer().fit(module, digits())
    told = (
        r"model.losses.hint: fits the largest subnet, with student@stages.1 (2, 8, 4, 4), and not"
    )
    assert str(caught.value).startswith(f"{told} the smallest: student@stages.1 (2, 6, 4, 4), ")
    assert "\n" not in str(caught.value)


def test_a_feature_of_any_width_is_compared_in_every_subnet() -> None:
    sp = Term(SPLoss(), inputs={"student": "student@stages.1", "teacher": "teacher@conv"})
    module = OnceForAll(teacher(), elastic(), {"ce": CE, "sp": sp})
    running = trainer()
    running.fit(module, digits())
    assert running.callback_metrics["train/loss/sp"] > 0


def test_layers_of_the_largest_are_not_read() -> None:
    hint = Term(nn.MSELoss(), inputs={"input": "student.logits", "target": "largest@fc"})
    module = OnceForAll(None, elastic(), {"ce": CE}, in_place={"hint": hint})
    with pytest.raises(RecipeError, match=r"^model.in_place.hint.inputs: unknown source 'largest@"):
        trainer().fit(module, digits())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"student": tiny(8)}, "student must be elastic, such as students.elastic_chain, got Tiny"),
        ({"losses_of": "some"}, "losses_of must be all or largest, got 'some'"),
        ({"losses_of": "largest"}, "losses_of: largest needs in_place, or the other subnets learn"),
        (
            {"in_place": {"kd": IN_PLACE}, "subnets": Subnets(largest=False)},
            "in_place needs subnets.largest, whose outputs it reads",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}"):
        OnceForAll(**({"teacher": None, "student": elastic(), "losses": {"ce": CE}} | options))


def recipe(**model: Any) -> dict[str, Any]:
    terms = {
        "ce": {"loss": "torch.nn.CrossEntropyLoss", "inputs": dict(CE.inputs)},
        "kd": {"loss": "distill.losses.KDLoss", "inputs": dict(KD.inputs)},
    }
    arguments = {"num_classes": 10, "in_channels": 1, **SPACE}
    student = {"class_path": "students.elastic_chain", "init_args": arguments}
    in_place = {"loss": "distill.losses.KDLoss", "inputs": dict(IN_PLACE.inputs)}
    teacher = {"class_path": "tests.fixtures.networks.tiny", "init_args": {"width": 8}}
    given = {"teacher": teacher, "student": student, "losses": terms, "in_place": {"kd": in_place}}
    return {
        "model": {"class_path": "distill.modules.OnceForAll", "init_args": given | model},
        "data": {
            "class_path": "distill.data.Digits",
            "init_args": {"batch_size": 16, "train_samples": 80},
        },
        "trainer": {
            "max_epochs": 3,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
        },
    }


@pytest.mark.parametrize(
    ("steps", "epochs"),
    [([2], 1), pytest.param([*range(1, 16)], 3, marks=pytest.mark.slow)],
    ids=["one", "all"],
)
def test_a_resumed_run_ends_bitwise_where_the_whole_one_ends(
    steps: list[int], epochs: int, tmp_path: Path
) -> None:
    tree = Recipe(recipe(sort_channels=True)).put("trainer.max_epochs", epochs).tree
    assert_resumes(tree, steps, tmp_path)


@pytest.mark.slow
def test_progressive_shrinking_is_a_run_of_stages(tmp_path: Path) -> None:
    tree = Recipe(recipe()).put("trainer.max_epochs", 1).tree
    dimensions = ["kernel", "depth", "expand", "width"]
    tree["stages"] = {
        "full": {"model.elastic": []},
        "kernel": {"model.elastic": dimensions[:1]},
        "rest": {"model.elastic": dimensions, "model.sort_channels": True},
    }
    result = runs.fit(tree, tmp_path / "run", trusted=("tests",), console=Console(quiet=True))
    assert result["steps"] == 15
    parts = [
        final_state(tmp_path / "run" / "stages" / name)["state_dict"] for name in tree["stages"]
    ]
    matrix = "student.stages.0.layers.0.units.0.convolution.transforms.0"
    identity = [torch.equal(part[matrix], torch.eye(25)) for part in parts]
    assert identity == [True, False, False]


def test_compilation_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^model\.compile: OnceForAll has no argument 'compile'"):
        runs.fit(recipe(compile=True), Path("nowhere"), trusted=("tests",))
