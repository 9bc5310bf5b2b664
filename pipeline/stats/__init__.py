"""What a run came to, counted as it goes, in memory that does not grow with its length."""

from pipeline.stats.energy import EnergySummary
from pipeline.stats.run import RunStats

__all__ = ["EnergySummary", "RunStats"]
