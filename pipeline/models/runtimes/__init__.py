"""Runtimes: what computes the blocks of a packed model, and in which precision."""
