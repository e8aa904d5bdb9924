// The result: rows of a finished query, or a live one whose changed cells are marked for a while.

import { byId, count, h, plural, setText } from "./dom.js";
import { compareBy, isNumber } from "./order.js";

/** More rows than anyone reads; the rest is counted. */
const SHOWN = 1000;
const MARKED = 2000;

export class Result {
  #columns = [];
  #compare = null;
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
    this.#begin(response.columns, response.rows.map((row) => ({ row })), null);
    const { columns, rows_affected: affected } = response;
    if (columns.length === 0) this.#note(`done, ${plural(affected, "row")} written, commit ${count(response.lsn)}`);
  }

  /** The first message of a live query, or the one that replaces what was missed. */
  snapshot({ columns, rows, keys = [], order = [], lsn }) {
    this.#isLive = true;
    this.#lsn = lsn;
    const compare = order.length > 0 ? compareBy(order, columns) : null;
    this.#begin(columns, rows.map((row, at) => ({ row, key: keys[at] })), compare);
  }

  /** What a commit changed: a row that went and one like it that came are one row that changed. */
  change({ lsn, changes }) {
    this.#lsn = lsn;
    const gone = [];
    for (const { weight, row, key } of changes) {
      const wanted = JSON.stringify([row, key ?? []]);
      for (let times = weight; times < 0; times++) {
        const at = this.#entries.findIndex((entry) => JSON.stringify([entry.row, entry.key ?? []]) === wanted);
        if (at >= 0) gone.push({ at, entry: this.#entries[at] });
        if (at >= 0) this.#entries[at] = { row: [], taken: true };
      }
      for (let times = 0; times < weight; times++) this.#came(row, key, gone);
    }
    this.#entries = this.#entries.filter((entry) => !entry.taken);
    if (this.#compare) this.#entries.sort(this.#compare);
    this.#draw();
  }

  #came(row, key, gone) {
    const until = performance.now() + MARKED;
    const alike = nearest(row, gone);
    const entry = { row, key, element: null, marks: new Map(), cells: null };
    if (alike < 0) {
      row.forEach((_, place) => entry.marks.set(place, until));
      this.#entries.push(entry);
      return;
    }
    const [{ at, entry: old }] = gone.splice(alike, 1);
    // The element stays, so that the eye, a selection and a screen reader stay with the row.
    Object.assign(entry, { element: old.element, marks: old.marks ?? new Map(), stale: true });
    row.forEach((value, place) => {
      if (!same(value, old.row[place])) entry.marks.set(place, until);
    });
    if (this.#entries[at]?.taken) this.#entries[at] = entry;
    else this.#entries.push(entry);
  }

  #begin(columns, entries, compare) {
    this.#columns = columns;
    this.#entries = entries;
    this.#compare = compare;
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

/** The place of the row that went and has most in common with one that came; -1 where none has anything. */
function nearest(row, gone) {
  let [best, most] = [-1, 0];
  gone.forEach(({ entry }, place) => {
    // What stands to the left names a row more often than what stands to the right.
    const common = row.reduce((sum, value, at) => sum + (same(value, entry.row[at]) ? row.length - at : 0), 0);
    if (common > most) [best, most] = [place, common];
  });
  return best;
}

function cell(value) {
  if (value === null) return h("span", { class: "null" }, "null");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
