"""Strategies of search, each a pure function of seed, trial and past outcomes."""
