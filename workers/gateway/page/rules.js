// The rules of a stream: which there are, and a dialog that adds or changes one.

import { askFirst, open } from "./dialogs.js";
import { el, say, write } from "./dom.js";
import { duration } from "./format.js";
import { ruleFields } from "./rule_fields.js";
import { loadSchemas } from "./schema.js";

const MARKS = { info: "○", warning: "◐", alarm: "●" };

/** The panel; `zones` is that of zones.js. Returns the element and `update(view)`. */
export function rules(id, streams, zones) {
  const list = el("ul", { class: "cards" });
  const none = el("p", { class: "basis" }, "None yet: nothing is told. A rule makes an event when a zone has a state, a thing appears, or the stream is lost.");
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  const add = el("button", { type: "button", onclick: () => edit(null) }, "Add a rule");
  const element = el("section", { class: "panel", "aria-label": "Rules" },
    el("div", { class: "head" }, el("h3", {}, "Rules"), add), none, problem, list);
  let drawn = null;
  let idle = {};

  // As they are now: somebody else may have changed others.
  const present = () => streams.all.get(id)?.settings.rules ?? [];

  const edit = async (rule) => {
    try {
      await loadSchemas();
      problem.hidden = true;
    } catch (error) {
      write(problem, error.message);
      problem.hidden = false;
      return;
    }
    const dialog = document.getElementById("rule");
    const fields = ruleFields(zones.all, rule);
    dialog.querySelector("h2").textContent = rule ? `Change ${rule.name}` : "Add a rule";
    dialog.querySelector("button.primary").textContent = rule ? "Save" : "Add";
    dialog.querySelector("[data-fields]").replaceChildren(fields.element);
    open("rule", async () => {
      const now = present();
      const at = rule ? now.findIndex(({ name }) => name === rule.name) : now.length;
      const filled = fields.read();
      // One that somebody else removed meanwhile is there again.
      const changed = at < 0 ? [...now, filled] : now.toSpliced(at, 1, filled);
      try {
        await streams.change(id, { rules: changed });
      } catch (error) {
        throw inField(error);
      }
      say(`${filled.name} ${rule ? "changed" : "added"}`);
    });
    dialog.querySelector("select, input").focus();
  };

  const remove = (rule) => askFirst(rule.name, "What it is about makes no more events; those that were stay.", () =>
    streams.change(id, { rules: present().filter(({ name }) => name !== rule.name) }));

  const card = (rule) => {
    const button = (text, label, act) => {
      const made = el("button", { type: "button", onclick: act }, text);
      made.setAttribute("aria-label", label);
      return made;
    };
    return el("li", { class: "card", "data-rule": rule.name },
      el("div", { class: "head" }, el("strong", {}, rule.name),
        el("span", { class: "now" }, el("span", { "aria-hidden": "true" }, `${MARKS[rule.severity]} `), rule.severity)),
      el("p", { class: "basis" }, sentence(rule)), idle[rule.name] ? el("p", { class: "reason" }, idle[rule.name]) : "",
      el("div", { class: "actions quiet" }, button("Change", `Change rule ${rule.name}`, () => edit(rule)),
        button("Remove", `Remove rule ${rule.name}`, () => remove(rule))));
  };

  return {
    element,
    update({ settings, status }) {
      const text = JSON.stringify([settings.rules, status.idle_rules]);
      if (text === drawn) return;
      drawn = text;
      // Each begins with "rule NAME ".
      idle = Object.fromEntries((status.idle_rules ?? []).map((line) => {
        const [, name, why] = /^rule (\S+) (.*)$/s.exec(line);
        return [name, `It ${why}`];
      }));
      none.hidden = settings.rules.length > 0;
      list.replaceChildren(...settings.rules.map(card));
    },
  };
}

/** The reasons of a refusal at the fields of one rule: rules.2.box.at_least is at_least, and "below: it is over" is at below. */
function inField(error) {
  if (!error.fields) return error;
  const fields = [...error.fields].map(([path, reason]) => {
    const inner = path.split(".").slice(3).join(".");
    const [, named, rest] = /^(?:Value error, )?(?:(\w+): )?(.*)$/s.exec(reason);
    if (inner) return [inner, rest];
    return [named ?? (path === "rules" ? "name" : "what"), rest];
  });
  return Object.assign(error, { fields: new Map(fields) });
}

/** A rule in words. */
function sentence(rule) {
  const things = () => [
    rule.at_least > 1 ? `at least ${rule.at_least}` : "", rule.names ? rule.names.join(" or ") : { box: "anything", changed: "what changed", region: "a region" }[rule.what],
    rule.when, rule.within ? "in a part of the picture" : "", rule.above > 0 ? `from ${rule.above} on` : "",
  ];
  const about = {
    zone: () => [`${rule.zone} is ${rule.state}`],
    label: () => [`${rule.label} scores ${rule.above} or more`],
    novelty: () => [`looks unusual by ${rule.above} or more`],
    cut: () => ["the scene is cut"],
    stream: () => [`the stream is ${rule.states.join(" or ")}`],
    guard: () => ["the guard cannot hold what was promised"],
  }[rule.what] ?? things;
  const { schedule } = rule;
  return [
    about().filter(Boolean).join(" "),
    rule.for_s ? `for ${duration(rule.for_s)}` : "",
    rule.quiet_s ? `then quiet for ${duration(rule.quiet_s)}` : "",
    schedule ? `${schedule.days.join(" ")} ${schedule.start} to ${schedule.until} ${schedule.zone}` : "",
  ].filter(Boolean).join("; ");
}
