"""Ctrl-C reaches a process that computes in OpenVINO, whose plugins leave signal stacks behind."""

import subprocess
import sys

import pytest

pytest.importorskip("nncf")

_THEN_CTRL_C = """
import gc, os, signal
gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    print("told")
"""

_PLUGINS = """
import openvino
from pipeline.models.runtimes.signal_stack import signal_stack_kept
with signal_stack_kept():
    first, second = openvino.Core(), openvino.Core()
    for core in (first, second):
        core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
del first, core
del second
"""

_MODELS = """
import numpy as np
from pipeline.engine import Engine
from pipeline.models import load_model
from pipeline.models.runtimes.signal_stack import signal_stack
before = signal_stack()
for precision in ("fp32", "int8"):
    model = load_model("vit_tiny_patch16_224", "random", precision=precision, runtime="openvino")
    engine = Engine(model)
    engine.run(np.zeros((1, 224, 224, 3), np.uint8))
    while model.frames_wanted:
        engine.run(np.random.default_rng(0).integers(0, 255, (8, 224, 224, 3), np.uint8))
    assert model.computed == ("openvino", precision), model.computed
after = signal_stack()
assert before is None or (before.start, before.bytes) == (after.start, after.bytes)
"""


@pytest.mark.parametrize("work", [_PLUGINS, _MODELS], ids=["plugins that end as they began", "models"])
def test_ctrl_c_reaches_who_computed_in_openvino(work, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", work + _THEN_CTRL_C], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr
