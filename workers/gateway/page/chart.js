// Charts of the latest frames: lines from zero, with the newest values in words, which are there first.

import { el, write } from "./dom.js";
import { UNKNOWN } from "./format.js";
import { line, plotly, theme, whenRecoloured } from "./plotly.js";

// It zooms and drags nothing, so that a page is scrolled by finger and walked through by keyboard.
const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false, showTips: false };

/**
 * A chart; returns the element, `set(x, lines)` and `close()`.
 *
 * A line is `{name, values}`, its values numbers, null where unknown. `text` puts a value into words, `hover` does
 * so in Plotly's templates; `x` and `y` are axes of Plotly's over those here.
 */
export function chart(title, text, { hover, x = {}, y = {} }) {
  const box = el("div", { class: "plot", role: "img" });
  const legend = el("span", { class: "legend" });
  const element = el("figure", { class: "chart" },
    el("figcaption", {}, el("span", { class: "name" }, title), legend), box);
  let drawn = null;
  let open = true;

  const draw = async () => {
    if (!drawn || !box.isConnected) return;
    let library;
    try {
      library = await plotly();
    } catch {
      // The words tell the same.
      return;
    }
    if (!open) return;
    box.classList.add("drawn");
    const lines = drawn.lines.map(({ name, values }, at) => ({
      x: drawn.at, y: values, name: name || title, line: line(at), mode: "lines", hovertemplate: hover,
      fill: drawn.lines.length === 1 ? "tozeroy" : "none", fillcolor: `${line(at).color}24`,
    }));
    await library.react(box, lines, layout(x, y), CONFIG);
  };
  const stop = whenRecoloured(draw);

  return {
    element,
    set(at, lines) {
      drawn = { at, lines };
      const newest = lines.map(({ name, values }) => [name, text(values.findLast((value) => value !== null) ?? null)]);
      keys(legend, newest);
      const told = newest.map((pair) => pair.join(" ").trim()).join(", ");
      box.setAttribute("aria-label", `${title}: ${told || UNKNOWN} now`);
      draw();
    },
    close() {
      open = false;
      stop();
      if (box.classList.contains("drawn")) window.Plotly.purge(box);
    },
  };
}

function keys(legend, newest) {
  while (legend.children.length > newest.length) legend.lastChild.remove();
  newest.forEach(([name, words], at) => {
    const key = legend.children[at] ?? legend.appendChild(el("span", { class: "key" }, el("span"), " ", el("strong")));
    key.classList.toggle("one", newest.length === 1);
    key.dataset.line = at % 4;
    write(key.firstChild, name);
    write(key.lastChild, words);
  });
}

function layout(x, y) {
  const { ink, faint, line: rule, panel, field } = theme();
  const em = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const font = { family: "system-ui, sans-serif", size: 0.75 * em, color: faint };
  const axis = { fixedrange: true, zeroline: false, gridcolor: rule, automargin: false, ticklabelstandoff: 4 };
  return {
    font, showlegend: false, dragmode: false, hovermode: "x unified", paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    margin: { l: 3.4 * em, r: 0.4 * em, t: 0.6 * em, b: 0.3 * em }, autosize: true,
    hoverlabel: { bgcolor: panel, bordercolor: field, font: { ...font, color: ink } },
    xaxis: { ...axis, showgrid: false, showticklabels: false, ...x },
    yaxis: { ...axis, nticks: 4, rangemode: "tozero", ...y },
  };
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
