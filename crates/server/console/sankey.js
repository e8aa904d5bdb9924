// Flows from left to right as bands, as wide as they are large. Where a band lies is a function of the flows alone: the sides are ordered by
// their totals and then by name, so that a change moves no more than it must.

import { count, moveFocus, s, setText } from "./dom.js";

const [NODE, GAP, PITCH, MARGIN] = [9, 6, 18, 6];
/** The height of the larger side, and the least of a band. */
const [HEIGHT, THIN] = [230, 1.5];
const LETTER = 6.8;

const byName = (a, b) => (a < b ? -1 : Number(a > b));

/** The nodes of a side, the largest first: `{name, total}`. */
function side(flows, nameOf) {
  const totals = new Map();
  for (const flow of flows) totals.set(nameOf(flow), (totals.get(nameOf(flow)) ?? 0) + flow.size);
  return [...totals].map(([name, total]) => ({ name, total })).sort((a, b) => b.total - a.total || byName(a.name, b.name));
}

/** Where everything lies: `flows` have a `name`, `from`, `to` and `size`, of which no name stands twice. Lengths are pixels. */
export function layout(flows, width) {
  const sides = [side(flows, (flow) => flow.from), side(flows, (flow) => flow.to)];
  const total = flows.reduce((sum, flow) => sum + flow.size, 0);
  const thick = (size) => Math.max(THIN, total > 0 ? (HEIGHT * size) / total : 0);
  const places = sides.map((nodes) => new Map(nodes.map((node, at) => [node.name, at])));
  // At a node, bands leave in the order of the nodes where they end: fewer of them cross.
  const bands = flows.map((flow) => ({ flow, ends: [places[0].get(flow.from), places[1].get(flow.to)], thick: thick(flow.size), at: [0, 0] }));
  const height = [0, 1].map((own) => {
    const other = 1 - own;
    let y = MARGIN;
    sides[own].forEach((node, at) => {
      const leaving = bands.filter((band) => band.ends[own] === at)
        .sort((a, b) => a.ends[other] - b.ends[other] || byName(a.flow.name, b.flow.name));
      node.height = leaving.reduce((sum, band) => sum + band.thick, 0);
      // A thin node has room for its label.
      const room = Math.max(node.height, PITCH - GAP);
      node.y = y + (room - node.height) / 2;
      let next = node.y;
      for (const band of leaving) {
        band.at[own] = next;
        next += band.thick;
      }
      y += room + GAP;
    });
    return y - GAP + MARGIN;
  });
  bands.sort((a, b) => a.ends[0] - b.ends[0] || a.ends[1] - b.ends[1] || byName(a.flow.name, b.flow.name));
  return { bands, sides, width, height: Math.ceil(Math.max(...height)) };
}

function shape({ at: [from, to], thick }, width) {
  const [left, right, middle] = [NODE, width - NODE, width / 2].map(Math.round);
  const round = (y) => Math.round(y * 100) / 100;
  const [a, b, c, d] = [from, to, to + thick, from + thick].map(round);
  return `M${left} ${a}C${middle} ${a} ${middle} ${b} ${right} ${b}L${right} ${c}C${middle} ${c} ${middle} ${d} ${left} ${d}Z`;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== `${value}`) element.setAttribute(name, value);
  }
}

/** Brings children into an order; what has the focus keeps it. */
function place(parent, children) {
  if (parent.children.length === children.length && children.every((child, at) => parent.children[at] === child)) return;
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  parent.replaceChildren(...children);
  if (focused) (focused.isConnected ? focused : children[0])?.focus({ preventScroll: true });
}

/** A drawing that stays while its flows change. */
export class Sankey {
  #tell;
  #bands = new Map();
  #flows = s("g", { onkeydown: (event) => this.#key(event) });
  #nodes = s("g", { "aria-hidden": "true" });
  /** The band that Tab reaches. */
  #current = null;
  element = s("svg", { class: "sankey", role: "group" }, this.#flows, this.#nodes);

  /** `tell` is called with the name of the flow that is pointed at or has the focus, or null. */
  constructor(tell) {
    this.#tell = tell;
  }

  /** `flows` have a `label` and a `tier` too. Costs the flows, times the nodes. */
  show(title, flows, width) {
    const drawn = layout(flows, width);
    set(this.element, { "aria-label": title, viewBox: `0 0 ${width} ${drawn.height}`, width, height: drawn.height });
    const known = this.#bands;
    this.#bands = new Map(drawn.bands.map((band) => [band.flow.name, known.get(band.flow.name) ?? this.#band(band.flow.name)]));
    if (!this.#bands.has(this.#current)) this.#current = drawn.bands[0]?.flow.name ?? null;
    for (const band of drawn.bands) {
      const { name, label, tier } = band.flow;
      set(this.#bands.get(name), { d: shape(band, width), class: `flow tier-${tier}`, "aria-label": label, tabindex: name === this.#current ? 0 : -1 });
    }
    place(this.#flows, [...this.#bands.values()]);
    this.#label(drawn);
  }

  #band(name) {
    const here = () => this.#tell(name);
    const gone = () => this.#tell(this.#focused());
    return s("path", { role: "img", "data-name": name, onpointerenter: here, onpointerleave: gone, onblur: () => this.#tell(null),
      onfocus: () => {
        this.#current = name;
        for (const [other, band] of this.#bands) set(band, { tabindex: other === name ? 0 : -1 });
        here();
      } });
  }

  #focused() {
    return this.#flows.contains(document.activeElement) ? document.activeElement.dataset.name : null;
  }

  #key(event) {
    const items = [...this.#bands.values()];
    if (!moveFocus(event, items)) moveFocus(event, items, "ArrowRight", "ArrowLeft");
  }

  /** The nodes with their names, which lie over the bands: a narrow window has no room beside them. */
  #label({ sides, width }) {
    const letters = Math.max(4, Math.floor((width / 2 - NODE - 12) / LETTER));
    const labels = sides.flatMap((nodes, right) => nodes.map((node) => [node, right === 1]));
    const items = [...this.#nodes.children];
    while (items.length < labels.length) items.push(s("g", { class: "end" }, s("rect", { width: NODE, rx: 2 }), s("text", {}, s("tspan"), s("tspan", { class: "total" }))));
    items.length = labels.length;
    labels.forEach(([{ name, total, y, height }, isRight], at) => {
      const [rect, text] = items[at].children;
      const shown = ` ${count(total)}`;
      const most = Math.max(1, letters - shown.length);
      set(rect, { x: isRight ? width - NODE : 0, y, height });
      set(text, { x: isRight ? width - NODE - 6 : NODE + 6, y: y + height / 2 + 4, "text-anchor": isRight ? "end" : "start" });
      setText(text.children[0], name.length > most ? `${name.slice(0, most - 1)}…` : name);
      setText(text.children[1], shown);
    });
    place(this.#nodes, items);
  }
}
