// The fields of a rule, as OpenAPI has them of what it is about; zones that were drawn can be chosen.

import { el } from "./dom.js";
import { choice, fieldsOf, labelled, schemaOf } from "./schema.js";

const SAYS = {
  zone: "a zone has a state", box: "a named thing is seen", changed: "something changed", region: "a region stands out", label: "a class scores",
  novelty: "it looks unusual", cut: "the scene is cut", stream: "the stream is lost", guard: "the guard cannot hold",
};
const WHOLE = "the whole picture";
const AS_IT_IS = "as it is";

/** Fields for `rule`, or a new one; `zones` as the API lists them. Returns the element and `read()`. */
export function ruleFields(zones, rule) {
  const { mapping } = schemaOf("StreamSettings").properties.rules.items.discriminator;
  const kinds = Object.keys(mapping).sort((a, b) => order(a) - order(b));
  const what = el("select", { name: "what", onchange: () => draw() }, ...kinds.map((kind) => el("option", { value: kind }, `${kind}: ${SAYS[kind] ?? ""}`)));
  const rest = el("div", { class: "part" });
  let fields = null;

  // What all rules have comes behind what this one is about.
  const schemas = Object.values(mapping).map((ref) => schemaOf(ref.split("/").at(-1)));
  const last = Object.keys(schemas[0].properties).filter((name) => name !== "name" && schemas.every(({ properties }) => name in properties));

  const draw = () => {
    const kept = fields?.read() ?? rule;
    fields = fieldsOf(schemaOf(mapping[what.value].split("/").at(-1)), { given: ["what"], last, special: specials(zones) });
    fields.write(kept);
    rest.replaceChildren(...fields.elements);
    // Hours are those of who fills them in.
    if (!kept?.schedule) rest.querySelector('[name="schedule.zone"]').value = Intl.DateTimeFormat().resolvedOptions().timeZone;
  };
  what.value = rule?.what ?? (zones.length ? "zone" : "box");
  draw();
  return {
    element: el("div", { class: "part" }, labelled("What", what), rest),
    read: () => ({ what: what.value, ...fields.read() }),
  };
}

const order = (kind) => (Object.hasOwn(SAYS, kind) ? Object.keys(SAYS).indexOf(kind) : Infinity);

/** Fields that know of the zones: which one, in which of its states, and things within one. */
function specials(zones) {
  let state = null;
  let zone = null;
  let wanted = null;
  const names = zones.map(({ name }) => name);

  const statesOf = (name) => [...(zones.find((zone) => zone.name === name)?.states.map((one) => one.name) ?? []), "unknown"];
  const fillStates = () => {
    const own = statesOf(zone?.input.value);
    // What a rule has stays to be chosen, also of a zone that is gone.
    const all = wanted && !own.includes(wanted) ? [...own, wanted] : own;
    state?.input.replaceChildren(...all.map((one) => el("option", { value: one }, one)));
    if (state && wanted) state.input.value = wanted;
  };

  return (name, found) => {
    if (name === "zone") {
      zone = choice("zone", found.title, names, null, names.length ? "" : "There is none yet: draw one first.");
      const { write } = zone;
      zone.input.onchange = () => {
        wanted = null;
        fillStates();
      };
      zone.write = (value) => {
        if (value && !names.includes(value)) zone.input.append(el("option", { value }, `${value} (gone)`));
        write(value);
        fillStates();
      };
      return zone;
    }
    if (name === "state") {
      state = choice("state", found.title, [], null);
      state.write = (value) => {
        wanted = value;
        fillStates();
      };
      return state;
    }
    return name === "within" ? within(found, zones) : null;
  };
}

/** A polygon, as that of one of the zones. */
function within({ title, description }, zones) {
  const { element, input } = choice("within", title, [WHOLE, ...zones.map(({ name }) => name)], WHOLE, description);
  let before = null;
  return {
    element,
    read() {
      if (input.value === AS_IT_IS) return before;
      return zones.find(({ name }) => name === input.value)?.polygon;
    },
    write(value) {
      before = value;
      const same = zones.find(({ polygon }) => JSON.stringify(polygon) === JSON.stringify(value));
      if (value && !same) input.append(el("option", { value: AS_IT_IS }, AS_IT_IS));
      input.value = value === null ? WHOLE : same?.name ?? AS_IT_IS;
    },
  };
}
