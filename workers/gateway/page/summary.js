// What results come to: figures over some of them, as the summary of a run has them.

import { countBy, joules, number, percent } from "./format.js";
import { wantsWords } from "./tokenizers.js";

const NAMED = 3;

/** What was predicted, in a line; empty where there is nothing to say. */
export function predicted(results) {
  const all = results.map(({ prediction }) => prediction).filter(Boolean);
  const kind = all.at(-1)?.kind;
  const same = all.filter((one) => one.kind === kind);
  const over = `Of the last ${number(same.length)} frames`;
  if (kind === "labels") {
    const best = countBy(same.flatMap(({ labels }) => labels.slice(0, 1).map(({ label }) => label))).slice(0, NAMED);
    return `${over}: mostly ${best.map(([label, count]) => `${label} (${number(count)})`).join(", ")}.`;
  }
  if (kind === "regions") {
    const regions = same.reduce((sum, one) => sum + one.regions.length, 0);
    const some = same.filter((one) => one.regions.length).length;
    const each = number(regions / same.length);
    return `${over}: ${each} region${each === "1" ? "" : "s"} per frame, some in ${percent(some / same.length)} of them.`;
  }
  if (kind === "boxes") {
    const found = countBy(same.flatMap(({ boxes }) => boxes.map(({ name }) => name))).slice(0, NAMED);
    const each = found.map(([name, count]) => `${number(count / same.length)} ${name}`).join(", ");
    return `${over}: ${each ? `${each} per frame` : "no boxes"}.`;
  }
  return "";
}

/** How frames were answered by a tokenizer that recalls, the most frequent first; empty for others. */
export function decided(decisions) {
  const counts = Object.entries(decisions).sort((a, b) => b[1] - a[1]);
  const all = counts.reduce((sum, [, count]) => sum + count, 0);
  return counts.map(([decision, count]) => `${percent(count / all)} ${decision}`).join(", ");
}

/** What a frame takes of late against one in full, with its spread; empty where that is not known. */
export function againstFull(results, fullJoules) {
  const steady = results.filter(({ tokenizer, vocab_version: version }) => version !== null || !wantsWords(tokenizer));
  const taken = steady.map(({ energy }) => energy?.joules ?? null).filter((one) => one !== null).sort((a, b) => a - b);
  if (!taken.length || !fullJoules.length) return "";
  const full = quantile([...fullJoules].sort((a, b) => a - b), 0.5);
  const mean = taken.reduce((sum, one) => sum + one, 0) / taken.length;
  const saved = (one) => 1 - one / full;
  const words = saved(mean) < 0 ? "more" : "less";
  const quartiles = [0.75, 0.25].map((share) => Math.round(100 * saved(quantile(taken, share))));
  return `A frame of the last ${number(taken.length)} took ${joules(mean)}, ${percent(Math.abs(saved(mean)))} ${words} than one in full `
    + `(quartiles ${quartiles.join(" to ")} % saved), ${joules(full)}: the median of the latest ${number(fullJoules.length)}.`;
}

/** Nearest rank, of numbers in order. */
function quantile(sorted, share) {
  return sorted[Math.max(Math.ceil(share * sorted.length), 1) - 1];
}
