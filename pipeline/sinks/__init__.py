"""Where results go: JSON lines and an annotated video."""

from pipeline.sinks.annotate import Annotator
from pipeline.sinks.jsonl import JsonlSink

__all__ = ["Annotator", "JsonlSink"]
