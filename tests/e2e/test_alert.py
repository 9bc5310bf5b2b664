"""From a camera to an alert: a zone is learned, a stream watched, and a webhook gets picture and clip."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from tests.e2e.command import succeeds
from tests.e2e.service import Service
from tests.vocab.servers import eventually
from tests.workers.sinks.receiver import Receiver

INPUT = ("--size", "112", "--fit", "native")
# The carphone's clip lasts four seconds.
RULES = """
- {name: late, what: zone, zone: seat, state: late, severity: alarm, clip: {before_s: 1, after_s: 0.4}}
- {name: moved, what: changed}
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service("--data-folder", tmp_path / "data", "--allow-host", "127.0.0.1")
    yield service
    service.close()


def test_an_alert_comes_to_a_webhook_with_its_picture_and_its_clip(
    tmp_path: Path, receiver: Receiver, service: Service
) -> None:
    zones, rules = tmp_path / "zones.json", tmp_path / "alerts.yaml"
    rules.write_text(RULES)
    succeeds(
        *(
            "zones",
            "learn",
            "sample:carphone",
            "--zone",
            "seat",
            "--polygon",
            "0.3,0.2 0.7,0.2 0.7,0.8 0.3,0.8",
        ),
        *("--state", "early=0.1,0.5,0.9", "--state", "late=3,3.4,3.8", *INPUT, "-o", zones),
    )
    succeeds(
        *("streams", "add", "sample:carphone", "--url", service.url, "--fps", "5", *INPUT),
        *("--tokenizer", "full", "--changed", "--zones", zones, "--rules", rules),
        *("--sink", f"http://127.0.0.1:{receiver.port}/alerts"),
    )

    def told(rule: str) -> list[dict[str, Any]]:
        results = [result for _, body in list(receiver.requests) for result in body["results"]]
        return [result for result in results if result.get("kind") == "event" and result["rule"] == rule]

    eventually(lambda: {event["state"] for event in told("late")} == {"start", "clip", "end"}, 120)
    eventually(lambda: {event["state"] for event in told("moved")} == {"start", "end"}, 30)

    alert = next(event for event in told("late") if event["state"] == "clip")
    assert alert["severity"] == "alarm"
    picture = httpx.get(service.url + alert["snapshot"])
    assert picture.headers["content-type"] == "image/jpeg"
    clip = httpx.get(service.url + alert["clip"])
    with av.open(io.BytesIO(clip.content)) as container:
        shown = [frame.time for frame in container.decode(video=0)]
    # A second before and what there was behind it, at 30 frames a second.
    assert len(shown) >= 30
    assert (tmp_path / "data" / "clips" / "carphone" / f"{alert['id']}.mp4").exists()
