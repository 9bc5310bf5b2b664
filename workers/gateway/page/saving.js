// What was saved against running every patch, with what it rests on beside it.

import { money, price } from "./bill.js";
import { el, write } from "./dom.js";
import { bounds, joules, percent } from "./format.js";
import { saved } from "./streams.js";
import { againstFull } from "./summary.js";

const METHODS = {
  nvml: "measured by the GPU's counter",
  rapl: "measured by the CPU's counter, which counts every process",
  estimate: "itself an estimate from CPU time",
};
/** Where joules come from, in words; null where there are none. */
export const methodOf = ({ energy_method: name }) => METHODS[name] ?? (name ? `by the meter ${name}` : null);

// Bounds this far apart tell nothing.
const WIDE = 1;

/** What audits prove, each with its bounds where they say something; empty before the first. */
function proven(found) {
  if (!found) return "";
  const names = ["operations", "time", "joules"].filter((name) => found[name].mean !== null);
  const wide = (name) => found[name].low === null || found[name].high - found[name].low >= WIDE;
  const shares = names.map((name) => {
    const share = found[name];
    const bounded = !wide(name) && share.low < share.high;
    return `${percent(share.mean)} of the ${name}${bounded ? ` (${bounds(share, percent)})` : ""}`;
  });
  const vague = names.some(wide) ? ` Bounds need about ${found.enough} audits.` : "";
  return `Saved by a frame, by ${found.audits} that were audited: ${shares.join(", ")}.${vague}`;
}

/** The panel; returns the element, `update(view)` and `lately(results)`. It hides where nothing can be said. */
export function saving() {
  const figure = el("p", { class: "big" });
  const worth = el("p");
  const proof = el("p");
  const late = el("p");
  const basis = el("p", { class: "basis" });
  const panel = el("section", { class: "panel saving", hidden: true, "aria-label": "Saved" },
    el("h3", {}, "Saved against running in full"), figure, worth, proof, late, basis);
  let last = null;
  let results = [];
  const update = (view) => {
    last = view;
    const { status } = view;
    const found = methodOf(status) ? saved(status) : null;
    panel.hidden = found === null;
    if (found === null) return;
    write(figure, `about ${joules(found)}`);
    write(worth, price() && `worth ${money(found)} at ${price()}`);
    write(proof, proven(status.saving));
    write(late, againstFull(results, status.full_joules));
    const cost = `${joules(status.joules)} (${methodOf(status)})`;
    write(basis, `Since the stream was added, at a cost of ${cost}: measured against its own frames that ran in full, or were answered so, too.`);
  };
  return {
    element: panel,
    update,
    lately(some) {
      results = some;
      if (last) update(last);
    },
  };
}
