"""A meter that nothing ships, as somebody would add one."""

from __future__ import annotations

import time

from pipeline.energy import Meter, MeterOptions, Reading
from pipeline.energy.registry import Kind

WALL = Kind("wall", "a socket that draws 10 W", "cpu", "tests.pipeline.energy.wall:open_wall")


class WallMeter(Meter):
    """A machine that draws 10 W, whatever it does."""

    method = "wall"
    up_to_date = True

    def describe(self) -> str:
        return "wall: 10 W"

    def read(self) -> Reading:
        now_s = time.monotonic()
        return Reading(now_s, 10 * now_s)

    def close(self) -> None:
        """Nothing to give back."""


def open_wall(_options: MeterOptions) -> WallMeter:
    return WallMeter()
