"""Which cell has which stream, and what all of them say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import httpx
from prometheus_client.core import Metric

from workers.cells.cell import Cell, CellAwayError
from workers.cells.cursors import packed, unpacked
from workers.cells.metrics import of_cell
from workers.gateway.problems import Problem

T = TypeVar("T")
Headers = Mapping[str, str]
_STREAMS = "/v1/streams"
_MOST_CHANGES = "20"


class Refused(Exception):  # noqa: N818 - an answer to pass on
    """A cell answered, and not with what was asked for.

    Args:
        answer: what it said.
    """

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


class Directory:
    """Keeps nothing but what the cells last showed, so any number of them may run.

    Args:
        cells: all, by name; a stream that two have is that of the first.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = {cell.name: cell for cell in cells}

    async def ask_all(
        self, ask: Callable[[Cell], Awaitable[httpx.Response]]
    ) -> tuple[dict[str, Any], dict[str, CellAwayError]]:
        """Asks all cells at once.

        Returns:
            The JSON of those that answer, and those that fail, by name; one that refuses fails, too.

        Raises:
            Refused: none answers, and this one does not want to.
            CellAwayError: none answers.
        """
        answers, away, refused = await self._ask_each(ask, _object)
        if not answers:
            raise next(iter([*refused.values(), *away.values()]))
        away |= {name: CellAwayError(name, _said(one.answer)) for name, one in refused.items()}
        return answers, away

    async def metrics(self, headers: Headers) -> dict[str, list[Metric] | None]:
        """What each cell tells Prometheus of all its streams; None of one that fails.

        Args:
            headers: who asks.
        """
        told = {**headers, "Accept": "text/plain"}
        answers, _, _ = await self._ask_each(lambda cell: cell.ask("GET", "/metrics", told), of_cell)
        return {name: answers.get(name) for name in self.cells}

    async def _ask_each(
        self, ask: Callable[[Cell], Awaitable[httpx.Response]], read: Callable[[httpx.Response], T]
    ) -> tuple[dict[str, T], dict[str, CellAwayError], dict[str, Refused]]:
        """What `read` makes of the cells that answer, those that do not, and those that refuse."""
        found = await asyncio.gather(*map(ask, self.cells.values()), return_exceptions=True)
        answers: dict[str, T] = {}
        away: dict[str, CellAwayError] = {}
        refused: dict[str, Refused] = {}
        for name, answer in zip(self.cells, found, strict=True):
            if isinstance(answer, CellAwayError):
                away[name] = answer
            elif isinstance(answer, BaseException):
                raise answer
            elif answer.is_client_error:
                refused[name] = Refused(answer)
            elif not answer.is_success:
                away[name] = CellAwayError(name, _said(answer))
            else:
                try:
                    answers[name] = read(answer)
                except ValueError:
                    away[name] = CellAwayError(name, "what answers there is not vwt")
        return answers, away, refused

    async def streams(self, headers: Headers, query: Mapping[str, str]) -> dict[str, Any]:
        """A page of the streams of all cells; of a cell that is away, those that it last showed, as failed.

        Args:
            headers: who asks.
            query: `limit`, of the whole page, `after` and `since`, as an answer before gave them.
        """
        afters, sinces = unpacked(query.get("after")), unpacked(query.get("since")) or {}
        paged = [cell for cell in self.cells.values() if afters is None or cell.name in afters]

        def ask(cell: Cell) -> Awaitable[httpx.Response]:
            own = {"since": sinces[cell.name]} if cell.name in sinces else {}
            if cell not in paged:
                # For what has changed there, of which none is told where it is more than that.
                own["limit"] = _MOST_CHANGES
            elif "limit" in query:
                own["limit"] = str(max(_whole(query["limit"]) // len(paged), 1))
            if afters and cell.name in afters:
                own["after"] = afters[cell.name]
            return cell.ask("GET", _STREAMS, headers, params=own)

        pages, away = await self.ask_all(ask)
        listed = []
        for cell in paged:
            if cell.name in away:
                listed += [_failed(view, away[cell.name]) for view in cell.views.values()]
                continue
            page = pages[cell.name]
            shown = {view["id"]: view | {"cell": cell.name} for view in page["streams"]}
            whole = afters is None and page.get("next") is None
            cell.views = shown if whole else cell.views | shown
            listed += shown.values()
        return {"streams": listed} | self._changes(pages, paged, sinces) | {"cells": self._cells(away)}

    def _changes(
        self, pages: Mapping[str, dict[str, Any]], paged: Sequence[Cell], sinces: Mapping[str, str]
    ) -> dict[str, Any]:
        """What a page says beside its streams."""
        changed: list[Any] | None = [] if sinces else None
        gone: list[str] = []
        total, marks, nexts = 0, dict(sinces), {}
        for name, page in pages.items():
            cell = self.cells[name]
            if name in sinces and page.get("changed") is None:
                changed = None
            elif changed is not None:
                changed += [view | {"cell": name} for view in page["changed"] or ()]
            gone += page.get("gone") or []
            for stream in page.get("gone") or ():
                cell.views.pop(stream, None)
            total += page.get("total", len(page["streams"]))
            if page.get("changes") is not None:
                marks[name] = page["changes"]
            if cell in paged and page.get("next") is not None:
                nexts[name] = page["next"]
        return {
            "next": packed(nexts) if nexts else None,
            "total": total,
            "changes": packed(marks),
            "changed": changed,
            "gone": gone,
        }

    def _cells(self, away: Mapping[str, CellAwayError]) -> dict[str, dict[str, Any]]:
        return {
            name: {"ok": name not in away, "reason": away[name].reason if name in away else None}
            for name in self.cells
        }

    async def cell_of(self, stream: str, headers: Headers, look: bool = False) -> Cell:
        """The cell that has a stream.

        Args:
            stream: its id.
            headers: who asks.
            look: whether to ask, though it was seen somewhere.

        Raises:
            Refused: none has it.
            CellAwayError: one that does not answer may have it.
        """
        seen = [cell for cell in self.cells.values() if stream in cell.views]
        if seen and not look:
            return seen[0]
        answers, away, refused = await self._ask_each(
            lambda cell: cell.ask("GET", f"{_STREAMS}/{stream}", headers), _object
        )
        for name in refused:
            self.cells[name].views.pop(stream, None)
        for name, view in answers.items():
            self.cells[name].views[stream] = view | {"cell": name}
            return self.cells[name]
        raise next(iter([*away.values(), *refused.values()]))

    async def add(self, asked: dict[str, Any], headers: Headers) -> httpx.Response:
        """Adds a stream: to the cell that it names as `cell`, else to the one with the fewest streams.

        Raises:
            Refused: the cell does not want it.
            Problem: another has one of that name, or there is no such cell.
        """
        wanted = asked.pop("cell", None)
        if wanted is not None and wanted not in self.cells:
            known = ", ".join(self.cells)
            raise Problem(422, f"there is no cell {wanted!r}; those there are: {known}", "no-cell")
        pages, _ = await self.ask_all(lambda cell: cell.ask("GET", _STREAMS, headers, params={"limit": "1"}))
        counts = {name: page.get("total", len(page["streams"])) for name, page in pages.items()}
        fewest = sorted(counts, key=lambda name: counts[name])
        for name in [wanted] if wanted is not None else fewest:
            answer = await self._add(self.cells[name], asked, headers)
            # One that is full leaves it to another.
            if answer.status_code != httpx.codes.INSUFFICIENT_STORAGE:
                break
        return answer

    async def _add(self, cell: Cell, asked: dict[str, Any], headers: Headers) -> httpx.Response:
        if asked.get("name") is not None:
            await self._check_free(str(asked["name"]), headers)
        answer = await cell.ask("POST", _STREAMS, headers, json=asked)
        if not answer.is_success or asked.get("name") is not None:
            return answer
        # The cell made a name that is free there, but maybe not elsewhere.
        made, number = answer.json()["id"], 1
        while await self._elsewhere(answer.json()["id"], cell, headers):
            number += 1
            await cell.ask("DELETE", f"{_STREAMS}/{answer.json()['id']}", headers)
            name = f"{made[:60]}-{number}"
            answer = await cell.ask("POST", _STREAMS, headers, json=asked | {"name": name})
            if not answer.is_success:
                break
        return answer

    async def _check_free(self, name: str, headers: Headers) -> None:
        try:
            cell = await self.cell_of(name, headers, look=True)
        except (Refused, CellAwayError):
            return
        raise Problem(409, f"there is a stream {name!r} already, in the cell {cell.name}", "stream-exists")

    async def _elsewhere(self, stream: str, cell: Cell, headers: Headers) -> bool:
        answers, _, _ = await self._ask_each(
            lambda one: one.ask("GET", f"{_STREAMS}/{stream}", headers), _object
        )
        return bool(answers.keys() - {cell.name})

    async def ready(self) -> dict[str, dict[str, Any]]:
        """Whether each cell answers."""
        _, away, _ = await self._ask_each(lambda cell: cell.ask("GET", "/healthz", {}), _object)
        return self._cells(away)


def _failed(view: dict[str, Any], away: CellAwayError) -> dict[str, Any]:
    return view | {"shown": view["shown"] | {"state": "failed", "reason": away.reason}}


def _object(answer: httpx.Response) -> dict[str, Any]:
    """Its JSON; raises ValueError where that is no object."""
    said = answer.json()
    if not isinstance(said, dict):
        raise ValueError("no JSON object")
    return said


def _said(answer: httpx.Response) -> str:
    try:
        return str(_object(answer)["detail"])
    except (ValueError, KeyError):
        return f"it answers with status {answer.status_code}"


def _whole(text: str) -> int:
    if not text.isdigit():
        raise Problem(422, "limit is a whole number", "invalid")
    return int(text)
