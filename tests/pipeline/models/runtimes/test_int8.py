"""Eight bits: that they are near, that frames decide, and what is kept on disk."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline.calibrating import calibrate
from pipeline.engine import Engine
from pipeline.errors import SourceError
from pipeline.models import load_model
from pipeline.tokenizers import IntraTokenizer, MergeTokenizer

pytest.importorskip("nncf")


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def load(tmp_path, monkeypatch, notices):
    """Loads a small model in eight bits, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def small(name: str = "vit_tiny_patch16_224", fitted_to: str = "here"):
        return load_model(
            name, "random", embedding=True, precision="int8", on_notice=notices.append, fitted_to=fitted_to
        )

    return small


def test_frames_of_a_file_decide_and_what_came_of_it_is_kept(load, notices, tmp_path, capfd) -> None:
    model = load()
    assert model.frames_wanted
    assert model.computed.precision != "int8"

    calibrate(model, "sample:carphone")

    assert model.computed == ("openvino", "int8")
    assert len(notices) == 1
    assert "change score" in notices[0]
    again = load()
    assert again.frames_wanted == 0
    assert again.computed == ("openvino", "int8")
    assert notices[0] in notices[1]
    assert str(tmp_path) in notices[1]
    assert capfd.readouterr().out == ""

    frames = np.random.default_rng(0).integers(0, 255, (2, 224, 224, 3), np.uint8)
    exact = Engine(load_model("vit_tiny_patch16_224", "random", embedding=True))
    for tokenizer in (None, IntraTokenizer(0.4), MergeTokenizer(8)):
        truth = torch.tensor(exact.run(frames, tokenizer)["embedding"])
        found = [torch.tensor(Engine(one).run(frames, tokenizer)["embedding"]) for one in (model, again)]
        torch.testing.assert_close(*found)
        cosine = F.cosine_similarity(found[0], truth, dim=-1)
        assert cosine.min() > 0.9
        assert not torch.allclose(found[0], truth, atol=1e-4)


def test_other_weights_and_other_streams_are_quantized_anew(load) -> None:
    calibrate(load(), "sample:carphone")

    assert load("eva02_tiny_patch14_224").frames_wanted
    assert load(fitted_to="there").frames_wanted
    assert not load().frames_wanted


def test_without_a_file_the_first_frames_of_batches_decide(load) -> None:
    model = load()
    engine = Engine(model)
    frames = np.random.default_rng(0).integers(0, 255, (2, 224, 224, 3), np.uint8)
    for wanted in range(model.frames_wanted, 0, -1):
        assert model.computed.precision != "int8", wanted
        engine.run(frames)

    assert model.computed == ("openvino", "int8")


def test_a_file_that_cannot_be_read_is_named(load, tmp_path) -> None:
    with pytest.raises(SourceError, match=r"none\.mp4"):
        calibrate(load(), str(tmp_path / "none.mp4"))


def test_nothing_is_reported_to_anybody(tmp_path) -> None:
    """OpenVINO and NNCF leave an id and statistics in the home folder when they report their use."""
    code = "import pipeline.models.runtimes.openvino_runtime, nncf; print(nncf.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout
    assert list(tmp_path.glob("*ntel*")) == []
