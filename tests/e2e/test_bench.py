"""`vwt bench` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from tests.e2e.command import refused, succeeds


def test_it_holds_tokenizers_against_the_full_model_and_the_controls(tmp_path: Path) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "frontier.png"
    done = succeeds(
        *("bench", "sample:carphone", "--tokenizers", "inter:threshold=0.1,intra,merge:r=8"),
        *("--max-frames", "4", "--json", figures, "--plot", picture),
    )

    report = json.loads(figures.read_text())
    assert (report["model"], report["precision"], report["device"]) == (
        "dinov2_vits14_saliency",
        "fp32",
        "cpu",
    )
    clip = report["clips"]["carphone"]
    assert clip["frames"] == 4
    methods = clip["methods"]
    names = [figures["tokenizer"] for figures in methods]
    assert list(dict.fromkeys(names)) == ["full", "inter", "intra", "merge", "skip", "adaptive skip"]
    full = methods[0]
    assert (full["share"], full["time_ratio"], full["cosine_mean"], full["change"]) == (1, 1, 1, 1)
    plain = [one["options"]["precision"] for one in methods[1:] if one["tokenizer"] == "full"]
    assert set(plain) <= {"bf16", "int8"}
    for one in methods[1:]:
        assert 0 < one["share"] <= (1 if one["tokenizer"] in ("full", "adaptive skip") else 0.99)
        assert one["cosine_min"] <= one["cosine_p5"] <= 1
        assert set(one["compute_for"]) == {"0.95", "0.98", "0.99"}
        assert one["saliency_error"] > 0
        # No classifier, and no counter of energy that a test could rely on.
        assert one["agreement"] is None
        assert one["joules_per_frame"] is None or report["energy"]
    drops = {one["options"]["drop"]: one for one in methods if one["tokenizer"] == "intra"}
    assert drops[0.1]["share"] > drops[0.25]["share"] > drops[0.5]["share"] > drops[0.7]["share"]
    assert drops[0.1]["patch_cosine"] > drops[0.7]["patch_cosine"]
    skipped = next(one for one in methods if one["options"] == {"n": 2})
    assert skipped["share"] == 0.5
    assert cv2.imread(str(picture)).shape[0] > 500
    assert "skip n 4 *" in done.stdout
    assert "carphone: 4 frames at 5 fps" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sample:carphone", "--tokenizers", "half"), "unknown tokenizer 'half'"),
        (("sample:carphone", "--plot", "frontier.txt"), "--plot frontier.txt: give a name that ends in .png"),
        (("sample:carphone", "--json", "nowhere/x.json"), "--json"),
        (("sample:carphone", "--model", "null"), "nothing that could be compared"),
        (("rtsp://127.0.0.1:1/x",), "is not a clip"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(arguments: tuple[str, ...], says: str) -> None:
    assert says in refused("bench", *arguments, code=2)
