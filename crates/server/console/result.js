// The result: rows of a finished query, or a live one whose changed cells are marked for a while.

import { byId, count, h, plural, setText } from "./dom.js";

/** More rows than anyone reads; the rest is counted. */
const SHOWN = 1000;
const MARKED = 2000;
/** Up to so many rows that went, each that came is compared with all of them. */
const COMPARED = 100;

const NUMBERS = /^(smallint|integer|bigint|real|double precision|numeric)/;
const isNumber = (type) => NUMBERS.test(type) && !type.endsWith("[]");

/** Sort keys are made so that comparing them as text is the query's order. */
const byKey = (a, b) => (a.key < b.key ? -1 : Number(a.key > b.key));
const textOf = (row, key) => JSON.stringify([row, key ?? null]);

export class Result {
  #columns = [];
  #isOrdered = false;
  #entries = [];
  #body = null;
  #isLive = false;
  #lsn = 0;
  #drawing = false;

  constructor() {
    setInterval(() => this.#unmark(), 200);
  }

  /** A finished query's response. */
  show(response) {
    this.#isLive = false;
    this.#lsn = response.lsn;
    this.#begin(response.columns, response.rows.map((row) => ({ row })), false);
    const { columns, rows_affected: affected } = response;
    if (columns.length === 0) this.#note(`done, ${plural(affected, "row")} written, commit ${count(response.lsn)}`);
  }

  /** The first message of a live query, or the one that replaces what was missed. */
  snapshot({ columns, rows, keys = [], lsn }) {
    this.#isLive = true;
    this.#lsn = lsn;
    this.#begin(columns, rows.map((row, at) => ({ row, key: keys[at] })), keys.length > 0);
  }

  /** What a commit changed: a row that went and one like it that came are one row that changed. */
  change({ lsn, changes }) {
    this.#lsn = lsn;
    const places = new Map();
    this.#entries.forEach((entry, at) => {
      entry.text ??= textOf(entry.row, entry.key);
      if (!places.has(entry.text)) places.set(entry.text, []);
      places.get(entry.text).push(at);
    });
    const gone = new Gone();
    for (const { weight, row, key } of changes) {
      // A result that was empty has no keys, and what comes may have.
      this.#isOrdered ||= key !== undefined;
      for (let times = weight; times < 0; times++) {
        const at = places.get(textOf(row, key))?.pop();
        if (at !== undefined) gone.push({ at, entry: this.#entries[at] });
        if (at !== undefined) this.#entries[at] = { row: [], taken: true };
      }
      for (let times = 0; times < weight; times++) this.#came(row, key, gone);
    }
    this.#entries = this.#entries.filter((entry) => !entry.taken);
    if (this.#isOrdered) this.#entries.sort(byKey);
    byId("rows").hidden = false;
    this.#draw();
  }

  /** The result cannot be told, or is told no more. */
  fail(isOver) {
    byId("rows").hidden = true;
    this.#isLive &&= !isOver;
    this.#note(isOver ? "not live any more" : "live, and in error for now");
  }

  #came(row, key, gone) {
    const until = performance.now() + MARKED;
    const alike = gone.takeNearest(row);
    const entry = { row, key, element: null, marks: new Map() };
    if (!alike) {
      row.forEach((_, place) => entry.marks.set(place, until));
      this.#entries.push(entry);
      return;
    }
    const { at, entry: old } = alike;
    // The element stays, so that the eye, a selection and a screen reader stay with the row.
    Object.assign(entry, { element: old.element, marks: old.marks ?? new Map(), stale: true });
    row.forEach((value, place) => {
      if (!same(value, old.row[place])) entry.marks.set(place, until);
    });
    if (this.#entries[at]?.taken) this.#entries[at] = entry;
    else this.#entries.push(entry);
  }

  #begin(columns, entries, isOrdered) {
    this.#columns = columns;
    this.#entries = entries;
    this.#isOrdered = isOrdered;
    const cells = columns.map(({ name, type }) =>
      h("th", { scope: "col", class: isNumber(type) && "number" }, name, h("small", {}, type)));
    this.#body = h("tbody");
    const rows = byId("rows");
    rows.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, cells)), this.#body));
    rows.scrollTo(0, 0);
    rows.hidden = columns.length === 0;
    this.#draw();
  }

  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    const shown = this.#entries.slice(0, SHOWN);
    const kept = new Set();
    let before = this.#body.firstChild;
    for (const entry of shown) {
      if (!entry.element) entry.element = h("tr");
      if (entry.element.childElementCount === 0 || entry.stale) this.#fill(entry);
      kept.add(entry.element);
      if (entry.element === before) before = before.nextSibling;
      else this.#body.insertBefore(entry.element, before);
    }
    for (const element of [...this.#body.children]) if (!kept.has(element)) element.remove();
    if (this.#columns.length > 0) {
      const more = this.#entries.length - shown.length;
      const rows = plural(this.#entries.length, "row") + (more > 0 ? `, the first ${count(SHOWN)} shown` : "");
      this.#note(this.#isLive ? `${rows}, live at commit ${count(this.#lsn)}` : `${rows}, commit ${count(this.#lsn)}`);
    }
  }

  #fill(entry) {
    const now = performance.now();
    entry.stale = false;
    const cells = entry.row.map((value, place) => {
      const until = entry.marks?.get(place) ?? 0;
      const classes = [isNumber(this.#columns[place]?.type ?? "") && "number", until > now && "changed"];
      return h("td", { class: classes.filter(Boolean).join(" ") || null }, cell(value));
    });
    entry.element.replaceChildren(...cells);
  }

  #unmark() {
    const now = performance.now();
    for (const entry of this.#entries.slice(0, SHOWN)) {
      if (!entry.marks || entry.marks.size === 0) continue;
      for (const [place, until] of entry.marks) {
        if (until > now) continue;
        entry.marks.delete(place);
        entry.element?.children[place]?.classList.remove("changed");
      }
    }
  }

  #note(text) {
    setText(byId("result-note"), text);
  }
}

const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);

/** Rows that went, to find the one that a row which came was before. */
class Gone {
  #rows = [];
  #byFirst = null;

  push(gone) {
    this.#rows.push(gone);
  }

  /** Takes out the row that has most in common with this one. Among many the first cell decides. */
  takeNearest(row) {
    if (this.#rows.length <= COMPARED && !this.#byFirst) {
      const at = this.#nearest(row);
      return at < 0 ? null : this.#rows.splice(at, 1)[0];
    }
    this.#byFirst ??= Map.groupBy(this.#rows, ({ entry }) => JSON.stringify(entry.row[0]));
    return this.#byFirst.get(JSON.stringify(row[0]))?.pop() ?? null;
  }

  #nearest(row) {
    let [best, most] = [-1, 0];
    this.#rows.forEach(({ entry }, place) => {
      // What stands to the left names a row more often than what stands to the right.
      const common = row.reduce((sum, value, at) => sum + (same(value, entry.row[at]) ? row.length - at : 0), 0);
      if (common > most) [best, most] = [place, common];
    });
    return best;
  }
}

function cell(value) {
  if (value === null) return h("span", { class: "null" }, "null");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
