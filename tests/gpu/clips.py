"""Frames of the sample clips in one small file, for machines that cannot decode video.

python -m tests.gpu.clips build/gpu-clips.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

CLIPS = ("bikes", "bunny", "carphone")
_FRAMES = 120
_QUALITY = 95


def write(path: Path) -> None:
    """Decodes the clips (needs PyAV and the samples extra) and writes their frames as JPEG."""
    from benchmarks.common import sample_frames
    from pipeline.input_spec import InputSpec

    arrays: dict[str, npt.NDArray[np.uint8]] = {}
    for clip in CLIPS:
        for number, frame in enumerate(sample_frames(clip, InputSpec(224, 224), limit=_FRAMES)):
            bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
            arrays[f"{clip}_{number:03}"] = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def read(path: Path) -> dict[str, list[npt.NDArray[np.uint8]]]:
    """The frames (224, 224, 3) RGB of each clip, in order."""
    with np.load(path) as file:
        return {
            clip: [
                cv2.cvtColor(cv2.imdecode(file[key], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
                for key in sorted(file.files)
                if key.startswith(clip)
            ]
            for clip in CLIPS
        }


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write(target)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
