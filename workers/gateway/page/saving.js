// What was saved against running every patch: an estimate, with what it rests on beside it.

import { el, write } from "./dom.js";
import { joules, number, percent } from "./format.js";
import { saved } from "./streams.js";

const PRICE = "vwt-price-per-kwh";
export const JOULES_PER_KWH = 3.6e6;
const METHODS = {
  nvml: "measured by the GPU's counter",
  rapl: "measured by the CPU's counter, which counts every process",
  estimate: "itself an estimate from CPU time",
};
/** Where joules come from, in words; null where there are none. */
export const methodOf = ({ energy_method: name }) => METHODS[name] ?? (name ? `by the meter ${name}` : null);

/** What the operator pays for a kWh; 0 while not told. */
export const priceOfKwh = () => Number(localStorage.getItem(PRICE));

/** The panel; returns the element and `update(view)`. It hides where nothing can be said. */
export function saving() {
  const figure = el("p", { class: "big" });
  const money = el("p");
  const basis = el("p", { class: "basis" });
  const price = el("input", {
    type: "number", min: "0", step: "any", inputMode: "decimal", placeholder: "none", value: localStorage.getItem(PRICE) ?? "",
  });
  const panel = el("section", { class: "panel saving", hidden: true, "aria-label": "Saved" },
    el("h3", {}, "Saved against running in full"), figure, money,
    el("label", { class: "inline" }, "Price of a kWh ", price), basis);
  let last = null;
  const update = (view) => {
    last = view;
    const { status } = view;
    const found = methodOf(status) ? saved(status) : null;
    panel.hidden = found === null;
    if (found === null) return;
    write(figure, `about ${joules(found.joules)}`);
    write(money, Number(price.value) > 0
      ? `worth ${number((found.joules / JOULES_PER_KWH) * Number(price.value))} at ${price.value} per kWh` : "");
    write(basis, `An estimate since the stream was added: ${percent(found.share)} of the tokens were kept at a cost of `
      + `${joules(status.joules)} (${methodOf(status)}), and all of them are taken to cost in proportion. `
      + "What a frame costs whatever its tokens makes this too high.");
  };
  price.addEventListener("input", () => {
    localStorage.setItem(PRICE, price.value);
    if (last) update(last);
  });
  return { element: panel, update };
}
