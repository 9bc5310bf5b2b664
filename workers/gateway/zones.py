"""Zones drawn while watching: where they are, and moments of each of their states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from anyio import CapacityLimiter
from fastapi import APIRouter, Body, Path

from pipeline.events.rules import ZoneRule
from pipeline.scene.polygon import Polygon
from pipeline.scene.zones import MAX_ZONES, Zone, Zones, check_name
from vocab.connection import RedisClient
from workers.contract.messages import Example
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.contract.zone_store import DrawnZone, ZoneStore
from workers.gateway.backend import Backend
from workers.gateway.connections import Connections
from workers.gateway.drawn import AT_ONCE, check_alike, kept, predicting, tell, wrong
from workers.gateway.problems import Problem, responses
from workers.gateway.zone_messages import Drawn, DrawnView, Renamed, Said, ZoneList, view_of, view_of_file

ZoneName = Annotated[str, Path(max_length=64)]


def zone_routes(connections: Connections, backend: Backend) -> APIRouter:
    """The routes for zones."""
    router = APIRouter(prefix="/v1/streams/{stream}/zones", tags=["zones"])
    limiter = CapacityLimiter(AT_ONCE)

    @router.get("", responses=responses(401, 404, 503))
    async def all_zones(stream: str) -> ZoneList:
        """Lists the zones of a stream, those that still want moments too."""
        return await connections.call(lambda client: _list(client, StreamStore(client).get(stream)))

    @router.put("/{zone}", responses=responses(401, 403, 404, 409, 503))
    async def draw(stream: str, zone: ZoneName, drawn: Drawn) -> DrawnView:
        """Draws a zone, or draws it anew: moments of it are dropped where it is moved."""
        check_name(zone, "zone")
        return await connections.call(lambda client: _draw(client, stream, zone, drawn))

    @router.patch("/{zone}", responses=responses(401, 403, 404, 409, 503))
    async def rename(stream: str, zone: ZoneName, renamed: Renamed) -> DrawnView:
        """Gives a zone another name, in the rules about it, too."""
        return await connections.call(lambda client: _rename(client, stream, zone, renamed.name))

    @router.delete("/{zone}", status_code=204, responses=responses(401, 403, 404, 409, 503))
    async def remove(stream: str, zone: ZoneName) -> None:
        """Removes a zone that no rule is about."""
        await connections.call(lambda client: _remove(client, stream, zone))

    @router.post("/{zone}/examples", responses=responses(401, 403, 404, 409, 503))
    async def record(
        stream: str, zone: ZoneName, said: Annotated[Said, Body(examples=[{"state": "open"}])]
    ) -> DrawnView:
        """Takes a frame that was just shown, or the next, for a moment of a state.

        With two of each, results have the state. Five of each, from different times of day, do better. A
        zone keeps 64; of the state with most of them the oldest goes.
        """
        spec = await connections.spec(stream)
        drawn = await connections.call(lambda client: _drawn(ZoneStore(client, spec).all(), spec, zone))
        if said.state not in drawn.states:
            names = ", ".join(drawn.states)
            raise wrong("state", f"{said.state} is no state of {zone}; it has {names}")
        inference = await predicting(connections, spec)
        async with limiter:
            example = await backend.example(stream, inference, drawn.polygon.points, said.frame)

        def add(present: DrawnZone | None) -> DrawnZone:
            # It may have been drawn anew while the frame was waited for.
            if present is None or present.polygon != drawn.polygon or said.state not in present.states:
                raise Problem(409, f"{zone} was changed meanwhile; try again", "changed")
            return kept(lambda: present.with_example(said.state, example), "no-moment")

        def keep(client: RedisClient) -> DrawnView:
            _check_alike(client, StreamStore(client).get(stream), zone, example)
            return _change(client, stream, zone, add)

        return await connections.call(keep)

    @router.delete("/{zone}/examples/newest", responses=responses(401, 403, 404, 409, 503))
    async def take_back(stream: str, zone: ZoneName) -> DrawnView:
        """Takes back the moment that was recorded last."""

        def take(present: DrawnZone | None) -> DrawnZone:
            if present is None:
                raise _none(zone)
            return present.without_newest()

        return await connections.call(lambda client: _change(client, stream, zone, take))

    return router


def _draw(client: RedisClient, stream: str, zone: str, drawn: Drawn) -> DrawnView:
    spec = StreamStore(client).get(stream)
    names = {*ZoneStore(client, spec).all(), *_told(spec)}
    if zone not in names and len(names) >= MAX_ZONES:
        raise Problem(409, f"{stream} has {MAX_ZONES} zones, which is as many as may be", "too-many")
    polygon = Polygon.of(drawn.polygon)

    def put(present: DrawnZone | None) -> DrawnZone:
        fresh = DrawnZone(polygon, drawn.states)
        return fresh if present is None else present.redrawn(polygon, drawn.states)

    return _change(client, stream, zone, put)


def _change(
    client: RedisClient, stream: str, zone: str, change: Callable[[DrawnZone | None], DrawnZone]
) -> DrawnView:
    spec = StreamStore(client).get(stream)
    made = ZoneStore(client, spec).change(zone, change)
    assert made is not None
    _tell(client, spec)
    return view_of(zone, made)


def _check_alike(client: RedisClient, spec: StreamSpec, zone: str, example: Example) -> None:
    """Refuses a moment that another model saw than those of the other zones."""
    drawn = ZoneStore(client, spec).all()
    others = {name: (one.model, one.seen_as) for name, one in drawn.items() if one.examples and name != zone}
    if spec.zones is not None:
        from_file = [name for name in _told(spec) if name not in drawn]
        others |= dict.fromkeys(from_file, (spec.zones["model"], spec.zones["input"]))
    check_alike(example, others, "remove {name}, or draw it anew")


def _rename(client: RedisClient, stream: str, zone: str, name: str) -> DrawnView:
    spec = StreamStore(client).get(stream)
    store, told = ZoneStore(client, spec), _told(spec)
    drawn = store.all()
    if zone not in drawn and zone not in told:
        raise _none(zone)
    if name != zone and (name in drawn or name in told):
        raise wrong("name", f"there is a zone {name} already")
    if zone in drawn:
        store.change(name, lambda _: drawn[zone])
        store.change(zone, lambda present: present if name == zone else None)
    rules = [
        rule.model_copy(update={"zone": name}) if isinstance(rule, ZoneRule) and rule.zone == zone else rule
        for rule in spec.rules
    ]
    _tell(client, spec, {zone: name}, {"rules": [rule.model_dump() for rule in rules]})
    return _one(_list(client, StreamStore(client).get(stream)), name)


def _remove(client: RedisClient, stream: str, zone: str) -> None:
    spec = StreamStore(client).get(stream)
    store = ZoneStore(client, spec)
    if zone not in store.all() and zone not in _told(spec):
        raise _none(zone)
    about = [rule.name for rule in spec.rules if isinstance(rule, ZoneRule) and rule.zone == zone]
    if about:
        raise Problem(409, f"the rule {about[0]} is about {zone}; remove it, or change it, first", "in-use")
    store.change(zone, lambda _: None)
    _tell(client, spec, {zone: None})


def _tell(
    client: RedisClient,
    spec: StreamSpec,
    names: Mapping[str, str | None] | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Gives the stream the zones that follow from what was drawn, so that its results have their states.

    Args:
        client: of Redis.
        spec: of the stream.
        names: what zones are called now; None for those that are gone.
        more: other settings that change with them.
    """
    called = names or {}

    def changes(present: StreamSpec, drawn: Mapping[str, DrawnZone]) -> dict[str, Any]:
        told = {called.get(name, name): one for name, one in _told(present).items()}
        # What has no moments here was learned elsewhere; it stays.
        zones = {name: one for name, one in told.items() if name is not None and name not in drawn}
        known = {name: one.learned(name) for name, one in drawn.items()}
        zones |= {name: one for name, one in known.items() if one is not None}
        seen = {(one.model, one.seen_as) for name, one in drawn.items() if known[name] is not None}
        if present.zones is not None and len(zones) > sum(one is not None for one in known.values()):
            seen.add((present.zones["model"], present.zones["input"]))
        made = None
        if zones:
            # All are of one, see `_check_alike`.
            model, seen_as = seen.pop()
            made = Zones(str(model), str(seen_as), zones).to_dict()
        return {"zones": made, **(more or {})} if made != present.zones or more else {}

    tell(client, spec, ZoneStore(client, spec), changes)


def _list(client: RedisClient, spec: StreamSpec) -> ZoneList:
    drawn = ZoneStore(client, spec).all()
    views = [view_of(name, one) for name, one in drawn.items()]
    views += [view_of_file(name, one) for name, one in _told(spec).items() if name not in drawn]
    return ZoneList(zones=sorted(views, key=lambda view: view.name))


def _told(spec: StreamSpec) -> dict[str, Zone]:
    return {} if spec.zones is None else dict(Zones.from_dict(spec.zones).zones)


def _one(found: ZoneList, name: str) -> DrawnView:
    return next(view for view in found.zones if view.name == name)


def _drawn(zones: Mapping[str, DrawnZone], spec: StreamSpec, zone: str) -> DrawnZone:
    if zone in zones:
        return zones[zone]
    if zone in _told(spec):
        raise Problem(
            409, f"{zone} was learned from a file, whose moments are not here: draw it anew", "from-file"
        )
    raise _none(zone)


def _none(zone: str) -> Problem:
    return Problem(404, f"there is no zone {zone!r}", "no-zone")
