"""How torch computes in a process: how its threads share the cores, and how much it remembers."""

from __future__ import annotations

import os

_CODE_SETTING = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
# A few microseconds; the default is some milliseconds.
_SPINS = "1000"
# What is remembered takes a quarter of a megabyte and more for every layer shape and length of a batch, and
# `inter` gives nearly every batch another length. A batch needs about four, one for each shape of its layers;
# one that merges after every layer needs them for every layer: with 96 entries it took 1.36 times as long.
_CODE = "128"
_DESCRIPTIONS = "16"
# For who runs many settings in turn, and not for long.
_MORE_CODE = "4096"


def share_cores() -> None:
    """Makes torch's threads sleep while they wait for each other. Call it before torch is imported.

    GNU OpenMP, which torch computes with on Linux, by default waits busily for milliseconds. A thread that
    waits so for one whose core is taken, by the decoder or by another process, keeps its own core from it:
    measured on two cores shared with other work, a ViT-S ran at 3.7 frames/s, and at 9.0 with ten times
    these spins. Two `vwt run sample:carphone --tokenizer full --runtime torch --precision bf16 --batch 1` at
    once took 14.3 and 15.1 s with those, and 7.2 and 7.1 s with these; one alone 4.1 to 4.5 s with either.

    It also bounds what is remembered of the lengths of batches, 1,024 entries unless told otherwise: oneDNN
    keeps the code it made (ONEDNN_PRIMITIVE_CACHE_CAPACITY), and torch, for each of its threads, the
    descriptions this was made from (LRU_CACHE_CAPACITY). Together they took 425 MB more within 1,000
    frames of `inter`. Making them anew for a batch costs 2 % of the time of one frame, less of larger ones.

    What the user has set stays as it is.
    """
    os.environ.setdefault(_CODE_SETTING, _CODE)
    os.environ.setdefault("LRU_CACHE_CAPACITY", _DESCRIPTIONS)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def one_thread() -> None:
    """Has torch compute with one thread, enough where streams are many. Call it before torch is imported."""
    os.environ["OMP_NUM_THREADS"] = "1"


def remember_more() -> None:
    """Lets oneDNN keep the code for many settings that run in turn. Call it before torch is imported.

    What the user has set stays as it is.
    """
    if os.environ.get(_CODE_SETTING, _CODE) == _CODE:
        os.environ[_CODE_SETTING] = _MORE_CODE
