// All streams in a few figures: what they do now, and what was saved so far.

import { money, today } from "./bill.js";
import { el, figures, write } from "./dom.js";
import { bytes, joules, number, percent, UNKNOWN } from "./format.js";
import { methodOf } from "./saving.js";
import { saved } from "./streams.js";

const NAMES = ["Streams", "Frames/s", "Tokens kept", "Energy per frame", "Recalls from", "Today", "Saved so far", "Budget"];
// Streams that lose frames, beside the one that loses most.
const NAMED = 4;

/** The strip above the wall; returns the element and `update(streams)`. */
export function totals() {
  const shown = figures(NAMES, "totals");
  const basis = el("p", { class: "basis" });
  const lossy = el("p", { class: "lossy" });
  const element = el("section", { class: "panel", "aria-label": "All streams" }, shown.list, lossy, basis);
  return {
    element,
    update(streams) {
      const all = [...streams.all.values()];
      element.hidden = all.length === 0;
      const running = all.filter(({ status }) => status.state === "running");
      const recalled = running.reduce((total, { status }) => total + status.recall_bytes, 0);
      const worthSaying = all.filter(({ status }) => methodOf(status) && saved(status) !== null);
      shown.set([
        states(all), number(running.reduce((total, { status }) => total + (status.fps ?? 0), 0)),
        percent(ratio(all, "kept", "full")),
        byMethod(all, (some) => ratio(some, "joules", "metered"), joules),
        recalled ? bytes(recalled) : UNKNOWN, today(),
        byMethod(worthSaying, (some) => some.reduce((total, { status }) => total + saved(status), 0), about),
        budget(running),
      ]);
      write(lossy, losses(all));
      const methods = [...new Set(worthSaying.map(({ status }) => methodOf(status)))].sort().join("; ");
      const told = `Saved: over ${worthSaying.length} of ${all.length} streams since each was added, measured against their own frames in full`;
      write(basis, ["Tokens and energy: of the last minute; today: of UTC.", worthSaying.length && `${told} (${methods}).`]
        .filter(Boolean).join(" "));
    },
  };
}

/** A figure of energy for each way it was found: what was measured and what was estimated is never added up. */
function byMethod(all, figure, text) {
  const methods = [...new Set(all.map(({ status }) => status.energy_method))].sort();
  const found = methods.map((method) => [method, figure(all.filter(({ status }) => status.energy_method === method))])
    .filter(([, value]) => value !== null);
  if (found.length === 1) return text(found[0][1]);
  return found.map(([method, value]) => `${text(value)} (${method})`).join(", ") || UNKNOWN;
}

function states(all) {
  const counts = new Map();
  for (const { shownState } of all) counts.set(shownState, (counts.get(shownState) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(", ");
}

/** What streams may take together, what they take of it, and how many give fidelity away for it. */
function budget(running) {
  const known = running.filter(({ status }) => status.sharing?.budget);
  if (!known.length) return "none";
  const { unit, limit, used } = known.at(-1).status.sharing.budget;
  const lowered = known.filter(({ status }) => status.sharing.target < status.sharing.own_target).length;
  return `${number(used)} of ${number(limit)} ${unit}${lowered ? `, ${lowered} with a lower target` : ""}`;
}

/** Who loses frames, the most first, and what helps; empty where nobody does. */
function losses(all) {
  const [worst, ...others] = all.filter(({ shownState }) => shownState === "degraded").sort((a, b) => b.status.lost - a.status.lost);
  if (!worst) return "";
  const named = others.slice(0, NAMED).map(({ id, status }) => `${id} ${percent(status.lost)}`);
  if (others.length > NAMED) named.push(`${others.length - NAMED} more`);
  return `${worst.id}: ${worst.shown.reason}.${named.length ? ` Others that lose frames: ${named.join(", ")}.` : ""}`;
}

/** A ratio of sums of the last minute, over the streams that know both. */
function ratio(all, above, below) {
  const known = all.filter(({ lately }) => lately[below] > 0 && lately[above] !== null);
  const sum = (name) => known.reduce((total, { lately }) => total + lately[name], 0);
  return known.length ? sum(above) / sum(below) : null;
}

function about(found) {
  return `about ${joules(found)}${money(found) && `, worth ${money(found)}`}`;
}
