// Figures as people read them; what is unknown is a dash, never a zero.

export const UNKNOWN = "–";

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

/** Three significant digits, without exponents for what screens show. */
export function number(value) {
  if (!known(value)) return UNKNOWN;
  const digits = { maximumSignificantDigits: Math.abs(value) >= 1000 ? 6 : 3 };
  return value.toLocaleString("en", Math.abs(value) >= 1000 ? { maximumFractionDigits: 0 } : digits);
}

export const unit = (value, name) => (known(value) ? `${number(value)} ${name}` : UNKNOWN);
export const percent = (share) => (known(share) ? `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %` : UNKNOWN);
/** Bounds of a share or a figure, as "0.6 to 9.1 %". */
export function bounds({ low, high }, text) {
  const [from, to] = [text(low), text(high)];
  const unit = to.slice(to.indexOf(" "));
  return to.includes(" ") && from.endsWith(unit) ? `${from.slice(0, -unit.length)} to ${to}` : `${from} to ${to}`;
}

export const milliseconds = (ms) => (ms >= 10_000 ? unit(ms / 1000, "s") : unit(ms, "ms"));

/** Joules in the unit that keeps them short. */
export function joules(value) {
  if (!known(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size >= 3.6e5) return unit(value / 3.6e6, "kWh");
  if (size >= 1000) return unit(value / 1000, "kJ");
  return size > 0 && size < 0.1 ? unit(value * 1000, "mJ") : unit(value, "J");
}

/** Memory in the unit that keeps it short. */
export function bytes(value) {
  if (!known(value)) return UNKNOWN;
  if (value >= 1e9) return unit(value / 1e9, "GB");
  return value >= 1e6 ? unit(value / 1e6, "MB") : unit(value / 1e3, "kB");
}

/** How long, in words. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

/** How often each text is there, as [text, count], the most frequent first. */
export function countBy(texts) {
  const counts = new Map();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

/** What a result says in one line: the prediction, what changed by its names, and the states of zones. */
export function said({ prediction: own, changed, zones }) {
  const states = Object.entries(zones ?? {}).map(([name, { state }]) => `${name}: ${state}`);
  const names = countBy((changed ?? []).map(({ name }) => name)).map(([name, count]) => `${number(count)} ${name}`);
  if (changed && !names.length) names.push("0 changed");
  return [prediction(own), ...names, ...states].join(" · ");
}

/** A prediction in one line. */
export function prediction(one) {
  switch (one?.kind) {
    case "labels":
      return one.labels.slice(0, 2).map((label) => `${label.label} ${percent(label.score)}`).join(", ");
    case "regions": {
      const count = one.regions.length;
      if (count === 0) return "nothing";
      const best = Math.max(...one.regions.map((region) => region.score));
      return `${count} region${count === 1 ? "" : "s"}, best ${percent(best)}`;
    }
    case "boxes": {
      const counts = countBy(one.boxes.map((box) => box.name));
      return counts.map(([name, count]) => `${number(count)} ${name}`).join(", ") || "nothing";
    }
    case "embedding":
      return `vector of ${one.embedding.length} numbers`;
    default:
      return UNKNOWN;
  }
}
