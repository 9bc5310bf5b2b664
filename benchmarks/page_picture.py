"""Takes the picture of the page that README shows, and others of it for people to look at.

    python -m benchmarks.page_picture [--source CLIP] [--tokenizer NAME] [--out docs/page.png] [--all FOLDER]

A real `vwt serve` with one stream of the bundled model, 5 frames/s at the pace of the clip, and a real
chromium, once the stream has had `--frames` frames. `--all` takes it at three widths in both themes.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, expect, sync_playwright

from tests.survival.service import Service, until

FPS, FRAMES, NAME = 5, 200, "street"
WIDTHS, HEIGHT = (390, 1280, 2560), 1200
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="sample:carphone")
    parser.add_argument("--tokenizer", default="recall")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--out", type=Path, default=Path("docs/page.png"))
    parser.add_argument("--all", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder), {})
        try:
            stream = {"tokenizer": given.tokenizer, "fps": FPS, "loop": True, "realtime": True}
            service.add(given.source, name=NAME, **stream)
            until(lambda: service.status(NAME)["next_frame"] >= given.frames, given.frames)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                url = f"http://127.0.0.1:{service.port}/#/streams/{NAME}"
                take(browser, url, 1280, "light", given.out, whole=False)
                for width in WIDTHS if given.all else ():
                    for scheme in SCHEMES:
                        take(browser, url, width, scheme, given.all / f"{NAME}-{width}-{scheme}.png")
                browser.close()
        finally:
            service.stop()


def take(browser: Browser, url: str, width: int, scheme: Scheme, path: Path, whole: bool = True) -> None:
    """One picture of the page, of all of it or of the screen, once it shows the stream and its lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page = browser.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)
    page.goto(url)
    expect(page.locator(".picture canvas")).to_be_visible(timeout=60_000)
    expect(page.locator("tbody tr")).to_have_count(15, timeout=60_000)
    expect(page.locator(".chart path.js-line").first).to_be_attached(timeout=60_000)
    page.wait_for_timeout(2000)
    page.screenshot(path=path, full_page=whole)
    page.close()


if __name__ == "__main__":
    main()
