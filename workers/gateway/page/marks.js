// The zones of a stream over its picture: outlines, and what each looks like now.

import { el, shape, write } from "./dom.js";
import { above } from "./shapes.js";

export const UNKNOWN_STATE = "unknown";

/** What a result says of a zone, in words: "open, 0.03 away"; `found` is undefined where it says nothing. */
export function stateText(found) {
  if (!found) return "not told now";
  const { state, distance } = found;
  return distance === null ? `${state}, nothing seen of it` : `${state}, ${distance.toFixed(2)} away`;
}

/** Marks on a stage; returns `set(zones, told)`, `hide(name)` for the one that is drawn anew, and `close()`. */
export function marks(stage) {
  const group = shape("g", { class: "zones" });
  stage.layer.prepend(group);
  let zones = [];
  let told = {};
  let hidden = null;
  let shown = new Map();

  const place = () => {
    for (const [name, { outline, label, polygon }] of shown) {
      outline.setAttribute("visibility", name === hidden ? "hidden" : "visible");
      label.hidden = name === hidden || !stage.ready;
      if (!stage.ready) continue;
      outline.setAttribute("d", `M${polygon.map((corner) => stage.toScreen(corner).join(" ")).join("L")}Z`);
      const [x, y] = stage.toScreen(above(polygon));
      // Over the zone, and within the picture wherever that is.
      label.style.translate = `max(0px, min(${x}px - 50%, ${stage.element.clientWidth}px - 100%)) max(0px, ${y}px - 100%)`;
    }
  };

  const say = () => {
    for (const [name, { outline, label }] of shown) {
      const state = told[name]?.state ?? "none";
      const known = state !== "none" && state !== UNKNOWN_STATE;
      for (const one of [outline, label]) one.setAttribute("data-known", known);
      write(label, `${name}: ${stateText(told[name])}`);
    }
  };

  const redraw = () => {
    group.replaceChildren();
    stage.labels.replaceChildren();
    shown = new Map(zones.map(({ name, polygon }) => [name, { outline: shape("path"), label: el("span"), polygon }]));
    for (const { outline, label } of shown.values()) {
      group.append(outline);
      stage.labels.append(label);
    }
    say();
    place();
  };

  const leave = stage.onMove(place);
  return {
    /** `zones` as the API lists them; `now` is what the newest result says of them. */
    set(found, now) {
      const same = JSON.stringify(found.map(({ name, polygon }) => [name, polygon])) === JSON.stringify(zones.map(({ name, polygon }) => [name, polygon]));
      [zones, told] = [found, now ?? {}];
      if (same) say();
      else redraw();
    },
    hide(name) {
      hidden = name;
      place();
    },
    close: leave,
  };
}
