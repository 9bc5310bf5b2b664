"""Where results go: JSON lines and an annotated video."""

from pipeline.outputs.annotate import Annotator
from pipeline.outputs.jsonl import JsonlWriter

__all__ = ["Annotator", "JsonlWriter"]
