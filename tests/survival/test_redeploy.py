"""The service is deployed anew while it reads."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import av
import pytest

from tests.make_clips import longer
from tests.survival.conftest import NULL
from tests.survival.deployed import Deployed
from tests.survival.outcomes import record
from tests.survival.service import until
from tests.vocab.servers import Server

pytestmark = [pytest.mark.survival, pytest.mark.timeout(900)]

_ENDED_S = 180


@pytest.mark.parametrize(
    ("new_first", "what"),
    [
        ((), "`serve deploy` with other settings: every replica replaced"),
        (("Ingest", "Inference"), "the same with room for new replicas beside the old (`max_surge_percent`)"),
    ],
    ids=["in place", "side by side"],
)
def test_a_file_is_whole_after_every_replica_was_replaced(
    redis: Server, clip: Path, tmp_path: Path, new_first: tuple[str, ...], what: str
) -> None:
    with closing(Deployed(tmp_path, redis, new_first)) as deployed:
        pause_s, frames = _redeployed(deployed, longer(tmp_path / "long.mp4", clip, times=6))
    record(
        what,
        "no sampled frame of a file is missing, none comes twice",
        pause_s,
        f"0 of {frames} frames",
    )


def _redeployed(deployed: Deployed, file: Path) -> tuple[float, int]:
    """Deploys anew while the file is read and checks what came; the longest pause, and how many frames."""
    deployed.deploy()
    before = deployed.until_running()
    stream = deployed.add(file, name="file", realtime=True, **NULL)
    tail = deployed.tail(stream)
    tail.more(100)
    deployed_at = time.monotonic()
    deployed.deploy(kept_results=9_000)
    after = deployed.until_running()
    until(lambda: "ended" in tail.states, _ENDED_S, lambda: f"{len(tail.frames)} frames, {tail.states}")
    tail.stop()
    status = deployed.status(stream)
    again = deployed.tail(stream)
    again.until_frames(len(tail.frames))
    again.stop()

    assert set(before) == {"Gateway", "Ingest", "Inference", "VocabularyKeeper"}
    assert all(after[name] and not after[name] & before[name] for name in before), (before, after)
    # It was under way all the while: the last frames are of the new replicas.
    assert status["restarts"] >= 1
    assert status["inference"]["pid"] in after["Inference"]
    for reader in (tail, again):
        reader.check_once_each()
        assert [result["pts_s"] for result in reader.results] == pytest.approx(_times(file))
    return tail.longest_pause_s(deployed_at), len(tail.frames)


def _times(file: Path) -> list[float]:
    """Presentation times as a plain decode gives them."""
    with av.open(str(file)) as container:
        return [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]
