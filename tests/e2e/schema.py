"""What a result must look like, key by key, as the design states it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

_KEYS = {
    "stream", "frame", "pts_s", "captured_at", "model", "weights", "runtime", "precision", "tokenizer",
    "vocab_version", "tokens", "share", "decision", "held_ms", "fidelity",
    "stream_fidelity", "prediction", "latency_ms", "energy", "dropped",
}  # fmt: skip
_ENERGY_KEYS = {"joules", "above_idle_joules", "method", "settled", "uncertainty_joules"}
# The first pictures after joining a stream may have no time yet.
_UNTIMED_LIVE = 4
_DROP_REASONS = {"late", "corrupt", "gap", "no_pts"}


def check_results(results: Sequence[dict[str, Any]], live: bool = False) -> None:
    """Checks every result, that none is missing and that time goes on."""
    assert results, "there is no result"
    for number, result in enumerate(results):
        _check(result, live)
        assert result["frame"] == number
    times = [result["pts_s"] for result in results if result["pts_s"] is not None]
    assert len(times) >= len(results) - (_UNTIMED_LIVE if live else 0)
    assert all(earlier < later for earlier, later in itertools.pairwise(times)), times
    assert len({(result["stream"], result["model"], result["tokenizer"]) for result in results}) == 1


def _check(result: dict[str, Any], live: bool) -> None:
    assert set(result) - {"pts_reason"} == _KEYS, result
    for key in ("stream", "model", "tokenizer"):
        assert isinstance(result[key], str), key
        assert result[key], key
    facts = (result["weights"], result["runtime"], result["precision"])
    assert facts == (None, None, None) if result["model"] == "null" else None not in facts
    assert type(result["frame"]) is int
    if result["pts_s"] is None:
        assert result["pts_reason"]
    else:
        assert "pts_reason" not in result
        assert type(result["pts_s"]) is float
        assert result["pts_s"] >= 0
    assert (type(result["captured_at"]) is float) is live
    _check_tokens(result)
    _check_prediction(result["prediction"])
    assert set(result["latency_ms"]) == {"decode", "queue", "infer", "total"}
    for name, value in result["latency_ms"].items():
        assert type(value) is float, name
        assert value >= 0, name
    assert result["latency_ms"]["total"] >= result["latency_ms"]["infer"]
    _check_energy(result["energy"])
    assert set(result["dropped"]) <= _DROP_REASONS
    assert all(type(count) is int and count > 0 for count in result["dropped"].values())


def _check_tokens(result: dict[str, Any]) -> None:
    tokens, version = result["tokens"], result["vocab_version"]
    assert set(tokens) == {"full", "kept"}
    if result["model"] == "null":
        assert tokens == {"full": None, "kept": None}
    else:
        assert type(tokens["full"]) is int
        assert type(tokens["kept"]) is int
        assert (result["decision"] == "hold" and tokens["kept"] == 0) or 0 < tokens["kept"] <= tokens["full"]
    assert version is None or type(version) is int
    # Without words nothing is merged: `full`, and `inter` before it has learned some.
    if result["tokenizer"] == "full" or (result["tokenizer"] == "inter" and version is None):
        assert tokens["kept"] == tokens["full"]
    assert version is None or result["tokenizer"] == "inter"
    # Planning counts as well, so that a frame may cost more than in full; and so do audits.
    recalls = result["tokenizer"] == "recall" or (
        # The paper's form decides nothing, nor does it while it learns.
        result["tokenizer"] == "inter" and version is not None and result["decision"] is not None
    )
    assert (result["share"] is None) == (tokens["full"] is None)
    assert result["share"] is None or 0 < result["share"] < (2.2 if recalls else 1.2)
    assert (result["decision"] in ("hold", "recall", "merged", "full", "escalated")) is recalls
    audit = result["fidelity"]
    assert (audit is None) is (result["stream_fidelity"] is None)
    if audit is not None:
        assert set(audit) == {"cosine", "agreement", "change", "cost"}
        assert -1 <= audit["cosine"] <= 1.0001
        assert 0 <= audit["cost"] < 1
        assert result["stream_fidelity"]["audits"] > 0
    assert (result["held_ms"] is None) is (result["decision"] != "hold")


def _check_prediction(prediction: dict[str, Any]) -> None:
    kind = prediction["kind"]
    contents = [] if kind == "none" else [kind]
    assert set(prediction) - {"embedding"} == {"kind", *contents} - {"embedding"}
    for region in prediction.get("regions", []):
        assert set(region) == {"x", "y", "w", "h", "score"}
        assert all(0 <= value <= 1 for value in region.values()), region
        assert region["x"] + region["w"] <= 1.001
        assert region["y"] + region["h"] <= 1.001
    for box in prediction.get("boxes", []):
        assert set(box) - {"id"} == {"x", "y", "w", "h", "score", "name"}
        assert all(0 <= box[place] <= 1 for place in ("x", "y", "w", "h", "score")), box
        assert box["name"]
    scored = next((prediction[name] for name in ("regions", "labels", "boxes") if name in prediction), [])
    scores = [entry["score"] for entry in scored]
    assert scores == sorted(scores, reverse=True)


def _check_energy(energy: dict[str, Any]) -> None:
    assert set(energy) - {"reason"} == _ENERGY_KEYS
    assert energy["method"] in ("nvml", "rapl", "estimate", "none")
    assert type(energy["settled"]) is bool
    if energy["joules"] is None:
        assert energy["reason"]
    else:
        assert energy["method"] != "none"
        assert energy["joules"] > 0
        assert energy["uncertainty_joules"] >= 0
