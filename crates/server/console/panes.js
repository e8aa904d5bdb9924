// The engine's panes: live queries with their circuits, and tables.

import { byId, bytes, count, h, milliseconds, moveFocus, plural, setText } from "./dom.js";
import { Circuit } from "./circuit.js";

/** A live query's numbers as words, so that the row reads without a legend. */
function viewFacts(view) {
  const facts = [
    ...(view.names ?? []).map((name) => `live view ${name}`),
    plural(view.subscribers, "subscriber"),
    plural(view.rows, "row"),
    bytes(view.bytes),
    plural(view.updates, "update"),
    `last ${milliseconds(view.last_ms)}`,
    `p99 ${milliseconds(view.p99_ms)}`,
  ].map((text) => h("span", {}, text));
  if (view.error) facts.push(h("span", { class: "wrong" }, view.error));
  return facts;
}

export class Views {
  #list = byId("views-list");
  #circuit = new Circuit(byId("circuit"));
  #views = [];
  #tables = [];
  #selected = null;
  #open;

  /** `open` takes the SQL of a live query that was asked for. */
  constructor(open) {
    this.#open = open;
  }

  show(views, tables) {
    this.#views = views;
    this.#tables = tables;
    setText(byId("views-count"), views.length > 0 ? count(views.length) : "");
    if (views.length === 0) {
      this.#select(null);
      this.#list.replaceChildren(h("div", { class: "empty" },
        h("p", {}, "No live queries. Make one with Live: it appears here with its circuit, and its result changes with every commit.")));
      return;
    }
    let options = this.#list.querySelector("ul");
    if (!options) {
      options = h("ul", { class: "options", role: "listbox", "aria-label": "Live queries", onkeydown: (event) => this.#key(event) });
      this.#list.replaceChildren(options);
    }
    const known = new Map([...options.children].map((item) => [item.dataset.id, item]));
    views.forEach((view, place) => {
      let item = known.get(`${view.id}`);
      known.delete(`${view.id}`);
      if (!item) {
        item = h("li", { role: "option", "data-id": view.id, tabindex: -1, title: view.sql,
          onclick: () => this.#select(view.id), ondblclick: () => this.#open(view.sql) },
        h("div", { class: "sql" }, view.sql.replace(/\s+/g, " ")), h("div", { class: "facts" }));
      }
      if (options.children[place] !== item) options.insertBefore(item, options.children[place] ?? null);
      const facts = item.querySelector(".facts");
      const shown = JSON.stringify(view);
      if (facts.dataset.shown !== shown) facts.replaceChildren(...viewFacts(view));
      facts.dataset.shown = shown;
    });
    for (const gone of known.values()) gone.remove();
    if (!views.some((view) => view.id === this.#selected)) this.#select(views.at(-1).id);
    else this.#mark();
  }

  /** Shows a view of a query that was just made live. */
  choose(sql) {
    const view = this.#views.findLast((view) => view.sql === sql);
    if (view) this.#select(view.id);
    return view !== undefined;
  }

  #select(id) {
    if (id !== this.#selected) this.#circuit.clear();
    this.#selected = id;
    this.#mark();
    this.refresh();
  }

  #mark() {
    for (const item of this.#list.querySelectorAll("li")) {
      const selected = item.dataset.id === `${this.#selected}`;
      item.setAttribute("aria-selected", selected);
      item.tabIndex = selected ? 0 : -1;
    }
  }

  #key(event) {
    const items = [...event.currentTarget.children];
    const item = moveFocus(event, items);
    if (item) this.#select(Number(item.dataset.id));
    if (event.key === "Enter") this.#open(this.#views.find((view) => view.id === this.#selected)?.sql);
  }

  /** Asks for the selected circuit anew. */
  async refresh() {
    const id = this.#selected;
    if (id === null) return;
    const response = await fetch(`v1/circuit/${id}`).catch(() => null);
    if (!response?.ok || id !== this.#selected) return;
    const { nodes } = await response.json();
    this.#circuit.show("Circuit", nodes, this.#tables);
  }
}

export function showTables(tables) {
  setText(byId("tables-count"), tables.length > 0 ? count(tables.length) : "");
  const pane = byId("tables");
  const known = new Map([...pane.querySelectorAll("details")].map((item) => [item.dataset.name, item]));
  if (tables.length === 0) {
    pane.replaceChildren(h("div", { class: "empty" }, h("p", {}, "No tables. CREATE TABLE makes one.")));
    return;
  }
  const items = tables.map((table) => {
    const item = known.get(table.name) ?? h("details", { "data-name": table.name },
      h("summary", {}, h("strong", {}, table.name), h("span", { class: "facts" })), h("ul", { class: "columns" }));
    const shown = JSON.stringify(table);
    if (item.dataset.shown === shown) return item;
    item.dataset.shown = shown;
    item.querySelector(".facts").replaceChildren(
      h("b", {}, plural(table.rows, "row")),
      h("span", {}, `${bytes(table.memory_bytes)} in memory`),
      h("span", {}, `${bytes(table.hot_bytes)} hot`),
      h("span", {}, `${bytes(table.cold_bytes)} cold`));
    item.querySelector("ul").replaceChildren(...table.columns.map((column) =>
      h("li", {}, column.name, h("span", { class: `label${column.in_memory ? " hot" : ""}` },
        column.type, column.in_memory ? " · in memory" : ""))));
    return item;
  });
  if (pane.children.length !== items.length || items.some((item, at) => pane.children[at] !== item)) pane.replaceChildren(...items);
}
