// What can be done to a stream: pause, resume, remove; and what came of it.

import { el, say, write } from "./dom.js";
import { askToRemove } from "./dialogs.js";

/** Buttons for a stream; returns the element and `update(view)`. */
export function actions(id, streams) {
  let paused = false;
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  let busy = false;
  const pause = el("button", {
    type: "button",
    async onclick() {
      // A button that is disabled would lose the focus.
      if (busy) return;
      busy = true;
      try {
        await streams.change(id, { paused: !paused });
        problem.hidden = true;
        say(`${id} ${paused ? "paused" : "resumed"}`);
      } catch (error) {
        problem.textContent = error.message;
        problem.hidden = false;
      } finally {
        busy = false;
      }
    },
  });
  const remove = el("button", { type: "button", onclick: () => askToRemove(id, streams) }, "Remove");
  remove.setAttribute("aria-label", `Remove ${id}`);
  return {
    shown: el("div", { class: "actions" }, pause, remove, problem),
    update(view) {
      paused = view.settings.paused;
      write(pause, paused ? "Resume" : "Pause");
      pause.setAttribute("aria-label", `${paused ? "Resume" : "Pause"} ${id}`);
    },
  };
}
