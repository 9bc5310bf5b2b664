"""Long clips made of the sample clips, for what must run for a while."""

from __future__ import annotations

from pathlib import Path

import av

from pipeline.sources import parse_source


def repeated(clip: str, times: int, folder: Path) -> Path:
    """Writes a sample clip `times` times in a row, packet by packet, without encoding it anew.

    Args:
        clip: name of the sample clip; its frames must not be reordered beyond their own group.
        times: how often it is shown.
        folder: where the file goes.
    """
    path = folder / f"{clip}-{times}.mp4"
    with av.open(parse_source(f"sample:{clip}").location) as source, av.open(str(path), "w") as target:
        video = source.streams.video[0]
        copy = target.add_stream_from_template(video)
        packets = [packet for packet in source.demux(video) if packet.size]
        length = sum(packet.duration or 0 for packet in packets)
        times_of = [(packet.pts, packet.dts) for packet in packets]
        assert video.time_base is not None
        for turn in range(times):
            for packet, (pts, dts) in zip(packets, times_of, strict=True):
                assert pts is not None
                assert dts is not None
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                packet.stream = copy
                packet.time_base = video.time_base
                target.mux(packet)
    return path
