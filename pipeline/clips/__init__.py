"""Clips of a source, cut from its packets as they came: nothing is decoded, and nothing encoded anew."""
