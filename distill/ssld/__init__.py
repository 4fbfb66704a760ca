"""SSLD: preparation of unlabelled images, and terms on some images of a batch."""

from distill.ssld.prepare import prepare
from distill.ssld.rows import OnRows

__all__ = ["OnRows", "prepare"]
