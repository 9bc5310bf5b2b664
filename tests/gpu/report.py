"""What was checked."""

from __future__ import annotations


class Report:
    """Prints each check as it is made and counts them."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = 0

    def check(self, holds: bool, what: str) -> None:
        """Counts a check that was made."""
        self.passed += holds
        self.failed += not holds
        print(f"{'PASS' if holds else 'FAIL'} {what}", flush=True)

    def skip(self, what: str, why: str) -> None:
        """Counts a check that could not be made."""
        self.skipped += 1
        print(f"SKIP {what}: {why}", flush=True)

    def closing_line(self) -> str:
        """How many checks passed, failed and were skipped."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
