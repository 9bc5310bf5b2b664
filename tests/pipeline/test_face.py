"""The Python face as the README shows it: its code runs, and it does what `vwt run` does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pipeline as vwt
import vocab
from pipeline.errors import SourceError, UsageError
from pipeline.results import FrameResult
from pipeline.tokenizers import IntraTokenizer
from tests.e2e.command import succeeds

ROOT = Path(__file__).parents[2]
WORDS = vocab.Vocabulary(torch.rand(5, 588))


def test_every_public_name_is_there_and_none_is_loaded_before_it_is_used() -> None:
    code = "import sys, pipeline, vocab; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    for package in (vwt, vocab):
        assert all(hasattr(package, name) for name in package.__all__)
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            _ = package.nothing


@pytest.mark.timeout(600)
def test_the_code_of_the_readme_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "vwt.run(" in code
    assert "Engine(" in code
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "regions" in done.stdout


def test_a_stream_that_recalls_has_a_result_for_every_frame_however_large_the_batch() -> None:
    settings = {"tokenizer": "recall", "precision": "fp32", "fps": 10, "max_frames": 24, "target": 0.95}

    one, many = (list(vwt.run("sample:carphone", batch=batch, **settings)) for batch in (1, 8))

    assert [result.frame for result in one] == list(range(24))
    assert [result.decision for result in one] == [result.decision for result in many]
    assert {"full", "recall", "hold"} <= {result.decision for result in one}
    for result, before in zip(one[1:], one, strict=False):
        if result.decision == "hold":
            assert result.prediction is before.prediction
            assert result.held_ms == pytest.approx(
                1000 * (result.pts_s - before.pts_s) + (before.held_ms or 0)
            )
            assert (result.tokens_kept, result.share < 0.02) == (0, True)
        else:
            assert result.held_ms is None


def test_it_gives_the_results_of_the_command(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    settings = (
        "--audit",
        "0",
        "--precision",
        "fp32",
        "--tokenizer",
        "inter",
        "--threshold",
        "0.05",
        "--warmup-frames",
        "4",
        "--fps",
        "5",
    )
    succeeds("run", "sample:carphone", *settings, "--max-frames", "10", "--out", out)

    found = vwt.run(
        "sample:carphone",
        precision="fp32",
        tokenizer="inter",
        threshold=0.05,
        warmup_frames=4,
        fps=5,
        max_frames=10,
        images=True,
    )

    results = list(found)
    for result, line in zip(results, out.read_text().splitlines(), strict=True):
        same = ("stream", "frame", "pts_s", "tokenizer", "vocab_version", "tokens", "prediction")
        own, other = result.to_dict(), json.loads(line)
        assert [own[name] for name in same] == [other[name] for name in same]
        assert result.image.shape == (144, 193, 3)
    assert results[0].tokens_kept == results[0].tokens_full == 12 * 16
    assert results[-1].tokens_kept < 12 * 16
    assert all(result.energy.joules is not None or result.energy.reason for result in results)


def test_leaving_the_loop_closes_the_source() -> None:
    found = vwt.run("sample:carphone", model="null", tokenizer="full", batch=1)
    assert isinstance(next(found), FrameResult)
    found.close()

    with pytest.raises(StopIteration):
        next(found)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"tokenizer": "half"}, "unknown tokenizer 'half'"),
        ({"tokenizer": "intra", "drop": 1.5}, "--drop 1.5 is out of range"),
        (
            {"tokenizer": "intra", "threshold": 0.1},
            "tokenizer intra has no option 'threshold'; its options: drop",
        ),
        ({"threshold": 0.1}, "name the tokenizer that threshold is for"),
        ({"vocabulary": WORDS}, "name the tokenizer that vocabulary is for"),
        ({"tokenizer": "full", "vocabulary": WORDS}, "full uses no visual words, which vocabulary is about"),
    ],
)
def test_what_cannot_be_right_is_refused_at_once(arguments: dict, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        vwt.run("sample:carphone", **arguments)


def test_a_source_that_is_not_there_is_said_with_the_first_result() -> None:
    with pytest.raises(SourceError, match=r"missing\.mp4"):
        next(vwt.run("missing.mp4"))


def test_arrays_go_in_and_come_out() -> None:
    model = vwt.load_model()
    engine = vwt.Engine(model)
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)

    plain, half = engine.run(images), engine.run(images, IntraTokenizer(0.5))

    assert plain["saliency"].shape == (2, 224, 224)
    assert plain["tokens_kept"].tolist() == [256, 256]
    assert half["tokens_kept"].tolist() == [128, 128]
    assert np.abs(half["saliency"] - plain["saliency"]).max() > 1e-3
    with pytest.raises(
        UsageError, match=r"images are uint8 \(2, 224, 100, 3\): give uint8 \(B, 224, 224, 3\)"
    ):
        engine.run(images[:, :, :100])
