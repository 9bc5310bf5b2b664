"""Clips of a source, cut from its packets as they came: nothing is decoded, and nothing encoded anew."""

from pipeline.clips.packets import Cut, PacketRing, Section, UncutError

__all__ = ["Cut", "PacketRing", "Section", "UncutError"]
