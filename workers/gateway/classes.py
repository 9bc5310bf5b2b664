"""Names for what changed, learned from boxes that are drawn while watching."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from anyio import CapacityLimiter
from fastapi import APIRouter, Body, Path, Response

from pipeline.boxes import Box
from pipeline.scene.classes import MAX_NAMES, NOT_THIS, Classes
from vocab.connection import RedisClient
from workers.contract.class_store import ClassStore, DrawnName, learned, with_box
from workers.contract.messages import BoxExample
from workers.contract.stream_life import generation
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.gateway.backend import Backend
from workers.gateway.class_messages import Boxed, ClassList, ClassView, views
from workers.gateway.connections import Connections
from workers.gateway.drawn import AT_ONCE, check_alike, kept, predicting, tell
from workers.gateway.problems import Problem, responses

_BOX = {"name": "person", "box": [0.262, 0.281, 0.036, 0.116]}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "What `vwt classes learn` writes.", "content": {"application/json": {}}}
}

ClassName = Annotated[str, Path(max_length=64)]


def class_routes(connections: Connections, backend: Backend) -> APIRouter:
    """The routes for names."""
    router = APIRouter(prefix="/v1/streams/{stream}", tags=["classes"])
    limiter = CapacityLimiter(AT_ONCE)

    @router.get("/classes", responses=responses(401, 404, 503))
    async def all_classes(stream: str) -> ClassList:
        """Lists the names of a stream, those that still want boxes too."""
        return await connections.call(lambda client: _list(client, StreamStore(client).get(stream)))

    @router.get(
        "/classes.json",
        response_class=Response,
        responses=_FILE | responses(401, 404, 503),
    )
    async def download(stream: str) -> Response:
        """What the stream has learned as a file for `--classes`, here or on another stream of the camera."""
        spec = await connections.spec(stream)
        if spec.classes is None:
            raise Problem(404, f"{stream} knows no names yet: draw two boxes of one at least", "no-class")
        # Elsewhere, and here once it is given again, it is a file like any other.
        file = replace(Classes.from_dict(spec.classes), drawn_for=None).to_dict()
        headers = {"Content-Disposition": f'attachment; filename="{stream}-classes.json"'}
        return Response(json.dumps(file), media_type="application/json", headers=headers)

    @router.put("/classes/frames/{frame}", status_code=204, responses=responses(401, 403, 404, 409, 503))
    async def hold(stream: str, frame: Annotated[int, Path(ge=0)]) -> None:
        """Keeps a frame that was just shown for two minutes more, so that boxes can be drawn in it."""
        inference = await predicting(connections, await connections.spec(stream))
        await backend.hold(stream, inference, frame)

    @router.post("/classes/examples", responses=responses(401, 403, 404, 409, 503))
    async def add(stream: str, boxed: Annotated[Boxed, Body(examples=[_BOX])]) -> ClassView:
        """Takes a box in a frame that was just shown, or the next, for an example of a name.

        With two of a name results have it. Five or more, of different things, do better. A name keeps 32, of
        which the oldest goes.
        """
        spec = await connections.spec(stream)
        await connections.call(lambda client: _check_room(client, spec, boxed.name))
        inference = await predicting(connections, spec)
        async with limiter:
            example = await backend.box_example(stream, inference, boxed.box, boxed.name, boxed.frame)
        return await connections.call(lambda client: _add(client, stream, boxed, example))

    @router.delete(
        "/classes/examples/{example}", status_code=204, responses=responses(401, 403, 404, 409, 503)
    )
    async def take_back(stream: str, example: Annotated[str, Path(max_length=64)]) -> None:
        """Removes a box that was drawn; with its last box a name goes."""
        await connections.call(lambda client: _take_back(client, stream, example))

    @router.delete("/classes/{name}", status_code=204, responses=responses(401, 403, 404, 409, 503))
    async def remove(stream: str, name: ClassName) -> None:
        """Removes a name with all its boxes."""
        await connections.call(lambda client: _remove(client, stream, name))

    return router


def _list(client: RedisClient, spec: StreamSpec) -> ClassList:
    drawn, file = ClassStore(client, spec).all(), _from_file(spec)
    if file is not None:
        return views(drawn, None, {}, file)
    return views(drawn, *learned(drawn), None)


def _check_room(client: RedisClient, spec: StreamSpec, name: str) -> None:
    """Refuses a box that nothing could come of, before a frame is run for it."""
    drawn = ClassStore(client, spec).all()
    if _from_file(spec) is not None:
        raise Problem(
            409,
            f"the names of {spec.id} were learned from a file, whose boxes are not here: remove those names "
            "first, or add the box to those that `vwt classes learn` reads",
            "from-file",
        )
    if name not in drawn and name != NOT_THIS and len(drawn.keys() - {NOT_THIS}) >= MAX_NAMES:
        raise Problem(409, f"{spec.id} has {MAX_NAMES} names, which is as many as may be", "too-many")


def _add(client: RedisClient, stream: str, boxed: Boxed, example: BoxExample) -> ClassView:
    spec = StreamStore(client).get(stream)
    _check_room(client, spec, boxed.name)
    store = ClassStore(client, spec)
    others = {name: (one.model, one.seen_as) for name, one in store.all().items()}
    check_alike(example, others, "remove {name}, or go back to that model and input")
    box, id = Box(*boxed.box, boxed.name, 1.0), secrets.token_hex(6)
    store.change(boxed.name, lambda present: kept(lambda: with_box(present, id, box, example), "no-example"))
    _tell(client, spec)
    found = _list(client, StreamStore(client).get(stream)).classes
    return next(view for view in found if view.name == boxed.name)


def _take_back(client: RedisClient, stream: str, id: str) -> None:
    spec = StreamStore(client).get(stream)
    store = ClassStore(client, spec)
    name = next((name for name, one in store.all().items() if any(box.id == id for box in one.boxes)), None)
    if name is None:
        raise Problem(404, f"there is no box {id!r}; it may have been removed", "no-example")
    store.change(name, lambda present: None if present is None else present.without(id))
    _tell(client, spec)


def _remove(client: RedisClient, stream: str, name: str) -> None:
    spec = StreamStore(client).get(stream)
    store = ClassStore(client, spec)
    file = _from_file(spec)
    # Those of a file are in use where there are any.
    if file is not None and (name in file.names or (name == NOT_THIS and len(file.others))):
        left = file.without(name)
        StreamStore(client).change(stream, {"classes": None if left is None else left.to_dict()})
    elif name in store.all():
        store.change(name, lambda _: None)
    else:
        raise Problem(404, f"there is no name {name!r}", "no-class")
    _tell(client, spec)


def _tell(client: RedisClient, spec: StreamSpec) -> None:
    """Gives the stream the names that follow from what was drawn, unless it has those of a file."""

    def changes(present: StreamSpec, drawn: Mapping[str, DrawnName]) -> dict[str, Any]:
        if _from_file(present) is not None:
            return {}
        made, _ = learned(drawn)
        classes = None if made is None else replace(made, drawn_for=generation(present)).to_dict()
        return {} if classes == present.classes else {"classes": classes}

    tell(client, spec, ClassStore(client, spec), changes)


def _from_file(spec: StreamSpec) -> Classes | None:
    """What the stream knows that does not follow from what was drawn for it; None for nothing."""
    classes = None if spec.classes is None else Classes.from_dict(spec.classes)
    return None if classes is None or classes.drawn_for == generation(spec) else classes
