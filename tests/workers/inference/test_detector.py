"""A detector in the service: its boxes reach results, audits and the preview."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.models.coco import COCO_NAMES
from tests.vocab.servers import eventually
from tests.workers.inference.examples import FULL, batch
from tests.workers.inference.test_core import Replica, framed, picture, redis, results, server, status
from workers.contract.keys import StreamKeys
from workers.gateway.messages import ResultView

__all__ = ["redis", "server"]  # fixtures

SIZE = {"size": "96x64"}
YOLOS = replace(
    FULL,
    model="yolos_tiny",
    tokenizer="merge",
    options={"r": 2},
    audit=1.0,
    guard=0.9,
    guard_by="agreement",
    **SIZE,
)


def test_boxes_are_stored_audited_and_painted(server: Any, redis: Any) -> None:
    replica = Replica(server.url, weights={"yolos_tiny": "random"}, min_score=0.0)
    frames = framed("yolos_tiny", 640, 427, **SIZE)
    redis.set(StreamKeys("gate").watched, 1)

    def painted() -> bool:
        replica.infer(batch("gate", len(results(redis, "gate")), 1, YOLOS, frames=frames))
        return bool(redis.exists(StreamKeys("gate").preview))

    eventually(painted)
    replica.close()

    for result in results(redis, "gate"):
        told = ResultView.model_validate(result)
        assert told.prediction.boxes is not None
        assert len(told.prediction.boxes) == 100
        assert {box.name for box in told.prediction.boxes} <= set(COCO_NAMES)
        assert told.fidelity is not None
        assert told.fidelity.agreement is not None
        assert 0 <= told.fidelity.agreement <= 1
    guard = status(redis, "gate").guard
    assert guard is not None
    assert guard["by"] == "agreement"
    yellow = picture(redis.hget(StreamKeys("gate").preview, "plain"))[..., ::-1].astype(int) - (255, 196, 0)
    assert (np.abs(yellow).max(axis=2) < 60).sum() > 500


def test_who_asks_for_sure_boxes_gets_no_others(server: Any, redis: Any) -> None:
    replica = Replica(server.url, weights={"yolos_tiny": "random"}, min_score=1.0)
    replica.infer(batch("gate", 0, 1, YOLOS, frames=framed("yolos_tiny", 640, 427, **SIZE)))
    replica.close()

    (result,) = results(redis, "gate")
    assert result["prediction"] == {"kind": "boxes", "boxes": []}
