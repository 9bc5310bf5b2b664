import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import UsageError, VwtError
from pipeline.frame import Frame, FrameTimes
from pipeline.outputs.annotate import TIME_BASE, Annotator
from pipeline.tokenizers.states import MERGED
from tests.pipeline.outputs.examples import a_result, clip_frames, letterboxed

TOKEN_MAP = np.full((16, 16), MERGED, np.uint8)

KILLED = """
import sys
import numpy as np
from pipeline.outputs.annotate import Annotator
from tests.pipeline.outputs.examples import a_result, clip_frames
frames = clip_frames("carphone_pristine.mp4", [i / 10 for i in range(60)])
annotator = Annotator(sys.argv[1], fps=10)
for i, frame in enumerate(frames):
    annotator.write(frame, a_result(i), np.ones((16, 16), np.uint8))
print("written", flush=True)
sys.stdin.read()
"""

# The system takes so many bytes of a file and no more, as a full disk does.
FULL = """
import resource, sys
from pipeline.errors import VwtError
from tests.pipeline.outputs.test_annotate import annotate
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    annotate(sys.argv[1], [i / 10 for i in range(60)], fps=10)
except VwtError as error:
    print(error)
"""


def annotate(path: Path, times: list[float | None], fps: float | None = None) -> None:
    with Annotator(path, fps) as annotator:
        for index, frame in enumerate(clip_frames("carphone_pristine.mp4", times)):
            annotator.write(frame, a_result(index, times=frame.times), TOKEN_MAP)


def times_in(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def in_ticks(times: list[float]) -> list[Fraction]:
    return [round(t / TIME_BASE) * TIME_BASE for t in times]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_variable_presentation_times_are_read_back_as_they_were(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    monkeypatch.setattr("pipeline.outputs.annotate._CODEC", codec)
    gaps = np.random.default_rng(7).uniform(0.005, 0.4, 40)
    times = [0.0, *np.cumsum(gaps).tolist()]
    annotate(tmp_path / "a.mp4", times)
    assert times_in(tmp_path / "a.mp4") == in_ticks(times)


def test_the_first_frame_is_at_zero_and_distances_stay(tmp_path: Path) -> None:
    annotate(tmp_path / "a.mp4", [3601.5, 3601.75, 3602.5])
    assert times_in(tmp_path / "a.mp4") == in_ticks([0.0, 0.25, 1.0])


def test_frames_without_a_time_follow_at_the_nominal_distance(tmp_path: Path) -> None:
    annotate(tmp_path / "a.mp4", [None, None, 5.0, 5.5, None], fps=10)
    assert times_in(tmp_path / "a.mp4") == in_ticks([0.0, 0.1, 0.2, 0.7, 0.8])


def test_times_that_go_back_still_give_growing_ones(tmp_path: Path) -> None:
    annotate(tmp_path / "a.mp4", [10.0, 10.5, 2.0, 2.25], fps=10)
    assert times_in(tmp_path / "a.mp4") == in_ticks([0.0, 0.5, 0.6, 0.85])


def test_a_finished_file_is_an_ordinary_mp4_with_length_and_even_size(tmp_path: Path) -> None:
    annotate(tmp_path / "a.mp4", [i / 10 for i in range(20)], fps=10)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.frames == 20
        assert container.duration / av.time_base == pytest.approx(2.0, abs=0.11)
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == (586, 562)


def test_the_picture_can_be_recognised_in_the_annotated_one(tmp_path: Path) -> None:
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:, 320:] = (200, 60, 30)
    frame = Frame(
        FrameTimes(pts_s=0.0), np.zeros((224, 224, 3), np.uint8), letterboxed(640, 480), picture=picture
    )
    with Annotator(tmp_path / "a.mp4") as annotator:
        annotator.write(frame, a_result(), None)
    with av.open(str(tmp_path / "a.mp4")) as container:
        shown = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(shown[200, 500].astype(int) - (200, 60, 30)).max() < 12
    assert shown[200, 100].max() < 12


def test_a_killed_run_leaves_a_file_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        child.kill()
    # 60 frames, less those still queued and the second that was not finished.
    assert len(times_in(path)) >= 60 - 6 - 10


def test_a_path_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--annotate .*create the folder .*missing first"):
        Annotator(tmp_path / "missing" / "a.mp4")


def test_standard_output_is_refused() -> None:
    with pytest.raises(UsageError, match="MP4 needs a file"):
        Annotator("-")


def test_a_full_disk_is_one_clear_error_and_never_a_wait() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(VwtError, match="/dev/full: No space left on device"):
        annotate(Path("/dev/full"), [i / 5 for i in range(30)], fps=5)


@pytest.mark.parametrize("share", [0.35, 0.6, 0.999])
def test_what_was_encoded_before_the_disk_was_full_plays_to_its_end(share: float, tmp_path: Path) -> None:
    path, whole = tmp_path / "a.mp4", tmp_path / "whole.mp4"
    annotate(whole, [i / 10 for i in range(60)], fps=10)
    room = str(int(whole.stat().st_size * share))
    told = subprocess.run(
        [sys.executable, "-c", FULL, str(path), room], capture_output=True, text=True, check=True
    )
    assert f"cannot write to {path}: File too large" in told.stdout
    # All but the fragment of about a second that was cut.
    assert len(times_in(path)) >= int(60 * share) - 20
    assert len(times_in(path)) % 10 == 0


def test_a_run_without_frames_leaves_no_file(tmp_path: Path) -> None:
    Annotator(tmp_path / "a.mp4").close()
    assert not (tmp_path / "a.mp4").exists()


def test_a_frame_without_its_picture_is_refused(tmp_path: Path) -> None:
    frame = Frame(FrameTimes(pts_s=0.0), np.zeros((224, 224, 3), np.uint8), letterboxed(64, 64))
    with Annotator(tmp_path / "a.mp4") as annotator, pytest.raises(ValueError, match="keep it"):
        annotator.write(frame, a_result(), TOKEN_MAP)
