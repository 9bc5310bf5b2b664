"""What a stream's results say of late."""

from __future__ import annotations

from tests.pipeline.outputs.examples import a_result
from workers.inference.record import Pace


def test_what_is_lost_is_told_from_a_twentieth_on_and_for_half_a_minute() -> None:
    pace = Pace()
    pace.add([a_result(0), a_result(1, dropped={"late": 6, "corrupt": 100})], now_s=1.0)
    assert pace.fields()["lost"] == 0.75
    pace.add([a_result(number) for number in range(2, 122)], now_s=30.0)
    assert pace.fields()["lost"] is None
    pace.add([a_result(122, dropped={"late": 1})], now_s=70.0)
    assert pace.fields()["lost"] == 0.5
