"""What need not be imported for a first result is not; and is there in full for whoever wants it."""

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[3]


def printed(code: str) -> list[str]:
    """What code prints in an interpreter of its own, in words."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_null_model_needs_neither_timm_nor_torchvision():
    words = printed(
        """
        import sys
        import numpy as np
        from pipeline.engine import Engine
        from pipeline.models import load_model
        Engine(load_model("null")).run(np.zeros((1, 224, 224, 3), np.uint8))
        print("timm" in sys.modules, "torchvision" in sys.modules)
        """
    )

    assert words == ["False", "False"]


def test_a_run_to_the_end_needs_no_client_of_redis():
    words = printed(
        """
        import sys
        from workers.cli import main
        try:
            main(["run", "sample:bikes", "--model", "null", "--max-frames", "2", "--quiet"])
        except SystemExit as end:
            print(end.code, "redis" in sys.modules)
        """
    )

    assert words == ["0", "False"]


def test_the_bundled_model_runs_without_the_compiler():
    words = printed(
        """
        import sys
        import numpy as np
        from pipeline.engine import Engine
        from pipeline.models import load_model
        Engine(load_model()).run(np.zeros((1, 224, 224, 3), np.uint8))
        print("timm" in sys.modules, "torch._dynamo" in sys.modules)
        """
    )

    assert words == ["True", "False"]


def test_the_compiler_is_the_real_one_once_it_is_asked_for():
    words = printed(
        """
        import sys, torch
        from pipeline.models.timm_import import timm
        asking = sys.modules["torchvision.ops.roi_align"]
        print(asking.is_compile_supported("cpu"), asking.is_compile_supported("xpu"))
        compiled = torch.compile(torch.nn.Linear(2, 2), backend="eager")
        print(compiled(torch.zeros(1, 2)).shape[0], type(torch._dynamo).__name__)
        model = timm.create_model("naflexvit_base_patch16_gap", num_classes=3, embed_dim=192, depth=1)
        print(torch.compile(model, backend="eager")(torch.zeros(1, 3, 224, 224)).shape[1])
        """
    )

    assert words == ["True", "False", "1", "module", "3"]


def test_what_else_is_asked_of_the_compiler_meanwhile_comes_from_the_real_one():
    words = printed(
        """
        import torch
        from pipeline.models.timm_import import compiler_later
        with compiler_later():
            import torch._dynamo as asked
            print(type(asked).__name__, asked.config.verbose, type(torch._dynamo).__name__)
        """
    )

    assert words == ["_Later", "False", "module"]


def test_a_compiler_that_is_there_stays():
    words = printed(
        """
        import torch._dynamo
        real = torch._dynamo
        from pipeline.models.timm_import import timm
        import sys
        print(sys.modules["torch._dynamo"] is real)
        """
    )

    assert words == ["True"]
