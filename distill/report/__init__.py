"""Reports: what a run, a bench or a sweep found, on one page."""

from distill.report.write import report

__all__ = ["report"]
