// The tokenizers of the service and their options, as its OpenAPI has them; and their fields in a form.

import { ask } from "./api.js";
import { el } from "./dom.js";

/** Tokenizers ({name, says, wants, knob, holds}) in order of preference, options ({name, title, says, of, choices, minimum, maximum}), and the
 *  same bounds of fields that watch answers; empty until loaded. */
export const catalog = { kinds: [], options: [], watch: [] };

/** Asks the service once; may be called again after a failure. */
export async function load() {
  if (catalog.options.length) return;
  const { properties } = (await ask("GET", "openapi.json")).components.schemas.StreamSettings;
  catalog.kinds = properties.tokenizer["x-tokenizers"];
  catalog.options = Object.entries(properties)
    .filter(([name, field]) => field["x-tokenizers"] && name !== "tokenizer")
    .map(([name, field]) => ({
      name, title: field.title, says: field.description, of: field["x-tokenizers"], whole: field.type === "integer", check: field.type === "boolean", choices: field.enum,
      ...limits(field),
    }));
  catalog.watch = ["audit", "guard", "priority", "min_target"].map((name) => ({ name, ...limits(properties[name]) }));
}

function limits(field) {
  // Of one that may be null, too, they are those of what it else is.
  const number = field.anyOf?.find(({ type }) => type !== "null") ?? field;
  return { minimum: number.minimum ?? number.exclusiveMinimum, maximum: number.maximum ?? number.exclusiveMaximum, value: field.default };
}

/** A tokenizer as the catalog has it; undefined where it is not known. */
export const kindOf = (name) => catalog.kinds.find((kind) => kind.name === name);

/** Whether a tokenizer learns words. */
export const wantsWords = (name) => kindOf(name)?.wants === "words";

/** A tokenizer with its options, in words. */
export function described(settings) {
  const own = catalog.options.filter(({ of }) => of.includes(settings.tokenizer));
  return [settings.tokenizer, ...own.map(({ name }) => `${name} ${settings[name]}`)].join(", ");
}

/** Puts a choice for every tokenizer and a field for every option into a form, once. */
export function addFields(form) {
  const choice = form.elements.tokenizer;
  if (choice.options.length > 1) return;
  for (const { name, says } of catalog.kinds) choice.append(el("option", { value: name }, `${name}: ${says}`));
  const fields = catalog.options.map(({ name, title, says, of, whole, check, choices, minimum, maximum, value }) => {
    if (check) return el("label", { class: "check", "data-option": of.join(" ") }, el("input", { name, type: "checkbox" }), title, el("small", {}, says));
    if (choices) {
      const among = choices.map((one) => el("option", { value: one, defaultSelected: one === value }, one));
      return el("label", { "data-option": of.join(" ") }, title, el("select", { name }, ...among), el("small", {}, says));
    }
    const input = el("input", { name, type: "number", step: whole ? "1" : "any", inputMode: whole ? "numeric" : "decimal" });
    bound(input, { minimum, maximum, value });
    return el("label", { "data-option": of.join(" ") }, title, input, el("small", {}, says));
  });
  choice.closest(".pair").append(...fields);
  for (const { name, ...limits } of catalog.watch) bound(form.elements[name], limits);
}

/** Gives an input of a number its bounds, and what it is where nothing is filled in. */
function bound(input, { minimum, maximum, value }) {
  if (value !== undefined && value !== null) input.placeholder = value;
  if (minimum !== undefined) input.min = minimum;
  if (maximum !== undefined) input.max = maximum;
}

/** Shows the options of the chosen tokenizer; of the first, which models take that take any, where none is. */
export function fit(form) {
  const chosen = form.elements.tokenizer.value || catalog.kinds[0].name;
  for (const label of form.querySelectorAll("[data-option]")) label.hidden = !label.dataset.option.split(" ").includes(chosen);
}
