"""LightningModules that train students, and the terms that recipes wire into them."""

from distill.modules.distillation import Distillation
from distill.modules.normalization import Normalization
from distill.modules.term import Term
from distill.modules.warmup import Warmup

__all__ = ["Distillation", "Normalization", "Term", "Warmup"]
