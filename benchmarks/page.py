"""What the operator's page costs a browser.

    python -m benchmarks.page

A real `vwt serve` with 16 small streams (null model, 2 frames/s each) and a real chromium without a GPU:

- first_paint_ms: from the request of `/` to the first picture on the screen, nothing cached, median of 5
  loads. At most 1000.
- cores: CPU of all processes of the browser over 20 s while it shows all 16 tiles with pictures twice a
  second, and of the same browser with an empty page. At most 0.05 between them.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright
from rich.console import Console

from benchmarks.common import write_results
from benchmarks.service import NULL
from tests.make_clips import longer, steady
from tests.survival.service import Service, until

STREAMS = 16
LOADS = 5
SPAN_S = 20
# All tiles are on the screen; pictures of others are not asked for.
_SIZE: ViewportSize = {"width": 2560, "height": 2160}
_FIRST_PAINT = """() => new Promise((found) => new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (one.name === "first-contentful-paint") found(one.startTime);
}).observe({ type: "paint", buffered: true }))"""


def measure(folder: Path) -> dict[str, Any]:
    """All figures, and how busy the machine was before."""
    load = os.getloadavg()[0]
    clip = longer(folder / "tiny.mp4", steady(folder / "s.mp4", frames=30, size=(64, 64)), times=4)
    service = Service(folder / "page", {"ingest": {"scaling": {"max_replicas": 1}}})
    try:
        for number in range(STREAMS):
            service.add(clip, name=f"tile-{number}", **NULL, loop=True, realtime=True, fps=2)
        names = [f"tile-{number}" for number in range(STREAMS)]
        until(lambda: all(service.status(name)["next_frame"] > 5 for name in names), 120)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            url = f"http://127.0.0.1:{service.port}/"
            paints = [_first_paint(browser, url) for _ in range(LOADS)]
            page = browser.new_page(viewport=_SIZE)
            empty = _cores(page)
            page.goto(url)
            expect(page.locator(".tile canvas")).to_have_count(STREAMS, timeout=60_000)
            wall = _cores(page)
            browser.close()
    finally:
        service.stop()
    return {
        "load_before": round(load, 1),
        "first_paint_ms": round(statistics.median(paints)),
        "cores": {"wall": round(wall, 3), "empty": round(empty, 3), "page": round(wall - empty, 3)},
    }


def _first_paint(browser: Browser, url: str) -> float:
    context = browser.new_context(viewport=_SIZE)
    page = context.new_page()
    page.goto(url)
    found = float(page.evaluate(_FIRST_PAINT))
    context.close()
    return found


def _cores(page: Page) -> float:
    """CPU seconds per second of all processes of the browser."""
    page.wait_for_timeout(3000)
    before, began = _cpu_s(), time.monotonic()
    page.wait_for_timeout(SPAN_S * 1000)
    return (_cpu_s() - before) / (time.monotonic() - began)


def _cpu_s() -> float:
    own = [one for one in psutil.Process().children(recursive=True) if "chrom" in one.name()]
    return float(sum(times.user + times.system for times in (one.cpu_times() for one in own)))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    Console().print_json(data=figures)
    write_results("page", figures)


if __name__ == "__main__":
    main()
