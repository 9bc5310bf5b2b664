// The wall: one tile per stream.

import { badge, el, figures, write } from "./dom.js";
import { duration, joules, milliseconds, number, percent, UNKNOWN } from "./format.js";
import { Preview } from "./preview.js";
import { actions } from "./actions.js";
import { timeline } from "./timeline.js";
import { totals } from "./totals.js";

class Tile {
  #preview;
  #state = badge();
  #reason = el("p", { class: "reason" });
  #figures = figures(["Frames/s", "Tokens kept", "Per frame", "Latency", "Worker"]);

  constructor(view, streams) {
    this.#preview = new Preview(view.id);
    this.actions = actions(view.id, streams);
    const link = el("a", { href: `#/streams/${view.id}` }, view.id);
    this.element = el("article", { class: "tile", "data-stream": view.id },
      this.#preview.box,
      el("div", { class: "head" }, el("h2", {}, link), this.#state.shown),
      this.#reason, this.#figures.list, this.actions.shown);
    this.update(view);
  }

  update(view) {
    const { status } = view;
    const running = status.state === "running";
    this.element.dataset.state = view.shownState;
    this.#state.set(view.shownState);
    this.#preview.show(running);
    write(this.#reason, reason(view));
    const now = running ? [number(status.fps), percent(view.keptShare), joules(view.joulesPerFrame)] : Array(3).fill(UNKNOWN);
    this.#figures.set([...now, running ? milliseconds(status.latency_ms) : UNKNOWN, worker(status)]);
    this.actions.update(view);
  }

  close() {
    this.#preview.close();
  }
}

/** Why the stream is as it is, in a line; what it reads when there is nothing to say. */
export function reason(view) {
  if (view.quietFor !== null) return `no result for ${duration(view.quietFor)}`;
  if (view.shown.reason) return view.shown.reason;
  return view.status.guard?.state === "unable" ? `guard: ${view.shown.guard}` : view.source;
}

function worker(status) {
  return status.inference?.pid ? `pid ${status.inference.pid}` : UNKNOWN;
}

/** All streams; returns the element, `update()` and `close()`. */
export function wall(streams) {
  const tiles = new Map();
  const list = el("section", { class: "wall", "aria-label": "Streams" });
  const sums = totals();
  const events = timeline("v1/events", { withStream: true, quiet: true });
  const empty = el("p", { class: "empty" }, "No streams yet. Add one: a camera, a file, or ", el("code", {}, "sample:bikes"), ".");
  return {
    element: el("div", { class: "stack" }, empty, sums.element, events.element, list),
    title: "Streams",
    update() {
      empty.hidden = streams.all.size > 0;
      sums.update(streams);
      for (const [id, tile] of tiles) {
        if (streams.all.has(id)) continue;
        tile.close();
        tile.element.remove();
        tiles.delete(id);
      }
      for (const [id, view] of streams.all) {
        if (tiles.has(id)) {
          tiles.get(id).update(view);
        } else {
          tiles.set(id, new Tile(view, streams));
          list.append(tiles.get(id).element);
        }
      }
    },
    close() {
      events.close();
      tiles.forEach((tile) => tile.close());
    },
  };
}
