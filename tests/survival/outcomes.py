"""What was promised and what was seen, as the table in deploy/README.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_RESULTS = _ROOT / "benchmarks" / "results" / "survival.json"
_README = _ROOT / "deploy" / "README.md"
_BEGIN, _END = "<!-- survival: made by `make test-survival` -->", "<!-- end of survival -->"


def record(fault: str, promised: str, back_s: float | None, lost: str) -> None:
    """Notes one row and writes the table anew.

    Args:
        fault: what was done.
        promised: what holds nevertheless.
        back_s: seconds until results flowed again; None where they never stopped.
        lost: what was lost, counted.
    """
    rows: dict[str, Any] = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else {}
    rows[fault] = {
        "promised": promised,
        "back_s": None if back_s is None else round(back_s, 1),
        "lost": lost,
    }
    _RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    text = _README.read_text()
    if _BEGIN in text:
        head, _, rest = text.partition(_BEGIN)
        _README.write_text(f"{head}{_BEGIN}\n{_table(rows)}{_END}{rest.partition(_END)[2]}")


def _table(rows: dict[str, Any]) -> str:
    lines = ["| fault | promised | results again after | lost |", "|---|---|---|---|"]
    for fault, row in rows.items():
        back = "–" if row["back_s"] is None else f"{row['back_s']:g} s"
        lines.append(f"| {fault} | {row['promised']} | {back} | {row['lost']} |")
    return "\n".join(lines) + "\n"
