"""Training in stages: one recipe, several runs, each going on from the one before."""

from distill.stages.carry_out import fit_stages
from distill.stages.train_only import TrainOnly
from distill.stages.trees import check, last, trees

__all__ = ["TrainOnly", "check", "fit_stages", "last", "trees"]
