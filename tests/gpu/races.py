"""What one thread makes on the GPU while another reads it."""

from __future__ import annotations

import threading

import torch

from tests.gpu.report import Report
from vocab.words import Vocabulary

# So many that normalising them takes longer (a third of a millisecond) than queueing work on another stream.
_WORDS = 1 << 17
_PATCH_NUMBERS = 3 * 16 * 16


def check_words_are_whole(device: torch.device, report: Report) -> None:
    """Words made in one thread are read on another stream at once."""
    if device.type != "cuda":
        report.skip("words are whole on every stream", f"{device} has one stream")
        return
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(_WORDS, _PATCH_NUMBERS, generator=generator)
    patches = words[:: _WORDS // 256][None].to(device)
    upload = torch.cuda.Stream(device)
    torch.cuda.synchronize(device)
    found = []

    def follow() -> None:
        vocabulary = Vocabulary(words).to(device)
        with torch.cuda.stream(upload):
            found.append(vocabulary.match(patches).word[0].cpu())

    thread = threading.Thread(target=follow)
    thread.start()
    thread.join()
    own = torch.arange(256) * (_WORDS // 256)
    right = bool(found) and torch.equal(found[0], own)
    report.check(right, "words are whole on every stream: each of 256 words is its own nearest")
