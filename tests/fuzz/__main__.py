"""Hands damaged inputs to everything that reads them: `make fuzz`, or `python -m tests.fuzz --cases 10000`.

Every case runs in a process that may die, hang or grow without hurting the others. What is not taken or
refused in one line is a finding: its input is kept in --out, and `--only TARGET --case N --seed S` makes it
again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz.cases import Finding, Runner


def main() -> int:
    """Runs the cases asked for; 1 where one of them is a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=0, help="0 makes the same cases each time")
    parser.add_argument("--only", help="one target")
    parser.add_argument("--case", type=int, help="one case of it")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    asked = parser.parse_args()

    from tests.fuzz.targets import TARGETS

    targets = [asked.only] if asked.only else list(TARGETS)
    numbers = [asked.case] if asked.case is not None else range(-(-asked.cases // len(targets)))
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, Runner(asked.seed, Path(folder)) as runner:
        for target in targets:
            for number in numbers:
                outcome = runner.run(target, number)
                if isinstance(outcome, Finding):
                    print(f"{target} {number}: {outcome.why} ({outcome.keep(asked.out)})", flush=True)
                outcomes["findings" if isinstance(outcome, Finding) else outcome] += 1
    print(f"{sum(outcomes.values())} cases, seed {asked.seed}: {dict(outcomes)}")
    return 1 if outcomes["findings"] or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
