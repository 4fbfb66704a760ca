"""Tasks: what a datamodule's labels are, and how a network's outputs are held against them."""

from distill.tasks.classification import Classification
from distill.tasks.detection import Detection, detections
from distill.tasks.embedding import Embedding
from distill.tasks.multi_label import MultiLabel
from distill.tasks.segmentation import Segmentation
from distill.tasks.task import ImageData, Task
from distill.tasks.tells import Tells
from distill.tasks.text_lines import TextLines

__all__ = [
    "Classification",
    "Detection",
    "Embedding",
    "ImageData",
    "MultiLabel",
    "Segmentation",
    "Task",
    "Tells",
    "TextLines",
    "detections",
]
