"""Calls to a replica of Inference on the same machine, past Ray: a third of what they cost through it."""
