// What streams took by the day, in energy and money, as the service counts it.

import { address, ask, serverNow } from "./api.js";
import { el, figures, write } from "./dom.js";
import { joules, number, UNKNOWN } from "./format.js";

const EVERY_MS = 60_000;
const MONTH_DAYS = 30;
const JOULES_PER_KWH = 3.6e6;

let known = null;
let dueAt = 0;

/** Asks for the bill when it is due; calls `changed()` when it is there. */
export async function follow(changed) {
  if (document.hidden || performance.now() < dueAt) return;
  dueAt = performance.now() + EVERY_MS;
  try {
    known = await ask("GET", `v1/bill?since=${daysAgo(MONTH_DAYS - 1)}`);
  } catch {
    return;
  }
  changed();
}

/** Makes a link that loads the bill as a table; the token gets into its address only when it is used. */
export function linkToTable(link) {
  link.addEventListener("click", () => { link.href = address("v1/bill.csv"); });
}

/** What so many joules cost, as "1.5 EUR"; empty where no price is set. */
export function money(spent) {
  if (known === null || known.price_per_kwh === null) return "";
  return [number((spent / JOULES_PER_KWH) * known.price_per_kwh), known.currency].filter(Boolean).join(" ");
}

/** The price of a kWh, as "0.3 EUR per kWh"; empty where none is set. */
export const price = () => (money(0) && `${money(JOULES_PER_KWH)} per kWh`);

/** What all streams took today. */
export const today = () => (known ? told(known.days.filter(({ day }) => day === daysAgo(0))) : UNKNOWN);

/** The panel of a stream; returns the element and `update(view)`. */
export function bill() {
  const shown = figures(["Today", "Saved today", `The last ${MONTH_DAYS} days`, "Saved in these"], "pairs");
  const basis = el("p", { class: "basis" });
  return {
    element: el("section", { class: "panel bill", "aria-label": "Bill" }, el("h3", {}, "Bill"), shown.list, basis),
    update({ id }) {
      const own = ({ stream }) => stream === id;
      const days = known?.lines.filter((line) => own(line) && line.day === daysAgo(0)) ?? [];
      const month = known?.streams.filter(own) ?? [];
      shown.set([told(days), told(days, "saved_joules"), told(month), told(month, "saved_joules")]);
      write(basis, `What its frames took, audits included, by days of UTC${price() ? `, at ${price()}` : ""}. Of a day that runs as of a minute ago.`);
    },
  };
}

/** Energy and money of entries; what was found in different ways is never added up. */
function told(entries, name = "joules") {
  const some = entries.filter((one) => one[name] !== null);
  const texts = some.map((one) => {
    const parts = [joules(one[name]), money(one[name])].filter(Boolean).join(", ");
    return some.length > 1 ? `${parts} (${one.method})` : parts;
  });
  return texts.join("; ") || UNKNOWN;
}

function daysAgo(days) {
  return new Date((serverNow() - days * 86_400) * 1000).toISOString().slice(0, 10);
}
