"""Callbacks that a recipe may name."""

from distill.callbacks.cka import CKA
from distill.callbacks.gradient_cosine import GradientCosine
from distill.callbacks.reestimate_batch_norm import ReestimateBatchNorm
from distill.callbacks.sparsify import Sparsify
from distill.callbacks.train_only import TrainOnly
from distill.callbacks.warm_start import WarmStart

__all__ = ["CKA", "GradientCosine", "ReestimateBatchNorm", "Sparsify", "TrainOnly", "WarmStart"]
