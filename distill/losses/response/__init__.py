"""Losses on what the networks answer: their logits."""
