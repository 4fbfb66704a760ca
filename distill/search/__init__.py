"""Architecture search: strategies that propose designs of a space."""

from distill.search.strategies import (
    NSGA2,
    Annealing,
    Bayes,
    Evolution,
    Random,
    Reinforcement,
)

__all__ = ["NSGA2", "Annealing", "Bayes", "Evolution", "Random", "Reinforcement"]
