"""Metrics that torchmetrics lacks, and those of it that every run reports."""

from distill.metrics.agreement import AgreementMetrics
from distill.metrics.cka import LinearCKA, linear_cka
from distill.metrics.cost import cpu_latency_ms, flops
from distill.metrics.embeddings import EmbeddingAccuracy, EmbeddingComparison
from distill.metrics.gradient_cosine import gradient_cosines
from distill.metrics.labels import LabelComparison
from distill.metrics.lines import LineAccuracy, LineComparison, read_lines

__all__ = [
    "AgreementMetrics",
    "EmbeddingAccuracy",
    "EmbeddingComparison",
    "LabelComparison",
    "LineAccuracy",
    "LineComparison",
    "LinearCKA",
    "cpu_latency_ms",
    "flops",
    "gradient_cosines",
    "linear_cka",
    "read_lines",
]
