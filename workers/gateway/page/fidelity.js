// What a stream's answers are worth against running every patch, and what its guard does about it.

import { el, figures, write } from "./dom.js";
import { bounds, number, percent, UNKNOWN } from "./format.js";
import { kindOf } from "./tokenizers.js";

const NAMES = [
  "Guard", "Frames audited", "Missed", "Missed, last hour", "Mean cosine distance", "The same, last hour", "Agreement", "Cost of audits", "Gets",
];
const BASIS = "Audits answer frames that are drawn at random in full, too. In brackets: where the figure of all frames lies, with a "
  + "probability of 95 % at every moment at once; of this stream with these settings, and never of a single frame.";

/** The panel; returns the element and `update(view)`. */
export function fidelity() {
  const shown = figures(NAMES, "facts");
  const basis = el("p", { class: "basis" });
  return {
    element: el("section", { class: "panel fidelity", "aria-label": "Fidelity" }, el("h3", {}, "Fidelity"), shown.list, basis),
    update(view) {
      const found = view.status.fidelity;
      shown.set([guard(view), ...(found ? known(found) : Array(NAMES.length - 2).fill(UNKNOWN)), view.shown.sharing ?? "all it wants"]);
      write(basis, found ? BASIS : unknown(view.settings));
    },
  };
}

function known({ audits, target, missed, missed_hour: missedHour, error, error_hour: errorHour, agreement, cost }) {
  return [
    number(audits), interval(missed, percent, ` below ${number(target)}`), interval(missedHour, percent),
    interval(error, number), interval(errorHour, number), interval(agreement, percent),
    cost === null ? UNKNOWN : `${percent(cost)} of the operations`,
  ];
}

function interval(one, text, of = "") {
  return one.mean === null ? UNKNOWN : `${text(one.mean)}${of} (${bounds(one, text)})`;
}

function guard({ settings, shown }) {
  if (shown.guard) return shown.guard;
  const kind = kindOf(settings.tokenizer);
  if (kind?.holds && !settings.guard) return `${kind.name} holds its target of ${number(settings[kind.holds])} (cosine) by itself`;
  if (!kind?.knob) return "none";
  return settings.guard ? `${number(settings.guard)} (${settings.guard_by}), not at work yet` : `none: ${kind.knob} stays as it is`;
}

/** Why nothing is known. */
function unknown({ tokenizer, audit }) {
  const kind = kindOf(tokenizer);
  if (kind && !kind.knob) return `Nothing to audit: ${kind.name} answers in full.`;
  return audit > 0 ? `No frame was audited yet: ${percent(audit)} of them are drawn at random to be answered in full, too.`
    : "Not known, for no frame is audited: audits are off (Change, Audited share of frames).";
}
