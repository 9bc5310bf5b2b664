"""YOLOS against transformers, with the same random weights: there are no others here."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.engine import Engine
from pipeline.errors import ModelError
from pipeline.fit import FITS
from pipeline.frame import Frame, FrameTimes
from pipeline.models import find_models, load_model, model_input
from pipeline.models.coco import COCO_NAMES
from pipeline.models.detectors import DETECTORS, detecting_model
from pipeline.models.packed import PackedModel
from pipeline.models.positions import Placed
from pipeline.models.recalling import Recaller
from pipeline.models.yolos import YOLOS, Variant, load_yolos
from pipeline.preprocess import Preprocessor
from pipeline.tokenizers import FullTokenizer, MergeTokenizer, RecallTokenizer
from tests.pipeline.models.test_invariants import NEUTRAL, all_kept_but_not_known_to_be, tokenizers
from tests.pipeline.models.test_recalling import EVERYTHING, NOTHING, SOME, Scripted, answered
from tests.pipeline.models.yolos import SMALL, SMALL_WITHOUT, saved, theirs

CPU = torch.device("cpu")


def model_of(variant: Variant, weights: str, **settings: object) -> PackedModel:
    detector = load_yolos(variant, weights)
    return detecting_model("yolos", variant.input, detector, CPU, torch.float32, **settings)


def pictures(height: int, width: int, count: int = 1) -> torch.Tensor:
    """Smooth, with a flat part, so that there is something to merge."""
    coarse = torch.randn(count, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    images = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    images[:, :, : height // 4] = 0.4
    return images


@pytest.fixture(scope="module", params=[SMALL, SMALL_WITHOUT], ids=["added between", "plain"])
def both(request, tmp_path_factory):
    reference = theirs(request.param)
    folder = tmp_path_factory.mktemp("yolos")
    return reference, model_of(request.param, saved(reference, folder)), folder


def assert_same(model: PackedModel, features, right) -> None:
    logits, boxes = model._head._layers(model.encoder.detections(features))
    torch.testing.assert_close(logits, right.logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(boxes, right.pred_boxes, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", YOLOS)
@torch.inference_mode()
def test_a_published_size_answers_as_in_transformers_at_any_size_and_aspect(name, tmp_path):
    reference = theirs(YOLOS[name])
    model = model_of(YOLOS[name], saved(reference, tmp_path))
    answers = []
    for height, width in ((160, 224), (256, 144), (64, 480)):
        images = pictures(height, width)
        right = reference(images)
        plan = FullTokenizer().plan(images, 16, model.prefix)
        assert_same(model, model.encode([Placed.filling(images, 16)], plan), right)
        answers.append(right.logits)
    # Guards the guard: other pictures have other answers.
    assert (answers[0] - answers[1]).abs().max() > 0.01


@torch.inference_mode()
def test_a_picture_of_the_size_positions_were_learned_for_needs_none_resized(both):
    reference, model, _ = both
    images = pictures(64, 96, 2)
    plan = FullTokenizer().plan(images, 16, model.prefix)

    assert_same(model, model.encode([Placed.filling(images, 16)], plan), reference(images))


@torch.inference_mode()
def test_keeping_all_is_the_plain_answer_by_every_way_through_the_blocks(both):
    reference, model, _ = both
    images = pictures(160, 128, 3)
    right = reference(images)
    for plan in (
        all_kept_but_not_known_to_be(model.encoder, images),
        *(tokenizer.plan(images, 16, model.prefix) for tokenizer in NEUTRAL),
    ):
        assert_same(model, model.encode([Placed.filling(images, 16)], plan), right)


@torch.inference_mode()
def test_every_tokenizer_works_inside_it_and_batch_mates_do_not_matter(both):
    _, model, _ = both
    images = pictures(160, 128, 3)
    plain = model.summary(model.encode([Placed.filling(images, 16)], FullTokenizer().plan(images, 16, 101)))
    every = tokenizers(model.encoder, images)
    assert {tokenizer.name for tokenizer in every} | {"recall"} == set(model.tokenizers)
    for tokenizer in every:
        plan = tokenizer.plan(images, 16, model.prefix)
        together = model.encode([Placed.filling(images, 16)], plan)
        if not isinstance(tokenizer, FullTokenizer):
            assert (model.summary(together) - plain).abs().max() > 1e-3, tokenizer.name
        detections = model.encoder.detections(together)
        for index in range(3):
            alone = images[index : index + 1]
            single = model.encode([Placed.filling(alone, 16)], tokenizer.plan(alone, 16, model.prefix))
            torch.testing.assert_close(
                detections[index], model.encoder.detections(single)[0], atol=1e-4, rtol=0
            )


@torch.inference_mode()
def test_running_some_positions_equals_a_slow_version_that_keeps_what_every_block_saw(both):
    """transformers' own layers on all that was seen, each time, with what is added between them."""
    reference, model, _ = both
    images = pictures(160, 128, 3)
    vit, prefix = reference.vit, model.prefix
    # Theirs has the detection tokens last.
    order = torch.cat([torch.tensor([0]), torch.arange(81, 181), torch.arange(1, 81)])
    between = vit.encoder.interpolation
    added = None if between is None else between((160, 128))[:, 0]
    seen: list[torch.Tensor] = []

    def slow(image, rows):
        new = vit.embeddings(image[None])[0]
        where = order if rows is None else order[torch.cat([torch.arange(prefix), rows + prefix])]
        if not seen:
            seen.extend(new.clone() for _ in range(len(vit.encoder.layer) + 1))
        for layer, block in enumerate(vit.encoder.layer):
            seen[layer][where] = new[where]
            new = block(seen[layer][None])[0]
            if added is not None and layer < len(added):
                new = new + added[layer]
        seen[-1][where] = new[where]
        return vit.layernorm(seen[-1])[order]

    tokenizer = Scripted()
    for image, rows in ((0, EVERYTHING), (1, SOME), (2, NOTHING), (0, SOME + 30), (2, EVERYTHING)):
        answer = answered(model.encoder, images[image], tokenizer, rows)
        torch.testing.assert_close(answer.tokens, slow(images[image], rows), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_positions_are_judged_by_what_detection_tokens_pay_them(both):
    reference, model, _ = both
    reference.set_attn_implementation("eager")
    images = pictures(160, 128)
    paid = reference(images, output_attentions=True).attentions[-1][0]
    tokenizer = Scripted()

    answer = answered(model.encoder, images[0], tokenizer, EVERYTHING)

    expected = paid[:, -100:, 1:81].mean(dim=(0, 1))
    torch.testing.assert_close(answer.runs[0].attention, expected, atol=1e-5, rtol=0)
    assert (answer.runs[0].attention - paid[:, 0, 1:81].mean(dim=0)).abs().max() > 1e-4


@torch.inference_mode()
def test_what_recall_keeps_of_a_detector_does_not_grow_with_its_detection_tokens(both):
    _, model, _ = both
    images = pictures(160, 128)
    answer = answered(model.encoder, images[0], Scripted(), EVERYTHING)

    assert answer.runs[0].summary.shape == (SMALL.width,)
    features = Recaller(model.encoder).features([answer])
    torch.testing.assert_close(answer.runs[0].summary, model.summary(features)[0])


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("tokenizer", [FullTokenizer(), MergeTokenizer(8), RecallTokenizer()])
def test_a_picture_comes_back_with_boxes_inside_it_however_it_is_fitted(both, fit, tokenizer):
    _, _, folder = both
    variant = SMALL if "mid" in " ".join(load_file(folder / "model.safetensors")) else SMALL_WITHOUT
    model = model_of(variant, str(folder), min_score=0.0)
    model.use(fit, "192x128")
    picture = np.random.default_rng(0).integers(0, 255, (90, 200, 3), np.uint8)
    image, geometry, _ = Preprocessor(model.input)(picture)
    frames = [Frame(FrameTimes(pts_s=0.0), image, geometry)]

    (output,) = Engine(model).submit(frames, tokenizer).result().frames

    boxes = output.prediction.boxes
    assert output.prediction.kind == "boxes"
    assert len(boxes) == 100
    assert [box.score for box in boxes] == sorted((box.score for box in boxes), reverse=True)
    for box in boxes:
        assert 0 <= box.x <= box.x + box.w <= 1 + 1e-6
        assert 0 <= box.y <= box.y + box.h <= 1 + 1e-6
        assert box.name in COCO_NAMES
    assert len({(box.x, box.y) for box in boxes}) > 50


def test_classes_have_the_names_of_the_config_beside_the_weights(tmp_path):
    named = theirs(
        SMALL, id2label={0: "forklift", 1: "pallet"}, label2id={"forklift": 0, "pallet": 1}, num_labels=2
    )
    path = saved(named, tmp_path)
    assert load_yolos(SMALL, path).names == ["forklift", "pallet"]
    assert load_yolos(SMALL, str(tmp_path)).names == ["forklift", "pallet"]

    (tmp_path / "config.json").unlink()
    assert load_yolos(SMALL, path).names == ["class 0", "class 1"]


def test_classes_that_nobody_named_are_numbered(tmp_path):
    path = saved(theirs(SMALL, num_labels=3), tmp_path)

    assert "LABEL_2" in (tmp_path / "config.json").read_text()
    assert load_yolos(SMALL, path).names == ["class 0", "class 1", "class 2"]


def test_without_a_config_the_91_classes_have_the_names_of_coco(tmp_path):
    path = saved(theirs(SMALL), tmp_path)
    (tmp_path / "config.json").unlink()

    assert load_yolos(SMALL, path).names == COCO_NAMES


def test_a_file_written_by_hand_with_the_names_of_a_loaded_model_is_taken(tmp_path):
    """In memory transformers calls one of them by another name than in its files."""
    model = theirs(SMALL)
    held = {name: values.clone() for name, values in model.state_dict().items()}
    save_file(held, tmp_path / "own.safetensors")

    detector = load_yolos(SMALL, str(tmp_path / "own.safetensors"))

    assert detector.between is not None


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda state: state.pop("vit.layernorm.weight"), r"1 missing \(first: backbone.norm.weight\)"),
        (lambda state: state.pop("vit.encoder.mid_position_embeddings"), r"missing \(first: between\)"),
        (lambda state: state.pop("vit.embeddings.detection_tokens"), "of no YOLOS"),
        (lambda state: state.update(more=torch.zeros(1)), r"1 unknown \(first: more\)"),
        (lambda state: state.update({"vit.embeddings.position_embeddings": torch.zeros(1, 9, 128)}), "shape"),
        (lambda state: state.update({"vit.embeddings.detection_tokens": torch.zeros(3)}), "of no YOLOS"),
    ],
)
def test_weights_of_another_model_are_refused_in_one_line(tmp_path, spoil, says):
    path = tmp_path / "model.safetensors"
    state = load_file(saved(theirs(SMALL), tmp_path))
    spoil(state)
    save_file(state, path)

    with pytest.raises(ModelError, match=says):
        load_yolos(SMALL, str(path))


def test_a_file_of_which_any_part_is_of_another_shape_is_refused(tmp_path):
    whole = load_file(saved(theirs(SMALL), tmp_path))
    for name in whole:
        for odd in (torch.tensor(1.0), torch.zeros(0), torch.zeros(2, 3)):
            save_file(whole | {name: odd}, tmp_path / "odd.safetensors")
            with pytest.raises(ModelError, match=r"of another (model|shape)|of no YOLOS|does not name"):
                load_yolos(SMALL, str(tmp_path / "odd.safetensors"))


@torch.inference_mode()
def test_weights_kept_in_half_precision_are_taken(tmp_path):
    reference = theirs(SMALL)
    saved(reference, tmp_path)
    whole = load_file(tmp_path / "model.safetensors")
    save_file({name: values.half() for name, values in whole.items()}, tmp_path / "half.safetensors")
    model = model_of(SMALL, str(tmp_path / "half.safetensors"))
    images = pictures(160, 128)

    features = model.encode([Placed.filling(images, 16)], FullTokenizer().plan(images, 16, model.prefix))

    logits, _ = model._head._layers(model.encoder.detections(features))
    torch.testing.assert_close(logits, reference(images).logits, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("[", "cannot read"),
        ("[]", "no object of JSON"),
        (json.dumps({"id2label": {"0": "only one"}}), "does not name the 91 classes"),
        (json.dumps({"image_size": 7}), r"to be \[height, width\]"),
        (json.dumps({"image_size": [-64, 96]}), r"to be \[height, width\]"),
        (json.dumps({"image_size": [640, 640]}), "of another shape"),
    ],
)
def test_a_config_that_cannot_be_right_is_one_line(tmp_path, config, says):
    path = saved(theirs(SMALL), tmp_path)
    (tmp_path / "config.json").write_text(config)

    with pytest.raises(ModelError, match=says):
        load_yolos(SMALL, path)


def test_no_file_and_no_hub_are_one_line_that_says_where_was_looked(tmp_path, monkeypatch):
    import huggingface_hub

    with pytest.raises(ModelError, match=r"no weights at .*gone.safetensors"):
        load_model("yolos_tiny", str(tmp_path / "gone.safetensors"))
    (tmp_path / "odd.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot read weights"):
        load_model("yolos_tiny", str(tmp_path / "odd.safetensors"))
    # A port where nobody listens, in case this machine can reach the hub.
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    for weights, name in ((None, "hustvl/yolos-tiny"), ("hf-hub:nobody/none", "nobody/none")):
        with pytest.raises(ModelError, match=f"'{name}' are not in the local cache .*cannot be reached"):
            load_model("yolos_tiny", weights)


def test_detectors_are_found_by_name_and_their_input_is_known_without_weights():
    assert find_models("yolos*") == list(DETECTORS)
    spec, patch_size = model_input("yolos_tiny")
    assert (spec.width, spec.height, patch_size) == (912, 512, 16)

    model = load_model("yolos_tiny", "random", size="64x48")
    assert model.input == model_input("yolos_tiny", size="64x48")[0]
    assert set(model.tokenizers) == set(load_model().tokenizers)


def test_what_positions_are_added_between_is_run_block_by_block_and_says_so():
    said: list[str] = []
    for name, runtime in (("yolos_small", "torch"), ("yolos_tiny", "openvino")):
        model = load_model(name, "random", precision="fp32", runtime="openvino", on_notice=said.append)
        assert model.computed.runtime == runtime
    assert len(said) == 1
    assert "what is added between the blocks" in said[0]
