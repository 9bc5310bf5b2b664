"""Damages data as files and messages get damaged, and in ways that only an attacker thinks of."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

# What lengths, counts and sizes are most often wrong at.
_NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
_VALUES: list[Any] = [
    None, True, 0, -1, 1e308, float("nan"), 10**30, "", "\ud800", "\x00", "a" * 5000, "../../etc/passwd",
    "${HOME}", "{}", [], {}, [[[[]]]], {"": ""}, ["a"], {"kind": "webhook", "url": "http://[::1"},
]  # fmt: skip


def damaged(data: bytes, random: Random) -> bytes:
    """The bytes with up to eight mutations; seldom none, which shows that the whole input is taken."""
    out = bytearray(data)
    for _ in range(random.randint(0, 8)):
        at = random.randrange(len(out) + 1)
        length = min(random.choice([1, 2, 4, 16, 256, 4096]), len(out) - at)
        kind = random.randrange(7)
        if kind == 0 and length:
            out[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            out[at : at + length] = random.randbytes(length)
        elif kind == 2:
            del out[at : at + length]
        elif kind == 3:
            out[at:at] = out[at : at + length]
        elif kind == 4:
            out[at : at + 4] = random.choice(_NUMBERS).to_bytes(4, random.choice(["big", "little"]))
        elif kind == 5:
            out[at : at + length] = bytes(length)
        elif random.random() < 0.2:
            del out[at:]
    return bytes(out)


def twisted(value: Any, random: Random) -> Any:
    """A value as JSON has them, with up to three parts of it replaced, removed or put elsewhere."""
    out = copy.deepcopy(value)
    for _ in range(random.choice([0, 1, 1, 1, 2, 2, 3, 3])):
        holders = list(_holders(out))
        if not holders:
            return copy.deepcopy(random.choice(_VALUES))
        holder, key = random.choice(holders)
        kind = random.randrange(4)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            holder[key] = copy.deepcopy(random.choice(holders)[0])
        elif kind == 2 and isinstance(holder, dict):
            holder[random.choice(["", "x" * 300, "\ud800", str(key).upper(), "id"])] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(random.choice(_VALUES))
    return out


def _holders(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _holders(inner)
