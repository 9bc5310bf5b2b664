// The dialogs: add a stream, change or remove one, give a token. Each shows what the API had against it.

import { keepToken } from "./api.js";
import { say } from "./dom.js";
import { fill, given } from "./settings.js";
import { addFields, fit, load } from "./tokenizers.js";

/** Opens a dialog; `send(form)` does what it is for, and it closes when that worked. */
function open(id, send) {
  const dialog = document.getElementById(id);
  const form = dialog.querySelector("form");
  const button = form.querySelector("button:not([type=button])");
  clear(form);
  form.onsubmit = async (event) => {
    event.preventDefault();
    clear(form);
    button.disabled = true;
    try {
      await send(form);
      dialog.close();
    } catch (error) {
      tell(form, error);
    } finally {
      button.disabled = false;
    }
  };
  const close = dialog.querySelector("[data-close]");
  if (close) close.onclick = () => dialog.close();
  if (!dialog.open) dialog.showModal();
  return form;
}

function clear(form) {
  form.querySelector(".problem").hidden = true;
  for (const hint of form.querySelectorAll(".wrong")) hint.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}

function tell(form, error) {
  const left = [];
  let first = null;
  for (const [path, reason] of error.fields ?? []) {
    // What is wrong inside a field is shown at it, as sinks.0.webhook.url.
    const name = path.split(".")[0];
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

/** Asks for a new stream. */
export function askToAdd(streams) {
  askForSettings("Add a stream", "Add", null, async (form) => {
    const id = await streams.add(given(form));
    form.reset();
    say(`${id} added`);
  });
}

/** Asks for other settings of a stream; only those that were touched are sent. */
export function askToChange(view, streams) {
  askForSettings(`Change ${view.id}`, "Save", view, async (form) => {
    const changes = given(form, view);
    if (Object.keys(changes).length) await streams.change(view.id, changes);
    say(`${view.id} changed`);
  });
}

async function askForSettings(title, action, view, send) {
  const dialog = document.getElementById("settings");
  try {
    await load();
  } catch (error) {
    say(`${title}: ${error.message}`);
    return;
  }
  addFields(dialog.querySelector("form"));
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("button.primary").textContent = action;
  for (const label of dialog.querySelectorAll("[data-new]")) label.hidden = view !== null;
  // What was filled in for a new stream is there again after a look elsewhere; what a stream has is not.
  dialog.onclose = view && (() => dialog.querySelector("form").reset());
  if (view) fill(dialog.querySelector("form"), view);
  const form = open("settings", send);
  form.elements.tokenizer.onchange = () => fit(form);
  fit(form);
  form.querySelector("label:not([hidden]) input").focus();
}

/** Asks whether a stream is to be removed. */
export function askToRemove(id, streams) {
  document.getElementById("removing-title").textContent = `Remove ${id}?`;
  open("removing", async () => {
    await streams.remove(id);
    say(`${id} removed`);
  });
}

/** Asks for a token; `why` is what the service had against the last one, `then` is called with a new one kept. */
export function askForToken(why, then) {
  const dialog = document.getElementById("login");
  if (dialog.open) return;
  const form = open("login", async () => {
    keepToken(form.elements.token.value.trim());
    form.reset();
  });
  // Whoever sends it away without a token is asked again.
  dialog.onclose = then;
  if (why) tell(form, { message: why });
}
