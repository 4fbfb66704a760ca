"""Callbacks that a recipe may name."""

from distill.callbacks.cka import CKA
from distill.callbacks.gradient_cosine import GradientCosine
from distill.callbacks.train_only import TrainOnly

__all__ = ["CKA", "GradientCosine", "TrainOnly"]
