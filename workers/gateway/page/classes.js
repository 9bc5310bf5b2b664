// The names of what changes on a stream: draw boxes around things, see what was drawn and how well it is told.

import { address, ask, streamPath } from "./api.js";
import { attempts } from "./attempts.js";
import { NOT_THIS, classCard } from "./class.js";
import { classForm } from "./class_form.js";
import { askFirst } from "./dialogs.js";
import { el, say, write } from "./dom.js";
import { arrange, listing } from "./drawn.js";
import { number } from "./format.js";

/** The panel; `stage` is where boxes are drawn. Returns the element, `update(view)` and `close()`. */
export function classes(id, stage) {
  const path = (rest = "") => streamPath(id, `/classes${rest}`);
  const list = el("ul", { class: "cards" });
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  const { attempt } = attempts(problem);
  const add = el("button", { type: "button", onclick: () => begin(null) }, "Draw a box");
  const about = el("p", { class: "basis" },
    "For a camera that does not move. Draw boxes around things and say what they are: five or more of a name, around different ones. Boxes of what changes then have that name.");
  const place = el("div");
  const download = el("a", { hidden: true, download: "" }, "Download the names");
  const file = el("input", { type: "file", accept: "application/json,.json", onchange() {
    const [given] = file.files;
    if (given) attempt(file, () => load(given));
  } });
  const element = el("section", { class: "panel", "aria-label": "Names" },
    el("div", { class: "head" }, el("h3", {}, "Names"), add), about, problem, place, list,
    el("div", { class: "finder" }, el("label", {}, "Use a file of names ", file), download));
  const cards = new Map();
  let all = [];
  let form = null;

  const found = listing(path(), (answer) => {
    all = answer.classes;
    arrange(list, cards, all, ({ name, from_file: fromFile }) => `${fromFile} ${name}`, ({ name }) => classCard(name, does));
    for (const one of all) cards.get(`${one.from_file} ${one.name}`).update(one);
  });

  const load = async (given) => {
    let read;
    try {
      read = JSON.parse(await given.text());
    } catch {
      throw new Error(`${given.name} is no JSON; choose a file that \`vwt classes learn\` wrote, or that was downloaded here`);
    } finally {
      file.value = "";
    }
    await ask("PATCH", streamPath(id), { classes: read });
    say(`the names of ${given.name} are in use`);
    await found.load();
  };

  const does = {
    begin: (name) => begin(name),
    async takeBack(box, said) {
      await ask("DELETE", path(`/examples/${encodeURIComponent(box)}`));
      say(`A box of ${said} was removed`);
      await found.load();
    },
    remove(name, said) {
      askFirst(said, "Its boxes are deleted, and results no longer say it.", async () => {
        await ask("DELETE", path(`/${encodeURIComponent(name)}`));
        await found.load();
      });
    },
  };

  const begin = (chosen) => {
    form?.end();
    problem.hidden = stage.ready;
    if (!stage.ready) {
      write(problem, "There is no picture to draw on yet; is the stream running?");
      return;
    }
    add.hidden = true;
    const names = all.map(({ name }) => name).filter((name) => name !== NOT_THIS);
    form = classForm(stage, chosen, [...new Set(names)], {
      hold: (frame) => ask("PUT", path(`/frames/${frame}`)),
      async save(boxed) {
        const { name, count } = await ask("POST", path("/examples"), boxed);
        say(`${name === NOT_THIS ? "None of the names" : name}: ${number(count)} drawn`);
        await found.load();
      },
      ended() {
        form = null;
        add.hidden = false;
        add.focus();
      },
    });
    place.replaceChildren(form.element);
  };

  return {
    element,
    update(view) {
      download.hidden = view.settings.classes === null;
      download.href = address(streamPath(id, "/classes.json"));
      found.update(view);
    },
    close() {
      found.close();
      form?.end();
    },
  };
}
