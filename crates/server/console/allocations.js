// Allocations: who gives whom how much, and why. What is drawn is the allocation's own live view, asked only while the pane is shown; the
// digest and the certificate are what the server says of it once a second.

import { byId, count, h, milliseconds, plural, setText } from "./dom.js";
import { Rows } from "./rows.js";
import { Sankey } from "./sankey.js";

const SHOWN = 200;
const COLUMNS = ["provider", "capacity", "recipient", "need", "tier", "kind", "unit", "quantity", "level", "reason"];
/** In the order in which a capacity serves them. */
const TIERS = ["accepted", "held", "guaranteed", "mutual", "generous"];
const HINT = "Point at a flow, or go to it with Tab and the arrow keys: here is its reason.";
const EXAMPLE = `CREATE ALLOCATION gpu
  CAPACITY (SELECT team AS owner, slot, hours AS quantity, kind FROM offers)
  NEED (SELECT team AS owner, slot, hours AS quantity, kind FROM wishes)
  RECOGNITION (SELECT giver AS "from", taker AS "to", points AS weight FROM trust)`;

const nameOf = (row) => JSON.stringify(row.slice(0, 5));
const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
const query = (name) => `SELECT ${COLUMNS.join(", ")} FROM ${quoted(name)}
ORDER BY quantity DESC, provider, capacity, recipient, need, tier LIMIT ${SHOWN}`;
/** What is exact comes as a text, and is shown as it is. */
const amount = (value) => (typeof value === "number" ? count(value) : value);
/** Where a slot says no unit, its kind is what is counted. */
const measured = (value, kind, unit) => (unit === "unit" ? `${value} ${kind}` : `${value} ${unit} of ${kind}`);

function flowOf([name, row]) {
  const [provider, capacity, recipient, need, tier, kind, unit, quantity, , reason] = row.map((value) => value ?? "");
  const what = measured(amount(quantity), kind, unit);
  const label = `${provider} (${capacity}) gives ${recipient} (${need}) ${what}, ${tier}: ${reason}`;
  return { name, from: `${provider}`, to: `${recipient}`, size: Number(quantity), tier, label, kind, unit, reason, what,
    ends: [`${provider} · ${capacity}`, `${recipient} · ${need}`] };
}

export class Allocations {
  #rows;
  #isShown = false;
  #status = [];
  #views = [];
  /** The one that is drawn, its query, and whether the rows of that have come. */
  #name = null;
  #sql = null;
  #isKnown = false;
  #told = null;
  /** A drawing for each kind and unit: quantities of different ones are not compared. */
  #drawings = new Map();
  #flows = new Map();
  #choice = h("select", { "aria-label": "Allocation", onchange: () => this.#choose(this.#choice.value) });
  #title = h("strong");
  #legend = h("ul", { class: "legend", "aria-label": "Tiers" });
  #place = h("div", { class: "flows" });
  #rest = h("p", { class: "hint", hidden: true });
  #reason = h("div", { class: "chosen-node reason" });
  #facts = h("div", { class: "facts" });
  #problems = h("ul", { class: "problems", "aria-label": "Problems" });
  #body = [h("div", { class: "head-line" }, this.#title, this.#choice, this.#legend), this.#rest, this.#place, this.#reason, this.#facts, this.#problems];

  constructor(sync) {
    this.#rows = new Rows(sync, nameOf, () => {
      this.#isKnown = true;
      this.#draw();
    });
    new ResizeObserver(() => this.#draw()).observe(byId("allocations"));
  }

  /** Begins or ends to follow the one that is chosen. */
  watch(isShown) {
    this.#isShown = isShown;
    this.#ask();
    this.#draw();
  }

  /** What the server says of allocations and live queries. */
  show(allocations, views) {
    this.#status = allocations ?? [];
    this.#views = views;
    setText(byId("allocations-count"), this.#status.length > 0 ? count(this.#status.length) : "");
    const names = this.#status.map((allocation) => allocation.name);
    if (!names.includes(this.#name)) this.#choose(names[0] ?? null);
    const known = [...this.#choice.options].map((option) => option.value);
    if (known.join("\n") !== names.join("\n")) this.#choice.replaceChildren(...names.map((value) => h("option", { value }, value)));
    this.#choice.value = this.#name ?? "";
    // It may have been dropped and made anew.
    if (!this.#rows.isFollowed) this.#ask();
    this.#draw();
  }

  #choose(name) {
    this.#name = name;
    this.#told = null;
    this.#ask();
  }

  #ask() {
    const isWanted = this.#isShown && this.#name !== null;
    const sql = isWanted ? query(this.#name) : this.#sql;
    if (sql === this.#sql && isWanted === this.#rows.isFollowed) return;
    // The rows of another allocation are not shown under this one's name.
    if (sql !== this.#sql) {
      this.#rows.all.clear();
      this.#isKnown = false;
    }
    this.#sql = sql;
    this.#rows.follow(isWanted ? sql : null);
  }

  #draw() {
    if (!this.#isShown) return;
    const pane = byId("allocations");
    const allocation = this.#status.find((allocation) => allocation.name === this.#name);
    if (!allocation) {
      if (!pane.querySelector(".empty")) pane.replaceChildren(nothing());
      return;
    }
    if (this.#title.parentElement.parentElement !== pane) pane.replaceChildren(...this.#body);
    this.#title.hidden = this.#status.length > 1;
    this.#choice.hidden = this.#status.length < 2;
    setText(this.#title, allocation.name);
    this.#flows = new Map([...this.#rows.all].map(([name, row]) => [name, flowOf([name, row])]));
    this.#drawFlows([...this.#flows.values()]);
    const hidden = this.#flows.size < SHOWN ? 0 : Math.max(0, allocation.rows - this.#flows.size);
    this.#rest.hidden = hidden === 0;
    setText(this.#rest, `The largest ${count(this.#flows.size)} flows are drawn, ${count(hidden)} are not.`);
    this.#tell(this.#told);
    this.#say(allocation);
  }

  #drawFlows(flows) {
    const tiers = TIERS.filter((tier) => flows.some((flow) => flow.tier === tier));
    if (this.#legend.dataset.shown !== tiers.join()) {
      this.#legend.dataset.shown = tiers.join();
      this.#legend.replaceChildren(...tiers.map((tier) => h("li", {}, h("span", { class: `swatch tier-${tier}` }), tier)));
    }
    const groups = Map.groupBy(flows, (flow) => JSON.stringify([flow.kind, flow.unit]));
    const items = [...groups.keys()].sort().map((key) => {
      const drawing = this.#drawings.get(key) ?? this.#drawing();
      this.#drawings.set(key, drawing);
      const own = groups.get(key);
      const [kind, unit] = JSON.parse(key);
      const total = measured(count(own.reduce((sum, flow) => sum + flow.size, 0)), kind, unit);
      setText(drawing.title, total);
      drawing.sankey.show(`${this.#name}: ${plural(own.length, "flow")}, ${total}`, own, this.#width());
      return drawing.element;
    });
    for (const key of this.#drawings.keys()) if (!groups.has(key)) this.#drawings.delete(key);
    if (items.length === 0 && this.#isKnown) items.push(h("p", { class: "hint" }, "Nothing is given: no capacity and need fit each other, or nobody recognises anybody."));
    if (this.#place.children.length !== items.length || items.some((item, at) => this.#place.children[at] !== item)) this.#place.replaceChildren(...items);
  }

  #drawing() {
    const title = h("h3");
    const sankey = new Sankey((name) => this.#tell(name));
    return { title, sankey, element: h("div", {}, title, h("div", { class: "drawing" }, sankey.element)) };
  }

  #width() {
    const place = getComputedStyle(byId("allocations"));
    return Math.max(220, byId("allocations").clientWidth - parseFloat(place.paddingLeft) - parseFloat(place.paddingRight));
  }

  /** Shows why a flow is as it is. */
  #tell(name) {
    const flow = this.#flows.get(name);
    this.#told = flow ? name : null;
    const shown = flow ? flow.label : HINT;
    if (this.#reason.dataset.shown === shown) return;
    this.#reason.dataset.shown = shown;
    this.#reason.replaceChildren(...(flow
      ? [h("div", {}, h("b", {}, flow.ends[0]), " → ", h("b", {}, flow.ends[1]), ` ${flow.what}, ${flow.tier}`), h("div", { class: "facts" }, flow.reason)]
      : [h("div", { class: "facts" }, HINT)]));
  }

  #say({ edges, rows, digest, is_certified, problems }) {
    const view = this.#views.find((view) => view.sql === this.#sql);
    const facts = [
      [`${plural(rows, "row")} of ${plural(edges, "edge")}`],
      [`last ${milliseconds(view?.last_ms)}`],
      [`p99 ${milliseconds(view?.p99_ms)}`],
      [`digest ${digest}`, "digest"],
      is_certified ? ["certificate holds", "certified"] : ["certificate does not hold", "wrong"],
    ];
    const shown = JSON.stringify([facts, problems]);
    if (this.#facts.dataset.shown === shown) return;
    this.#facts.dataset.shown = shown;
    this.#facts.replaceChildren(...facts.map(([text, name]) => h("span", { class: name }, text)));
    this.#problems.hidden = problems.length === 0;
    this.#problems.replaceChildren(...problems.map((problem) => h("li", { class: "wrong" }, problem)));
  }
}

function nothing() {
  return h("div", { class: "empty" }, h("p", {}, "Nothing is shared out. Three queries make an allocation, whose result is a live view of its name:"),
    h("pre", {}, h("code", {}, EXAMPLE)),
    h("p", {}, "Who recognises each other comes first, then whom a provider recognises alone; ", h("code", {}, "FLOORS"), " are kept before both."));
}
