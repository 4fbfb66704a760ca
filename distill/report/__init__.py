"""Reports: the results of a run, a bench or a sweep on one page."""

from distill.report.write import report

__all__ = ["report"]
