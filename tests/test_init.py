"""What ``import distill`` gives, and what it costs."""

import ast
import subprocess
import sys

import pytest

import distill
from distill.tools.fit import fit
from distill.tools.load_student import load_student
from distill.wiring.capture import capture

CODE = """
import sys
told = []
import distill
dir(distill)
told.append(list(sys.modules))
import distill.losses
told.append(list(sys.modules))
distill.capture
told.append(list(sys.modules))
print(told)
"""
HEAVY = {"pytorch_lightning", "lightning_fabric", "torchmetrics", "torchvision", "timm", "wandb"}


def test_the_import_is_free_and_capture_costs_torch_alone() -> None:
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, losses, taps = [
        {name if name.startswith("distill") else name.split(".")[0] for name in names}
        for names in ast.literal_eval(done.stdout)
    ]
    assert {name for name in first if name.startswith("distill")} == {"distill"}
    assert not first & {"torch", "numpy", *HEAVY}
    own = {name for name in losses if name.startswith("distill")}
    assert all(name == "distill" or name.startswith("distill.losses") for name in own)
    assert "distill.wiring.capture" in taps
    assert not taps & HEAVY


def test_names_are_listed_and_lead_to_what_they_name() -> None:
    assert {"fit", "load_student", "capture", "__version__"} <= set(dir(distill))
    assert (distill.fit, distill.load_student, distill.capture) == (fit, load_student, capture)
    with pytest.raises(AttributeError, match="module 'distill' has no attribute 'fitt'"):
        distill.fitt  # type: ignore[attr-defined]  # noqa: B018
