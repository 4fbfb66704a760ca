"""Formats of annotated images: each module reads one to the same thing."""
