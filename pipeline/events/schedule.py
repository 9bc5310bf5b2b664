"""When a rule is in force: days and hours of a time zone."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)

_DAY = 24 * 60
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


class Schedule(BaseModel):
    """Days and hours.

    Attributes:
        days: on which it begins; all where none is given.
        start, until: from when to when, "HH:MM"; an `until` that is not later is of the next day.
        zone: IANA name of the time zone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: Annotated[list[Day], Field(min_length=1, max_length=len(DAYS))] = Field(
        default=list(DAYS), description="Days on which it begins."
    )
    start: str = Field(default="00:00", description="HH:MM")
    until: str = Field(default="24:00", description="HH:MM; not later than `start`: of the next day.")
    zone: Annotated[str, Field(max_length=64)] = Field(default="UTC", description="IANA name.")

    @field_validator("start", "until", mode="before")
    @classmethod
    def _check_clock(cls, text: object) -> str:
        # YAML reads 22:00 without quotes as the number 1320.
        if not isinstance(text, str) or not _CLOCK.fullmatch(text):
            raise ValueError('a time of day is "HH:MM", in quotes')
        return text

    @field_validator("zone")
    @classmethod
    def _check_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, OSError, ValueError):
            raise ValueError(f"there is no time zone {zone!r}; give a name like Europe/Berlin") from None
        return zone

    @property
    def longest_s(self) -> float:
        """The longest time for which it is in force without a break; infinite where it has none."""
        start, until = _minutes(self.start), _minutes(self.until)
        length = until - start if start < until else until + _DAY - start
        if length < _DAY:
            return 60.0 * length
        row, longest = 0, 0
        # Twice around the week, for rows of days that go on from Sunday to Monday.
        for day in DAYS * 2:
            row = row + 1 if day in self.days else 0
            longest = max(longest, row)
        return math.inf if longest > len(DAYS) else 60.0 * longest * _DAY

    def covers(self, at: float) -> bool:
        """Whether it is in force at such a time (Unix seconds)."""
        now = datetime.fromtimestamp(at, ZoneInfo(self.zone))
        minute = now.hour * 60 + now.minute
        start, until = _minutes(self.start), _minutes(self.until)
        today, before = DAYS[now.weekday()], DAYS[(now - timedelta(days=1)).weekday()]
        if start < until:
            return today in self.days and start <= minute < until
        return (today in self.days and minute >= start) or (before in self.days and minute < until)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
