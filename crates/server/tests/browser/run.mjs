// The console in a headless Chromium, against the demo: a query, a live result that changes, a circuit, the
// keyboard alone, a narrow window, dark mode. Screenshots are kept under target/browser.
//
// usage: node run.mjs [PROGRAM]   (PROGRAM is the `deltaic` binary; without it, target/{release,debug}/deltaic)

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../../..");
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const kept = join(target, "browser");
const PATIENCE = 30_000;

function chromium() {
  for (const name of ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]) {
    const found = spawnSync("which", [name], { encoding: "utf8" });
    if (found.status === 0) return found.stdout.trim();
  }
  throw new Error("no Chromium: apt-get install chromium");
}

function program() {
  const given = process.argv[2] ?? process.env.DELTAIC;
  if (given) return given;
  const built = ["release", "debug"].map((profile) => join(target, profile, "deltaic")).find(existsSync);
  if (!built) throw new Error("no program: cargo build -p deltaic");
  return built;
}

/** playwright-core, installed beside the screenshots where it is missing. */
function playwright() {
  mkdirSync(kept, { recursive: true });
  const manifest = join(kept, "package.json");
  if (!existsSync(manifest)) writeFileSync(manifest, '{"private":true}\n');
  if (!existsSync(join(kept, "node_modules", "playwright-core"))) {
    const installed = spawnSync("npm", ["install", "--no-audit", "--no-fund", "playwright-core@1"], { cwd: kept, stdio: "inherit" });
    if (installed.status !== 0) throw new Error("playwright-core could not be installed");
  }
  return createRequire(manifest)("playwright-core");
}

/** Starts the demo; gives its address and what stops it. */
function demo(path) {
  const child = spawn(path, ["demo", "--listen", "127.0.0.1:0", "--speed", "1800"], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((done) => child.on("exit", (code) => done(code)));
  const address = new Promise((found, failed) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const match = /console\b.*(http:\S+)/.exec(line);
      if (match) found(match[1]);
    });
    ended.then((code) => failed(new Error(`the demo ended with code ${code}`)));
  });
  const stop = async () => {
    child.kill("SIGINT");
    return ended;
  };
  return { address, stop };
}

const checks = [];
async function check(name, body) {
  await body();
  checks.push(name);
  console.log(`ok  ${name}`);
}
function assert(truth, message) {
  if (!truth) throw new Error(message);
}

const server = demo(program());
const browser = await playwright().chromium.launch({ executablePath: chromium(), args: ["--no-sandbox"] });
const errors = [];
let failure = null;
try {
  const address = await server.address;
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, colorScheme: "light" });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(`page: ${error.message}`));
  page.on("console", (message) => {
    // A refused statement is a 400 by intent, and Chromium reports each.
    if (message.type() === "error" && !/status of 400/.test(message.text())) errors.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(address) && !request.url().startsWith("data:")) errors.push(`asked elsewhere: ${request.url()}`);
  });
  // The sockets, to close one, and what the last of them heard.
  await page.addInitScript(() => {
    window.sockets = [];
    window.WebSocket = class extends WebSocket {
      constructor(...given) {
        super(...given);
        window.sockets.push(this);
        const heard = (window.heard = []);
        this.sent = [];
        this.addEventListener("message", (message) => heard.push(message.data));
      }

      send(text) {
        this.sent.push(text);
        super.send(text);
      }
    };
  });
  const shot = (name) => page.screenshot({ path: join(kept, `${name}.png`) });
  const sql = page.getByLabel("SQL", { exact: true });
  const cells = () => page.locator("#rows tbody td").allTextContents();
  const execute = (statements, basis) => page.evaluate(async ([sql, basis]) => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch("v1/sql", { method: "POST", headers, body: JSON.stringify({ sql, basis }) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }, [statements, basis]);
  const changes = async () => {
    const before = JSON.stringify(await cells());
    await page.waitForFunction((old) =>
      JSON.stringify([...document.querySelectorAll("#rows tbody td")].map((cell) => cell.textContent)) !== old, before);
  };

  await check("the console opens with example queries", async () => {
    await page.goto(address);
    await page.locator(".examples button").first().waitFor();
    await page.locator("#state.connected").waitFor();
    await shot("1-empty");
  });
  await check("a query runs", async () => {
    await sql.fill("SELECT carrier, name FROM airlines ORDER BY name LIMIT 5");
    await sql.press("Control+Enter");
    await page.waitForFunction(() => document.querySelectorAll("#rows tbody tr").length === 5);
    assert((await cells())[1].length > 3, "the second column is a name");
  });
  await check("an error is shown with its place", async () => {
    await sql.fill("SELECT carrier,\n  nam FROM airlines");
    await sql.press("Control+Enter");
    await page.locator("#error:not([hidden]) pre b").waitFor();
    await shot("2-error");
    await page.getByRole("button", { name: "Go there" }).click();
    const selected = await sql.evaluate((field) => field.value.slice(field.selectionStart, field.selectionEnd));
    assert(selected === "nam", `the editor selects ${JSON.stringify(selected)}`);
  });
  await check("a query becomes live and changes, and what changed is marked", async () => {
    await page.reload();
    await page.getByRole("button", { name: "Airlines by average delay" }).click();
    await page.locator("#rows tbody td.changed").first().waitFor();
    await page.waitForFunction(() => document.querySelectorAll("#rows tbody tr").length > 8);
    await page.locator("#rows tbody td.changed").first().waitFor();
  });
  await check("budgets are gauges that move", async () => {
    await page.getByRole("tab", { name: /Budgets/ }).click();
    await page.locator("#budgets .budget .bar").first().waitFor();
    const shown = () => page.locator("#budgets").textContent();
    const before = await shown();
    await page.waitForFunction((old) => document.querySelector("#budgets").textContent !== old, before);
    assert(/[\d,]+ of 300 left|[\d,]+ of 100,000 left/.test(await shown()), `the limits are named: ${await shown()}`);
    await shot("3-budgets");
    await page.getByRole("tab", { name: /Live queries/ }).click();
  });
  await check("conflicts are shown with both values, and the chosen one is written", async () => {
    await execute("CREATE TABLE post (id int, part text, title text CONFLICT MANUAL, n bigint, m bigint, GROUP (n, m), PRIMARY KEY (id, part))");
    await execute("INSERT INTO post VALUES (1, 'a\"', 'stands', 1, 2)");
    const rows = () => execute("SELECT title, n::text, m::text FROM post").then(({ rows }) => JSON.stringify(rows));
    await page.getByRole("tab", { name: /Conflicts/ }).click();
    await page.locator("#conflicts .empty").getByText("There is no open conflict.").waitFor();
    await shot("3-no-conflicts");
    // The engine writes none of its own here: what the page gets to read is said in the server's place.
    const asked = () => page.evaluate(() => window.sockets.at(-1).sent.map((text) => JSON.parse(text).subscribe).filter((ask) => ask?.sql.includes("deltaic.conflicts")).at(-1));
    const tell = async (news) => {
      const { id } = await asked();
      await page.evaluate((message) => window.sockets.at(-1).onmessage({ data: JSON.stringify(message) }), { poke: { changes: [{ id, cookie: "known", ...news }] } });
    };
    // Its own answer, which is empty, has come before.
    await page.waitForFunction((id) => window.heard.some((text) => JSON.parse(text).poke?.changes.some((news) => news.id === id && news.snapshot)), (await asked()).id);
    const key = '[1, "a\\""]';
    const at = (second) => `2026-01-01T00:00:0${second}Z`;
    const title = ["write-write", "post", key, "title", "1.7", "2.9", '"lost <b>"', '"stands"', "manual", "open", at(1)];
    const group = ["write-write", "post", key, "n, m", "1.8", "2.9", "[9007199254740993, 4]", "[1, 2]", "lww", "decided", at(2)];
    const twice = ["semantic", "same_title", "[7]", "same_title", "", "", null, '{"title":"x"}', "rule", "open", at(3)];
    await tell({ snapshot: { columns: [], rows: [title, twice], lsn: 1 } });
    await tell({ change: { lsn: 2, changes: [{ weight: 1, row: group }] } });
    const names = () => page.locator("#conflicts article").evaluateAll((items) => items.map((item) => item.getAttribute("aria-label").split(", ")[0]));
    assert((await names()).join() === "semantic,write-write,write-write", `the last one is the first: ${await names()}`);
    assert((await page.locator("#conflicts-count").textContent()) === "3", "they are counted");
    assert((await page.locator("#conflicts article").first().getByRole("button").count()) === 0, "rows of a view are not written");
    assert((await page.locator("#conflicts pre").allTextContents()).includes('"lost <b>"'), "a value is text, never markup");
    await shot("3-conflicts");
    const press = async (name) => {
      const answered = page.waitForResponse((response) => response.url().endsWith("/v1/sql"));
      await page.getByRole("button", { name }).click();
      await answered;
    };
    await press("Write this value of title in post");
    assert((await rows()) === '[["lost <b>","1","2"]]', `the loser is written: ${await rows()}`);
    await press("Write this value of n, m in post");
    assert((await rows()) === '[["lost <b>","9007199254740993","4"]]', `both of the group, each digit: ${await rows()}`);
    await press("Keep this value of n, m in post");
    assert((await rows()) === '[["lost <b>","1","2"]]', `the winner is written again: ${await rows()}`);
    await execute("DELETE FROM post");
    await press("Keep this value of title in post");
    await page.getByRole("alert").getByText("the row is gone").waitFor();
    await tell({ change: { lsn: 3, changes: [{ weight: -1, row: title }, { weight: 1, row: title.with(9, "resolved") }, { weight: -1, row: twice }] } });
    assert((await page.locator("#conflicts article").count()) === 2, "what is gone is not shown");
    assert((await page.getByRole("button", { name: "of title in post" }).count()) === 0, "what is resolved is not written again");
    await page.getByLabel("Kind of conflict").selectOption("unique");
    await page.getByLabel("State of conflict").selectOption("");
    await page.locator("#conflicts .empty").getByText("There is no unique conflict.").waitFor();
    assert(/WHERE kind = 'unique'\n/.test((await asked()).sql), "the filters are part of the query");
    await page.getByRole("tab", { name: /Live queries/ }).click();
    await execute("DROP TABLE post");
  });
  const flows = () => page.locator("#allocations .flow");
  const labels = () => flows().evaluateAll((bands) => bands.map((band) => band.getAttribute("aria-label")));
  /** How thick a band is, from the places where it begins and ends at the left. */
  const thick = (recipient) => page.locator(`#allocations .flow[aria-label*="gives ${recipient} "]`).evaluate((band) => {
    const numbers = band.getAttribute("d").match(/-?[\d.]+/g).map(Number);
    return numbers.at(-1) - numbers[1];
  });
  const flowing = (count) => page.waitForFunction((count) => document.querySelectorAll("#allocations .flow").length === count, count);
  const given = (label) => page.locator(`#allocations .flow[aria-label^="${label}"]`).waitFor({ state: "attached" });
  const fits = () => page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  await check("an allocation is drawn, changes with a row, and tells its reasons", async () => {
    await page.getByRole("tab", { name: /Allocations/ }).click();
    const example = await page.locator("#allocations .empty code").first().textContent();
    await shot("3-no-allocations");
    await execute(`CREATE TABLE offers (team text, slot text, hours integer, kind text, PRIMARY KEY (team, slot));
      CREATE TABLE wishes (team text, slot text, hours integer, kind text, PRIMARY KEY (team, slot));
      CREATE TABLE trust (giver text, taker text, points integer, PRIMARY KEY (giver, taker));
      INSERT INTO trust VALUES ('uni', 'lab', 3), ('uni', 'club', 1), ('lab', 'uni', 1);
      INSERT INTO offers VALUES ('uni', 'a100', 100, 'gpu');
      INSERT INTO wishes VALUES ('lab', 'training', 60, 'gpu'), ('club', 'games', 80, 'gpu')`);
    await execute(example);
    await flowing(2);
    assert((await labels()).join("\n") === `uni (a100) gives lab (training) 60 gpu, mutual: need training of lab is met at level 80
uni (a100) gives club (games) 40 gpu, generous: capacity a100 of uni is full at level 160`, `what is given, the largest first: ${await labels()}`);
    assert(Math.abs((await thick("lab")) / (await thick("club")) - 1.5) < 0.01, "a band is as wide as it is large");
    assert((await page.locator("#allocations .end text").allTextContents()).join() === "uni 100,lab 60,club 40", "both sides are named");
    await page.waitForFunction(() => /2 rows of 2 edges.*digest [0-9a-f]{16}certificate holds$/.test(document.querySelector("#allocations > .facts").textContent));
    const digest = () => page.locator("#allocations .digest").textContent();
    const [before, reason] = [await digest(), page.locator("#allocations .reason")];
    await flows().last().hover();
    await reason.getByText("capacity a100 of uni is full at level 160").waitFor();
    await page.locator("#tab-allocations").hover();
    await reason.getByText("Point at a flow").waitFor();
    // By keyboard: the pane, its first flow, the next one.
    await page.locator("#tab-allocations").focus();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    await reason.getByText("need training of lab is met at level 80").waitFor();
    await page.keyboard.press("ArrowDown");
    await reason.getByText("capacity a100 of uni is full at level 160").waitFor();
    await execute("UPDATE wishes SET hours = 90 WHERE team = 'lab'");
    await given("uni (a100) gives lab (training) 90 gpu");
    await reason.getByText("uni · a100 → club · games 10 gpu, generous").waitFor();
    const focused = () => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? "nothing");
    assert((await focused()).startsWith("uni (a100) gives club"), `the flow keeps the focus: ${await focused()}`);
    await execute("UPDATE wishes SET hours = 10 WHERE team = 'lab'");
    await given("uni (a100) gives club (games) 80 gpu");
    assert((await labels())[0].startsWith("uni (a100) gives club"), "the largest is the first");
    assert((await focused()).startsWith("uni (a100) gives club"), `it keeps the focus where the order changes: ${await focused()}`);
    await execute("UPDATE wishes SET hours = 90 WHERE team = 'lab'");
    await given("uni (a100) gives lab (training) 90 gpu");
    await page.waitForFunction((old) => document.querySelector("#allocations .digest").textContent !== old, before);
    await execute("INSERT INTO wishes VALUES ('lab', 'debts', -1, 'gpu')");
    await page.locator("#allocations .problems").getByText("debts").waitFor();
    await execute("DELETE FROM wishes WHERE slot = 'debts'");
    await page.locator("#allocations .problems").waitFor({ state: "hidden" });
    assert((await flows().count()) === 2, "the others are served all the while");
  });
  await check("of several allocations one is chosen, and of many flows the largest are drawn", async () => {
    await execute(`CREATE TABLE held (owner integer, slot text, n numeric, kind text, unit text, PRIMARY KEY (owner, slot));
      CREATE TABLE wanted (owner integer, slot text, n numeric, kind text, unit text, PRIMARY KEY (owner, slot));
      CREATE TABLE known ("from" integer, "to" integer, weight integer, PRIMARY KEY ("from", "to"));
      CREATE ALLOCATION "The ""commons""" CAPACITY (SELECT owner, slot, n AS quantity, kind, unit FROM held)
        NEED (SELECT owner, slot, n AS quantity, kind, unit FROM wanted) RECOGNITION (SELECT * FROM known)
        FLOORS (SELECT owner, slot, 11 AS "to", 9 AS quantity FROM held WHERE slot = 'bread')`);
    // Ten who give to each of thirty who need, of two kinds.
    const all = (from, to, row) => Array.from({ length: to - from }, (_, at) => row(from + at)).join();
    await execute(`INSERT INTO held VALUES ${all(1, 11, (n) => `(${n}, 'bread', ${100 + n}, 'bread', 'loaf'), (${n}, 'care', ${n}.5, 'care', 'hour')`)};
      INSERT INTO wanted VALUES ${all(11, 41, (n) => `(${n}, 'bread', ${n}, 'bread', 'loaf'), (${n}, 'care', 0.25, 'care', 'hour')`)};
      INSERT INTO known VALUES ${all(1, 11, (giver) => all(11, 41, (n) => `(${giver}, ${n}, ${1 + ((giver * n) % 5)})`))}, ${all(11, 21, (n) => `(${n}, ${n - 10}, 1)`)}`);
    const choice = page.getByLabel("Allocation", { exact: true });
    await choice.waitFor();
    await choice.selectOption('The "commons"');
    await flowing(200);
    const rows = await execute('SELECT count(*) FROM "The ""commons"""').then(({ rows }) => rows[0][0]);
    await page.locator("#allocations").getByText(`The largest 200 flows are drawn, ${rows - 200} are not.`).waitFor();
    assert((await page.locator("#allocations h3").allTextContents()).some((text) => /loaf of bread$/.test(text)), "each kind has its own drawing");
    const legend = await page.locator("#allocations .legend").textContent();
    assert(legend === "guaranteedmutualgenerous", `the tiers are explained: ${legend}`);
    const asked = () => page.evaluate(() => {
      const live = new Map();
      for (const { subscribe, unsubscribe } of window.sockets.at(-1).sent.map((text) => JSON.parse(text))) {
        if (subscribe) live.set(subscribe.id, subscribe.sql);
        if (unsubscribe) live.delete(unsubscribe.id);
      }
      return [...live.values()].filter((sql) => /FROM "(gpu|The ""commons"")"/.test(sql)).length;
    });
    assert((await asked()) === 1, "one of them is followed");
    await page.locator("#allocations").evaluate((pane) => { pane.scrollTop = 0; });
    await shot("3-commons");
    await choice.selectOption("gpu");
    await flowing(2);
    await shot("3-allocation");
    await page.emulateMedia({ colorScheme: "dark" });
    await flows().first().focus();
    await shot("3-allocation-dark");
    await choice.selectOption('The "commons"');
    await flowing(200);
    await shot("3-commons-dark");
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 390, height: 844 });
    await page.waitForFunction(() => [...document.querySelectorAll(".sankey")].every((drawing) => drawing.getBoundingClientRect().right <= innerWidth));
    const [wide, shown] = await fits();
    assert(wide <= shown, `the page is ${wide} wide in a window of ${shown}`);
    await choice.selectOption("gpu");
    await flowing(2);
    await page.screenshot({ path: join(kept, "3-allocation-narrow.png"), fullPage: true });
    await page.setViewportSize({ width: 1360, height: 860 });
    await page.getByRole("tab", { name: /Live queries/ }).click();
    assert((await asked()) === 0, "nothing is followed that is not shown");
    await execute('DROP ALLOCATION gpu, "The ""commons"""; DROP TABLE offers, wishes, trust, held, wanted, known');
    await page.getByRole("tab", { name: /Allocations/ }).click();
    await page.locator("#allocations .empty").waitFor();
    await page.getByRole("tab", { name: /Live queries/ }).click();
  });
  await check("where flows lie follows from what they are", async () => {
    const wrong = await page.evaluate(async () => {
      const { layout } = await import("./sankey.js");
      const flow = (from, to, size) => ({ name: `${from}>${to}`, from, to, size });
      const flows = [flow("a", "x", 30), flow("a", "y", 10), flow("b", "x", 40), flow("c", "z", 5), flow("d", "z", 5)];
      const places = (flows) => {
        const { bands, sides, height } = layout(flows, 400);
        return JSON.stringify([bands.map(({ flow, at, thick }) => [flow.name, at, thick]), sides, height]);
      };
      const drawn = layout(flows, 400);
      const names = drawn.sides.map((nodes) => nodes.map((node) => node.name).join("")).join();
      if (names !== "abcd,xyz") return `the sides are ${names}`;
      if (places(flows) !== places([...flows].reverse())) return "it depends on the order of the flows";
      for (const own of [0, 1]) {
        for (const node of drawn.sides[own]) {
          const bands = drawn.bands.filter(({ flow }) => (own === 0 ? flow.from : flow.to) === node.name).sort((a, b) => a.at[own] - b.at[own]);
          let next = node.y;
          for (const band of bands) {
            if (Math.abs(band.at[own] - next) > 1e-9) return `a gap or an overlap at ${node.name}`;
            next += band.thick;
          }
          if (Math.abs(next - node.y - node.height) > 1e-9) return `the bands of ${node.name} are not as thick as it`;
        }
        const ends = drawn.sides[own].map((node) => [node.y, node.y + node.height]);
        if (ends.some(([y], at) => at > 0 && y < ends[at - 1][1])) return "two nodes overlap";
      }
      // What is exchanged below leaves those above where they were.
      const after = layout([...flows.slice(0, 3), flow("c", "z", 6), flow("d", "z", 4)], 400);
      const above = ({ bands }) => JSON.stringify(bands.slice(0, 3).map(({ at, thick }) => [at, thick]));
      return above(drawn) === above(after) ? null : "flows jump that have not changed";
    });
    assert(wrong === null, wrong);
  });
  await check("its circuit is drawn and its numbers move", async () => {
    await page.locator("#views-list li").first().waitFor();
    await page.locator("#circuit .node").first().waitFor();
    const flowed = () => page.locator("#circuit .edge text").allTextContents().then((texts) => texts.join());
    const before = await flowed();
    await page.waitForFunction((old) => [...document.querySelectorAll("#circuit .edge text")].map((text) => text.textContent).join() !== old, before);
    await page.waitForFunction(() => /p99 [\d.]+ ms/.test(document.querySelector("#views-list").textContent));
    await shot("3-live");
    await page.locator("#circuit .node").last().click();
    await page.locator(".chosen-node:not([hidden])").waitFor();
  });
  await check("the lost connection comes back and the result goes on", async () => {
    const [before, sockets] = await page.evaluate(() => [document.querySelectorAll("#rows tbody tr").length, window.sockets.length]);
    await page.evaluate(() => window.sockets.at(-1).close());
    await page.locator("#state.lost").waitFor();
    await page.locator("#state.connected").waitFor();
    assert(await page.evaluate(() => window.sockets.length) > sockets, "there is another socket");
    await page.waitForFunction(() => window.heard.some((text) => /"(change|current)":/.test(text)));
    assert(!(await page.evaluate(() => window.heard.some((text) => text.includes('"snapshot":')))), "the difference came, not the whole");
    assert((await page.locator("#rows tbody tr").count()) >= before, "the rows are still there");
    await changes();
  });
  const firstColumn = (pattern) => page.waitForFunction((source) => {
    const cells = [...document.querySelectorAll("#rows tbody td:first-child")];
    return new RegExp(source).test(cells.map((cell) => cell.textContent).join());
  }, pattern.source);
  await check("rows come where the order puts them", async () => {
    await execute("CREATE TABLE spans (span interval, n integer); INSERT INTO spans VALUES ('1 day', 8), ('1 month', 4), (NULL, 2)");
    await sql.fill("SELECT n FROM spans ORDER BY span DESC NULLS LAST");
    await page.getByRole("button", { name: "Live", exact: true }).click();
    await firstColumn(/^4,8,2$/);
    await execute("INSERT INTO spans VALUES ('25 hours', 6), ('31 days', 5), (NULL, 3)");
    await firstColumn(/^5,4,6,8,(2,3|3,2)$/);
    await execute("UPDATE spans SET span = '40 days' WHERE n = 8");
    await firstColumn(/^8,5,4,6,/);
  });
  await check("a live error goes away with its row", async () => {
    await sql.fill("SELECT 60 / n FROM spans ORDER BY n");
    await page.getByRole("button", { name: "Live", exact: true }).click();
    await firstColumn(/^30,20,15,12,10,7$/);
    await execute("INSERT INTO spans VALUES (NULL, 0)");
    await page.locator("#error:not([hidden])").waitFor();
    assert(!(await page.locator("#rows").isVisible()), "no result is shown beside the error");
    await execute("DELETE FROM spans WHERE n IN (0, 3)");
    await page.locator("#error").waitFor({ state: "hidden" });
    await firstColumn(/^30,15,12,10,7$/);
    assert(await page.locator("#rows").isVisible(), "the result is shown again");
    await execute("DROP TABLE spans");
    await page.locator("#error:not([hidden])").waitFor();
    assert(/not live/.test(await page.locator("#result-note").textContent()), "the note says that it is over");
  });
  await check("a late edit is a conflict until one of its values is written", async () => {
    await execute("CREATE TABLE note (id int PRIMARY KEY, title text CONFLICT MANUAL); INSERT INTO note VALUES (1, 'Draft')");
    const { cut } = await execute("SELECT title FROM note", "");
    await execute("UPDATE note SET title = 'Online'");
    await page.getByRole("tab", { name: /Conflicts/ }).click();
    await page.getByLabel("Kind of conflict").selectOption("");
    await page.getByLabel("State of conflict").selectOption("open");
    await page.locator("#conflicts .empty").getByText("There is no open conflict.").waitFor();
    await execute("UPDATE note SET title = 'Offline'", cut);
    const conflict = page.getByRole("article", { name: "write-write, note [1], title" });
    await conflict.waitFor();
    assert((await conflict.locator("pre").allTextContents()).sort().join() === '"Offline","Online"', "both values are shown");
    await shot("3-late");
    await conflict.getByRole("button", { name: /^Write this value/ }).click();
    await page.locator("#conflicts .empty").getByText("There is no open conflict.").waitFor();
    const { rows } = await execute("SELECT title FROM note");
    assert(JSON.stringify(rows) === '[["Online"]]', `what was lost stands: ${JSON.stringify(rows)}`);
    await page.getByRole("tab", { name: /Live queries/ }).click();
    await execute("DROP TABLE note");
  });
  await check("everything is reached by keyboard alone", async () => {
    await page.goto(address);
    await page.locator(".examples button").first().waitFor();
    const reached = new Set();
    for (let step = 0; step < 60; step++) {
      await page.keyboard.press("Tab");
      reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim().slice(0, 24)));
    }
    for (const wanted of ["Skip to the editor", "theme", "speed", "sql", "run", "live", "history", "tab-views", "The latest departuresSELE"]) {
      assert([...reached].some((name) => name.startsWith(wanted.slice(0, 20))), `Tab reaches ${wanted}; it reached ${[...reached].join(" | ")}`);
    }
    await sql.focus();
    await page.keyboard.press("Control+a");
    await page.keyboard.type("SELECT origin, count(*) AS n FROM flights GROUP BY origin ORDER BY origin");
    await page.keyboard.press("Control+Shift+Enter");
    await page.waitForFunction(() => document.querySelectorAll("#rows tbody tr").length === 3);
    await page.locator("#tab-views").focus();
    await page.keyboard.press("ArrowRight");
    await page.locator("#tables:not([hidden]) summary").first().waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.locator("#tables details[open] .columns li").first().waitFor();
    const tables = await page.locator("#tables").textContent();
    assert(/flights6,099 rows[\d.]+ [KM]B in memory[\d.]+ [KM]B hot[\d.]+ [KM]B cold/.test(tables), `tables with sizes: ${tables}`);
    await shot("4-tables");
    await page.locator("#tab-tables").focus();
    await page.keyboard.press("ArrowLeft");
    await page.locator("#views-list li[aria-selected=true]").focus();
    await page.keyboard.press("ArrowUp");
    const selected = await page.evaluate(() => document.activeElement.getAttribute("aria-selected"));
    assert(selected === "true", "the arrow keys select a live query");
  });
  await check("the speed is changed", async () => {
    await page.locator("#speed").focus();
    await page.keyboard.press("Home");
    await page.waitForFunction(() => fetch("v1/status").then((response) => response.json()).then((status) => status.demo.speed === 0));
    await page.keyboard.press("End");
    await page.waitForFunction(() => fetch("v1/status").then((response) => response.json()).then((status) => status.demo.speed === 10080));
  });
  await check("dark mode", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    await page.goto(address);
    await page.getByRole("button", { name: "What each airport is doing" }).click();
    await page.locator("#rows tbody td.changed").first().waitFor();
    await page.locator("#circuit .node").first().waitFor();
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert(ground === "rgb(18, 21, 23)", `the ground is ${ground}`);
    await shot("5-dark");
    await page.locator("#theme").click();
    const light = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert(light === "rgb(247, 246, 243)", `the toggle gives ${light}`);
    await page.locator("#theme").click();
    await page.locator("#theme").click();
  });
  await check("a narrow window has one column and no sideways scrolling", async () => {
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
    await page.setViewportSize({ width: 390, height: 844 });
    await page.goto(address);
    await page.getByRole("button", { name: "Airlines by average delay" }).click();
    await page.locator("#rows tbody tr").first().waitFor();
    await page.locator("#circuit .node").first().waitFor();
    const [wide, shown] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert(wide <= shown, `the page is ${wide} wide in a window of ${shown}`);
    await page.screenshot({ path: join(kept, "6-narrow.png"), fullPage: true });
  });
  await check("nothing was wrong in the browser's console", async () => {
    assert(errors.length === 0, errors.join("\n"));
  });
} catch (error) {
  failure = error;
} finally {
  await browser.close();
}
const code = await server.stop();
if (!failure && code !== 0) failure = new Error(`the demo stopped with code ${code}`);
if (failure) {
  console.error(failure.message, errors.join("\n"));
  process.exit(1);
}
console.log(`${checks.length} checks passed; screenshots are in ${kept}`);
