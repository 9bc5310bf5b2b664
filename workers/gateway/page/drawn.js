// What is drawn on a stream's picture, as the API lists it: looked up whenever the stream was changed, and now and then.

import { ask } from "./api.js";

const EVERY_MS = 15_000;

/** `found(answer)` gets the newest answer of `path`. Returns `load()`, `update(view)`, which says whether it asked, and `close()`. */
export function listing(path, found) {
  let open = true;
  let revision = null;
  let askedAt = -Infinity;

  const load = async () => {
    const asked = askedAt = performance.now();
    try {
      const answer = await ask("GET", path);
      // An older answer may come after a newer one.
      if (open && asked === askedAt) found(answer);
    } catch {
      // Asked for again; what is wrong with the service the page says above.
    }
  };

  return {
    load,
    update(view) {
      if (view.revision === revision && performance.now() <= askedAt + EVERY_MS) return false;
      revision = view.revision;
      load();
      return true;
    },
    close() {
      open = false;
    },
  };
}

/** Has `list` show a card for each of `all`, in their order: kept by `key(one)` in `cards`, made by `make(one)`. */
export function arrange(list, cards, all, key, make) {
  const keys = all.map(key);
  for (const [name, card] of cards) {
    if (keys.includes(name)) continue;
    card.element.remove();
    cards.delete(name);
  }
  all.forEach((one, at) => {
    if (!cards.has(keys[at])) cards.set(keys[at], make(one));
    const { element } = cards.get(keys[at]);
    if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null);
  });
}
