"""Rules about what a stream never says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.events.rules import AnyRule, CutRule, GuardRule, LabelRule, NoveltyRule, ThingRule, ZoneRule
from pipeline.results import CHANGED, UNKNOWN, Answers

_MOST_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Said:
    """What the results of a stream can say.

    Attributes:
        answers: of its model.
        changed: whether they say what changed.
        classes: names for that, as learned; None where none were.
        zones: names of the states that each zone has, by its name.
        guarded: whether a promise is held.
    """

    answers: Answers
    changed: bool = False
    classes: Collection[str] | None = None
    zones: Mapping[str, Collection[str]] = field(default_factory=dict)
    guarded: bool = False


def never_met(rules: Sequence[AnyRule], said: Said) -> Iterator[str]:
    """A line for each rule that can make no event as things are: what it is about, and what to do.

    All of that may come true later: a zone is learned, or another model chosen.
    """
    for rule in rules:
        why = _why(rule, said)
        if why is not None:
            yield f"rule {rule.name} can make no event: {why}"


def _why(rule: AnyRule, said: Said) -> str | None:
    match rule:
        case ThingRule(what="changed"):
            if not said.changed:
                return "what changed is not looked for (--changed)"
            known = [CHANGED] if said.classes is None else [*said.classes, UNKNOWN]
            return _unknown(rule.names, known, "what changed is called")
        case ThingRule():
            return _other(said, "boxes" if rule.what == "box" else "regions") or _unknown(
                rule.names, said.answers.names, "the model knows"
            )
        case LabelRule():
            return _other(said, "labels") or _unknown([rule.label], said.answers.names, "the model knows")
        case NoveltyRule() | CutRule():
            return _other(said, None)
        case ZoneRule() if rule.zone not in said.zones:
            there = ", ".join(said.zones) or "no zones (--zones FILE)"
            return f"there are {there}, and it is about {rule.zone}"
        case ZoneRule() if rule.state not in (*said.zones[rule.zone], UNKNOWN):
            return f"{rule.zone} is {' or '.join(said.zones[rule.zone])}, and never {rule.state}"
        case GuardRule() if not said.guarded:
            return "no promise is held (--guard TARGET)"
    return None


def _other(said: Said, wanted: str | None) -> str | None:
    """Why a model answers otherwise than a rule wants; `wanted` is None where any answer will do."""
    kind = said.answers.kind
    if kind is None or kind == wanted or (wanted is None and kind != "none"):
        return None
    gives = "nothing" if kind == "none" else kind
    return f"the model gives {gives}, and it is about {wanted or 'an embedding'}; choose another --model"


def _unknown(names: Collection[str] | None, known: Collection[str] | None, says: str) -> str | None:
    """Why none of some names is ever said; None where one is, or the names are not known."""
    if names is None or known is None or not set(names).isdisjoint(known):
        return None
    shown = [*known][:_MOST_SHOWN]
    more = f" and {len(known) - len(shown)} more" if len(known) > len(shown) else ""
    return f"{says} {', '.join(shown)}{more}, and never {' or '.join(names)}"
