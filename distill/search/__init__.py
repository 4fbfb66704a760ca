"""Architecture search: strategies that propose designs of a space, and their evaluation."""

from distill.search.evaluations import Blockwise, Inherited, Trained
from distill.search.strategies.annealing import Annealing
from distill.search.strategies.bayes import Bayes
from distill.search.strategies.derived import Derived
from distill.search.strategies.evolution import Evolution
from distill.search.strategies.nsga2 import NSGA2
from distill.search.strategies.random import Random
from distill.search.strategies.reinforcement import Reinforcement
from distill.search.zero_cost import ZeroCost

__all__ = [
    "NSGA2",
    "Annealing",
    "Bayes",
    "Blockwise",
    "Derived",
    "Evolution",
    "Inherited",
    "Random",
    "Reinforcement",
    "Trained",
    "ZeroCost",
]
