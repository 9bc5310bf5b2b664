// The dialogs: add a stream, change or remove one, give a token. Each shows what the API had against it.

import { keepToken } from "./api.js";
import { say } from "./dom.js";
import { submits, tell } from "./forms.js";
import { fill, given } from "./settings.js";
import { addFields, fit, load } from "./tokenizers.js";

/** Opens a dialog; `send(form)` does what it is for, and it closes when that worked. */
export function open(id, send) {
  const dialog = document.getElementById(id);
  const form = dialog.querySelector("form");
  submits(form, async () => {
    await send(form);
    dialog.close();
  });
  const close = dialog.querySelector("[data-close]");
  if (close) close.onclick = () => dialog.close();
  if (!dialog.open) dialog.showModal();
  return form;
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
  askFirst(id, "Its results are deleted from the service as well. This cannot be undone.", () => streams.remove(id));
}

/** Asks whether something is to be removed; `remove()` does it. */
export function askFirst(name, consequence, remove) {
  const dialog = document.getElementById("removing");
  dialog.querySelector("h2").textContent = `Remove ${name}?`;
  dialog.querySelector("p:not(.problem, .buttons)").textContent = consequence;
  open("removing", async () => {
    await remove();
    say(`${name} removed`);
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
