// The SQL editor: keys, history, and errors with their place marked.

import { byId, h } from "./dom.js";

const KEPT = 50;
const STORED = "deltaic.history";
const DRAFT = "deltaic.draft";

export class Editor {
  #text = byId("sql");
  #params = byId("params");
  #history = load();

  constructor({ run, live }) {
    this.#text.value = localStorage.getItem(DRAFT) ?? "";
    this.#text.addEventListener("input", () => this.#changed());
    for (const field of [this.#text, this.#params]) {
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        if (event.shiftKey) live();
        else run();
      });
    }
    byId("run").addEventListener("click", run);
    byId("live").addEventListener("click", live);
    const select = byId("history");
    select.addEventListener("change", () => {
      if (select.value !== "") this.set(this.#history[Number(select.value)]);
      select.value = "";
      this.#text.focus();
    });
    this.#changed();
    this.#list();
  }

  get sql() {
    return this.#text.value;
  }

  /** The parameters; throws where they are no JSON array. */
  get params() {
    if (!this.#hasParams()) return [];
    const params = JSON.parse(this.#params.value || "[]");
    if (!Array.isArray(params)) throw new SyntaxError("not an array");
    return params;
  }

  set(sql) {
    this.#text.value = sql;
    this.#changed();
  }

  /** Remembers what was run, the latest first, each once. */
  remember() {
    const sql = this.sql.trim();
    if (!sql) return;
    this.#history = [sql, ...this.#history.filter((other) => other !== sql)].slice(0, KEPT);
    store(STORED, JSON.stringify(this.#history));
    this.#list();
  }

  /** Puts the cursor at the place of an error: a number of characters from 1. */
  point(position) {
    const at = [...this.sql].slice(0, position - 1).join("").length;
    this.#text.focus();
    this.#text.setSelectionRange(at, at + (/^\w+|^./u.exec(this.sql.slice(at))?.[0].length ?? 0));
  }

  #hasParams() {
    return /\$\d/.test(this.sql);
  }

  #changed() {
    byId("params-field").hidden = !this.#hasParams();
    store(DRAFT, this.sql);
    // As high as its text, within the style's bounds.
    const lines = this.sql.split("\n").length;
    this.#text.rows = Math.max(5, Math.min(14, lines + 1));
  }

  #list() {
    const options = this.#history.map((sql, place) => h("option", { value: place }, sql.replace(/\s+/g, " ").slice(0, 90)));
    byId("history").replaceChildren(h("option", { value: "" }, "Earlier …"), ...options);
  }
}

/** An error with its line, a mark under its place, and its hint. */
export function errorView(error, sql, point) {
  const parts = [h("div", {}, h("strong", {}, error.message), h("code", {}, error.code ?? ""))];
  const place = error.position && lineOf(sql, error.position);
  if (place) {
    const indent = place.line.slice(0, place.column).replace(/[^\t]/g, " ");
    parts.push(h("pre", {}, `${place.line}\n${indent}`, h("b", {}, "^")));
    parts.push(h("p", {}, h("button", { type: "button", onclick: () => point(error.position) }, "Go there")));
  }
  if (error.hint) parts.splice(2, 0, h("p", {}, error.hint));
  return parts;
}

function lineOf(sql, position) {
  const before = [...sql].slice(0, position - 1).join("");
  const start = before.lastIndexOf("\n") + 1;
  const end = sql.indexOf("\n", before.length);
  return { line: sql.slice(start, end < 0 ? undefined : end), column: before.length - start };
}

function load() {
  try {
    const history = JSON.parse(localStorage.getItem(STORED) ?? "[]");
    return Array.isArray(history) ? history.filter((sql) => typeof sql === "string") : [];
  } catch {
    return [];
  }
}

function store(name, text) {
  try {
    localStorage.setItem(name, text);
  } catch {
    // A full or forbidden storage costs the history, nothing else.
  }
}
