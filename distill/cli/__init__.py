"""The command line."""

from distill.cli.app import main

__all__ = ["main"]
