import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor, nn

from distill import runs
from distill.augment import RandomCrop
from distill.core.errors import NonFiniteError, RecipeError
from distill.losses import HintLoss
from distill.modules import Distillation, MutualLearning, Normalization, PeerKL, Term
from distill.runs.checkpoint_io import SafeCheckpointIO
from tests.fixtures.modules import Recorder, digits, tensors, trainer
from tests.fixtures.networks import tiny
from tests.fixtures.peers import ALONE, CE, DML, recipe
from tests.fixtures.runs import assert_same, final_state, resume_from, train_rows

MAPS = Term(nn.MSELoss(), inputs={"input": "peer@conv", "target": "other@conv"})
HINT = Term(HintLoss(8, 8), inputs={"student": "peer@conv", "teacher": "other@conv"})
EACH = {"each": {"ce": CE, "dml": DML}}
UPDATES = ["simultaneous", "alternating"]

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=0.01, weight_decay=0.1)


def halve(optimizer: torch.optim.Optimizer) -> Any:
    return torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)


def same(one: nn.Module, other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize(
    ("peers", "updates"), [(0, "simultaneous"), (1, "simultaneous"), (1, "alternating")]
)
def test_a_student_that_hears_nobody_is_trained_as_if_alone(updates: Any, peers: int) -> None:
    """Bitwise, dropout and augmentation included; peers beside it change nothing."""
    start, options = tiny(8), {"optimizer": adam, "scheduler": halve, "decay": "weights"}
    alone = Distillation(None, copy.deepcopy(start), {"ce": ALONE}, **options)  # type: ignore[arg-type]
    others = {f"p{number}": tiny(4) for number in range(peers)}
    losses = {"each": {"ce": CE}} | {name: {"dml": DML} for name in others}
    module = MutualLearning(start, others, losses, updates, **options)  # type: ignore[arg-type]
    for each in (alone, module):
        trainer(max_epochs=2).fit(each, digits(augment=[RandomCrop(1)]))
    assert same(module.student, tensors(alone.student))


def test_one_peer_alone_logs_what_plain_training_logs() -> None:
    start, logged = tiny(8), []
    plain = Distillation(None, copy.deepcopy(start), {"ce": ALONE})
    for module in (plain, MutualLearning(start, {}, EACH)):
        running = trainer()
        running.fit(module, digits())
        logged.append(running.callback_metrics)
    for name in ("train/loss", "val/loss", "val/top1"):
        assert torch.equal(logged[0][name], logged[1][name])


@pytest.mark.parametrize("updates", UPDATES)
def test_updates_are_those_of_a_loop(updates: str) -> None:
    """Two linear networks and plain SGD: the paper's algorithm, and the one of most code."""
    student, b = Recorder(), Recorder()
    loop = {"student": copy.deepcopy(student.fc), "b": copy.deepcopy(b.fc)}
    module = MutualLearning(student, {"b": b}, EACH, updates, optimizer=sgd)  # type: ignore[arg-type]
    data = digits()
    trainer(limit_train_batches=3, limit_val_batches=0).fit(module, data)
    batches = iter(data.pipeline.train_loader(None))
    for _ in range(3):
        batch = next(batches)
        image = Normalization(data.mean, data.std)(batch.image).flatten(1)
        said = {name: fc(image).detach() for name, fc in loop.items()}
        for name, other in (("student", "b"), ("b", "student")):
            if updates == "alternating":
                said[other] = loop[other](image).detach()
            logits = loop[name](image)
            p, q = logits.softmax(1), said[other].softmax(1)
            loss = F.cross_entropy(logits, batch.target) + (q * (q / p).log()).sum(1).mean()
            gradients = torch.autograd.grad(loss, list(loop[name].parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(loop[name].parameters(), gradients, strict=True):
                    parameter -= 0.1 * gradient
    for name, network in module.networks.by_name.items():
        assert isinstance(network, Recorder)
        torch.testing.assert_close(network.fc.weight, loop[name].weight)


def test_a_peer_learns_from_the_mean_of_the_others() -> None:
    peers = {name: Recorder() for name in ("b", "c")}
    module = MutualLearning(Recorder(), peers, EACH, optimizer=lambda p: torch.optim.SGD(p, lr=0.0))  # type: ignore[arg-type]
    data = digits()
    running = trainer(limit_train_batches=1, limit_val_batches=0)
    running.fit(module, data)
    batch = next(iter(data.pipeline.train_loader(None)))
    image = Normalization(data.mean, data.std)(batch.image).flatten(1)
    logits = {
        name: net.fc(image).detach().double().numpy()
        for name, net in module.networks.by_name.items()
    }  # type: ignore[union-attr, operator]
    p = {name: np.exp(z) / np.exp(z).sum(1, keepdims=True) for name, z in logits.items()}
    ce = -np.log(p["b"][np.arange(len(batch.target)), batch.target.numpy()]).mean()
    kl = [(p[o] * np.log(p[o] / p["b"])).sum(1).mean() for o in ("student", "c")]
    logged = running.callback_metrics
    assert logged["train/loss/b"].item() == pytest.approx(ce + np.mean(kl), rel=1e-5)
    assert logged["train/loss/b/dml/c"].item() == pytest.approx(kl[1], rel=1e-4)
    total = sum(logged[f"train/loss/{name}"].item() for name in logits)
    assert logged["train/loss"].item() == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize(("gradients", "still"), [("constant", True), ("joint", False)])
def test_a_peers_terms_leave_the_others_alone_unless_joint(gradients: Any, still: bool) -> None:
    """Peer b's own objective is 0 times something: only the student's terms could move it."""
    nothing = Term(nn.CrossEntropyLoss(), weight=0.0, inputs=CE.inputs)
    kl = Term(PeerKL(), inputs={"peer": "peer.logits", "other": "other.logits"})
    losses = {"student": {"ce": CE, "kl": kl, "maps": MAPS}, "b": {"ce": nothing}}
    b = tiny(8)
    before = dict(b.named_parameters())
    before = {name: value.detach().clone() for name, value in before.items()}
    module = MutualLearning(tiny(8), {"b": b}, losses, gradients=gradients, optimizer=sgd)
    trainer().fit(module, digits())
    moved = [not torch.equal(value, before[name]) for name, value in b.named_parameters()]
    assert any(moved) != still


def test_a_symmetric_term_of_each_is_one_joint_term() -> None:
    """What the others gave is constant in both peers' terms: together the gradient of one."""
    start = [tiny(8), tiny(8)]
    trained = []
    for losses, gradients in (
        ({"each": {"ce": CE, "maps": MAPS}}, "constant"),
        ({"each": {"ce": CE}, "b": {"maps": MAPS}}, "joint"),
    ):
        student, b = copy.deepcopy(start)
        module = MutualLearning(student, {"b": b}, losses, gradients=gradients, optimizer=sgd)  # type: ignore[arg-type]
        trainer(limit_val_batches=0).fit(module, digits())
        trained.append(tensors(module.student) | {f"b.{k}": v for k, v in tensors(b).items()})
    for name, value in trained[0].items():
        torch.testing.assert_close(value, trained[1][name], msg=name)


def test_running_statistics_see_each_batch_once() -> None:
    module = MutualLearning(tiny(8), {"b": tiny(8), "c": tiny(8)}, EACH, "alternating")
    trainer().fit(module, digits())
    counts = [int(net.bn.num_batches_tracked) for net in module.networks.by_name.values()]  # type: ignore[union-attr, arg-type]
    assert counts == [4, 4, 4]
    assert all(net.bn.track_running_stats for net in module.networks.by_name.values())  # type: ignore[union-attr]


def test_a_batch_is_one_step_of_the_run_and_of_its_schedule() -> None:
    module = MutualLearning(
        tiny(8), {"b": tiny(8)}, EACH, "alternating", optimizer=sgd, scheduler=halve
    )
    running = trainer(max_epochs=2, limit_val_batches=0)
    running.fit(module, digits())
    assert running.global_step == 8
    assert running.optimizers[0].param_groups[0]["lr"] == 0.1 / 4


def test_every_peer_has_its_curve() -> None:
    module = MutualLearning(tiny(8), {"b": tiny(8)}, EACH)
    data = digits()
    running = trainer()
    running.fit(module, data)
    module.eval()
    for curve, network in (("val/top1", module.student), ("val/top1/b", module.peers["b"])):
        right = total = 0
        for batch in data.val_dataloader():
            image = Normalization(data.mean, data.std)(batch.image)
            right += int((network(image).argmax(1) == batch.target).sum())
            total += len(batch.target)
        assert running.callback_metrics[curve].item() == pytest.approx(100 * right / total)


def test_all_peers_see_the_same_view_in_their_own_normalisation() -> None:
    student, b = Recorder(), Recorder()
    b.input_normalization = ((0.5,), (0.25,))  # type: ignore[assignment]
    module = MutualLearning(
        student, {"b": b}, EACH, normalization={"student": Normalization([0.0], [1.0])}
    )
    trainer(limit_train_batches=1, limit_val_batches=0).fit(module, digits(augment=[RandomCrop(2)]))
    torch.testing.assert_close((student.seen[-1] - 0.5) / 0.25, b.seen[-1])


def test_all_peers_are_kept_in_channels_last_layout() -> None:
    module = MutualLearning(tiny(8, in_channels=1), {"b": tiny(8)}, EACH, channels_last=True)
    trainer(limit_train_batches=1, limit_val_batches=0).fit(module, digits())
    for network in module.networks.by_name.values():
        weight = network.conv.weight  # type: ignore[union-attr]
        assert weight.is_contiguous(memory_format=torch.channels_last)


def test_the_dry_pass_tells_shapes_and_leaves_everything_as_it_was() -> None:
    module = MutualLearning(tiny(8), {"b": tiny(8)}, {"each": {"ce": CE, "maps": MAPS}})
    before = tensors(module)
    trainer(limit_train_batches=0, limit_val_batches=0).fit(module, digits())
    assert module.objective.shapes == {"student@conv": (2, 8, 4, 4), "b@conv": (2, 8, 4, 4)}
    assert same(module, before)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "classes": (
        {"peers": {"b": tiny(8, 7)}},
        r"^model\.peers\.b: needs logits \(b, 10\), one per class of the data, gives \(2, 7\)$",
    ),
    "channels": (
        {"student": tiny(8, 10, 3)},
        r"^model\.student: TinyNet does not take images \(2, 1, 8, 8\): ",
    ),
    "maps": (
        {"peers": {"b": tiny(12)}, "losses": {"each": {"hint": HINT}}},
        r"^model\.losses\.each\.hint: student@conv \(2, 8, 4, 4\), b@conv \(2, 12, 4, 4\): ",
    ),
    "joint without effect": (
        {"gradients": "joint"},
        r"^model\.gradients: joint has no effect: every loss detaches its teacher input; use P",
    ),
    "learning rate": (
        {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=-1.0)},
        r"^model\.optimizer: Invalid learning rate: -1",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_what_does_not_fit_is_said_before_training(case: tuple[dict[str, Any], str]) -> None:
    changes, message = case
    fitting = {"student": tiny(8), "peers": {"b": tiny(8)}, "losses": EACH}
    with pytest.raises(RecipeError, match=message):
        trainer().fit(MutualLearning(**(fitting | changes)), digits())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"updates": "both"}, r"^updates must be simultaneous or alternating, got 'both'$"),
        ({"gradients": "on"}, r"^gradients must be constant or joint, got 'on'$"),
        (
            {"gradients": "joint", "updates": "alternating"},
            r"^gradients 'joint' needs simultaneous updates$",
        ),
        (
            {"normalization": {"c": Normalization([0.0], [1.0])}},
            r"^normalization has no peer 'c'; known: student, b$",
        ),
    ],
)
def test_unknown_conventions_and_peers_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MutualLearning(tiny(8), {"b": tiny(8)}, EACH, **changes)


def test_alternating_updates_do_not_accumulate() -> None:
    module = MutualLearning(tiny(8), {"b": tiny(8)}, EACH, "alternating")
    with pytest.raises(RecipeError, match=r"^trainer\.accumulate_grad_batches: needs simultan"):
        trainer(accumulate_grad_batches=2).fit(module, digits())


def test_alternating_updates_need_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' parameters have no gradient, which DDP waits for."""
    monkeypatch.setattr(pl.Trainer, "world_size", 2)
    module = MutualLearning(tiny(8), {"b": tiny(8)}, EACH, "alternating")
    with pytest.raises(RecipeError, match=r"^model\.updates: several processes need simultaneous"):
        trainer().fit(module, digits())


def test_a_term_that_is_not_finite_ends_the_run_by_name() -> None:
    class Infinite(nn.Module):
        def forward(self, at: Tensor) -> Tensor:
            return at.sum() / 0

    losses = {"each": {"ce": CE}, "b": {"bad": Term(Infinite(), inputs={"at": "peer.logits"})}}
    with pytest.raises(NonFiniteError, match=r"^train/loss/b/bad is not finite at step 0$"):
        trainer().fit(MutualLearning(tiny(8), {"b": tiny(8)}, losses), digits())


def finished(updates: str, folder: Path) -> Path:
    """The directory of a whole run, with the checkpoint of every step under ``kept``."""
    tree = recipe(updates, folder / "whole" / "kept")
    result = runs.fit(tree, folder / "whole", trusted=("tests",), console=Console(quiet=True))
    assert (result["steps"], result["teacher"]) == (6, None)
    return folder / "whole"


def assert_resumes(whole: Path, step: int, updates: str, again: Path) -> None:
    resume_from(step, whole / "kept", again, recipe(updates))
    assert_same(final_state(whole), final_state(again), f"step {step}")
    assert train_rows(again) == train_rows(whole)


def test_a_run_resumes_bitwise_and_keeps_the_weights_of_every_peer(tmp_path: Path) -> None:
    run_dir = tmp_path / "again"
    assert_resumes(finished("alternating", tmp_path), 2, "alternating", run_dir)
    state = SafeCheckpointIO().load_checkpoint(run_dir / "checkpoints" / "last.ckpt")["state_dict"]
    for file, prefix in {
        "student.safetensors": "student.",
        "peers/student.safetensors": "student.",
        "peers/b.safetensors": "peers.b.",
    }.items():
        weights = load_file(run_dir / file)
        assert weights.keys() == tensors(tiny(8)).keys()
        assert all(torch.equal(value, state[prefix + name]) for name, value in weights.items())
    tested = runs.evaluate(run_dir, trusted=("tests",), console=Console(quiet=True))
    top1 = json.loads((run_dir / "result.json").read_text())["student"]["top1"]["test"]["last"]
    assert tested["top1"] == {"student": top1}


@pytest.mark.slow
@pytest.mark.parametrize("updates", UPDATES)
def test_every_step_resumes_bitwise(updates: str, tmp_path: Path) -> None:
    whole = finished(updates, tmp_path)
    for step in range(1, 6):
        assert_resumes(whole, step, updates, tmp_path / f"from{step}")


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_global_batch(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    trees = []
    for size, trainer_settings in ((24, {}), (12, {"devices": 2, "strategy": "ddp"})):
        tree = recipe("simultaneous")
        model = tree["model"]["init_args"]
        model["student"] = model["peers"]["b"] = {"class_path": "tests.fixtures.networks.plain"}
        del model["losses"]["each"]["hint"]  # its batch norm sees the samples of one process
        tree["data"]["init_args"]["batch_size"] = size
        tree["trainer"] |= trainer_settings
        trees.append(tree)
    runs.fit(trees[0], one, trusted=("tests",), console=Console(quiet=True))
    file = tmp_path / "two.json"
    file.write_text(json.dumps(trees[1]))
    command = [sys.executable, "-m", "distill", "fit", str(file), "--run_dir", str(two)]
    done = subprocess.run(
        [*command, "--trust", "tests"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("student", "b"):
        weights = [load_file(folder / "peers" / f"{name}.safetensors") for folder in (one, two)]
        torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)
