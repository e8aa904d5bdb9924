// The console: puts the panes together and asks the server once a second how it stands.

import { Allocations } from "./allocations.js";
import { Budgets } from "./budgets.js";
import { Conflicts } from "./conflicts.js";
import { byId, count, h, moveFocus, setText } from "./dom.js";
import { Editor, errorView } from "./editor.js";
import { examplesFor } from "./examples.js";
import { Views, showTables } from "./panes.js";
import { Result } from "./result.js";
import { Sync } from "./sync.js";

const SPEEDS = [0, 1, 60, 300, 600, 1800, 3600, 10080];
const THEMES = ["auto", "light", "dark"];

const result = new Result();
const editor = new Editor({ run, live });
const views = new Views((sql) => {
  if (!sql) return;
  editor.set(sql);
  live();
});
const sync = new Sync((state) => {
  byId("state").className = state;
  setText(byId("state-text"), state === "connected" ? "connected" : "no connection, trying again");
});
const budgets = new Budgets(sync);
const conflicts = new Conflicts(sync);
const allocations = new Allocations(sync);
let subscription = null;
let wanted = null;
let ran = 0;

async function run() {
  const turn = begin();
  const [sql, params] = input() ?? [];
  if (sql === undefined) return;
  const body = JSON.stringify({ sql, params });
  const response = await fetch("v1/sql", { method: "POST", headers: { "content-type": "application/json" }, body }).catch(() => null);
  const answer = await response?.json().catch(() => null);
  // A later run has the pane.
  if (turn !== ran) return;
  if (!answer) return showError({ message: "no answer from the server" }, sql);
  if (answer.error) return showError(answer.error, sql);
  byId("error").hidden = true;
  result.show(answer);
  refresh();
}

function live() {
  const turn = begin();
  const [sql, params] = input() ?? [];
  if (sql === undefined) return;
  wanted = sql;
  byId("stop").hidden = false;
  subscription = sync.subscribe(sql, params, (news) => {
    if (turn !== ran) return;
    if (news.error) {
      if (!news.cookie) stop();
      result.fail(!news.cookie);
      return showError(news.error, sql);
    }
    byId("error").hidden = true;
    if (news.snapshot) {
      result.snapshot(news.snapshot);
      refresh();
    } else if (news.change) {
      result.change(news.change);
    }
  });
}

/** Ends what the result pane shows; gives the number of what comes. */
function begin() {
  stop();
  editor.remember();
  byId("examples").hidden = true;
  setText(byId("result-note"), "");
  return ++ran;
}

function stop() {
  if (subscription !== null) sync.unsubscribe(subscription);
  subscription = null;
  wanted = null;
  byId("stop").hidden = true;
}

function input() {
  try {
    return [editor.sql, editor.params];
  } catch (error) {
    showError({ message: `the parameters are no JSON array: ${error.message}` }, "");
    return null;
  }
}

function showError(error, sql) {
  const place = byId("error");
  place.replaceChildren(...errorView(error, sql, (position) => editor.point(position)));
  place.hidden = false;
  byId("rows").hidden = true;
}

byId("stop").addEventListener("click", () => {
  stop();
  setText(byId("result-note"), `${byId("result-note").textContent.replace(", live at", ", stopped at")}`);
});

// Tabs.

const tabs = [...document.querySelectorAll('[role="tab"]')];
function selectTab(tab) {
  for (const other of tabs) {
    const selected = other === tab;
    other.setAttribute("aria-selected", selected);
    other.tabIndex = selected ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = !selected;
  }
  budgets.watch(tab.id === "tab-budgets");
  conflicts.watch(tab.id === "tab-conflicts");
  allocations.watch(tab.id === "tab-allocations");
}
for (const tab of tabs) tab.addEventListener("click", () => selectTab(tab));
document.querySelector('[role="tablist"]').addEventListener("keydown", (event) => {
  const tab = moveFocus(event, tabs, "ArrowRight", "ArrowLeft");
  if (tab) selectTab(tab);
});

// Light and dark.

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem("deltaic.theme", theme);
  const button = byId("theme");
  setText(button, { auto: "◐ System", light: "○ Light", dark: "● Dark" }[theme]);
  button.setAttribute("aria-label", `Theme: ${theme}`);
  button.onclick = () => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]);
}
setTheme(THEMES.includes(localStorage.getItem("deltaic.theme")) ? localStorage.getItem("deltaic.theme") : "auto");

// The demo's speed.

const speed = byId("speed");
const speedText = (value) => (value === 0 ? "paused" : value === 1 ? "real time" : `${count(value)} ×`);
byId("demo").addEventListener("submit", (event) => event.preventDefault());
speed.addEventListener("input", () => {
  showSpeed(SPEEDS[speed.value]);
  const body = JSON.stringify({ speed: SPEEDS[speed.value] });
  fetch("v1/demo", { method: "POST", headers: { "content-type": "application/json" }, body }).catch(() => null);
});
function showSpeed(value) {
  setText(byId("speed-text"), speedText(value));
  speed.setAttribute("aria-valuetext", speedText(value));
}
const clock = new Intl.DateTimeFormat("en", {
  weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  timeZone: "America/New_York",
});
function showDemo(demo) {
  byId("demo").hidden = !demo;
  if (!demo) return;
  setText(byId("demo-time"), demo.time ? clock.format(new Date(demo.time)) : "loading");
  if (document.activeElement !== speed) {
    const nearest = SPEEDS.reduce((best, value, at) => (Math.abs(value - demo.speed) < Math.abs(SPEEDS[best] - demo.speed) ? at : best), 0);
    speed.value = nearest;
    showSpeed(demo.speed);
  }
}

// Empty state.

let exampleTitles = "";
function showExamples(tables) {
  const examples = examplesFor(tables);
  const titles = examples.map((example) => example.title).join();
  if (titles === exampleTitles) return;
  exampleTitles = titles;
  const about = tables.some((table) => table.name === "flights")
    ? "A week of departures from New York is being replayed. Choose a question; its answer stays up to date."
    : "There is nothing here yet. These two make something.";
  const items = examples.map(({ title, sql }) => h("li", {}, h("button", {
    type: "button",
    onclick: () => {
      editor.set(sql);
      byId("sql").focus();
      if (/^select/i.test(sql)) live();
      else run();
    },
  }, h("span", {}, title), h("code", {}, sql.replace(/\s+/g, " ")))));
  byId("examples").replaceChildren(h("p", {}, about), h("ul", { class: "examples" }, items));
}

// How the server stands.

async function refresh() {
  const response = await fetch("v1/status").catch(() => null);
  const status = response?.ok ? await response.json().catch(() => null) : null;
  if (!status) return;
  setText(byId("lsn"), count(status.lsn));
  showDemo(status.demo);
  showExamples(status.tables);
  showTables(status.tables);
  views.show(status.views, status.tables);
  allocations.show(status.allocations, status.views);
  if (wanted !== null && views.choose(wanted)) wanted = null;
  else if (!byId("views").hidden) views.refresh();
}
async function tick() {
  if (!document.hidden) await refresh();
  setTimeout(tick, 1000);
}
tick();
