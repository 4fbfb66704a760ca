"""Tune, export, preview, fill a cache, chains; and what Python users call: fit, load_student."""
