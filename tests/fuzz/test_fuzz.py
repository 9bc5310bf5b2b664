"""A short run of `make fuzz`, and that it finds what it looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.cases import Finding, Runner
from tests.fuzz.targets import TARGETS


def test_damaged_inputs_are_taken_or_refused_with_an_error_of_ours(tmp_path: Path) -> None:
    with Runner(seed=1, folder=tmp_path) as runner:
        outcomes = {target: [runner.run(target, number) for number in range(40)] for target in TARGETS}
    for target, some in outcomes.items():
        assert not [outcome for outcome in some if isinstance(outcome, Finding)], target
        # Nor is the damage so great that nothing is read.
        assert {"refused", "taken"} <= {outcome for outcome in some if isinstance(outcome, str)}, target


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("hangs", "not done after 1 s"),
        ("dies", "ended with -11"),
        ("grows", "MemoryError"),
        ("raises", "KeyError"),
    ],
)
def test_what_is_neither_taken_nor_refused_is_a_finding_and_the_next_case_runs(
    tmp_path: Path, target: str, why: str
) -> None:
    with Runner(seed=1, folder=tmp_path, limit_s=1, module="tests.fuzz.bad_targets") as runner:
        found = runner.run(target, 0)
        assert isinstance(found, Finding)
        assert why in found.why
        assert found.keep(tmp_path / "kept").read_bytes() == found.data
        again = runner.run(target, 0)
        assert isinstance(again, Finding)
        assert again.data == found.data
        assert runner.run("refuses", 1) == "refused"
