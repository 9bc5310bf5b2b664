"""`vwt bench` on a detector."""

import pytest
import torch

from pipeline.clip import read_clip
from pipeline.energy import Ledger, open_meter
from pipeline.engine import Engine
from pipeline.models.detectors import detecting_model
from pipeline.models.yolos import random_yolos
from pipeline.preprocess import Preprocessor
from tests.pipeline.models.yolos import SMALL
from workers.bench.arms import full_arm, tokenizer_arms
from workers.bench.measure import measure
from workers.bench.options import asked_for


def test_the_boxes_of_every_arm_are_held_against_those_of_the_full_model() -> None:
    torch.manual_seed(0)
    cpu = torch.device("cpu")
    model = detecting_model(
        "yolos", SMALL.input, random_yolos(SMALL), cpu, torch.float32, 0.0, embedding=True
    )
    model.use(None, "96x64")
    engine = Engine(model)
    frames = read_clip("sample:carphone", Preprocessor(model.input), fps=2, first=4, limit=6).sampled
    arms = [full_arm(engine), *tokenizer_arms(engine, asked_for("intra:drop=0,random:drop=0.8"), list)]

    with Ledger(open_meter("none", "cpu")) as ledger:
        full, intact, half = (one.fidelity.figures() for one in measure(frames, arms, 2, ledger))

    assert full.agreement == intact.agreement == 1
    assert half.agreement is not None
    assert half.agreement < 1
    assert half.cosine_mean == pytest.approx(1, abs=0.5)
    assert full.kl is full.saliency_error is None
