# ruff: noqa: E501
"""Each loss broken by hand, as public code has broken it; the questionnaire must notice."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KD, SSLD = "response/kd", "response/ssld"
OVERHAUL, RKD = "feature/overhaul", "relation/rkd"
MUTANTS = {
    "kd without T^2": (KD, "return temperature**2 * divergence", "return divergence"),
    "kd averaged over classes": (KD, "batchmean", "mean"),
    "kd into the teacher": (KD, "teacher.detach()", "teacher"),
    "kd the other way round": (KD, "kl_div(log_student, log_teacher", "kl_div(log_teacher, log_student"),
    "kd in bfloat16": (KD, "at_least_float32(student)", "student"),
    "ssld with one divergence": (SSLD, "(log_t.exp() - log_s.exp())", "log_t.exp()"),
    "ssld doubled": (SSLD, ".sum(1).mean() / 2", ".sum(1).mean()"),
    "ssld into the teacher": (SSLD, "teacher.detach()", "teacher"),
    "js with a heavy mixture": (SSLD, " - math.log(2)", ""),
    "overhaul without the free region": (OVERHAUL, "torch.where(free, 0.0, (", "torch.where(free & ~free, 0.0, ("),
    "overhaul with L1": (OVERHAUL, "(target - student).square()", "(target - student).abs()"),
    "overhaul averaged": (OVERHAUL, ".sum() / len(student)", ".mean()"),
    "overhaul into the teacher": (OVERHAUL, "at_least_float32(teacher.detach())", "at_least_float32(teacher)"),
    "margin without the jump": (OVERHAUL, "negative > 1e-3", "negative > 0"),
    "margin of all responses": (OVERHAUL, "negative = teacher < 0", "negative = teacher < 9e9"),
    "distances over their maximum": (RKD, "pairwise.sum() / apart.sum().clamp_min(1)", "pairwise.max()"),
    "distances over the diagonal too": (RKD, "apart.sum().clamp_min(1)", "apart.numel()"),
    "distances with MSE": (RKD, "F.huber_loss(_rel", "F.mse_loss(_rel"),
    "distances into the teacher": (RKD, "_relative_distances(teacher.detach())", "_relative_distances(teacher)"),
    "angles with MSE": (RKD, "slope = difference.clamp(-1, 1)", "slope = difference"),
    "angles over pairs": (RKD, "len(student) ** 3", "len(student) ** 2"),
    "angles with half a gradient": (RKD, "gradient[vertices] -= 2 *", "gradient[vertices] -="),
    "angles in float32": ("kernels", "flat.double()", "flat.float()"),
    "gram not centred, in float32": (
        "kernels",
        "flat.double()\n    flat = flat - flat.mean(0)",
        "flat.float()",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_a_broken_loss_is_noticed(mutant: tuple[str, str, str], tmp_path: Path) -> None:
    name, right, wrong = mutant
    for folder in ("distill", "tests", "teachers", "students"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    path = tmp_path / "distill" / "losses" / f"{name}.py"
    source = path.read_text()
    assert right in source
    path.write_text(source.replace(right, wrong))
    tests = "relation/test_rkd.py" if name == "kernels" else name.replace("/", "/test_") + ".py"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"tests/losses/{tests}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout[-2000:]
