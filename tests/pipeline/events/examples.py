"""Results as rules read them."""

from __future__ import annotations

from typing import Any

from pipeline.events import Engine, Event, read_rules


def a_result(frame: int, at_s: float | None = None, **more: Any) -> dict[str, Any]:
    """A result of a file at one frame a second."""
    return {
        "stream": "yard",
        "frame": frame,
        "pts_s": float(frame if at_s is None else at_s),
        "captured_at": None,
    } | more


def boxes(*names: str, score: float = 0.9, x: float = 0.4) -> dict[str, Any]:
    """A prediction with such boxes, whose feet are at (x + 0.1, 0.6)."""
    found = [{"name": name, "score": score, "x": x, "y": 0.2, "w": 0.2, "h": 0.4} for name in names]
    return {"prediction": {"kind": "boxes", "boxes": found}}


def engine(*rules: dict[str, Any]) -> Engine:
    return Engine("yard", read_rules(list(rules)))


def told(engine: Engine, results: list[dict[str, Any]]) -> list[Event]:
    return [event for result in results for event in engine.feed(result)]


def turns(events: list[Event]) -> list[tuple[str, int]]:
    return [(event["state"], event["frame"]) for event in events]
