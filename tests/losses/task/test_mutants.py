# ruff: noqa: E501
"""Each task loss broken by hand, as public code has broken it; its tests must notice."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MUTANTS = {
    "focal without the power": ("focal", "rest.pow(gamma) * ", ""),
    "focal on hard and easy the other way round": ("focal", "(-torch.expm1(log_p))", "log_p.exp()"),
    "focal averaged over what is ignored": ("focal", "known.sum().clamp_min(1)", "max(len(input), 1)"),
    "focal without alpha": ("focal", " * _weights(alpha, log_p)", ""),
    "focal in bfloat16": ("focal", "at_least_float32(input)", "input"),
    "focal with an infinite slope": ("focal", ".clamp_min(torch.finfo(log_p.dtype).tiny)", ""),
    "centre loss without the half": ("center", "(2 * max(", "(1 * max("),
    "centre loss with L1": ("center", ".square().sum()", ".abs().sum()"),
    "centres that stay": ("center", "self.centres += self.rate", "self.centres += 0"),
    "centres that flee": ("center", "self.centres += self.rate", "self.centres -= self.rate"),
    "centres at the batch's means": ("center", "(1 + counts[:, None])", "counts[:, None].clamp_min(1)"),
    "centres that move in evaluation": ("center", "if self.training:", "if self.rate:"),
    "centres with a gradient": ("center", "centres.detach()", "centres"),
    "dice without the squares": ("dice", "p.square().sum(2) + t.square().sum(2)", "p.sum(2) + t.sum(2)"),
    "dice of classes that are not there": ("dice", "t.square().sum(2) > 0", "t.square().sum(2) > -1"),
    "dice over the batch": ("dice", "b k h w -> b k (h w)", "b k h w -> 1 k (b h w)"),
    "dice of what is ignored": ("dice", " * known.unsqueeze(1)", ""),
    "dice of a sigmoid": ("dice", "softmax(dim=1)", "sigmoid()"),
    "lovasz from the smallest error": ("lovasz", "descending=True", "descending=False"),
    "lovasz with errors alone sorted": ("lovasz", "own.gather(2, order)", "own"),
    "lovasz of what is ignored": ("lovasz", " * known.unsqueeze(1)", ""),
    "lovasz of all classes": ("lovasz", '"present" else counts', '"all" else counts'),
    "lovasz with another default": ("lovasz", 'per: Per = "batch"', 'per: Per = "image"'),
    "lovasz of an absent class as 0": ("lovasz", ".clamp_min(1)), 1.0)", ".clamp_min(1)), 0.0)"),
    "lovasz with the union before": ("lovasz", "1 / union.clamp_min(1)", "1 / (union + 1)"),
    "iou over both areas": ("boxes", "_area(a) + _area(b) - overlap", "_area(a) + _area(b)"),
    "iou as a logarithm": ("boxes", "_mean(1 - _overlap(a, b)[0])", "_mean(-_overlap(a, b)[0].log())"),
    "boxes with a constant": ("boxes", "(positive, denominator, 1.0),", "(positive, denominator, 1.0) + 1e-7,"),
    "boxes of a negative side": ("boxes", ".clamp_min(0)", ""),
    "boxes into the target": ("boxes", "target.detach()", "target"),
    "giou over the union": ("boxes", "width * height - union, width * height", "width * height - union, union"),
    "giou the other way round": ("boxes", "1 - iou + _ratio(width", "1 - iou - _ratio(width"),
    "giou without the iou": ("boxes", "1 - iou + _ratio(width", "1 + _ratio(width"),
    "diou of distances": ("boxes", "diagonal), iou", "diagonal).sqrt(), iou"),
    "diou of twice the distance": ("boxes", "b[:, 2:]) / 2", "b[:, 2:])"),
    "diou over the sides": ("boxes", "_around(a, b).square().sum(1)", "_around(a, b).sum(1)"),
    "ciou with a gradient of alpha": ("boxes", "1 - iou + v).detach()", "1 - iou + v)"),
    "ciou without its constant": ("boxes", "4 / math.pi**2 * ", ""),
    "ciou without alpha": ("boxes", "values + alpha * v", "values + v"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_a_broken_loss_is_noticed(mutant: tuple[str, str, str], tmp_path: Path) -> None:
    name, right, wrong = mutant
    for folder in ("distill", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    path = tmp_path / "distill" / "losses" / "task" / f"{name}.py"
    source = path.read_text()
    assert right in source
    path.write_text(source.replace(right, wrong))
    command = [sys.executable, "-m", "pytest", "-qx", "-m", "not slow", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"tests/losses/task/test_{name}.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout[-2000:]
