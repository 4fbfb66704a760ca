"""Datamodules whose batches are keyed: the same views for any batch size, worker count or start."""

from distill.core.batch import Batch
from distill.data.annotated import Annotated
from distill.data.digits import Digits
from distill.data.images import Images
from distill.data.multi_label import MultiLabelImages
from distill.data.partly_labelled import PartlyLabelled
from distill.data.scenes import Scenes
from distill.data.text_lines import TextLines
from distill.data.unlabelled import Unlabelled

__all__ = [
    "Annotated",
    "Batch",
    "Digits",
    "Images",
    "MultiLabelImages",
    "PartlyLabelled",
    "Scenes",
    "TextLines",
    "Unlabelled",
]
