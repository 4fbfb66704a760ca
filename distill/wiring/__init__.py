"""Wires the tensors of networks to the losses of an objective."""
