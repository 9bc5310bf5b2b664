"""Real peers that tests of more than one package need."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import make_clips
from tests.processes import Breakable
from workers.threads import share_cores

# Before torch is imported, as the commands do: tests that run at once waited busily for each other's threads.
# Of models as small as theirs every layer is such a wait, so they do not spin: a twentieth of the time.
os.environ.setdefault("GOMP_SPINCOUNT", "0")
share_cores()

# What whoever runs the tests keeps at home is neither read nor written by them and what they start:
# streams of a service (the default data folder), quantized models, tokens of Ray.
_HOME = tempfile.TemporaryDirectory(prefix="vwt-tests-home-", ignore_cleanup_errors=True)
os.environ["HOME"] = _HOME.name
for _kept in ("STATE", "CACHE", "CONFIG", "DATA"):
    os.environ.pop(f"XDG_{_kept}_HOME", None)

# Property tests try the same few examples each time; `make fuzz` tries others, and more of them.
# Servers are shared by the examples of a test, which begin by emptying them.
_BORROWED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile(
    "suite", max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=_BORROWED
)
settings.register_profile(
    "fuzz", max_examples=1000, deadline=None, database=None, print_blob=True, suppress_health_check=_BORROWED
)
settings.load_profile("suite")

# Where tests run in the background SIGINT is ignored, and every process they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SCRIPT = Path(__file__).with_name("rtsp_server.py")
_PACKAGES = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
_PYTHON = "/usr/bin/python3"


class RtspServer(Breakable):
    """A server process that can be killed, halted and started again on the same port."""

    def __init__(self, clip: Path, user: str | None = None, password: str = "") -> None:
        self._clip = clip
        self._login = [] if user is None else ["--user", user, "--password", password]
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        """Where the clip is, without credentials."""
        return f"rtsp://127.0.0.1:{self.port}/clip"

    def start(self) -> None:
        """Starts it, on the port it had if it ran before, and waits until it listens."""
        command = [_PYTHON, str(_SCRIPT), str(self._clip), "--port", str(self.port), *self._login]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], 20)[0], "the RTSP server did not start in 20 s"
        ready = self._process.stdout.readline()
        assert ready.startswith("ready "), f"the RTSP server said {ready!r}"
        self.port = int(ready.rsplit(":", 1)[1].partition("/")[0])


@pytest.fixture(scope="session")
def _rtsp_packages() -> None:
    check = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    try:
        found = subprocess.run([_PYTHON, "-c", check], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        found = False
    if not found:
        pytest.skip(f"no RTSP server: apt-get install {_PACKAGES}")


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes at 10 frames/s with a key frame every half second: joins and rejoins quickly."""
    folder = tmp_path_factory.mktemp("clips")
    return make_clips.longer(folder / "long.mp4", make_clips.steady(folder / "short.mp4"), times=40)


@pytest.fixture
def rtsp_server(_rtsp_packages: None, long_clip: Path) -> Iterator[RtspServer]:
    """A running server of `long_clip`."""
    server = RtspServer(long_clip)
    yield server
    server.kill()


@pytest.fixture
def locked_rtsp_server(_rtsp_packages: None, long_clip: Path) -> Iterator[RtspServer]:
    """The same, for user "viewer" with the password "p@ss:w/rd"."""
    server = RtspServer(long_clip, "viewer", "p@ss:w/rd")
    yield server
    server.kill()


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def unused_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recalled answers are given from the start without a look at them."""
    monkeypatch.setattr("pipeline.tokenizers.recall_state._FIRST_TRUSTED", 48)
