// Forms: what happens when one is sent, and what the API had against it.

/** Has a form sent by `send()`; what that throws is told in it. */
export function submits(form, send) {
  const button = form.querySelector("button:not([type=button])");
  clear(form);
  form.onsubmit = async (event) => {
    event.preventDefault();
    clear(form);
    button.disabled = true;
    try {
      await send();
    } catch (error) {
      tell(form, error);
    } finally {
      button.disabled = false;
    }
  };
}

/** Takes away what was told of the last try. */
function clear(form) {
  form.querySelector(".problem").hidden = true;
  for (const hint of form.querySelectorAll(".wrong")) hint.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}

/** Shows what the API had against what was filled in, each reason at its field. */
export function tell(form, error) {
  const left = [];
  let first = null;
  for (const [path, reason] of error.fields ?? []) {
    // What is wrong inside a field is shown at it, as sinks.0.webhook.url.
    const parts = path.split(".");
    while (parts.length && !form.elements[parts.join(".")]) parts.pop();
    const name = parts.join(".");
    const field = form.elements[name];
    if (!field || field.closest("[hidden]")) {
      left.push(`${path}: ${reason}`);
      continue;
    }
    if (field.hasAttribute("aria-invalid")) continue;
    const hint = Object.assign(document.createElement("small"), { className: "wrong", id: `wrong-${name}`, textContent: `${inside(path)}${reason}` });
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", hint.id);
    field.after(hint);
    first ??= field;
  }
  const problem = form.querySelector(".problem");
  problem.textContent = first && !left.length ? "Some fields cannot be right; see below." : [error.message, ...left].join("; ");
  problem.hidden = false;
  (first ?? form.querySelector("label:not([hidden]) input"))?.focus();
}

/** Which of the rules is wrong, and where, as "rule 2, at_least: "; fields with one line each need no such words. */
function inside(path) {
  const [name, at, , ...rest] = path.split(".");
  return name === "rules" && at ? `${[`rule ${Number(at) + 1}`, rest.join(".")].filter(Boolean).join(", ")}: ` : "";
}
