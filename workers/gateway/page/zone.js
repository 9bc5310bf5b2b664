// One zone in the list: its state now, the buttons that record a moment, and what came of those so far.

import { attempts } from "./attempts.js";
import { el, write } from "./dom.js";
import { percent, number } from "./format.js";
import { stateText, UNKNOWN_STATE } from "./marks.js";

/** A card; `does` says what can be done (see zones.js). Returns the element and `update(zone, told)`. */
export function zoneCard(name, does) {
  const now = el("span", { class: "now" });
  const states = el("div", { class: "actions", role: "group", "aria-label": `What ${name} is now` });
  const worth = el("p", { class: "basis" });
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  const buttons = new Map();
  let zone = null;
  const { attempt, action } = attempts(problem);

  const back = action("Take back", `Take back the newest moment of ${name}`, () => does.takeBack(name));
  const redraw = action("Draw anew", `Draw ${name} anew`, () => does.redraw(zone));
  const rename = action("Rename", `Rename ${name}`, () => renaming(true));
  const remove = action("Remove", `Remove zone ${name}`, () => does.remove(name));

  const called = el("input", { name: "name", required: true, maxLength: 64, autocomplete: "off", spellcheck: false });
  const form = el("form", { noValidate: true, hidden: true, class: "renaming", onsubmit(event) {
    event.preventDefault();
    attempt(save, () => does.rename(name, called.value.trim()));
  }, onkeydown(event) {
    if (event.key === "Escape") renaming(false);
  } });
  const save = el("button", { class: "primary" }, "Save");
  form.append(el("label", {}, `New name of ${name}`, called), save);
  const renaming = (on) => {
    form.hidden = !on;
    called.value = name;
    (on ? called : rename).focus();
  };

  const element = el("li", { class: "card", "data-zone": name },
    el("div", { class: "head" }, el("strong", {}, name), now), states, worth, problem,
    el("div", { class: "actions quiet" }, back, redraw, rename, remove), form);

  return {
    element,
    update(found, told) {
      zone = found;
      write(now, stateText(told));
      now.dataset.known = Boolean(told) && told.state !== UNKNOWN_STATE;
      const names = found.states.map((state) => state.name);
      if (`${[...buttons.keys()]}` !== `${names}`) {
        buttons.clear();
        for (const state of names) buttons.set(state, action("", "", () => does.record(name, state)));
        states.replaceChildren(...buttons.values());
      }
      for (const { name: state, examples } of found.states) {
        const button = buttons.get(state);
        write(button, `It is ${state} (${number(examples)})`);
        button.setAttribute("aria-label", `${name} is ${state} now; ${number(examples)} moments recorded`);
      }
      states.hidden = back.hidden = found.from_file;
      write(worth, worthOf(found));
    },
  };
}

/** How well a zone's states are told, or what is missing until they are. */
function worthOf({ states, needs, leave_one_out: right, unknown_from: far, from_file: fromFile }) {
  if (needs) return `Not told yet: give ${needs}; better five of each.`;
  const counts = states.map(({ name, examples }) => `${number(examples)} ${name}`).join(", ");
  const where = fromFile ? " Learned from a file: draw it anew to add moments." : "";
  return `Each of the moments (${counts}) told by the others: ${percent(right)} right. Later it is a little less. Unknown from ${far.toFixed(2)} away.${where}`;
}
