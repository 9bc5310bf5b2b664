"""Rules about what a stream never says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.events.rules import AnyRule, GuardRule, ThingRule, ZoneRule


def never_met(
    rules: Sequence[AnyRule], changed: bool, zones: Mapping[str, Sequence[str]], guarded: bool
) -> Iterator[str]:
    """A line for each rule that can make no event: what it is about, and what to do.

    Args:
        rules: of a stream.
        changed: whether results say what changed.
        zones: names of the states that each zone has, by its name.
        guarded: whether a promise is held.
    """
    for rule in rules:
        why = _why(rule, changed, zones, guarded)
        if why is not None:
            yield f"rule {rule.name} can make no event: {why}"


def _why(rule: AnyRule, changed: bool, zones: Mapping[str, Sequence[str]], guarded: bool) -> str | None:
    match rule:
        case ThingRule(what="changed") if not changed:
            return "what changed is not looked for (--changed)"
        case ZoneRule() if rule.zone not in zones:
            known = f"there are {', '.join(zones)}" if zones else "there are no zones (--zones FILE)"
            return f"{known}, and it is about {rule.zone}"
        case ZoneRule() if rule.state not in (*zones[rule.zone], "unknown"):
            return f"{rule.zone} is {' or '.join(zones[rule.zone])}, and never {rule.state}"
        case GuardRule() if not guarded:
            return "no promise is held (--guard TARGET)"
    return None
