"""The commands beside `vwt run`, and how soon the command answers."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.e2e.command import NULL, refused, results_of, succeeds, vwt


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["vocab", "learn", "--help"], ["run", "missing.mp4"]],
    ids=" ".join,
)
def test_what_needs_no_model_is_answered_without_loading_torch(arguments: list[str]) -> None:
    script = f"""if True:
        import sys
        from workers.cli import main
        try:
            main({arguments!r})
        except SystemExit:
            sys.exit("torch" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout + done.stderr


def test_help_names_every_command() -> None:
    text = succeeds("--help").stdout
    assert all(f"  {name} " in text for name in ("run", "models", "vocab", "doctor"))


def test_the_version_is_that_of_the_package() -> None:
    assert succeeds("--version").stdout.strip() == version("vwt-stream")


def test_models_lists_the_bundled_models_and_the_families() -> None:
    text = succeeds("models").stdout
    assert all(name in text for name in ("dinov2_vits14_saliency", "null", "vit_small_patch16_224"))
    (siglip,) = [line for line in text.splitlines() if "siglip" in line]
    assert "all but ats, prune" in siglip


def test_models_lists_what_matches_a_pattern() -> None:
    said = dict(line.split(maxsplit=1) for line in succeeds("models", "vit_small*").stdout.splitlines())
    assert all(name.startswith("vit_small") for name in said)
    assert said["vit_small_patch16_224.dino"].startswith("embedding,")
    assert said["vit_small_patch16_224.augreg_in1k"] == "labels (1000 classes), apache-2.0"
    assert said["vit_small_patch16_18x2_224"] == "no published weights"


def test_models_says_what_is_beside_text() -> None:
    said = dict(
        line.split(maxsplit=1) for line in succeeds("models", "*clip_224.openai*").stdout.splitlines()
    )
    assert said["vit_base_patch16_clip_224.openai"].startswith("embedding (512 numbers beside text)")
    assert said["vit_base_patch16_clip_224.openai_ft_in1k"].startswith("labels (1000 classes)")


def test_a_pattern_without_a_match_is_refused() -> None:
    assert "no model matches 'nonesuch*'" in refused("models", "nonesuch*", code=4)


def test_doctor_says_as_json_that_the_first_run_can_work() -> None:
    done = vwt("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert all(check["ok"] for check in checks.values() if check["needed"])


def test_json_summary_can_go_to_standard_output() -> None:
    done = succeeds("run", "sample:carphone", *NULL, "--max-frames", "5", "--json-summary", "-")
    summary = json.loads(done.stdout)
    assert summary["frames"] == 5
    assert summary["source"] == "sample:carphone"
    assert summary["stream"] == "carphone"
    assert summary["energy"]["method"] == "estimate"


def test_words_learned_from_a_clip_are_shown_and_used_from_the_first_frame_on(tmp_path: Path) -> None:
    words = tmp_path / "words.safetensors"
    learned = succeeds("vocab", "learn", "sample:carphone", "--words", "50", "--frames", "30", "-o", words)
    assert f"learned 50 words of patch size 14 from 30 of 120 frames: {words}" in learned.stderr
    shown = succeeds("vocab", "show", words).stdout
    assert [line.split()[-1] for line in shown.splitlines()[:2]] == ["50", "14"]
    run = succeeds("run", "sample:carphone", "--exact", "--vocab", words, "--max-frames", "8", "--out", "-")
    results = results_of(run.stdout)
    assert len(results) == 8
    assert all(result["vocab_version"] == 0 for result in results)
    assert all(result["tokens"]["kept"] < result["tokens"]["full"] for result in results)


def test_words_are_learned_from_several_clips_together(tmp_path: Path) -> None:
    words = tmp_path / "words.safetensors"
    clips = ("sample:carphone", "sample:bunny")
    learned = succeeds(
        "vocab", "learn", *clips, "--words", "20", "--frames", "10", "--max-frames", "15", "-o", words
    )
    assert "from 10 of 30 frames" in learned.stderr


def test_words_are_learned_of_pictures_as_they_are_fitted_into_a_size(tmp_path: Path) -> None:
    words = tmp_path / "words.safetensors"
    fitted = ("--fit", "letterbox", "--size", "112")
    succeeds(
        *("vocab", "learn", "sample:carphone", *fitted),
        *("--words", "20", "--frames", "2", "--max-frames", "2", "-o", words),
    )
    out = tmp_path / "results.jsonl"
    succeeds("run", "sample:carphone", *fitted, "--vocab", words, "--max-frames", "2", "--out", out)
    # 112 pixels are 8 patches; 4:3 leaves two rows of them to padding.
    assert [json.loads(line)["tokens"]["full"] for line in out.read_text().splitlines()] == [48, 48]


def test_more_words_than_patches_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "words.safetensors"
    line = refused("vocab", "learn", "sample:carphone", "--words", "300", "--frames", "1", "-o", out, code=2)
    assert "300 words cannot be learned from 192 patches" in line
    assert not out.exists()


def test_a_vocabulary_that_cannot_be_written_is_refused_before_learning(tmp_path: Path) -> None:
    line = refused("vocab", "learn", "sample:bikes", "-o", tmp_path / "none" / "words", code=2)
    assert f"create the folder {tmp_path / 'none'} first" in line


def test_a_model_without_patches_has_no_words_to_learn() -> None:
    assert "takes no words" in refused(
        "vocab", "learn", "sample:bunny", "--model", "resnet18", "-o", "w", code=2
    )


def test_labels_of_texts_name_what_a_tower_sees(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    tower = ("--model", "vit_base_patch32_clip_224.laion2b")
    made, summary = tmp_path / "labels.safetensors", tmp_path / "summary.json"
    texts = ("--text-model", "ViT-B-32", "--text-weights", "random", "a forklift", "an empty aisle")

    said = succeeds("labels", "text", *tower, *texts, "-o", str(made)).stderr
    assert "2 labels for vit_base_patch32_clip_224.laion2b, made with ViT-B-32 of open_clip, random" in said

    shown = succeeds(
        "run", "sample:carphone", *tower, "--weights", "random", "--labels", str(made),
        "--max-frames", "2", "--json-summary", str(summary),
    ).stderr  # fmt: skip
    assert "random: what was predicted means nothing" in shown
    told = json.loads(summary.read_text())
    assert (told["prediction"], told["weights"]) == ("labels", "random")
    assert {best["label"] for best in told["predicted"]["best"]} <= {"a forklift", "an empty aisle"}


def test_labels_need_both_halves_of_a_text_tower(tmp_path: Path) -> None:
    out = str(tmp_path / "labels.safetensors")
    given = ("labels", "text", "--model", "vit_base_patch32_clip_224.laion2b", "-o", out, "a van")
    assert "give both or neither" in refused(*given, "--text-model", "ViT-B-32", code=2)
