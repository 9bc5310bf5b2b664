// Buttons of a card that ask the API for something, and what it had against it.

import { el, write } from "./dom.js";

/** One at a time; `problem` is where a refusal is shown. Returns `attempt(button, act)` and `action(text, label, act)`, a button. */
export function attempts(problem) {
  let busy = false;

  const attempt = async (button, act) => {
    // A button that is disabled would lose the focus.
    if (busy) return;
    busy = true;
    button.setAttribute("aria-busy", "true");
    try {
      await act();
      problem.hidden = true;
    } catch (error) {
      write(problem, [...(error.fields?.values() ?? [error.message])].join("; ") || error.message);
      problem.hidden = false;
    } finally {
      busy = false;
      button.removeAttribute("aria-busy");
    }
  };
  const action = (text, label, act) => {
    const button = el("button", { type: "button", onclick: () => attempt(button, act) }, text);
    button.setAttribute("aria-label", label);
    return button;
  };
  return { attempt, action };
}
