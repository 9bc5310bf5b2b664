"""A real service with a budget of operations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.survival.service import Service, until

# Small pictures, so that there are many frames to share.
CLIP = {"size": "70x70", "loop": True, "realtime": True, "policy": "drop-oldest", "tokenizer": "full"}


@pytest.fixture
def service(tmp_path: Path) -> Any:
    service = Service(tmp_path, {"budget": {"gflops": 4}})
    yield service
    service.stop()


def test_streams_share_it_by_priority_and_stay_within_it(service: Service) -> None:
    for name, priority in (("door", 3), ("yard", 1)):
        service.add("sample:carphone", name=name, priority=priority, **CLIP)

    def shares() -> list[dict[str, Any]]:
        return [service.status(name)["sharing"] or {} for name in ("door", "yard")]

    # Once both have been looked at for a while, figures are of what they were given.
    until(
        lambda: (
            all(share.get("fps") for share in shares())
            and 0.8 * 3 < shares()[0]["gflops"] / shares()[1]["gflops"] < 1.2 * 3
            and shares()[0]["budget"]["used"] == pytest.approx(4, rel=0.15)
        ),
        60,
        lambda: f"{shares()}",
        every_s=0.5,
    )
    shown = service.http.get("/v1/streams/yard").json()["shown"]
    assert "giving way to the budget of 4 gflops (priority 1)" in shown["sharing"]
    assert shown["state"] == "degraded"
