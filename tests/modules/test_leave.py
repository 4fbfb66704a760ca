from pathlib import Path

import pytorch_lightning as pl
import torch
from safetensors.torch import load_file
from torch import nn

from distill.modules.leave import leave_weights
from tests.networks import tiny


def trainer(folder: Path, checkpoints: bool) -> pl.Trainer:
    return pl.Trainer(
        default_root_dir=folder, logger=False, enable_checkpointing=checkpoints, accelerator="cpu"
    )


def test_networks_are_left_where_runs_are_kept(tmp_path: Path) -> None:
    network = tiny(8).to(memory_format=torch.channels_last)
    leave_weights(trainer(tmp_path, True), {"peers/b.safetensors": network})
    left = load_file(tmp_path / "peers" / "b.safetensors")
    assert left.keys() == network.state_dict().keys()
    assert all((value == left[name]).all() for name, value in network.state_dict().items())


def test_a_trainer_without_checkpoints_leaves_nothing(tmp_path: Path) -> None:
    leave_weights(trainer(tmp_path, False), {"b.safetensors": nn.Linear(2, 2)})
    assert list(tmp_path.iterdir()) == []
