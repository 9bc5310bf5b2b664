"""Takes the picture that README begins with: a frame of the annotated clip of `make run`.

make run && .venv/bin/python -m benchmarks.run_picture [--clip out/annotated.mp4] [--frame 80]
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import av


def main() -> None:
    """Writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, default=Path("out/annotated.mp4"))
    parser.add_argument("--frame", type=int, default=80)
    parser.add_argument("--out", type=Path, default=Path("docs/annotated.png"))
    given = parser.parse_args()
    with av.open(str(given.clip)) as container:
        next(islice(container.decode(video=0), given.frame, None)).to_image().save(given.out, optimize=True)


if __name__ == "__main__":
    main()
