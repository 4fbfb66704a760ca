"""Teachers: runs, checkpoints, models of timm and transformers, ONNX files, ensembles, or none."""

from teachers.cached import Cached
from teachers.embeddings import Embeddings
from teachers.ensemble import Ensemble
from teachers.from_checkpoint import from_checkpoint
from teachers.from_run import from_run
from teachers.one_output import OneOutput
from teachers.onnx_model import onnx_model
from teachers.resized import Resized
from teachers.transformers_model import transformers_model
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
    "onnx_model",
    "timm_model",
    "transformers_model",
]
