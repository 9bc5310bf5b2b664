// What was saved against running every patch, with what it rests on beside it.

import { money, price } from "./bill.js";
import { el, write } from "./dom.js";
import { joules, percent } from "./format.js";
import { saved } from "./streams.js";
import { againstFull } from "./summary.js";

const METHODS = {
  nvml: "measured by the GPU's counter",
  rapl: "measured by the CPU's counter, which counts every process",
  estimate: "itself an estimate from CPU time",
};
/** Where joules come from, in words; null where there are none. */
export const methodOf = ({ energy_method: name }) => METHODS[name] ?? (name ? `by the meter ${name}` : null);

/** The panel; returns the element, `update(view)` and `lately(results)`. It hides where nothing can be said. */
export function saving() {
  const figure = el("p", { class: "big" });
  const worth = el("p");
  const late = el("p");
  const basis = el("p", { class: "basis" });
  const panel = el("section", { class: "panel saving", hidden: true, "aria-label": "Saved" },
    el("h3", {}, "Saved against running in full"), figure, worth, late, basis);
  let last = null;
  let results = [];
  const update = (view) => {
    last = view;
    const { status } = view;
    const found = methodOf(status) ? saved(status) : null;
    panel.hidden = found === null;
    if (found === null) return;
    write(figure, `about ${joules(found.joules)}`);
    write(worth, price() && `worth ${money(found.joules)} at ${price()}`);
    write(late, againstFull(results, status.full_joules));
    const cost = `${joules(status.joules)} (${methodOf(status)})`;
    write(basis, found.measured
      ? `Since the stream was added, at a cost of ${cost}: measured against its own frames that ran in full.`
      : `An estimate since the stream was added: ${percent(status.tokens_kept / status.tokens_full)} of the tokens were kept at a `
        + `cost of ${cost}, and all of them are taken to cost in proportion. What a frame costs whatever its tokens makes this too high.`);
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
