"""Distillation losses: pure functions of tensors, and a Module of each for recipes.

Every loss returns a scalar batch mean in at least float32 and gives no gradient to the teacher.
Importing this package costs torch and einops, nothing else of the toolkit.
"""

from distill.losses.feature.ab import ABLoss, ab_loss
from distill.losses.feature.adaptor import MapAdaptor, to_map
from distill.losses.feature.at import ATLoss, at_loss
from distill.losses.feature.crd import CRDLoss, crd_loss
from distill.losses.feature.cwd import CWDLoss, cwd_loss
from distill.losses.feature.embedding import EmbeddingLoss, embedding_loss
from distill.losses.feature.fgd import FGDLoss, fgd_loss
from distill.losses.feature.fsp import FSPLoss, fsp_loss
from distill.losses.feature.ft import FTLoss, ft_loss
from distill.losses.feature.hint import HintLoss, hint_loss
from distill.losses.feature.mgd import MGDLoss, mgd_loss
from distill.losses.feature.nst import NSTLoss, nst_loss
from distill.losses.feature.overhaul import OverhaulLoss, overhaul_loss, overhaul_margin
from distill.losses.feature.pkd import PKDLoss, pkd_loss
from distill.losses.feature.review import ReviewKDLoss, hcl_loss
from distill.losses.feature.vid import VIDLoss, vid_loss
from distill.losses.relation.cc import CCLoss, cc_loss
from distill.losses.relation.pairwise import PairwiseLoss, pairwise_loss
from distill.losses.relation.pkt import PKTLoss, pkt_loss
from distill.losses.relation.rkd import (
    RKDAngleLoss,
    RKDDistanceLoss,
    RKDLoss,
    rkd_angle_loss,
    rkd_distance_loss,
)
from distill.losses.relation.sp import SPLoss, sp_loss
from distill.losses.response.dist import DISTLoss, dist_loss
from distill.losses.response.dkd import DKDLoss, dkd_loss
from distill.losses.response.hard_kd import HardKDLoss, hard_kd_loss
from distill.losses.response.kd import KDLoss, kd_loss
from distill.losses.response.logit_standard_kd import LogitStandardKDLoss, logit_standard_kd_loss
from distill.losses.response.multi_label_kd import MultiLabelKDLoss, multi_label_kd_loss
from distill.losses.response.ssld import SSLDLoss, ssld_loss
from distill.losses.task.boxes import (
    CIoULoss,
    DIoULoss,
    GIoULoss,
    IoULoss,
    ciou_loss,
    diou_loss,
    giou_loss,
    iou_loss,
)
from distill.losses.task.center import CenterLoss, center_loss
from distill.losses.task.cross_entropy import CrossEntropyLoss, cross_entropy_loss
from distill.losses.task.ctc import CTCLoss, ctc_loss
from distill.losses.task.dice import DiceLoss, dice_loss
from distill.losses.task.distribution_focal import DistributionFocalLoss, distribution_focal_loss
from distill.losses.task.focal import FocalLoss, focal_loss
from distill.losses.task.lovasz import LovaszLoss, lovasz_loss
from distill.losses.task.quality_focal import QualityFocalLoss, quality_focal_loss
from distill.losses.task.sigmoid_focal import SigmoidFocalLoss, sigmoid_focal_loss

__all__ = [
    "ABLoss",
    "ATLoss",
    "CCLoss",
    "CIoULoss",
    "CRDLoss",
    "CTCLoss",
    "CWDLoss",
    "CenterLoss",
    "CrossEntropyLoss",
    "DISTLoss",
    "DIoULoss",
    "DKDLoss",
    "DiceLoss",
    "DistributionFocalLoss",
    "EmbeddingLoss",
    "FGDLoss",
    "FSPLoss",
    "FTLoss",
    "FocalLoss",
    "GIoULoss",
    "HardKDLoss",
    "HintLoss",
    "IoULoss",
    "KDLoss",
    "LogitStandardKDLoss",
    "LovaszLoss",
    "MGDLoss",
    "MapAdaptor",
    "MultiLabelKDLoss",
    "NSTLoss",
    "OverhaulLoss",
    "PKDLoss",
    "PKTLoss",
    "PairwiseLoss",
    "QualityFocalLoss",
    "RKDAngleLoss",
    "RKDDistanceLoss",
    "RKDLoss",
    "ReviewKDLoss",
    "SPLoss",
    "SSLDLoss",
    "SigmoidFocalLoss",
    "VIDLoss",
    "ab_loss",
    "at_loss",
    "cc_loss",
    "center_loss",
    "ciou_loss",
    "crd_loss",
    "cross_entropy_loss",
    "ctc_loss",
    "cwd_loss",
    "dice_loss",
    "diou_loss",
    "dist_loss",
    "distribution_focal_loss",
    "dkd_loss",
    "embedding_loss",
    "fgd_loss",
    "focal_loss",
    "fsp_loss",
    "ft_loss",
    "giou_loss",
    "hard_kd_loss",
    "hcl_loss",
    "hint_loss",
    "iou_loss",
    "kd_loss",
    "logit_standard_kd_loss",
    "lovasz_loss",
    "mgd_loss",
    "multi_label_kd_loss",
    "nst_loss",
    "overhaul_loss",
    "overhaul_margin",
    "pairwise_loss",
    "pkd_loss",
    "pkt_loss",
    "quality_focal_loss",
    "rkd_angle_loss",
    "rkd_distance_loss",
    "sigmoid_focal_loss",
    "sp_loss",
    "ssld_loss",
    "to_map",
    "vid_loss",
]
