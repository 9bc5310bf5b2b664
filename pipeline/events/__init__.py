"""Events: what rules make of a stream's results. Results are read as JSON-like objects only; no torch."""

from pipeline.events.engine import Engine, Event
from pipeline.events.reading import read_rules, read_rules_file
from pipeline.events.rules import MOST_RULES, AnyRule, Rules

__all__ = ["MOST_RULES", "AnyRule", "Engine", "Event", "Rules", "read_rules", "read_rules_file"]
