// Fields of a form, made of what the API's OpenAPI says of an object.

import { ask } from "./api.js";
import { el } from "./dom.js";

let schemas = null;

/** The schemas of the API by name; asked for once, and again after a failure. */
export async function loadSchemas() {
  schemas ??= (await ask("GET", "openapi.json")).components.schemas;
  return schemas;
}

/** One of them, by name. */
export const schemaOf = (name) => schemas[name];

/** The schema that a property refers to; of one that may be null, what it else is, and `nullable`. */
function resolved(property) {
  const either = property.anyOf?.filter(({ type }) => type !== "null");
  const nullable = Boolean(either) && either.length < property.anyOf.length;
  const own = either ? { ...property, ...either[0], title: property.title ?? either[0].title } : property;
  const name = own.$ref?.split("/").at(-1);
  return { ...(name ? schemas[name] : {}), ...own, nullable };
}

/**
 * Fields for all properties of a schema but those in `given`; those in `last` come last.
 *
 * `special(name)` may give a field of the caller's own, `{element, read(), write(value)}`; null for the common one.
 * Names of inputs are `prefix` and the property's. Returns the elements, `read()` (what was filled in, without what is as it is
 * anyway), and `write(object)`.
 */
export function fieldsOf(schema, { given = [], last = [], special = () => null, prefix = "" } = {}) {
  const required = schema.required ?? [];
  const fields = new Map();
  const properties = Object.entries(schema.properties).sort(([a], [b]) => last.includes(a) - last.includes(b));
  for (const [name, property] of properties) {
    const found = resolved(property);
    // Nothing is to be chosen.
    if (given.includes(name) || found.const !== undefined || (found.minimum !== undefined && found.minimum === found.maximum)) continue;
    fields.set(name, special(name, found) ?? fieldOf(prefix + name, found, required.includes(name)));
  }
  return {
    elements: [...fields.values()].map(({ element }) => element),
    read() {
      const values = [...fields].map(([name, field]) => [name, field.read()]);
      return Object.fromEntries(values.filter(([, value]) => value !== undefined));
    },
    write(object) {
      for (const [name, field] of fields) field.write(object?.[name] ?? null);
    },
  };
}

function fieldOf(name, found, required) {
  if (found.type === "object") return part(name, found);
  if (found.type === "array" && found.items.enum) return several(name, found);
  if (found.enum) return choice(name, found.title, found.enum, found.default, found.description);
  if (found.type === "number" || found.type === "integer") return amount(name, found, required);
  return text(name, found, required);
}

export function labelled(title, input, says) {
  return el("label", {}, title, input, ...(says ? [el("small", {}, says)] : []));
}

/** One of some values; the first that is chosen is `value`. */
export function choice(name, title, values, value, says) {
  const input = el("select", { name }, ...values.map((one) => el("option", { value: one, defaultSelected: one === value }, one)));
  return { element: labelled(title, input, says), input, read: () => input.value, write: (given) => { if (given !== null) input.value = given; } };
}

function amount(name, { type, title, description, minimum, exclusiveMinimum, maximum, default: value }, required) {
  const input = el("input", { name, type: "number", step: type === "integer" ? "1" : "any", inputMode: type === "integer" ? "numeric" : "decimal", required });
  if (value !== undefined && value !== null) input.placeholder = value;
  if ((minimum ?? exclusiveMinimum) !== undefined) input.min = minimum ?? exclusiveMinimum;
  if (maximum !== undefined) input.max = maximum;
  const read = () => (input.value.trim() === "" ? undefined : Number(input.value));
  return { element: labelled(title, input, description), read, write: (given) => { input.value = given === null || given === value ? "" : given; } };
}

/** A text; where a list of them is wanted, with commas between. */
function text(name, { type, title, description, maxLength, default: value }, required) {
  const listed = type === "array";
  const input = el("input", { name, required, autocomplete: "off", spellcheck: false, placeholder: typeof value === "string" ? value : "" });
  if (maxLength) input.maxLength = maxLength;
  const says = [description, listed ? "with commas between" : ""].filter(Boolean).join("; ");
  return {
    element: labelled(title, input, says),
    read() {
      const filled = input.value.trim();
      if (!filled) return undefined;
      return listed ? filled.split(",").map((one) => one.trim()).filter(Boolean) : filled;
    },
    write: (given) => { input.value = given === null || given === value ? "" : [given].flat().join(", "); },
  };
}

/** Some of several values, each with a box to tick. */
function several(name, { title, items, default: value, description }) {
  const boxes = items.enum.map((one) => el("input", { type: "checkbox", value: one, defaultChecked: value?.includes(one) }));
  const element = el("fieldset", { name, class: "several" }, el("legend", {}, title),
    ...boxes.map((box) => el("label", { class: "check" }, box, box.value)), ...(description ? [el("small", {}, description)] : []));
  const read = () => boxes.filter((box) => box.checked).map((box) => box.value);
  return { element, read, write: (given) => boxes.forEach((box) => { box.checked = (given ?? value ?? []).includes(box.value); }) };
}

/** An object inside another; of one that may be null there is a box to tick. */
function part(name, found) {
  const inner = fieldsOf(found, { prefix: `${name}.` });
  const tick = el("input", { type: "checkbox", "aria-label": found.title, onchange: () => show() });
  const rest = el("div", { class: "part" }, ...inner.elements);
  const show = () => { rest.hidden = found.nullable && !tick.checked; };
  const element = el("fieldset", { name },
    el("legend", {}, found.nullable ? el("label", { class: "check" }, tick, found.title) : found.title),
    ...(found.description ? [el("small", {}, found.description)] : []), rest);
  show();
  return {
    element,
    read: () => (rest.hidden ? undefined : inner.read()),
    write(given) {
      tick.checked = given !== null;
      inner.write(given);
      show();
    },
  };
}
