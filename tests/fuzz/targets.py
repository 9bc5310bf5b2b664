"""What strangers may hand to vwt, and how each is read: it is taken, or refused with an error of ours."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from random import Random

import cv2
import numpy as np
import torch
import yaml  # type: ignore[import-untyped]
from pydantic import ValidationError
from safetensors.torch import save_file

from pipeline.errors import VwtError
from pipeline.events import Engine, read_rules_file
from pipeline.history import HistoryFile, Moment, Origin, Things, Wanted, Widths
from pipeline.input_spec import InputSpec
from pipeline.models.label_vectors import LabelVectors
from pipeline.models.names import read_names
from pipeline.results import Prediction
from pipeline.scene.zones import Zones
from pipeline.sources import SourceOptions, open_source, parse_source
from tests import make_clips
from tests.fuzz.cases import Target
from tests.fuzz.mutate import damaged, twisted
from vocab.words import Vocabulary
from workers.contract.sealing import from_text, to_text
from workers.contract.stream_spec import StreamSpec
from workers.find.search import search
from workers.gateway.frames import check_image
from workers.gateway.problems import Problem
from workers.gateway.streams import NewStream
from workers.inference.image import ImageReader
from workers.settings.loading import load_settings

REFUSALS = (VwtError, ValidationError, Problem)
_MOST_FRAMES = 100
_MOST_PIXELS = 10_000_000
_ZONES = {
    "format": "vwt-zones/1",
    "model": "m",
    "input": "448x252 fit",
    "zones": {
        "gate": {
            "polygon": [[0, 0], [1, 0], [0.5, 1]],
            "unknown_from": 0.2,
            "leave_one_out": 0.9,
            "states": {
                "open": {"examples": 5, "mean": [0.6, 0.8, 0]},
                "closed": {"examples": 4, "mean": [0, 0.6, 0.8]},
            },
        }
    },
}
_STREAM = {
    "source": "rtsp://user:password@camera.example/live",
    "name": "gate",
    "fps": 5,
    "labels": {"site": "north", "floor": "2"},
    "tokenizer": "inter",
    "threshold": 0.1,
    "guard": 0.98,
    "audit": 0.05,
    "size": "448x252",
    "sinks": [
        {"kind": "webhook", "url": "https://example.com/hook", "authorization": "Bearer a"},
        "/tmp/x.jsonl",
    ],
    "rules": [{"name": "person", "what": "box", "within": [[0, 0], [1, 0], [0.5, 1]]}],
    "zones": _ZONES,
    "changed": True,
    "history": 10_000_000,
    "priority": 2.0,
    "min_target": 0.9,
}
_RULES = [
    {
        "name": "person",
        "what": "box",
        "names": ["person"],
        "within": [[0, 0], [1, 0], [0.5, 1]],
        "above": 0.5,
        "below": 0.4,
        "for_s": 1,
        "schedule": {"days": ["mon"], "start": "22:00", "until": "06:00", "zone": "Europe/Berlin"},
    },
    {"name": "new", "what": "novelty", "above": 0.5, "memory_s": 10},
    {"name": "gate", "what": "zone", "zone": "gate", "state": "open", "severity": "alarm"},
]
_SETTINGS = {
    "port": 8000,
    "host": "127.0.0.1",
    "model": "null",
    "access": {"allow_hosts": ["10.0.0.0/8"], "allow_folders": ["/tmp"]},
    "gateway": {"max_connections": 100},
    "ingest": {"lease_s": 10},
    "inference": {"batch": 8, "num_gpus": 0},
}


def _clip(folder: Path, random: Random) -> tuple[bytes, str]:
    suffix = random.choice([".mp4", ".ts", ".mkv", ".avi"])
    whole = folder / f"whole{suffix}"
    if not whole.exists():
        make_clips.steady(whole, frames=20, size=(64, 48))
    return damaged(whole.read_bytes(), random), suffix


def _read_clip(path: Path) -> None:
    options, last_s = SourceOptions(), 0.0
    with closing(open_source(parse_source(str(path)), options, lambda _notice: None)) as source:
        for number, decoded in enumerate(source.frames()):
            if (pts_s := decoded.times.pts_s) is not None:
                assert pts_s >= last_s, "times fell"
                last_s = pts_s
            if number == _MOST_FRAMES:
                return


def _image(_folder: Path, random: Random) -> tuple[bytes, str]:
    picture = make_clips.picture(random.randrange(5), (96, 64))
    suffix = random.choice([".jpg", ".png", ".webp", ".bmp"])
    return damaged(cv2.imencode(suffix, picture)[1].tobytes(), random), suffix


def _read_image(path: Path) -> None:
    data = path.read_bytes()
    check_image(data, _MOST_PIXELS)
    spec = InputSpec(height=32, width=32)
    image, _ = ImageReader()(data, spec)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3


def _vocabulary(_folder: Path, random: Random) -> tuple[bytes, str]:
    words = torch.rand(8, 3 * 4 * 4, generator=torch.Generator().manual_seed(random.randrange(9)))
    return damaged(Vocabulary(words, 3).to_bytes(), random), ".safetensors"


def _read_vocabulary(path: Path) -> None:
    vocabulary = Vocabulary.load(path)
    assert torch.isfinite(vocabulary.match(torch.rand(1, 2, vocabulary.words.shape[1])).distance).all()


def _stream(_folder: Path, random: Random) -> tuple[bytes, str]:
    if random.random() < 0.3:
        return damaged(json.dumps(_STREAM).encode(), random), ".json"
    return json.dumps(twisted(_STREAM, random)).encode(), ".json"


def _read_stream(path: Path) -> None:
    asked = NewStream.model_validate_json(path.read_bytes())
    given = asked.model_dump(exclude={"name"}, exclude_unset=True)
    spec = StreamSpec(id=asked.name or "gate", **given)
    assert from_text(to_text(spec).encode()) == spec
    assert "password" not in spec.display or "password" not in spec.source


def _settings(_folder: Path, random: Random) -> tuple[bytes, str]:
    suffix = random.choice([".yaml", ".json"])
    value = _SETTINGS if random.random() < 0.3 else twisted(_SETTINGS, random)
    text = json.dumps(value) if suffix == ".json" else yaml.safe_dump(value, allow_unicode=False)
    data = text.encode("utf-8", "surrogatepass")
    return (damaged(data, random) if value is _SETTINGS else data), suffix


def _read_settings(path: Path) -> None:
    load_settings(path, {})


def _rules(_folder: Path, random: Random) -> tuple[bytes, str]:
    suffix = random.choice([".yaml", ".json"])
    whole = {"rules": _RULES}
    value = whole if random.random() < 0.3 else twisted(whole, random)
    text = json.dumps(value) if suffix == ".json" else yaml.safe_dump(value, allow_unicode=False)
    data = text.encode("utf-8", "surrogatepass")
    return (damaged(data, random) if value is whole else data), suffix


def _read_rules(path: Path) -> None:
    engine = Engine("gate", read_rules_file(path))
    box = {"name": "person", "score": 0.9, "x": 0.1, "y": 0.1, "w": 0.2, "h": 0.2}
    found = {"kind": "boxes", "boxes": [box], "embedding": [1.0, 0.0]}
    for frame in range(3):
        engine.feed({"frame": frame, "captured_at": 1.0 + frame, "pts_s": None, "prediction": found})
    json.dumps(engine.state(), allow_nan=False)


def _zones(_folder: Path, random: Random) -> tuple[bytes, str]:
    if random.random() < 0.3:
        return damaged(json.dumps(_ZONES).encode(), random), ".json"
    return json.dumps(twisted(_ZONES, random)).encode(), ".json"


def _read_zones(path: Path) -> None:
    zones = Zones.load(path)
    again = Zones.from_dict(json.loads(json.dumps(zones.to_dict(), allow_nan=False)))
    for name, zone in zones.zones.items():
        for mean in zone.means.values():
            distance = again.zones[name].nearest(mean).distance
            assert distance is not None
            assert distance < 1e-3


def _labels(folder: Path, random: Random) -> tuple[bytes, str]:
    made = folder / "made.safetensors"
    vectors = torch.eye(3)[: random.randint(1, 3)]
    told = {"format": "vwt-labels/1", "names": json.dumps(["a", "b", "c"][: len(vectors)]), "model": "m"}
    told |= {"scale": "100.0", "none_below": "0.2", "made_with": "x"}
    if random.random() < 0.5:
        save_file({"vectors": vectors}, made, told)
        return damaged(made.read_bytes(), random), ".safetensors"
    told[random.choice(list(told))] = json.dumps(twisted(["a", 1.0, None], random))
    save_file({"vectors": vectors}, made, told)
    return made.read_bytes(), ".safetensors"


def _read_labels(path: Path) -> None:
    labels = LabelVectors.load(path)
    assert torch.isfinite(labels.scores(torch.ones(1, labels.vectors.shape[1])).softmax(1)).all()
    "".join(labels.answers).encode()


def _names(_folder: Path, random: Random) -> tuple[bytes, str]:
    if random.random() < 0.3:
        return damaged(b"cat\ndog\nbird\n", random), ".txt"
    found = random.choice([["cat", "dog"], {"0": "cat", "1": "dog"}, {"id2label": {"0": "cat"}}])
    return json.dumps(twisted(found, random)).encode(), ".json"


def _read_names(path: Path) -> None:
    "".join(read_names(path)).encode()


def _history(folder: Path, random: Random) -> tuple[bytes, str]:
    seen = Prediction("embedding", embedding=[0.6, 0.8])
    things = random.choice([None, Things(np.full((3, 4), 0.5, np.float32), np.ones((3, 2), np.float32))])
    widths = Widths.of(seen, things)
    with HistoryFile(folder / "made", Origin("gate", "m"), widths, 8192, anew=True) as file:
        for frame in range(5):
            file.add(Moment(frame, float(frame), random.choice([None, 1e9])), seen, things)
    whole = file.path.read_bytes()
    if random.random() < 0.5:
        return damaged(whole, random), ".history"
    head, records = whole[:4096], whole[4096:]
    return json.dumps(twisted(json.loads(head), random)).encode().ljust(4096) + records, ".history"


def _read_history(path: Path) -> None:
    for hit in search(
        path.parent, [], lambda _origin: Wanted(np.ones(2), thing=np.ones(2)), 5, None, None, 2.0
    ):
        hit.text().encode()
        json.dumps(hit.to_dict(), allow_nan=False)


TARGETS = {
    "clip": Target(_clip, _read_clip),
    "image": Target(_image, _read_image),
    "vocabulary": Target(_vocabulary, _read_vocabulary),
    "stream": Target(_stream, _read_stream),
    "settings": Target(_settings, _read_settings),
    "rules": Target(_rules, _read_rules),
    "zones": Target(_zones, _read_zones),
    "labels": Target(_labels, _read_labels),
    "names": Target(_names, _read_names),
    "history": Target(_history, _read_history),
}
