// Small charts: lines over the latest frames, from zero, with the newest value in words.

import { el, write } from "./dom.js";
import { UNKNOWN } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 60;
// Kept free above the highest point, so that its line is not cut.
const HEADROOM = 1.08;

/**
 * A chart; returns the element and `set(series)` with one list of numbers (null where unknown) per name.
 * `text` puts a value into words; `top` is the end of the axis, else the highest value is.
 */
export function chart(title, names, text, top = null) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("role", "img");
  const lines = names.map((_, at) => drawn(drawing, `line line-${at}`));
  const area = names.length === 1 ? drawn(drawing, "area") : null;
  const newest = names.map(() => el("strong", {}, UNKNOWN));
  const legend = names.map((name, at) => el("span", { class: `key key-${at}` }, name ? `${name} ` : "", newest[at]));
  const highest = el("span", { class: "axis" }, UNKNOWN);
  return {
    element: el("figure", { class: "chart" },
      el("figcaption", {}, el("span", { class: "name" }, title), ...legend),
      el("div", { class: "plot" }, highest, drawing)),
    set(series) {
      const values = series.flat().filter((value) => value !== null);
      const high = top ?? Math.max(0, ...values);
      write(highest, values.length ? text(high) : UNKNOWN);
      series.forEach((list, at) => {
        lines[at].setAttribute("d", path(list, high * HEADROOM));
        write(newest[at], text(list.findLast((value) => value !== null) ?? null));
      });
      area?.setAttribute("d", filled(series[0], high * HEADROOM));
      const told = names.map((name, at) => `${name} ${newest[at].textContent}`.trim()).join(", ");
      drawing.setAttribute("aria-label", `${title}: ${told} now, up to ${highest.textContent}`);
    },
  };
}

function drawn(drawing, kind) {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("class", kind);
  drawing.append(made);
  return made;
}

const place = (list, high) => (value, at) =>
  `${((at / Math.max(1, list.length - 1)) * WIDTH).toFixed(1)} ${(HEIGHT * (1 - value / (high || 1))).toFixed(1)}`;

/** A line that is broken where nothing is known. */
function path(list, high) {
  const point = place(list, high);
  return list.map((value, at) => (value === null ? "" : `${at && list[at - 1] !== null ? "L" : "M"}${point(value, at)}`)).join("");
}

function filled(list, high) {
  const point = place(list, high);
  return list.length < 2 || list.includes(null) ? "" : `M0 ${HEIGHT}L${list.map(point).join("L")}L${WIDTH} ${HEIGHT}Z`;
}

/** The `share` quantile of the last `count` values up to each place (nearest rank). */
export function rolling(list, share, count) {
  return list.map((_, at) => {
    const part = list.slice(Math.max(0, at + 1 - count), at + 1).filter((value) => value !== null);
    if (!part.length) return null;
    part.sort((a, b) => a - b);
    return part[Math.ceil(share * part.length) - 1];
  });
}
