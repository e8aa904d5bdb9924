// A circuit as a layered graph: inputs above, the result below, what flows on the edges.

import { bytes, count, h, plural, s, setText } from "./dom.js";

const [WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN] = [176, 62, 22, 50, 8];
const LETTERS = 26;
const STATEFUL = new Set(["arrange", "aggregate", "distinct", "top k"]);

export class Circuit {
  #place;
  #shape = "";
  #nodes = new Map();
  #edges = [];
  #chosen = null;
  #detail = null;
  #latest = new Map();

  constructor(place) {
    this.#place = place;
  }

  clear() {
    this.#place.replaceChildren();
    this.#shape = "";
    this.#chosen = null;
  }

  /** Draws anew where operators came or went; otherwise only numbers change. */
  show(title, nodes) {
    this.#latest = new Map(nodes.map((node) => [node.id, node]));
    const shape = JSON.stringify([title, nodes.map((node) => [node.id, node.inputs])]);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#draw(title, nodes);
    }
    for (const node of nodes) setText(this.#nodes.get(node.id).querySelector(".state"), stateText(node));
    for (const edge of this.#edges) {
      const flowed = this.#latest.get(edge.from).rows_out;
      edge.element.classList.toggle("active", edge.flowed !== undefined && flowed > edge.flowed);
      edge.flowed = flowed;
      setText(edge.text, count(flowed));
    }
    this.#showDetail();
  }

  #draw(title, nodes) {
    const { at, paths, width, height } = layout(nodes);
    this.#edges = [];
    const edges = paths.map(({ from, points }) => {
      const text = s("text", { x: points[0].x + 6, y: points[0].y + 15 });
      const element = s("g", { class: "edge" }, s("path", { d: curve(points) }), text);
      this.#edges.push({ from, element, text });
      return element;
    });
    this.#nodes = new Map(nodes.map((node) => [node.id, this.#node(node, at.get(node.id))]));
    const svg = s("svg", {
      viewBox: `0 0 ${width} ${height}`, width, height, role: "group",
      "aria-label": `Circuit of ${plural(nodes.length, "operator")}`,
    }, ...edges, ...this.#nodes.values());
    this.#detail = h("div", { class: "chosen-node", role: "status", hidden: true });
    this.#place.replaceChildren(h("h3", {}, title), h("div", { class: "drawing" }, svg), this.#detail);
    if (!this.#nodes.has(this.#chosen)) this.#chosen = null;
  }

  #node(node, { x, y }) {
    const choose = () => {
      this.#chosen = this.#chosen === node.id ? null : node.id;
      this.#showDetail();
    };
    const what = node.label.length > LETTERS ? `${node.label.slice(0, LETTERS - 1)}…` : node.label;
    return s("g", {
      class: `node${STATEFUL.has(node.operator) ? " stateful" : ""}`, transform: `translate(${x - WIDTH / 2} ${y})`,
      tabindex: 0, role: "button", "aria-label": `${node.operator}: ${node.label}`, onclick: choose,
      onkeydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        choose();
      },
    },
    s("title", {}, node.label),
    s("rect", { width: WIDTH, height: HEIGHT, rx: 9 }),
    s("text", { class: "name", x: 12, y: 20 }, node.operator),
    s("text", { class: "what", x: 12, y: 36 }, what),
    s("text", { class: "state", x: 12, y: 52 }));
  }

  #showDetail() {
    for (const [id, element] of this.#nodes) element.classList.toggle("chosen", id === this.#chosen);
    const node = this.#latest.get(this.#chosen);
    this.#detail.hidden = !node;
    if (!node) return;
    const text = `ran ${plural(node.steps, "time")}, read ${count(node.rows_in)} and gave ${plural(node.rows_out, "entry").replace("entrys", "entries")}, ${plural(node.probes, "probe")}`;
    const shown = `${node.label}${text}`;
    if (this.#detail.dataset.shown === shown) return;
    this.#detail.dataset.shown = shown;
    this.#detail.replaceChildren(h("code", {}, node.label), h("div", { class: "facts" }, text));
  }
}

function stateText(node) {
  if (node.rows === 0 && node.bytes === 0) return STATEFUL.has(node.operator) ? "empty" : "no state";
  return `${plural(node.rows, "row")} · ${bytes(node.bytes)}`;
}

/** Places nodes in layers below their inputs; edges over several layers get a place in each. */
function layout(nodes) {
  const layer = new Map();
  // Inputs stand first, and have smaller numbers.
  for (const node of [...nodes].sort((a, b) => a.id - b.id)) {
    layer.set(node.id, Math.max(-1, ...node.inputs.map((input) => layer.get(input) ?? -1)) + 1);
  }
  const consumers = new Map(nodes.map((node) => [node.id, nodes.filter((other) => other.inputs.includes(node.id))]));
  // An input stands right above what first reads it.
  for (const node of [...nodes].sort((a, b) => b.id - a.id)) {
    const readers = consumers.get(node.id);
    if (node.inputs.length === 0 && readers.length > 0) layer.set(node.id, Math.min(...readers.map((reader) => layer.get(reader.id))) - 1);
  }
  const rows = [];
  const put = (at, item) => (rows[at] ??= []).push(item);
  const edges = [];
  for (const node of nodes) put(layer.get(node.id), { key: `${node.id}`, above: [] });
  for (const node of nodes) {
    for (const input of node.inputs.filter((input) => layer.has(input))) {
      const keys = [`${input}`];
      for (let at = layer.get(input) + 1; at < layer.get(node.id); at++) {
        const key = `${input}>${node.id}@${at}`;
        put(at, { key, above: [keys.at(-1)], thin: true });
        keys.push(key);
      }
      keys.push(`${node.id}`);
      rows[layer.get(node.id)].find((item) => item.key === `${node.id}`).above.push(keys.at(-2));
      edges.push({ from: input, keys });
    }
  }
  arrange(rows);
  const width = (row) => row.reduce((sum, item) => sum + (item.thin ? 24 : WIDTH) + GAP_X, -GAP_X);
  const widest = Math.max(...rows.map(width));
  const at = new Map();
  rows.forEach((row, place) => {
    let x = MARGIN + (widest - width(row)) / 2;
    for (const item of row) {
      const size = item.thin ? 24 : WIDTH;
      at.set(item.key, { x: x + size / 2, y: MARGIN + place * (HEIGHT + GAP_Y) });
      x += size + GAP_X;
    }
  });
  const paths = edges.map(({ from, keys }) => {
    const points = keys.map((key, place) => {
      const { x, y } = at.get(key);
      if (place === 0) return { x, y: y + HEIGHT };
      return place === keys.length - 1 ? { x, y } : { x, y: y + HEIGHT / 2 };
    });
    return { from, points };
  });
  const places = new Map(nodes.map((node) => [node.id, at.get(`${node.id}`)]));
  return { at: places, paths, width: widest + 2 * MARGIN, height: rows.length * (HEIGHT + GAP_Y) - GAP_Y + 2 * MARGIN };
}

/** Orders each layer by the middle of its neighbours, down and up a few times: fewer crossings. */
function arrange(rows) {
  const below = new Map();
  for (const item of rows.flat()) for (const above of item.above) below.set(above, [...(below.get(above) ?? []), item.key]);
  const sort = (row, other, neighbours) => {
    const place = new Map(other.map((item, at) => [item.key, (at + 0.5) / other.length]));
    row.forEach((item, at) => {
      const places = neighbours(item).map((key) => place.get(key)).filter((found) => found !== undefined);
      item.rank = places.length > 0 ? places.reduce((a, b) => a + b) / places.length : (at + 0.5) / row.length;
    });
    row.sort((a, b) => a.rank - b.rank);
  };
  for (let round = 0; round < 4; round++) {
    for (let at = 1; at < rows.length; at++) sort(rows[at], rows[at - 1], (item) => item.above);
    for (let at = rows.length - 2; at >= 0; at--) sort(rows[at], rows[at + 1], (item) => below.get(item.key) ?? []);
  }
}

function curve(points) {
  let path = `M${points[0].x} ${points[0].y}`;
  for (let at = 1; at < points.length; at++) {
    const [a, b] = [points[at - 1], points[at]];
    const middle = (a.y + b.y) / 2;
    path += `C${a.x} ${middle} ${b.x} ${middle} ${b.x} ${b.y}`;
  }
  return path;
}
