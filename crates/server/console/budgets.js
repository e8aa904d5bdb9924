// Budgets as gauges: what is spent, what leases hold, what is left. A live query like any other; it is asked only
// while the pane is shown.

import { byId, count, h, plural, setText } from "./dom.js";
import { Rows } from "./rows.js";

const SHOWN = 200;
const SQL = `SELECT budget, key, per, "limit", used, reserved, available, bound_under, bound_over, denied, window_end
FROM deltaic.budgets ORDER BY budget, key, per LIMIT ${SHOWN}`;

const nameOf = (row) => JSON.stringify(row.slice(0, 3));
/** Whole numbers beyond 2^53 come as texts. */
const number = (value) => Number(value ?? 0);

export class Budgets {
  #rows;
  #items = new Map();

  constructor(sync) {
    this.#rows = new Rows(sync, nameOf, () => this.#draw());
  }

  /** Begins or ends to follow them. */
  watch(isShown) {
    if (isShown !== this.#rows.isFollowed) this.#rows.follow(isShown ? SQL : null);
  }

  #draw() {
    const pane = byId("budgets");
    const rows = this.#rows.all;
    setText(byId("budgets-count"), rows.size > 0 ? count(rows.size) : "");
    if (rows.size === 0) {
      this.#items.clear();
      pane.replaceChildren(h("div", { class: "empty" }, h("p", {}, "Nothing is being spent. "),
        h("p", {}, h("code", {}, "CREATE BUDGET tokens (KEY tenant text, LIMIT 1000 PER '1 day')"), " makes a budget; ",
          h("code", {}, "SELECT consume('tokens', 'acme', 5)"), " spends.")));
      return;
    }
    const names = [...rows.keys()].sort();
    const items = names.map((name) => {
      const item = this.#items.get(name) ?? gauge(rows.get(name));
      this.#items.set(name, item);
      fill(item, rows.get(name));
      return item;
    });
    for (const name of this.#items.keys()) if (!rows.has(name)) this.#items.delete(name);
    if (pane.children.length !== items.length || items.some((item, at) => pane.children[at] !== item)) pane.replaceChildren(...items);
  }
}

function gauge([budget, key, per]) {
  return h("div", { class: "budget" },
    h("div", { class: "head-line" }, h("strong", {}, budget), h("span", { class: "key" }, key),
      h("span", { class: "label" }, per === "ever" ? "in all" : `per ${per}`), h("span", { class: "left" })),
    h("div", { class: "bar", role: "meter", "aria-label": `${budget}, ${key}, ${per}`, "aria-valuemin": 0 },
      h("span", { class: "used" }), h("span", { class: "held" })),
    h("div", { class: "facts" }));
}

function fill(item, row) {
  const shown = JSON.stringify(row);
  if (item.dataset.shown === shown) return;
  item.dataset.shown = shown;
  const [limit, used, , available, under, over, denied] = row.slice(3, 10).map(number);
  const gone = Math.max(limit - available, 0);
  const share = (part) => `${limit > 0 ? Math.min(100, (100 * part) / limit) : 100}%`;
  const bar = item.querySelector(".bar");
  bar.setAttribute("aria-valuemax", limit);
  bar.setAttribute("aria-valuenow", gone);
  bar.querySelector(".used").style.width = share(Math.min(used, gone));
  bar.querySelector(".held").style.width = share(Math.max(gone - used, 0));
  bar.classList.toggle("empty-bar", available <= 0);
  setText(item.querySelector(".left"), `${count(available)} of ${count(limit)} left`);
  const facts = [
    `${count(used)} spent`,
    under > 0 ? `a crash now would lose ${count(under)}` : "a crash now would lose nothing",
    over > 0 ? `${count(over)} not covered` : null,
    denied > 0 ? `${plural(denied, "request")} denied` : null,
    row[10] ? `anew at ${new Date(row[10]).toLocaleTimeString()}` : null,
  ];
  item.querySelector(".facts").replaceChildren(...facts.filter(Boolean).map((text, at) =>
    h("span", { class: at === 2 && over > 0 && "wrong" }, text)));
}
