"""What a process of each deployment does without: torch alone takes 120 MB and a second of its start."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "torchvision", "timm", "openvino", "onnxruntime", "scipy", "matplotlib", "pandas"}
PICTURES = {"av", "cv2"}


@pytest.mark.parametrize(
    ("module", "without"),
    [
        # FFmpeg and OpenCV are what it reads with; torch, which resizes, comes with the first stream.
        ("workers.ingest.deployment", HEAVY),
        # Torch comes with the first scope that wants words.
        ("workers.keeper.deployment", HEAVY | PICTURES | {"PIL"}),
        ("workers.gateway.deployment", HEAVY | PICTURES),
        # All of them, for whoever sends them to Serve; Inference has its own once it is there.
        ("workers.app", HEAVY),
    ],
)
def test_a_process_imports_only_what_it_needs(module: str, without: set[str]) -> None:
    program = f"import json, sys, {module}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert without & set(json.loads(done.stdout)) == set()
