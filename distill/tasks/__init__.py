"""Tasks: what a datamodule's labels are, and how a network's outputs are held against them."""

from distill.tasks.classification import Classification
from distill.tasks.multi_label import MultiLabel
from distill.tasks.task import ImageData, Task
from distill.tasks.text_lines import TextLines

__all__ = ["Classification", "ImageData", "MultiLabel", "Task", "TextLines"]
