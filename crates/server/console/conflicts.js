// What merging met: the two values beside each other, and a button for each that writes it to the row. A live query like any other; it is
// asked only while the pane is shown.

import { byId, count, h, setText } from "./dom.js";
import { Rows } from "./rows.js";

const SHOWN = 200;
const COLUMNS = ["kind", "relation", "key", "columns", "losing", "winning", "loser", "winner", "policy", "state", "at"];
const KINDS = ["write-write", "read-write", "semantic", "unique", "reference"];
const STATES = ["open", "decided", "resolved"];

const nameOf = (row) => JSON.stringify(row.slice(0, 6));
const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

/** The query of a kind and a state; empty for any. */
function query(kind, state) {
  const conditions = [kind && `kind = '${kind}'`, state && `state = '${state}'`].filter(Boolean).join(" AND ");
  return `SELECT ${COLUMNS.join(", ")} FROM deltaic.conflicts${conditions && ` WHERE ${conditions}`}
ORDER BY at DESC, relation, key, columns, losing, winning, kind LIMIT ${SHOWN}`;
}

/** The columns that a conflict is about: one of that name, or those of a group. */
function columnsOf(conflict, table) {
  return table.columns.some((column) => column.name === conflict.columns) ? [conflict.columns] : conflict.columns.split(", ");
}

/** The texts of the values in a text of JSON, digit by digit as they are: of a group an array in the columns' order, or an object. */
function valuesOf(text, columns) {
  if (columns.length === 1) return [text];
  const value = JSON.parse(text);
  if (Array.isArray(value) && value.length === columns.length) return [text.trim().slice(1, -1)];
  return columns.map((name) => JSON.stringify(value[name] ?? null));
}

/** The request that writes a conflict's value, as text: numbers beyond 2^53 go through untouched. */
function writing(conflict, text, table) {
  const columns = columnsOf(conflict, table);
  const key = JSON.parse(conflict.key);
  if (key.length !== table.key.length) throw new Error("the table has no primary key that could name the row");
  let place = 0;
  const assigned = (name) => `${quoted(name)} = $${++place}`;
  const set = columns.map(assigned).join(", ");
  const sql = `UPDATE ${quoted(table.name)} SET ${set} WHERE ${table.key.map(assigned).join(" AND ")}`;
  return `{"sql":${JSON.stringify(sql)},"params":[${[...valuesOf(text, columns), conflict.key.trim().slice(1, -1)].join(",")}]}`;
}

/** What a server answers; null where it does not. */
async function asked(path, request) {
  const response = await fetch(path, request).catch(() => null);
  return await response?.json().catch(() => null);
}

export class Conflicts {
  #isShown = false;
  #rows;
  #items = new Map();
  #filters;
  #list = h("div", { class: "conflict-list" });

  constructor(sync) {
    this.#rows = new Rows(sync, nameOf, () => this.#draw());
    const filter = (label, any, values, chosen) => h("label", {}, h("span", { class: "label" }, label), h("select", { "aria-label": `${label} of conflict`, onchange: () => this.#ask() },
      h("option", { value: "" }, any), values.map((value) => h("option", { value, selected: value === chosen }, value))));
    this.#filters = [filter("Kind", "any", KINDS), filter("State", "any", STATES, "open")];
    byId("conflicts").replaceChildren(h("div", { class: "filters" }, this.#filters), this.#list);
    this.#draw();
  }

  /** Begins or ends to follow them. */
  watch(isShown) {
    if (isShown === this.#isShown) return;
    this.#isShown = isShown;
    this.#ask();
  }

  #chosen() {
    return this.#filters.map((label) => label.querySelector("select").value);
  }

  #ask() {
    this.#rows.follow(this.#isShown ? query(...this.#chosen()) : null);
  }

  #draw() {
    const all = this.#rows.all;
    setText(byId("conflicts-count"), all.size > 0 ? count(all.size) : "");
    for (const name of this.#items.keys()) if (!all.has(name)) this.#items.delete(name);
    if (all.size === 0) {
      this.#list.replaceChildren(this.#nothing());
      return;
    }
    const rows = [...all.entries()].sort(([a, one], [b, other]) => (one[10] < other[10] ? 1 : one[10] > other[10] ? -1 : a < b ? -1 : 1));
    const items = rows.map(([name, row]) => {
      const shown = JSON.stringify(row);
      const known = this.#items.get(name);
      if (known?.dataset.shown === shown) return known;
      const item = this.#item(row, shown);
      this.#items.set(name, item);
      return item;
    });
    if (this.#list.children.length !== items.length || items.some((item, at) => this.#list.children[at] !== item)) this.#list.replaceChildren(...items);
  }

  #nothing() {
    const [kind, state] = this.#chosen();
    const which = [state, kind].filter(Boolean).join(" ");
    return h("div", { class: "empty" }, h("p", {}, which ? `There is no ${which} conflict.` : "There are no conflicts."),
      h("p", {}, "Two writes of one value that had not seen each other are a conflict. A column's policy decides it, and both values are shown here; with ",
        h("code", {}, "title text CONFLICT MANUAL"), " it stays open until somebody chooses. So is each row of a ",
        h("code", {}, "CREATE LIVE VIEW double_booked MUST BE EMPTY AS SELECT …"), "."));
  }

  #item(row, shown) {
    const conflict = Object.fromEntries(COLUMNS.map((name, at) => [name, row[at]]));
    const { kind, relation, key, columns, losing, winning, loser, winner, policy, state, at } = conflict;
    const said = h("p", { class: "wrong", role: "alert", hidden: true });
    const canWrite = kind === "write-write" && state !== "resolved";
    const side = (title, dot, text, action) => h("div", { class: "side" },
      h("div", { class: "label" }, title, dot && ` · ${dot}`), h("pre", {}, text ?? "no value"),
      canWrite && text != null ? h("button", { type: "button", "aria-label": `${action} of ${columns} in ${relation} ${key}`,
        onclick: (event) => this.#write(event.currentTarget, conflict, text, said) }, action) : null);
    return h("article", { class: "conflict", "data-shown": shown, "aria-label": `${kind}, ${relation} ${key}, ${columns}` },
      h("div", { class: "head-line" }, h("strong", {}, relation), h("span", { class: "key" }, key), h("span", {}, columns),
        h("span", { class: `left state-${state}` }, state)),
      h("div", { class: "sides" }, side("stands", winning, winner, "Keep this value"), side("lost", losing, loser, "Write this value")),
      said,
      h("div", { class: "facts" }, h("span", {}, kind), h("span", {}, `policy ${policy}`),
        at ? h("span", {}, new Date(at).toLocaleString()) : null,
        canWrite || state === "resolved" ? null : h("span", {}, "ends when the rows that are in its way are written")));
  }

  /** Writes a value; what becomes of the conflict comes as a change of the query. */
  async #write(button, conflict, text, said) {
    said.hidden = true;
    button.disabled = true;
    const fail = (message) => {
      said.hidden = false;
      setText(said, message);
    };
    try {
      // The table's key, as it is now, names the row.
      const status = await asked("v1/status");
      const table = status?.tables.find((table) => table.name === conflict.relation);
      if (status && !table) throw new Error(`there is no table ${conflict.relation}`);
      const headers = { "content-type": "application/json" };
      const answer = status && await asked("v1/sql", { method: "POST", headers, body: writing(conflict, text, table) });
      if (!answer) fail("no answer from the server");
      else if (answer.error) fail(answer.error.message);
      else if (answer.rows_affected === 0) fail("the row is gone: nothing was written");
    } catch (error) {
      fail(error.message);
    }
    button.disabled = false;
  }
}
