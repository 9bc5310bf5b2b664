from types import SimpleNamespace

import pytest

from workers.ingest.scaling import StreamPolicy


@pytest.mark.parametrize(
    ("reported", "wanted"),
    [
        ({"a": 0.0}, 0),
        ({"a": 8.0}, 1),
        ({"a": 9.0}, 2),
        # A replica that has just started has not looked yet.
        ({"a": 17.0, "b": 0.0}, 3),
    ],
)
def test_there_are_enough_replicas_for_all_streams(reported, wanted):
    context = SimpleNamespace(aggregated_metrics={"streams": reported}, target_num_replicas=1)
    assert StreamPolicy(8)(context) == (wanted, {})


@pytest.mark.parametrize("metrics", [None, {}, {"streams": {}}])
def test_without_reports_the_number_of_replicas_stays(metrics):
    context = SimpleNamespace(aggregated_metrics=metrics, target_num_replicas=3)
    assert StreamPolicy(8)(context) == (3, {})
