"""Options that cannot be right (exit 2) and models that cannot be had (exit 4): one line each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pipeline.models.torchvision_compat import allow_missing_operators
from tests.e2e.command import NULL, refused
from vocab.words import Vocabulary

CLIP = "sample:carphone"
TINY = "vit_tiny_patch16_224"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--bogus"], "--bogus"),
        (["--batch", "0"], "--batch"),
        (["--fps", "-1"], "--fps"),
        (["--tokenizer", "inter", "--threshold", "2.5"], "--threshold 2.5 is out of range"),
        (["--tokenizer", "full", "--threshold", "0.1"], "full does not take --threshold"),
        (["--tokenizer", "merge", "--words", "9"], "merge uses no visual words, which --words is about"),
        (["--size", "big"], "--size big is no size"),
        (["--size", "250"], "--size 250 is not in whole patches of 14 pixels; use 252x252"),
        (["--model", "resnet18", "--weights", "random", "--fit", "native"], "does not take --fit native"),
        (["--runtime", "graphs", "--device", "cpu"], "graphs runs on a GPU only; leave out --runtime"),
        (["--vocab", "nowhere.safetensors"], "no vocabulary at nowhere.safetensors"),
        (
            ["--model", "resnet18", "--weights", "random", "--tokenizer", "inter"],
            "does not take --tokenizer inter",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_an_option_that_cannot_be_right_is_a_usage_error(options: list[str], says: str) -> None:
    assert says in refused("run", CLIP, *options, code=2)


def test_a_source_must_be_named() -> None:
    assert "SOURCE" in refused("run", code=2)


def test_a_command_that_is_not_there_is_a_usage_error() -> None:
    assert "walk" in refused("walk", code=2)


def test_a_file_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    line = refused("run", CLIP, "--json-summary", tmp_path / "none" / "file", code=2)
    assert "cannot write --json-summary" in line
    assert f"create the folder {tmp_path / 'none'} first" in line


def test_a_full_disk_ends_a_run_in_one_line() -> None:
    line = refused("run", CLIP, *NULL, "--quiet", "--out", "/dev/full", code=1)
    assert "cannot write to /dev/full: No space left on device" in line


def test_words_of_another_patch_size_are_refused(tmp_path: Path) -> None:
    words = tmp_path / "words.safetensors"
    Vocabulary(torch.rand(10, 3 * 16 * 16)).save(words)
    assert "the vocabulary has patches of 16 pixels" in refused("run", CLIP, "--vocab", words, code=2)


def test_a_model_nobody_knows_is_refused_with_a_hint() -> None:
    line = refused("run", CLIP, "--model", "vit_tinny_patch16_224", code=4)
    assert f"did you mean {TINY}" in line


def test_weights_are_refused_when_neither_cached_nor_to_be_had() -> None:
    line = refused("run", CLIP, "--model", TINY, code=4)
    assert "the model hub cannot be reached" in line
    assert "--weights" in line


def garbage(folder: Path) -> Path:
    path = folder / "garbage.pth"
    path.write_bytes(bytes(range(255, 5, -1)) * 2)
    return path


def of_another_model(folder: Path) -> Path:
    allow_missing_operators()
    import timm

    path = folder / "resnet.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [(garbage, "cannot read weights"), (of_another_model, "are not those of")],
)
def test_weights_that_do_not_fit_are_refused(make: Any, says: str, tmp_path: Path) -> None:
    assert says in refused("run", CLIP, "--model", TINY, "--weights", make(tmp_path), code=4)


def test_code_in_a_weights_file_is_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "was-run"),)

    weights = tmp_path / "weights.pth"
    torch.save({"head.weight": Payload()}, weights)
    assert "cannot read weights" in refused("run", CLIP, "--model", TINY, "--weights", weights, code=4)
    assert not (tmp_path / "was-run").exists()
