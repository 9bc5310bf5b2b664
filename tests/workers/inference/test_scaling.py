"""How many replicas are wanted, from what replicas report."""

import pytest

from workers.inference.scaling import BACKLOG_S, BUSY, STREAMS, replicas_wanted

# replicas, backlog of each in seconds, busy share of each, streams of each -> wanted for a target of 0.5 s
CASES = {
    "frames that wait too long get more replicas": (2, [0.9, 0.2], [1.0, 0.5], [4, 4], 4),
    "a little too long is one more": (3, [0.6, 0.1, 0.1], [1, 1, 1], [4, 4, 4], 4),
    "it never more than doubles at once": (2, [50.0, 0.0], [1, 1], [40, 40], 4),
    "one stream stays on one replica, however long it waits": (1, [9.0], [1.0], [1], 1),
    "there are no more replicas than streams": (4, [9.0, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0], 2),
    "replicas that stand idle go": (4, [0.0] * 4, [0.1, 0.2, 0.1, 0.1], [2] * 4, 1),
    "as many stay as keep busy without waiting": (4, [0.1] * 4, [0.5] * 4, [2] * 4, 3),
    "nothing changes between": (3, [0.4, 0.4, 0.4], [0.2] * 3, [2] * 3, 3),
    "being busy alone is no reason for more": (1, [0.01], [1.0], [8], 1),
    "without any stream one is enough": (3, [0.0] * 3, [0.0] * 3, [0] * 3, 1),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_replicas_follow_the_backlog(case: tuple[int, list[float], list[float], list[float], int]) -> None:
    current, backlog_s, busy, streams, wanted = case
    assert replicas_wanted(current, {BACKLOG_S: backlog_s, BUSY: busy, STREAMS: streams}, 0.5) == wanted
