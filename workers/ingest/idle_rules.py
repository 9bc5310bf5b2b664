"""Rules of a stream that can make no event as it is set."""

from __future__ import annotations

from pipeline.events.sense import Said, never_met
from pipeline.results import Answers
from workers.contract.stream_spec import StreamSpec


def idle_rules(spec: StreamSpec, answers: Answers) -> list[str]:
    """A line for each, see `never_met`.

    Args:
        spec: of the stream.
        answers: of its model.
    """
    # Both were checked when they were given, see `SceneFields`.
    zones = {} if spec.zones is None else spec.zones["zones"]
    said = Said(
        answers,
        changed=spec.changed or spec.classes is not None,
        classes=None if spec.classes is None else spec.classes["names"],
        zones={name: zone["states"] for name, zone in zones.items()},
        guarded=spec.guard is not None,
    )
    return list(never_met(spec.rules, said))
