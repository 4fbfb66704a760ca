"""Distillation losses: pure functions of tensors, and a Module of each for recipes.

Every loss returns a scalar batch mean in at least float32 and gives no gradient to the teacher.
Importing this package costs torch and einops, nothing else of the toolkit.
"""

from distill.losses.feature.overhaul import OverhaulLoss, overhaul_loss, overhaul_margin
from distill.losses.relation.rkd import (
    RKDAngleLoss,
    RKDDistanceLoss,
    RKDLoss,
    rkd_angle_loss,
    rkd_distance_loss,
)
from distill.losses.response.kd import KDLoss, kd_loss
from distill.losses.response.ssld import SSLDLoss, ssld_loss

__all__ = [
    "KDLoss",
    "OverhaulLoss",
    "RKDAngleLoss",
    "RKDDistanceLoss",
    "RKDLoss",
    "SSLDLoss",
    "kd_loss",
    "overhaul_loss",
    "overhaul_margin",
    "rkd_angle_loss",
    "rkd_distance_loss",
    "ssld_loss",
]
