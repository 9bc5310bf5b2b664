// The tokenizers of the service and their options, as its OpenAPI has them; and their fields in a form.

import { ask } from "./api.js";
import { el } from "./dom.js";

/** Tokenizers ({name, says, wants}) in order of preference, and options ({name, title, says, of, choices, minimum, maximum}); empty until loaded. */
export const catalog = { kinds: [], options: [] };

/** Asks the service once; may be called again after a failure. */
export async function load() {
  if (catalog.options.length) return;
  const { properties } = (await ask("GET", "openapi.json")).components.schemas.StreamSettings;
  catalog.kinds = properties.tokenizer["x-tokenizers"];
  catalog.options = Object.entries(properties)
    .filter(([name, field]) => field["x-tokenizers"] && name !== "tokenizer")
    .map(([name, field]) => ({
      name, title: field.title, says: field.description, of: field["x-tokenizers"], whole: field.type === "integer", check: field.type === "boolean", choices: field.enum,
      minimum: field.minimum ?? field.exclusiveMinimum, maximum: field.maximum ?? field.exclusiveMaximum, value: field.default,
    }));
}

/** Whether a tokenizer learns words. */
export const wantsWords = (name) => catalog.kinds.some((kind) => kind.name === name && kind.wants === "words");

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
    const input = el("input", { name, type: "number", step: whole ? "1" : "any", inputMode: whole ? "numeric" : "decimal", placeholder: value });
    if (minimum !== undefined) input.min = minimum;
    if (maximum !== undefined) input.max = maximum;
    return el("label", { "data-option": of.join(" ") }, title, input, el("small", {}, says));
  });
  choice.closest(".pair").append(...fields);
}

/** Shows the options of the chosen tokenizer; of the first, which models take that take any, where none is. */
export function fit(form) {
  const chosen = form.elements.tokenizer.value || catalog.kinds[0].name;
  for (const label of form.querySelectorAll("[data-option]")) label.hidden = !label.dataset.option.split(" ").includes(chosen);
}
