"""Teachers: finished runs, checkpoints, models of timm, ensembles, or a virtual one."""

from teachers.cached import Cached
from teachers.embeddings import Embeddings
from teachers.ensemble import Ensemble
from teachers.from_checkpoint import from_checkpoint
from teachers.from_run import from_run
from teachers.one_output import OneOutput
from teachers.resized import Resized
from teachers.virtual import VirtualTeacher
from teachers.zoo import timm_model

__all__ = [
    "Cached",
    "Embeddings",
    "Ensemble",
    "OneOutput",
    "Resized",
    "VirtualTeacher",
    "from_checkpoint",
    "from_run",
    "timm_model",
]
