import io
from dataclasses import dataclass

from rich.console import Console

from pipeline.frame import FrameTimes
from pipeline.results import Energy
from pipeline.sources import Decoding
from pipeline.stats import RunStats
from tests.pipeline.outputs.examples import a_result
from workers.run.progress import Progress


@dataclass
class Info:
    name: str = "bikes"
    live: bool = False
    frames: int | None = 250
    duration_s: float | None = 10.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Run:
    """A run of eight frames a second, watched by the progress under test."""

    def __init__(self, info: Info, terminal: bool, **options: object) -> None:
        self.written = io.StringIO()
        console = Console(file=self.written, force_terminal=terminal, force_interactive=terminal, width=80)
        self.clock = Clock()
        self.stats = RunStats(self.clock)
        self.progress = Progress(info, console, clock=self.clock, **options)

    def go(self, frames: int, state: str = "running", **facts: object) -> None:
        for _ in range(frames):
            self.clock.now += 0.125
            self.stats.add(a_result(self.stats.frames, **facts))
            self.progress.update(self.stats, state)

    @property
    def text(self) -> str:
        return self.written.getvalue()


ESTIMATE = Energy(0.41, None, "estimate", settled=True)


def test_a_file_shows_how_far_it_is_with_rate_tokens_and_energy() -> None:
    run = Run(Info(), terminal=True)
    with run.progress:
        run.go(126, energy=ESTIMATE)
    last = run.text.split("\r")[-2]
    assert "50 %" in last
    assert "8.0 fps" in last
    assert "tokens 50 %" in last
    assert "0.41 J/frame" in last


def test_how_far_it_is_goes_by_time_because_sampling_skips_frames() -> None:
    run = Run(Info(frames=1000, duration_s=10.0), terminal=True)
    with run.progress:
        run.go(3, times=FrameTimes(pts_s=7.5))
    assert "75 %" in run.text


def test_a_limit_on_frames_counts_as_the_end() -> None:
    run = Run(Info(live=True, frames=None, duration_s=None), terminal=True, max_frames=20)
    with run.progress:
        run.go(12)
    assert "60 %" in run.text


def test_a_terminal_is_redrawn_at_most_four_times_a_second() -> None:
    run = Run(Info(), terminal=True)
    with run.progress:
        before = run.text.count("fps")
        for _ in range(1000):
            run.clock.now += 0.001
            run.progress.update(run.stats)
        assert 3 <= run.text.count("fps") - before <= 4


def test_a_live_source_shows_its_state_latency_and_drops() -> None:
    run = Run(Info(live=True, frames=None, duration_s=None), terminal=True)
    with run.progress:
        run.go(3, dropped={"late": 2})
        run.go(3, state="reconnecting")
    assert "running" in run.text
    assert "6 dropped" in run.text
    assert "12 ms" in run.text
    assert "reconnecting" in run.text
    assert "━" not in run.text


def test_a_stalled_stream_shows_a_falling_rate() -> None:
    run = Run(Info(live=True), terminal=False)
    run.go(80)
    assert "8.0 fps" in run.text
    run.clock.now += 10
    run.progress.update(run.stats, "reconnecting")
    assert "reconnecting  80 frames  0.0 fps" in run.text


def test_without_a_terminal_there_is_a_plain_line_every_ten_seconds() -> None:
    run = Run(Info(), terminal=False)
    with run.progress:
        run.go(280, energy=ESTIMATE)
    lines = run.text.splitlines()
    assert len(lines) == 3
    assert lines[0] == "bikes: 80 frames  8.0 fps  tokens 50 %  0.41 J/frame"
    assert all(line.isprintable() for line in lines)


def test_what_is_decoded_is_shown_where_it_is_not_all() -> None:
    decoding = Decoding("needed", frames=200, decoded=50)
    run = Run(Info(), terminal=False, decoding=decoding)
    run.go(80)
    assert "decoding 25 %" in run.text
    decoding.how = "all"
    run.go(80)
    assert "decoding" not in run.text.splitlines()[1]


def test_a_notice_stands_on_a_line_of_its_own_above_the_bar() -> None:
    run = Run(Info(), terminal=True)
    with run.progress:
        run.go(5)
        run.progress.notice("learning 1000 words from 64 frames")
    assert "learning 1000 words from 64 frames\n" in run.text


def test_a_notice_is_printed_as_it_is_but_without_control_characters() -> None:
    run = Run(Info(), terminal=False)
    run.progress.notice("rtsp://cam [bold]said[/bold] \x1b[31mno :warning:")
    assert run.text == "rtsp://cam [bold]said[/bold]  [31mno :warning:\n"


def test_quiet_writes_nothing() -> None:
    run = Run(Info(), terminal=True, quiet=True)
    with run.progress:
        run.go(50)
        run.progress.notice("learning")
    assert run.text == ""


def test_unknown_energy_is_left_out_rather_than_shown_as_zero() -> None:
    run = Run(Info(), terminal=False)
    run.go(80)
    assert "J/frame" not in run.text
    assert "80 frames" in run.text
