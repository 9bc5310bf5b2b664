"""What the service says, for people."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from pipeline.guard.stream_fidelity import GuardStatus
from pipeline.results import RANDOM_WEIGHTS
from pipeline.stats.savings import saving_text
from pipeline.tokenizers.registry import TOKENIZERS
from workers.contract.share import Share
from workers.contract.stream_status import degraded

_UNKNOWN = "-"
_STYLES = {"running": "green", "failed": "red", "reconnecting": "yellow", "degraded": "yellow"}
# A table in a file or a pipe has no terminal to fit in.
PIPE_WIDTH = 120


def stream_table(streams: Iterable[Mapping[str, Any]]) -> Table:
    """A row per stream."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True)
    for name in ("state", "source"):
        table.add_column(name, overflow="fold")
    for name in ("fps", "tokens kept", "J/frame", "latency", "words", "worker"):
        table.add_column(name, justify="right", no_wrap=True)
    for stream in streams:
        status = stream["status"]
        state = Text(_printable(_state(status)), _STYLES.get(_shown(status)[0], ""))
        table.add_row(
            Text(stream["id"]),
            state,
            Text(_printable(stream["source"])),
            _number(status["fps"], ".1f"),
            _kept(status),
            _number(_joules_per_frame(status), ".3g"),
            _number(status["latency_ms"], ".0f", " ms"),
            _number(status["vocab_version"], "d", before="v"),
            _number((status["ingest"] or {}).get("pid"), "d"),
        )
    return table


def stream_rows(stream: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What there is to say of one stream: names and values."""
    status, settings = stream["status"], stream["settings"]
    rows = [
        ("id", stream["id"]),
        ("source", stream["source"]),
        ("state", _state(status)),
        ("model", _model(settings)),
        ("tokenizer", _tokenizer(settings)),
        ("frames", f"{status['next_frame']} with a result"),
        ("rate", _number(status["fps"], ".1f", " frames/s of late")),
        ("latency", _number(status["latency_ms"], ".0f", " ms of late")),
        ("tokens kept", _kept(status)),
        ("energy", _energy(status)),
        ("words", _number(status["vocab_version"], "d", before="v")),
        ("decoding", _decoding(status.get("decoding"))),
        ("read by", _worker(status["ingest"])),
        ("predicted by", _worker(status["inference"])),
    ]
    # A service of an earlier version says less.
    if status.get("warm_up_frames"):
        rows.append(("warm-up", f"{status['warm_up_frames']} frames in full until there were words"))
    if status.get("weights") == RANDOM_WEIGHTS:
        rows.append(("weights", "random: what is predicted means nothing"))
    if status.get("decisions"):
        counted = sorted(status["decisions"].items(), key=lambda pair: -pair[1])
        rows.append(("answered", ", ".join(f"{count} {name}" for name, count in counted)))
    if status.get("recall_bytes"):
        rows.append(("recalls from", f"{status['recall_bytes'] / 1e6:.1f} MB"))
    if status.get("saved_joules") is not None:
        rows.append(("saved", f"{status['saved_joules']:.4g} J against its own frames in full"))
    if status.get("saving") is not None:
        rows.append(("proven", saving_text(status["saving"])))
    if status.get("retry_at") is not None:
        rows.append(("next try", f"in {max(status['retry_at'] - time.time(), 0):.0f} s"))
    if status.get("fidelity") is not None:
        rows.append(("audits", _fidelity(status["fidelity"])))
    if status.get("guard") is not None:
        rows.append(("guard", _guard(status["guard"])))
    if status.get("sharing") is not None:
        rows.append(("gets", Share(**status["sharing"]).text()))
    if status["dropped"]:
        rows.append(("dropped", ", ".join(f"{count} {why}" for why, count in status["dropped"].items())))
    if stream["labels"]:
        rows.append(("labels", ", ".join(f"{key}={value}" for key, value in stream["labels"].items())))
    rows += [("rule", line.removeprefix("rule ")) for line in status.get("idle_rules", ())]
    rows += [("sink", _sink(sink)) for sink in stream.get("sinks", ())]
    return [(name, _printable(value)) for name, value in rows]


def _decoding(decoding: Mapping[str, Any] | None) -> str:
    if decoding is None or decoding["share"] is None:
        return _UNKNOWN
    why = "" if decoding["reason"] is None else f": {decoding['reason']}"
    return f"{100 * decoding['share']:.0f} % of frames ({decoding['how']}){why}"


def event_line(kind: str, data: str) -> str | None:
    """An event in one line; None for one that only programs want."""
    found = json.loads(data)
    match kind:
        case "prediction":
            return _printable(_frame(found))
        case "state":
            return _printable(f"state: {_state(found)}")
        case "gap":
            lost = "some frames" if found.get("lost") is None else f"{found['lost']} frames"
            return _printable(f"gap: {lost} will not come: {found.get('reason')}")
    return None


def _frame(result: Mapping[str, Any]) -> str:
    tokens, energy = result["tokens"], result["energy"]
    # Provisional until two edges of the counter bound it.
    about = "" if energy["settled"] else "~"
    share = (
        _UNKNOWN
        if tokens["full"] is None or tokens["kept"] is None
        else f"{tokens['kept']}/{tokens['full']} tokens"
    )
    parts = (
        f"frame {result['frame']}",
        _number(result["pts_s"], ".2f", " s"),
        _prediction(result["prediction"]),
        share,
        _number(energy["joules"], ".3g", " J", about),
        _number(result["latency_ms"]["total"], ".0f", " ms"),
    )
    return "  ".join(parts)


def _prediction(prediction: Mapping[str, Any]) -> str:
    kind = prediction["kind"]
    if kind in ("labels", "regions", "boxes"):
        found = prediction.get(kind) or []
        if not found:
            return f"no {kind}"
        best = f"{found[0]['score']:.2f}"
        if kind == "boxes":
            counts = Counter(box["name"] for box in found)
            return ", ".join(f"{count} {name}" for name, count in counts.most_common()) + f", best {best}"
        return f"{found[0]['label']} {best}" if kind == "labels" else f"{len(found)} regions, best {best}"
    return str(kind)


def _state(status: Mapping[str, Any]) -> str:
    state, reason = _shown(status)
    return f"{state}: {reason}" if reason else state


def _shown(status: Mapping[str, Any]) -> tuple[str, str | None]:
    """See `StreamStatus.shown`."""
    if status["state"] == "running" and status.get("lost") is not None:
        return "degraded", degraded(status["lost"])
    return str(status["state"]), status.get("reason")


def _model(settings: Mapping[str, Any]) -> str:
    given = ((name, settings.get(name)) for name in ("fit", "size"))
    return ", ".join([settings["model"], *(f"{name} {value}" for name, value in given if value is not None)])


def _tokenizer(settings: Mapping[str, Any]) -> str:
    name = settings["tokenizer"] or _UNKNOWN
    # A service of another version may have one that is not known here.
    options = TOKENIZERS[name].options if name in TOKENIZERS else ()
    return ", ".join([name, *(f"{option} {settings[option]}" for option in options if option in settings)])


def _kept(status: Mapping[str, Any]) -> str:
    full = status["tokens_full"]
    return f"{status['tokens_kept'] / full:.0%}" if full else _UNKNOWN


def _joules_per_frame(status: Mapping[str, Any]) -> float | None:
    joules, frames = status["joules"], status["metered_frames"]
    return joules / frames if joules is not None and frames else None


def _energy(status: Mapping[str, Any]) -> str:
    each = _joules_per_frame(status)
    if each is None:
        return _UNKNOWN
    return f"{each:.3g} J per frame, {status['joules']:.4g} J so far ({status['energy_method']})"


def _fidelity(found: Mapping[str, Any]) -> str:
    missed = found["missed"]
    return (
        f"{found['audits']} frames answered in full, too: {missed['mean']:.0%} below {found['target']:g} "
        f"(of all frames {missed['low']:.0%} to {missed['high']:.0%})"
    )


def _guard(guard: Mapping[str, Any]) -> str:
    return GuardStatus(**guard).text()


def _worker(worker: Mapping[str, Any] | None) -> str:
    if worker is None:
        return _UNKNOWN
    return f"process {worker.get('pid')} on {worker.get('node')}"


def _sink(sink: Mapping[str, Any]) -> str:
    parts = [f"{sink['name']}: {sink['to']}"]
    if sink["delivered"] is None:
        return f"{parts[0]}, not begun"
    parts.append(f"{sink['lag']} waiting")
    if sink["lost"]:
        parts.append(f"{sink['lost']} lost")
    if sink["error"]:
        parts.append(sink["error"])
    return ", ".join(parts)


def _number(value: float | None, form: str, unit: str = "", before: str = "") -> str:
    return _UNKNOWN if value is None else f"{before}{value:{form}}{unit}"


def _printable(text: str) -> str:
    """Without what would move the cursor of a terminal: texts may hold what a remote peer sent."""
    return "".join(c if c.isprintable() else " " for c in text)
