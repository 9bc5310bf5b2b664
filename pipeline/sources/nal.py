"""What H.264 and H.265 say of a packet in the headers of its units, which no container passes on."""

from __future__ import annotations

from collections.abc import Iterator

from av.packet import Packet
from av.video.stream import VideoStream

# Parameter sets and messages precede the first slice of a packet; they are never this long.
_HEAD_BYTES = 1 << 16
_H264_SLICES = range(1, 6)
_H264_RESTART = 5
_H265_PARAMETERS = 32


def restarts(packet: Packet[VideoStream], codec: str, extradata: bytes | None) -> bool:
    """Whether decoding can begin at this packet with nothing before it.

    Containers also flag H.264 recovery points, among them those of a gradual refresh, from which the picture
    only becomes whole by and by: there only an IDR picture counts.
    """
    if not packet.is_keyframe or codec != "h264":
        return bool(packet.is_keyframe)
    head = bytes(memoryview(packet)[:_HEAD_BYTES])
    kinds = (head[at] & 31 for at in units(head, extradata, 4))
    return next((kind for kind in kinds if kind in _H264_SLICES), None) == _H264_RESTART


def layered(codec: str, extradata: bytes | None) -> bool:
    """Whether an H.265 stream has temporal layers, or may have.

    There "not a reference" says only that no picture of the same layer refers to it.
    """
    if codec != "hevc":
        return False
    data = extradata or b""
    if len(data) > 22 and data[0] == 1:
        return (data[21] >> 3) & 7 != 1
    for at in units(data, None, 21):
        if (data[at] >> 1) & 63 == _H265_PARAMETERS and at + 3 < len(data):
            return (data[at + 3] >> 1) & 7 != 0
    return True


def units(data: bytes, extradata: bytes | None, length_at: int) -> Iterator[int]:
    """Where the header of each unit is: behind a length, as MP4 has it, or behind a start code.

    Args:
        data: of a packet.
        extradata: what the container says of the stream.
        length_at: where in it MP4 says how long a length is.
    """
    if extradata and extradata[0] == 1 and len(extradata) > length_at:
        width = (extradata[length_at] & 3) + 1
        at = width
        while at < len(data):
            yield at
            at += int.from_bytes(data[at - width : at], "big") + width
        return
    at = data.find(b"\0\0\1")
    while 0 <= at < len(data) - 3:
        yield at + 3
        at = data.find(b"\0\0\1", at + 3)
