"""How many replicas are wanted, from what replicas report."""

from typing import Any

import pytest
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve.config import AutoscalingContext

from workers.inference.scaling import BACKLOG_S, BUSY, STREAMS, BacklogPolicy, replicas_wanted

# replicas, backlog of each in seconds, busy share of each, streams of each -> wanted for a target of 0.5 s
CASES = {
    "frames that wait too long get one more of few replicas": (2, [0.9, 0.2], [1.0, 0.5], [4, 4], 3),
    "of many it is a quarter more at most": (20, [50.0] * 20, [1.0] * 20, [50] * 20, 25),
    "and less where frames wait little longer": (20, [0.55] * 20, [1.0] * 20, [50] * 20, 22),
    "the hottest alone is no reason, however long it waits": (
        20,
        [90.0] + [0.1] * 19,
        [1.0] * 20,
        [50] * 20,
        20,
    ),
    "one stream stays on one replica, however long it waits": (1, [9.0], [1.0], [1], 1),
    "there are no more replicas than streams": (4, [9.0, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0], 2),
    "of replicas that stand idle one goes": (4, [0.0] * 4, [0.1, 0.2, 0.1, 0.1], [2] * 4, 3),
    "of many idle ones a fifth goes": (20, [0.0] * 20, [0.1] * 20, [2] * 20, 16),
    "none goes while another has frames that wait": (20, [0.3] + [0.0] * 19, [0.1] * 20, [2] * 20, 20),
    "as many stay as keep busy without waiting": (8, [0.1] * 8, [0.6] * 8, [2] * 8, 7),
    "nothing changes between": (3, [0.4, 0.4, 0.4], [0.2] * 3, [2] * 3, 3),
    "being busy alone is no reason for more": (1, [0.01], [1.0], [8], 1),
    "without any stream one is enough": (2, [0.0] * 2, [0.0] * 2, [0] * 2, 1),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_replicas_follow_the_backlog(case: tuple[int, list[float], list[float], list[float], int]) -> None:
    current, backlog_s, busy, streams, wanted = case
    assert replicas_wanted(current, {BACKLOG_S: backlog_s, BUSY: busy, STREAMS: streams}, 0.5) == wanted


def context(replicas: int, state: dict[str, Any]) -> AutoscalingContext:
    """What Serve tells of replicas that all have too much to do."""
    names = [ReplicaID(f"r{number}", DeploymentID("Inference")) for number in range(replicas)]
    told = {BACKLOG_S: 9.0, BUSY: 1.0, STREAMS: 50.0}
    return AutoscalingContext(
        deployment_id=DeploymentID("Inference"),
        deployment_name="Inference",
        app_name="vwt",
        current_num_replicas=replicas,
        target_num_replicas=20,
        running_replicas=names,
        total_num_requests=0.0,
        total_queued_requests=0.0,
        aggregated_metrics={name: dict.fromkeys(names, value) for name, value in told.items()},
        raw_metrics={},
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=100,
        policy_state=state,
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=None,
        config=None,
    )


def test_after_a_step_what_replicas_told_before_it_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("workers.inference.scaling.time.time", lambda: now[0])
    policy, state = BacklogPolicy(0.5, settle_s=30), {}

    def wanted(replicas: int, after_s: float) -> float:
        nonlocal state
        now[0] += after_s
        count, state = policy(context(replicas, state))
        return count

    assert [wanted(20, after_s) for after_s in (0, 29)] == [20, 20]
    assert wanted(20, 1) == 25
    # Those that were added are there one after the other.
    assert [wanted(replicas, 10) for replicas in (22, 25, 25, 25)] == [20, 20, 20, 20]
    assert wanted(25, 10) == 31
