"""LightningModules that train students, and the terms that recipes wire into them."""

from distill.modules.blockwise import Block, Blockwise
from distill.modules.differentiable import DifferentiableSearch
from distill.modules.distillation import Distillation
from distill.modules.evaluation import Evaluation, LogFigures
from distill.modules.mean_teacher import MeanTeacher
from distill.modules.mutual import MutualLearning
from distill.modules.networks import Networks, Normalization
from distill.modules.once_for_all import OnceForAll
from distill.modules.peer_kl import PeerKL
from distill.modules.recalibration import recalibrate
from distill.modules.subnets import Subnets
from distill.modules.warmup import Warmup
from distill.wiring.term import Term

__all__ = [
    "Block",
    "Blockwise",
    "DifferentiableSearch",
    "Distillation",
    "Evaluation",
    "LogFigures",
    "MeanTeacher",
    "MutualLearning",
    "Networks",
    "Normalization",
    "OnceForAll",
    "PeerKL",
    "Subnets",
    "Term",
    "Warmup",
    "recalibrate",
]
