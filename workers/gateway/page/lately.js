// What a stream did lately, as lines over its latest frames.

import { chart, rolling } from "./chart.js";
import { el, write } from "./dom.js";
import { duration, joules, milliseconds, number, percent } from "./format.js";

const QUANTILES_OVER = 100;
const OVER_FRAMES = { x: { unifiedhovertitle: { text: "frame %{x}" } } };

/** The panel; returns the element, `set(results, fps)` and `close()`. */
export function lately() {
  const tokens = chart("Tokens kept", percent, {
    ...OVER_FRAMES, hover: "%{y:.1%}", y: { range: [0, 1.08], tickvals: [0, 0.5, 1], tickformat: ".0%" },
  });
  const energy = chart("Energy per frame", joules, {
    ...OVER_FRAMES, hover: "%{y:.3~s}J", y: { tickformat: "~s", ticksuffix: "J" },
  });
  const latency = chart("Latency", milliseconds, { ...OVER_FRAMES, hover: "%{y:.1f} ms", y: { ticksuffix: " ms" } });
  const drops = chart("Dropped meanwhile", number, { ...OVER_FRAMES, hover: "%{y}", y: { tickformat: "~s" } });
  const span = el("p", { class: "basis" });
  const charts = [tokens, energy, latency, drops];
  return {
    element: el("section", { class: "panel", "aria-label": "Lately" }, ...charts.map((one) => one.element), span),
    set(results, fps) {
      const frames = results.map((result) => result.frame);
      const totals = results.map((result) => result.latency_ms?.total ?? null);
      tokens.set(frames, [{ name: "", values: results.map(share) }]);
      energy.set(frames, [{ name: "", values: results.map((result) => result.energy?.joules ?? null) }]);
      latency.set(frames, [
        { name: "p50", values: rolling(totals, 0.5, QUANTILES_OVER) },
        { name: "p99", values: rolling(totals, 0.99, QUANTILES_OVER) },
      ]);
      const lost = sums(results);
      drops.element.hidden = !lost.length;
      if (lost.length) drops.set(frames, lost);
      write(span, spanOf(results, fps));
    },
    close: () => charts.forEach((one) => one.close()),
  };
}

/** The share of its tokens that a frame kept. */
export function share({ tokens }) {
  return tokens?.full ? tokens.kept / tokens.full : null;
}

/** How many frames were dropped for each reason since the first of the results. */
function sums(results) {
  const reasons = new Set(results.flatMap(({ dropped }) => Object.keys(dropped ?? {}).filter((name) => dropped[name] > 0)));
  return [...reasons].sort().map((name) => {
    let sum = 0;
    return { name, values: results.map(({ dropped }) => (sum += dropped?.[name] ?? 0)) };
  });
}

function spanOf(results, fps) {
  if (!results.length) return "No results yet.";
  const long = fps > 0 ? `, about ${duration(results.length / fps)}` : "";
  return `The last ${results.length} frames${long}. p50 and p99: of the ${QUANTILES_OVER} frames up to each.`;
}
