from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.sources import SourceOptions
from workers.commands.run import run
from workers.run.options import RunOptions, run_options


def given(*arguments: str) -> dict[str, Any]:
    """What click hands to the command for a command line."""
    context = run.make_context("run", list(arguments))
    return context.params


def test_the_defaults_of_the_command_line_are_those_of_the_options() -> None:
    options = run_options(given("clip.mp4"))
    assert options == RunOptions("clip.mp4")


def test_every_option_reaches_its_field() -> None:
    options = run_options(
        given(
            *("rtsp://camera/1", "--tokenizer", "intra", "--threshold", "0.5", "--drop", "0.25"),
            *("--vocab", "words.safetensors", "--words", "7", "--warmup-frames", "9"),
            *("--open-timeout", "3", "--stall-timeout", "4", "--decoder", "cpu", "--rtsp-transport", "udp"),
            *("--decode", "keyframes", "--max-pixels", "1000"),
            *("--fps", "2.5", "--max-frames", "11", "--policy", "block", "--name", "gate", "--quiet"),
            *(
                "--fit",
                "letterbox",
                "--size",
                "448x252",
                "--changed",
                "--zones",
                "zones.json",
                "--classes",
                "names.json",
            ),
        )
    )
    assert options.tokenizer.name == "intra"
    assert (options.tokenizer.options["threshold"], options.tokenizer.options["drop"]) == (0.5, 0.25)
    assert options.tokenizer.vocab == Path("words.safetensors")
    assert (options.tokenizer.words, options.tokenizer.warmup_frames) == (7, 9)
    assert options.opening == SourceOptions(
        open_timeout_s=3.0,
        stall_timeout_s=4.0,
        decoder="cpu",
        rtsp_transport="udp",
        fps=2.5,
        decode="keyframes",
        max_pixels=1000,
    )
    assert (options.fps, options.max_frames, options.policy) == (2.5, 11, "block")
    assert (options.name, options.quiet) == ("gate", True)
    assert (options.fit, options.size) == ("letterbox", "448x252")
    assert (options.changed, options.zones, options.classes) == (True, "zones.json", "names.json")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch", "0"],
        ["--fps", "0"],
        ["--fps", "fast"],
        ["--max-frames", "0"],
        ["--words", "0"],
        ["--warmup-frames", "0"],
        ["--open-timeout", "0"],
        ["--stall-timeout", "-1"],
        ["--watts-per-core", "0"],
        ["--policy", "drop-newest"],
        ["--fit", "zoom"],
        ["--decoder", "vulkan"],
        ["--decode", "some"],
        ["--meter", "guess"],
        ["second-source.mp4"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_right_is_refused_by_its_name(arguments: list[str]) -> None:
    done = CliRunner().invoke(run, ["clip.mp4", *arguments])
    assert done.exit_code == 2
    assert arguments[0] in done.output


def test_every_option_says_what_it_is_for() -> None:
    assert all(getattr(option, "help", "") for option in run.params if option.name != "source")


def test_only_what_was_typed_counts_as_asked_for_about_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VWT_REDIS", "redis://localhost")
    done = CliRunner().invoke(run, ["sample:carphone", "--tokenizer", "full", "--words", "7", "--vocab", "x"])
    assert "which --vocab, --words are about" in str(done.exception)
