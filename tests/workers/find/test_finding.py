"""`vwt run --index` and `vwt find` on real clips and models, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import pytest
import torch
from click.testing import CliRunner, Result

from pipeline.errors import SourceError, UsageError
from pipeline.history import read_history
from pipeline.models.label_vectors import LabelVectors
from pipeline.sources import parse_source
from workers.cli import cli

FAST = ("--meter", "none", "--quiet", "--runtime", "torch", "--precision", "fp32")
TINY = ("--model", "vit_tiny_patch16_224", "--weights", "random")
TOWER = ("--model", "vit_base_patch32_clip_224.openai", "--weights", "random")


def vwt(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], catch_exceptions=False)


def hits(*arguments: str | Path) -> list[dict]:
    done = vwt("find", *arguments, "--json")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def picture_at(clip: str, time_s: float, path: Path) -> Path:
    with av.open(parse_source(clip).location) as container:
        for frame in container.decode(video=0):
            if float(frame.time) >= time_s:
                cv2.imwrite(str(path), frame.to_ndarray(format="bgr24"))
                return path
    raise AssertionError(f"{clip} ends before {time_s}")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Histories of two clips by the bundled model."""
    folder = tmp_path_factory.mktemp("history")
    for clip in ("bikes", "carphone"):
        out = folder / f"{clip}.jsonl"
        vwt("run", f"sample:{clip}", "--fps", 2, "--index", folder, "--out", out, *FAST)
    return folder


def test_the_moment_of_a_picture_is_found(filled: Path, tmp_path: Path) -> None:
    picture = picture_at("sample:bikes", 4.1, tmp_path / "picture.png")
    first, *others = hits(filled, "--like", picture)
    assert first["stream"] == "bikes"
    assert abs(first["pts_s"] - 4.1) <= 0.6
    assert first["score"] > 0.9
    assert [hit["score"] for hit in others] == sorted((hit["score"] for hit in others), reverse=True)


def test_a_part_of_a_picture_finds_it_too(filled: Path, tmp_path: Path) -> None:
    picture = picture_at("sample:carphone", 2.1, tmp_path / "picture.png")
    assert hits(filled, "--like", picture, "--box", "0.2,0.2,0.6,0.6")[0]["stream"] == "carphone"


def test_a_thing_is_found_where_it_is_in_what_changed(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    vwt("run", "sample:carphone", "--fps", 4, "--changed", "--index", tmp_path, "--out", out, *FAST)
    results = [json.loads(line) for line in out.read_text().splitlines()]
    kept = set(read_history(tmp_path / "carphone.history")[1]["frame"].tolist())
    shown = [
        (result["pts_s"], box)
        for result in results
        for box in result.get("changed") or ()
        if result["frame"] in kept and max(box["w"], box["h"]) < 0.5
    ]
    time_s, box = shown[0]
    place = [box[side] for side in "xywh"]
    picture = picture_at("sample:carphone", time_s - 0.01, tmp_path / "picture.png")
    found = hits(tmp_path, "--like", picture, "--box", ",".join(map(str, place)), "--apart", 0)
    assert found[0]["pts_s"] == pytest.approx(time_s, abs=0.01)
    assert found[0]["box"] == pytest.approx(place, abs=2e-3)
    assert "box" not in hits(tmp_path, "--like", picture)[0]


def test_streams_and_times_can_be_named(filled: Path, tmp_path: Path) -> None:
    picture = picture_at("sample:bikes", 4.1, tmp_path / "picture.png")
    assert {hit["stream"] for hit in hits(filled, "--like", picture, "--stream", "carphone")} == {"carphone"}
    found = hits(filled, "--like", picture, "--since", "6", "--until", "8", "--apart", "0")
    assert found
    assert all(6 <= hit["pts_s"] < 8 for hit in found)
    with pytest.raises(UsageError, match="no history of yard; it has bikes, carphone"):
        vwt("find", filled, "--like", picture, "--stream", "yard")


def test_people_are_told_times_and_scores(filled: Path, tmp_path: Path) -> None:
    picture = picture_at("sample:bikes", 4.1, tmp_path / "picture.png")
    line = vwt("find", filled, "--like", picture, "--top", 1).stdout
    assert line.count("\n") == 1
    assert "bikes" in line
    assert "0:00:04" in line


def test_results_hold_no_embedding_that_nobody_asked_for(filled: Path) -> None:
    results = [json.loads(line) for line in (filled / "bikes.jsonl").read_text().splitlines()]
    assert results
    assert all("embedding" not in result["prediction"] for result in results)


def test_held_frames_are_not_kept_and_a_second_run_of_a_file_begins_anew(filled: Path) -> None:
    results = [json.loads(line) for line in (filled / "carphone.jsonl").read_text().splitlines()]
    held = {result["frame"] for result in results if result["decision"] == "hold"}
    kept = read_history(filled / "carphone.history")[1]["frame"].tolist()
    assert kept
    assert not held & set(kept)
    vwt("run", "sample:carphone", "--fps", 2, "--index", filled, *FAST)
    assert read_history(filled / "carphone.history")[1]["frame"].tolist() == kept


def test_any_model_with_an_embedding_can_be_searched(tmp_path: Path) -> None:
    vwt("run", "sample:bikes", "--fps", 2, "--index", tmp_path, "--tokenizer", "full", *TINY, *FAST)
    picture = picture_at("sample:bikes", 4.0, tmp_path / "picture.png")
    assert abs(hits(tmp_path, "--like", picture)[0]["pts_s"] - 4.0) <= 0.6


def test_a_label_finds_what_its_vector_points_to(tmp_path: Path) -> None:
    vwt("run", "sample:bikes", "--fps", 1, "--index", tmp_path, "--tokenizer", "full", *TOWER, *FAST)
    records = read_history(tmp_path / "bikes.history")[1]
    vectors = torch.from_numpy(records["vector"][[1, 3]].astype("float32"))
    vectors /= vectors.norm(dim=1, keepdim=True)
    labels = tmp_path / "labels.safetensors"
    LabelVectors(["a van", "a bike"], vectors, TOWER[1]).save(labels)
    found = hits(tmp_path, "--text", "a bike", "--labels", labels)
    assert found[0]["frame"] == records["frame"][3]
    assert found[0]["score"] == pytest.approx(1, abs=1e-3)
    with pytest.raises(UsageError, match="no label 'a dog'; it has 'a van', 'a bike'"):
        vwt("find", tmp_path, "--text", "a dog", "--labels", labels)


def test_labels_of_another_model_are_refused(filled: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.safetensors"
    LabelVectors(["a van"], torch.eye(512)[:1], TOWER[1]).save(labels)
    with pytest.raises(UsageError, match=r"for model .*clip.* and the history was made with 'dinov2"):
        vwt("find", filled, "--text", "a van", "--labels", labels)


def test_a_model_without_an_embedding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no embedding that --index could keep"):
        vwt("run", "sample:bikes", "--model", "null", "--index", tmp_path, "--quiet")


def test_what_is_no_picture_is_refused(filled: Path) -> None:
    with pytest.raises(SourceError, match="no picture that can be read"):
        vwt("find", filled, "--like", filled / "bikes.jsonl")
    with pytest.raises(SourceError, match="cannot read"):
        vwt("find", filled, "--like", filled / "nowhere.png")
