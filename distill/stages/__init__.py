"""A callback under the name that saved recipes of stages know it by."""

from distill.callbacks.train_only import TrainOnly

__all__ = ["TrainOnly"]
