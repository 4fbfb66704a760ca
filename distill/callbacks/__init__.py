"""Callbacks of every run: checkpoints, signals, records and loggers."""

from distill.callbacks.checkpoint import SafeCheckpointIO, checkpointers, newest_valid
from distill.callbacks.metrics_file import metrics_file
from distill.callbacks.record import RunRecord
from distill.callbacks.signals import StopOnSignal
from distill.callbacks.wandb_config import WandbConfig, offline_if_unreachable

__all__ = [
    "RunRecord",
    "SafeCheckpointIO",
    "StopOnSignal",
    "WandbConfig",
    "checkpointers",
    "metrics_file",
    "newest_valid",
    "offline_if_unreachable",
]
