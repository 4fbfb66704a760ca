"""experiments/loss_speed compares like with like, and runs."""

import csv
import inspect
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import distill.losses
from experiments.loss_speed import loss_speed
from experiments.loss_speed.cases import CASES, USUAL, Case, case


@pytest.mark.parametrize("name", USUAL)
def test_the_usual_form_computes_the_same(name: str) -> None:
    values, gradients = [], []
    for form in ("usual", "ours"):
        measured = case(name, form, batch=6)
        inputs = {name: value.detach().double() for name, value in tensors(measured).items()}
        inputs["student"].requires_grad_()
        values.append(measured.loss(**inputs))
        gradients.append(torch.autograd.grad(values[-1], inputs["student"])[0])
    assert gradients[1].norm() > 0
    # PKT's 1e-7 stands at another place in the ratio.
    torch.testing.assert_close(values[1], values[0], rtol=1e-5, atol=0)
    assert (gradients[1] - gradients[0]).norm() < 1e-5 * gradients[0].norm()


def tensors(measured: Case) -> dict[str, Tensor]:
    return {name: value for name, value in measured.inputs.items() if isinstance(value, Tensor)}


def test_every_loss_has_a_typical_size() -> None:
    public = {name: getattr(distill.losses, name) for name in distill.losses.__all__}
    assert set(CASES) == {name for name, value in public.items() if inspect.isclass(value)}


def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(loss_speed, "peak_mib", lambda *_: 1.0)  # a process for each
    size = ["--batches", "8", "--widths", "16", "32", "--threads", "1"]
    names = ["--losses", "KDLoss", "PKTLoss"]
    loss_speed.main(["--out", str(tmp_path), "--budget", "0", *size, *names])
    torch.set_num_threads(threads)
    angles, losses = (
        list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        for name in ("rkd_angle.csv", "losses.csv")
    )
    assert [row["width"] for row in angles] == ["16", "32"]
    assert all(float(row["gradient_error"]) < 1e-5 for row in angles)
    assert [row["loss"] for row in losses] == ["KDLoss", "PKTLoss"]
    assert float(losses[0]["ours_ms"]) > 0
    assert json.loads((tmp_path / "summary.json").read_text())["usual time over ours"]["1 threads"]
    assert (tmp_path / "plot.png").stat().st_size > 1000
