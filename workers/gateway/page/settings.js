// The form of a stream's settings: what was filled in as the API takes it, and back.

import { catalog } from "./tokenizers.js";

const options = (kind) => catalog.options.filter(kind).map(({ name }) => name);
const numbers = () => ["fps", "audit", "guard", "priority", "min_target", "history", ...options(({ check, choices }) => !check && !choices)];
const checks = () => ["loop", "realtime", "changed", ...options(({ check }) => check)];
const texts = () => ["tokenizer", "model", "policy", "fit", "size", "guard_by", ...options(({ choices }) => choices)];

/** Fills the form with what a stream has. */
export function fill(form, { settings, labels }) {
  for (const name of [...numbers(), ...texts()]) form.elements[name].value = settings[name] ?? "";
  for (const name of checks()) form.elements[name].checked = settings[name];
  form.elements.labels.value = written(labels);
  form.elements.rules.value = shown(settings.rules);
}

/** What was filled in: all of it for a new stream, else what differs from what `view` has. Throws as the API refuses. */
export function given(form, view = null) {
  const found = {};
  const text = (name) => form.elements[name].value.trim();
  const take = (name, value, before) => {
    if (view ? value !== (before ?? null) : value !== null && value !== false) found[name] = value;
  };
  for (const name of [...numbers(), ...texts()]) {
    if (form.elements[name].closest("[hidden]")) continue;
    const value = numbers().includes(name) && text(name) ? Number(text(name)) : text(name) || null;
    take(name, value, view?.settings[name]);
  }
  for (const name of checks()) if (!form.elements[name].closest("[hidden]")) take(name, form.elements[name].checked, view?.settings[name]);
  const lines = (name) => text(name).split("\n").map((line) => line.trim()).filter(Boolean);
  const labels = Object.fromEntries(lines("labels").map(label));
  if (written(labels) !== written(view?.labels ?? {})) found.labels = labels;
  if (text("rules") !== shown(view?.settings.rules ?? [])) found.rules = rules(text("rules"));
  if (view) return found;
  for (const name of ["source", "name"]) if (text(name)) found[name] = text(name);
  const sinks = lines("sinks");
  if (sinks.length) found.sinks = sinks;
  return found;
}

const written = (labels) => Object.entries(labels).sort().map((pair) => pair.join("=")).join("\n");

// What is null is as if it were not there.
const shown = (rules) => (rules.length ? JSON.stringify(rules, (_, value) => value ?? undefined, 1) : "");

function rules(text) {
  try {
    return text ? JSON.parse(text) : [];
  } catch (error) {
    throw wrong("rules", `a list in JSON is wanted: ${error.message}`);
  }
}

function label(line) {
  const at = line.indexOf("=");
  if (at < 1) throw wrong("labels", `${line}: a label is key=value`);
  return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
}

function wrong(field, reason) {
  return Object.assign(new Error(reason), { fields: new Map([[field, reason]]) });
}
