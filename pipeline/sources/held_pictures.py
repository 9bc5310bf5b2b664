"""How many pixels a stream of H.264 or H.265 has its decoder keep for reference, by its parameter sets.

The decoder allocates what they state, so this is looked at before it has them: in what the container says of
the stream, and in every packet, since a stream may state anew at any key frame.
"""

from __future__ import annotations

from collections.abc import Iterator

from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.sources.nal import units

# A picture and the eight it may refer to: what VP9 and AV1 keep at any size, and more than the levels of
# H.264 and H.265 let the largest pictures have.
KEPT = 9
_MOST = 17
# Profiles of H.264 that state more of their pictures.
_HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
_H264_SPS, _H265_SPS = 7, 33
# Where avcC and hvcC state how long a length is.
_LENGTH_AT = {"h264": 4, "hevc": 21}
# No parameter set has more bytes than this before what is read of it.
_LONGEST = 4096


class StatedPictures:
    """Looks through one stream.

    Args:
        codec: name of it, as the decoder has it.
        extradata: what the container says of the stream.
        max_pixels: of one picture; so many pictures of this size may be kept as `KEPT` says.
    """

    def __init__(self, codec: str, extradata: bytes | None, max_pixels: int) -> None:
        self._codec = codec
        self._extradata = extradata
        self._limit = KEPT * max_pixels

    @classmethod
    def of(cls, stream: VideoStream, max_pixels: int) -> StatedPictures:
        """That of a stream in an open container."""
        context = stream.codec_context
        return cls(context.name, context.extradata, max_pixels)

    def refused(self, width: int, height: int) -> str | None:
        """Why the stream may not be decoded, by what its container says of it; None if it may.

        Args:
            width, height: of its pictures, for codecs whose parameter sets are not read here.
        """
        if self._codec == "vvc":
            return self._too_many(width, height, _MOST)
        return self._first_refused(_stated(self._codec, self._extradata or b""))

    def refused_in(self, packet: Packet[VideoStream]) -> str | None:
        """Why a packet may not be decoded, by the parameter sets in it; None if it may."""
        if self._codec not in _LENGTH_AT:
            return None
        if packet.has_sidedata("new_extradata"):
            changed = bytes(packet.get_sidedata("new_extradata"))
            if (why := self._first_refused(_stated(self._codec, changed))) is not None:
                return why
            self._extradata = changed
        data = bytes(packet)
        if data[:4] == b"\0\0\0\1":
            # Some write start codes though their container says lengths. The decoder notices, for good.
            self._extradata = None
        if data[:1] == b"\1" and (why := self._first_refused(_stated(self._codec, data))) is not None:
            # What belongs into the container, as a packet, which the decoder takes too.
            return why
        return self._first_refused(
            data[at : at + _LONGEST]
            for at in units(data, self._extradata, _LENGTH_AT[self._codec])
            if _is_parameters(self._codec, data, at)
        )

    def _first_refused(self, stated: Iterator[bytes]) -> str | None:
        reasons = (self._refused(one) for one in stated)
        return next((why for why in reasons if why is not None), None)

    def _refused(self, parameters: bytes) -> str | None:
        try:
            size = _h264(parameters) if self._codec == "h264" else _h265(parameters)
        except ValueError:
            return "states nothing that can be read of its pictures"
        return self._too_many(*size)

    def _too_many(self, width: int, height: int, pictures: int) -> str | None:
        if width * height * pictures <= self._limit:
            return None
        return (
            f"would have {pictures} pictures of {width}x{height} kept, {width * height * pictures} pixels "
            f"and more than {self._limit}"
        )


def _is_parameters(codec: str, data: bytes, at: int) -> bool:
    if codec == "h264":
        return data[at] & 31 == _H264_SPS
    # Of the first layer, which alone is decoded.
    return (data[at] >> 1) & 63 == _H265_SPS and not data[at] & 1 and at + 1 < len(data) and data[at + 1] < 8


def _stated(codec: str, data: bytes) -> Iterator[bytes]:
    """The parameter sets in what a container says of a stream: as MP4 has them (avcC, hvcC) or a stream."""
    if codec not in _LENGTH_AT:
        return
    if data[:1] != b"\1":
        starts = units(data, None, 0)
    elif codec == "h264":
        starts = _in_arrays(data, 6, sets=data[5] & 31 if len(data) > 5 else 0)
    else:
        starts = _in_h265_arrays(data)
    for at in starts:
        if _is_parameters(codec, data, at):
            yield data[at : at + _LONGEST]


def _in_arrays(data: bytes, at: int, sets: int) -> Iterator[int]:
    """Where each of so many units is, behind a length of two bytes."""
    for _ in range(sets):
        if at + 2 >= len(data):
            return
        yield at + 2
        at += 2 + int.from_bytes(data[at : at + 2], "big")


def _in_h265_arrays(data: bytes) -> Iterator[int]:
    at = 23
    for _ in range(data[22] if len(data) > 22 else 0):
        sets = int.from_bytes(data[at + 1 : at + 3], "big")
        at += 3
        for start in _in_arrays(data, at, sets):
            yield start
            at = start + int.from_bytes(data[start - 2 : start], "big")


def _h264(unit: bytes) -> tuple[int, int, int]:
    """Width, height and number of pictures: ITU-T H.264, 7.3.2.1.1."""
    bits = _Bits(unit[1:])
    profile = bits.take(8)
    bits.take(16)
    bits.number()
    if profile in _HIGH:
        chroma = bits.number()
        if chroma == 3:
            bits.take(1)
        bits.numbers(2)
        bits.take(1)
        if bits.take(1):
            for at in range(8 if chroma != 3 else 12):
                if bits.take(1):
                    bits.scaling_list(16 if at < 6 else 64)
    bits.number()
    order = bits.number()
    if order == 0:
        bits.number()
    elif order == 1:
        bits.take(1)
        bits.numbers(2)
        bits.numbers(bits.number())
    references = bits.number()
    bits.take(1)
    width, height = 16 * (bits.number() + 1), 16 * (bits.number() + 1)
    # Without this bit the height is that of a field.
    return width, height * (2 - bits.take(1)), references + 1


def _h265(unit: bytes) -> tuple[int, int, int]:
    """Width, height and number of pictures: ITU-T H.265, 7.3.2.2.1."""
    bits = _Bits(unit[2:])
    bits.take(4)
    layers = bits.take(3)
    bits.take(1)
    bits.take(96)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.number()
    if bits.number() == 3:
        bits.take(1)
    width, height = bits.number(), bits.number()
    if bits.take(1):
        bits.numbers(4)
    bits.numbers(3)
    pictures = 0
    for _ in range(layers + 1 if bits.take(1) else 1):
        # The picture that is decoded is counted in.
        pictures = max(pictures, bits.number() + 1)
        bits.numbers(2)
    return width, height, pictures


class _Bits:
    """Reads the bits of a unit, without the bytes that keep start codes out of it."""

    def __init__(self, unit: bytes) -> None:
        data = unit.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("it ends early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def number(self) -> int:
        """An Exp-Golomb code."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("no number is so large")
        return (1 << zeros) - 1 + self.take(zeros)

    def numbers(self, count: int) -> None:
        """Passes over so many of them."""
        for _ in range(count):
            self.number()

    def scaling_list(self, size: int) -> None:
        last = following = 8
        for _ in range(size):
            if following:
                code = self.number()
                following = (last + ((code + 1) // 2 if code & 1 else -(code // 2))) % 256
            last = following or last
