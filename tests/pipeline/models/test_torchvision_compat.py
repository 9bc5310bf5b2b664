"""timm must import whatever torchvision wheel lies beside torch."""

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[3]
# The module on its own: importing it through its package would import timm as well.
PREAMBLE = """
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("compat", "pipeline/models/torchvision_compat.py")
compat = module_from_spec(spec)
spec.loader.exec_module(compat)
"""


def python(code: str) -> list[str]:
    """Runs code in a fresh interpreter, so that no import leaves a trace here; returns the printed words."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_timm_imports_and_a_second_call_changes_nothing():
    words = python(
        """
        compat.allow_missing_operators()
        compat.allow_missing_operators()
        import timm
        compat.allow_missing_operators()
        print(timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=3).num_classes)
        """
    )
    assert words == ["3"]


def alone(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh interpreter that has imported nothing of ours."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_timm_on_its_own_imports_only_where_the_operators_load_as_the_readme_says():
    done = alone("import timm")

    if python("print(compat.operators_loaded())") == ["True"]:
        assert done.returncode == 0, done.stderr
    else:
        reason = done.stderr.strip().splitlines()[-1].removeprefix("RuntimeError: ")
        assert reason in " ".join((ROOT / "README.md").read_text().split())


def test_timm_imports_after_the_models_as_the_readme_says():
    done = alone("import pipeline.models; import timm; print(timm.is_model('vit_tiny_patch16_224'))")

    assert done.stdout == "True\n", done.stderr


def test_operators_loaded_says_what_torchvision_itself_finds():
    ours, theirs = python(
        """
        print(compat.operators_loaded())
        compat.allow_missing_operators()
        import torchvision.extension
        print(torchvision.extension._has_ops())
        """
    )
    assert ours == theirs


def test_nothing_is_declared_where_the_operators_load():
    # A library that does load stands for torchvision's: only the file it is found in differs.
    words = python(
        """
        import pathlib, sys, sysconfig, tempfile, torch
        with tempfile.TemporaryDirectory() as parent:
            folder = pathlib.Path(parent) / "torchvision"
            folder.mkdir()
            (folder / "__init__.py").touch()
            (folder / f"_C{sysconfig.get_config_var('EXT_SUFFIX')}").symlink_to(torch._C.__file__)
            sys.path.insert(0, parent)
            compat.allow_missing_operators()
        print(compat.operators_loaded(), hasattr(torch.ops.torchvision, "nms"))
        """
    )
    assert words == ["True", "False"]


def test_a_missing_torchvision_loads_no_operators_and_is_no_error():
    words = python(
        """
        compat.find_spec = lambda name: None
        print(compat.operators_loaded())
        compat.allow_missing_operators()
        """
    )
    assert words == ["False"]
