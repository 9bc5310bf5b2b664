"""The checks of `make test-gpu`, run on the CPU: that they work, not what they find."""

import json
import os
import subprocess
import sys

from tests.gpu.clips import CLIPS, read, write


def test_the_checks_run_to_the_end_on_a_cpu(tmp_path):
    clips, out = tmp_path / "clips.npz", tmp_path / "figures.json"
    write(clips)
    assert all(len(frames) > 100 for frames in read(clips).values())
    assert set(read(clips)) == set(CLIPS)

    command = [sys.executable, "-m", "tests.gpu", "--device", "cpu", "--clips", str(clips), "--out", str(out)]
    short = ["--seconds", "0.1", "--repeats", "1", "--meter-seconds", "0.1"]
    small = ["--models", "vit_tiny_patch16_224", "--batches", "2"]
    done = subprocess.run(
        [*command, *short, *small],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for what in (
        "dinov3: its head",
        "recall: embeddings",
        "saliency differs",
        "4 vocabularies",
        "a pass gives",
    ):
        assert f"PASS {what}" in done.stdout
    assert "SKIP an engine that replays says what one that launches says: only a GPU" in done.stdout
    assert "SKIP a replay takes less than launching: only a GPU" in done.stdout
    assert "SKIP words are whole on every stream" in done.stdout
    assert "SKIP plan does not wait for the device" in done.stdout
    rows = json.loads(out.read_text())["figures"]["speed"]
    assert [row["tokenizer"] for row in rows] == ["full", "intra", "inter"]
    assert rows[1]["kept_share"] == 0.5
