// One name in the list: the boxes that were drawn of it, and how well the others tell each.

import { attempts } from "./attempts.js";
import { el, write } from "./dom.js";
import { number } from "./format.js";
import { shown } from "./jpeg.js";

export const NOT_THIS = "not this";

/** A card; `does` says what can be done (see classes.js). Returns the element and `update(view)`. */
export function classCard(name, does) {
  const said = name === NOT_THIS ? "None of the names" : name;
  const count = el("span", { class: "now" });
  const boxes = el("ul", { class: "boxes", "aria-label": `Boxes of ${said}` });
  const worth = el("p", { class: "basis" });
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  const { action } = attempts(problem);
  const more = action("Draw another", `Draw another box of ${said}`, () => does.begin(name));
  const remove = action("Remove", `Remove ${said} with all boxes`, () => does.remove(name, said));
  const rows = new Map();

  const row = ({ id, jpeg, frame }) => {
    const told = el("span");
    const away = action("×", "", async () => {
      await does.takeBack(id, said);
      // The button that had the focus is gone.
      more.focus();
    });
    const element = el("li", { "data-box": id }, shown(jpeg, `Frame ${frame}`), told, away);
    return { element, told, away };
  };

  return {
    element: el("li", { class: "card", "data-class": name },
      el("div", { class: "head" }, el("strong", {}, said), count), boxes, worth, problem,
      el("div", { class: "actions quiet" }, more, remove)),
    update(found) {
      write(count, `${number(found.count)} ${found.count === 1 ? "box" : "boxes"}`);
      for (const [id, { element }] of rows) {
        if (found.boxes.some((box) => box.id === id)) continue;
        element.remove();
        rows.delete(id);
      }
      found.boxes.forEach((box, at) => {
        if (!rows.has(box.id)) {
          rows.set(box.id, row(box));
          boxes.append(rows.get(box.id).element);
        }
        const { element, told, away } = rows.get(box.id);
        const wrong = box.told_as !== null && box.told_as !== name;
        element.dataset.wrong = wrong;
        write(told, wrong ? `told: ${box.told_as}` : "");
        away.setAttribute("aria-label", `Remove box ${at + 1} of ${said}, frame ${box.frame}`);
      });
      boxes.hidden = found.boxes.length === 0;
      more.hidden = found.from_file;
      write(worth, worthOf(found));
    },
  };
}

/** How well a name is told, and what is missing. */
function worthOf({ name, count, learned, needs, leave_one_out: right, said_from: from, from_file: fromFile }) {
  const parts = [];
  if (name === NOT_THIS) parts.push(learned ? "What is more like one of these has no name." : "Counts once a name is said.");
  else if (learned) {
    parts.push(`${number(Math.round(right * count))} of ${number(count)} told right by the others; said from a likeness of ${from.toFixed(2)} on.`);
    if (needs) parts.push("Of so few that says little.");
  } else parts.push("Not said yet.");
  if (needs) parts.push(`Still wanted: ${needs}.`);
  if (fromFile) parts.push("Learned from a file.");
  return parts.join(" ");
}
