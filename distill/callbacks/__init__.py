"""Callbacks: checkpoints, signals, records and loggers of every run; diagnostics on demand."""

from distill.callbacks.checkpoint import (
    SafeCheckpointIO,
    checkpointers,
    newest_valid,
    to_go_on_from,
)
from distill.callbacks.cka import CKA
from distill.callbacks.gradient_cosine import GradientCosine
from distill.callbacks.metrics_file import metrics_file
from distill.callbacks.record import RunRecord
from distill.callbacks.signals import StopOnSignal
from distill.callbacks.wandb_config import WandbConfig
from distill.callbacks.wandb_connection import offline_if_unreachable
from distill.callbacks.wandb_results import log_results

__all__ = [
    "CKA",
    "GradientCosine",
    "RunRecord",
    "SafeCheckpointIO",
    "StopOnSignal",
    "WandbConfig",
    "checkpointers",
    "log_results",
    "metrics_file",
    "newest_valid",
    "offline_if_unreachable",
    "to_go_on_from",
]
