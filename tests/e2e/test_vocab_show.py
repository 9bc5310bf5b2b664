"""`vwt vocab show`: words of a scope in a real server, and of a file."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.e2e.command import VWT, refused, succeeds
from tests.vocab.servers import Server
from vocab.connection import connect
from vocab.coverage import Coverage
from vocab.redis_lease import RedisLease
from vocab.redis_store import RedisStore
from vocab.words import Normalisation, Vocabulary

SCALE = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
GREEN = (0, 255, 0)
USAGE = np.array([0, 80, 10, *[1] * 7, *[0] * 10])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server("valkey")
    yield running
    running.close()


def green_second() -> Vocabulary:
    """20 random words of patch size 8, the second of them green."""
    words = torch.rand(20, 3 * 64)
    words[1] = torch.tensor(GREEN).div(255).repeat_interleave(64)
    return Vocabulary(words, normalisation=SCALE)


@pytest.fixture(scope="module")
def scope(server: Server) -> tuple[str, ...]:
    """A scope with two versions and three records; the options that name it."""
    client = connect(server.url)
    store = RedisStore(client, "yard", 8, SCALE)
    fence = RedisLease(client, "yard").acquire()
    assert fence is not None
    for share, distance in ((0.9, 0.004), (0.25, None)):
        version = store.publish(green_second(), fence)
        assert version is not None
        store.record(version.version, Coverage(share, distance, np.ones(20, np.int64)))
    store.record(2, Coverage(0.75, 0.005, USAGE))
    return "--redis", server.url, "--scope", "yard"


def shown(*arguments: str | Path) -> dict[str, Any]:
    fields = json.loads(succeeds("vocab", "show", *arguments, "--json").stdout)
    assert isinstance(fields, dict)
    return fields


def test_a_scope_says_its_versions_its_coverage_and_how_its_words_are_used(scope: tuple[str, ...]) -> None:
    text = succeeds("vocab", "show", *scope).stdout

    assert "9 words matched 97 patches, 11 words none" in text
    assert "the top 1 % took 82.5 %, the top 10 % took 92.8 %" in text
    assert "█▁▆ 25.0 % to 90.0 % in 3 checks" in text
    lines = [line.split() for line in text.splitlines()]
    (current,) = [line for line in lines if line[-1:] == ["current"]]
    assert current[:3] == ["2", "20", "8"]
    checks = [line[2:] for line in lines if len(line) > 2 and line[1].count(":") == 2]
    assert checks == [
        ["1", "90.0", "%", "0.0040"],
        ["2", "25.0", "%", "none", "matched"],
        ["2", "75.0", "%", "0.0050"],
    ]


def test_the_same_as_json(scope: tuple[str, ...]) -> None:
    fields = shown(*scope)

    assert (fields["scope"], fields["words"], fields["patch_size"], fields["version"]) == ("yard", 20, 8, 2)
    assert fields["normalisation"] == {"mean": [0, 0, 0], "std": [1, 1, 1]}
    assert [(info["version"], info["current"]) for info in fields["versions"]] == [(1, False), (2, True)]
    assert all(0 <= info["age_s"] < 300 for info in fields["versions"])
    assert [(check["version"], check["matched"], check["distance"]) for check in fields["coverage"]] == [
        (1, 0.9, 0.004),
        (2, 0.25, None),
        (2, 0.75, 0.005),
    ]
    usage = fields["usage"]
    assert abs(usage.pop("at") - time.time()) < 300
    assert usage == {
        "matched_patches": 97,
        "used": 9,
        "unused": 11,
        "top_1_percent_share": 80 / 97,
        "top_10_percent_share": 90 / 97,
    }


def test_the_sheet_shows_the_current_words_by_their_newest_use(
    scope: tuple[str, ...], tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    succeeds("vocab", "show", *scope, "--sheet", sheet)

    picture = cv2.imread(str(sheet))[..., ::-1]
    ys, xs = np.nonzero((picture == GREEN).all(axis=2))
    # The most used word, the second of the vocabulary, stands first.
    assert len(ys) == 32**2
    assert xs.min() == 12
    assert ys.max() < len(picture) / 2
    assert (picture == (230, 159, 0)).all(axis=2).sum() > 100


def test_words_not_checked_yet_have_no_usage_but_a_reason(server: Server, tmp_path: Path) -> None:
    client = connect(server.url)
    fence = RedisLease(client, "fresh").acquire()
    assert fence is not None
    RedisStore(client, "fresh", 8, SCALE).publish(green_second(), fence)
    fresh = ("--redis", server.url, "--scope", "fresh")

    fields = shown(*fresh, "--sheet", tmp_path / "sheet.png")

    assert fields["usage"] is None
    assert "not yet checked" in fields["usage_reason"]
    assert fields["coverage"] == []
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_a_scope_without_words_says_how_to_get_some(server: Server) -> None:
    line = refused("vocab", "show", "--redis", server.url, "--scope", "nobody", code=2)

    assert "scope 'nobody' has no words" in line
    assert "vwt run SOURCE --redis URL --scope nobody" in line


def test_redis_away_is_one_line_and_exit_5() -> None:
    away = "redis://me:s3cret@127.0.0.1:1/0"
    line = refused("vocab", "show", "--redis", away, "--scope", "yard", code=5)

    assert "cannot be reached" in line
    assert "s3cret" not in line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--scope", "yard"],
        ["--redis", "redis://localhost"],
        ["words", "--redis", "redis://localhost", "--scope", "yard"],
        ["words", "--redis", "redis://localhost"],
        ["words", "--scope", "yard"],
    ],
    ids=" ".join,
)
def test_anything_but_a_file_or_a_scope_is_refused(arguments: list[str]) -> None:
    assert "the PATH of a file, or --redis URL and --scope NAME" in refused(
        "vocab", "show", *arguments, code=2
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "words.safetensors"
    green_second().save(path)
    return path


def test_a_file_has_words_and_a_sheet_but_nothing_of_a_scope(file: Path, tmp_path: Path) -> None:
    fields = shown(file, "--sheet", tmp_path / "sheet.png")

    assert fields == {
        "path": str(file),
        "words": 20,
        "patch_size": 8,
        "version": 0,
        "normalisation": {"mean": [0, 0, 0], "std": [1, 1, 1]},
    }
    picture = cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1]
    assert (picture == GREEN).all(axis=2).sum() == 32**2


def test_a_redis_of_the_environment_gives_way_to_a_file(file: Path) -> None:
    environment = {**os.environ, "VWT_REDIS": "redis://127.0.0.1:1"}
    done = subprocess.run(
        [VWT, "vocab", "show", str(file)], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "words       20" in done.stdout


@pytest.mark.parametrize("sheet", ["-", "words.safetensors"])
def test_a_sheet_is_a_file_of_its_own(file: Path, sheet: str) -> None:
    before = file.read_bytes()
    place = sheet if sheet == "-" else file
    assert "give it a file of its own" in refused("vocab", "show", file, "--sheet", place, code=2)
    assert file.read_bytes() == before
