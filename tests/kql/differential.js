// Differential test of `bartizan kql check` against Microsoft's parser and binder, over published rules and queries, mutants of them, and
// calls of every function. Run by `tests/kql/differential`, which lists the requirements.
//
//   node differential.js --package DIR --shared DIR --bartizan FILE --cache FILE [--floors FILE] [--mutants N] [--seed N] [--share S]
//                        [--show N] [--only corpus,mutants,calls] [--kind NAME] [--dump FILE]
//
// Results of Microsoft's parser are cached in a file, because each takes some 50 ms.
"use strict";
const crypto = require("crypto");
const fs = require("fs");
const path = require("path");
const { spawnSync } = require("child_process");
const { Official } = require("./official.js");
const { mutants } = require("./mutants.js");
const { calls } = require("./calls.js");
const { differs } = require("./engine.js");

const options = { mutants: "1000", seed: "1", share: "1", show: "0", only: "corpus,mutants,calls" };
for (let at = 2; at < process.argv.length; at += 2) options[process.argv[at].slice(2)] = process.argv[at + 1];
const show = Number(options.show);

/** Functions of every Sentinel workspace used by published queries; their columns depend on its content. */
const OPEN = { _GetWatchlist: [["LastUpdatedTimeUTC", "datetime"], ["SearchKey", "string"], ["_DTItemId", "string"]] };

const tables = JSON.parse(fs.readFileSync(path.join(options.shared, "schemas/tables.json"), "utf8"));
const version = JSON.parse(fs.readFileSync(path.join(options.package, "package.json"), "utf8")).version;
const judge = new Official(options.package, tables, OPEN);

const cache = new Map();
if (fs.existsSync(options.cache)) {
  for (const line of fs.readFileSync(options.cache, "utf8").split("\n")) {
    if (!line) continue;
    const [key, verdict] = JSON.parse(line);
    cache.set(key, verdict);
  }
}
const added = [];
function official(query) {
  const key = crypto.createHash("sha256").update(version + "\0" + query).digest("base64").slice(0, 22);
  if (!cache.has(key)) {
    let verdict;
    try {
      verdict = judge.of(query);
    } catch (error) {
      verdict = { crashed: String(error) };
    }
    cache.set(key, verdict);
    added.push(JSON.stringify([key, verdict]));
    if (added.length > 200) keep();
  }
  return cache.get(key);
}
function keep() {
  if (added.length) fs.appendFileSync(options.cache, added.splice(0).join("\n") + "\n");
}

function ours(queries) {
  const input = queries.map((query, id) => JSON.stringify({ id, query })).join("\n");
  const args = ["kql", "check", "--jsonl", "--schema", path.join(options.shared, "schemas/tables.json")];
  const run = spawnSync(options.bartizan, args, { input, encoding: "utf8", maxBuffer: 1 << 30 });
  if (run.status !== 0) throw new Error(`bartizan kql check ended with ${run.status}: ${run.stderr}`);
  return run.stdout.trim().split("\n").map((line) => JSON.parse(line));
}

const read = (name) =>
  fs.readFileSync(path.join(options.shared, "corpus", name), "utf8").split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line));

/** ASIM parsers are part of a workspace: Microsoft's parser has none, a check leaves their columns open. */
function isElsewhere(theirs) {
  return theirs.errors.some((error) => /^The name '(_Im_|_ASim_|im[A-Z]|ASim[A-Z])\w*' does not refer to any known (function|table)/.test(error.message));
}

/** Compares names and types; unknown types and open schemas match anything. */
function sameColumns(theirs, mine) {
  if (!theirs.columns || theirs.open || !mine) return true;
  return (
    theirs.columns.length === mine.length &&
    theirs.columns.every(([name, type], at) => mine[at][0] === name && (type === "unknown" || type === "" || mine[at][1] === "unknown" || mine[at][1] === type))
  );
}

function difference(theirs, mine) {
  const out = [];
  for (let at = 0; at < Math.max(theirs.length, mine.length) && out.length < 3; at++) {
    const [a, b] = [(theirs[at] || []).join(":"), (mine[at] || []).join(":")];
    if (a !== b) out.push(`${b || "nothing"} instead of ${a || "nothing"}`);
  }
  return out.join("; ");
}

const figures = {};
function compare(name, items) {
  const found = ours(items.map((item) => item.query));
  const total = { clean: 0, accepted: 0, columns: 0, wrong: 0, refused: 0, placed: 0, engine: 0 };
  const kinds = {};
  items.forEach((item, at) => {
    const theirs = official(item.query);
    if (theirs.crashed || isElsewhere(theirs)) return;
    const mine = found[at];
    if (name !== "corpus" && differs(theirs, mine, item.query)) {
      total.engine++;
      return;
    }
    const kind = (kinds[item.kind] = kinds[item.kind] || { same: 0, all: 0 });
    kind.all++;
    let line = null;
    if (theirs.errors.length === 0) {
      total.clean++;
      if (mine.errors.length === 0) {
        total.accepted++;
        kind.same++;
        if (sameColumns(theirs, mine.columns)) total.columns++;
        else line = `columns: ${difference(theirs.columns, mine.columns)}`;
      } else line = `refused by us alone: ${mine.errors[0].code} ${mine.errors[0].message}`;
    } else {
      total.wrong++;
      if (mine.errors.length > 0) {
        total.refused++;
        kind.same++;
        const [a, b] = [theirs.errors[0], mine.errors[0]];
        if (b.start <= a.end && a.start <= b.end) total.placed++;
      } else line = `accepted by us alone: ${theirs.errors[0].code} ${theirs.errors[0].message}`;
    }
    if (line && (!options.kind || options.kind === item.kind)) notes.push({ set: name, kind: item.kind, line, query: item.query, at: theirs.errors[0] });
  });
  const rate = (part, whole) => (whole ? Math.floor((1000 * part) / whole) / 10 : 100);
  figures[`${name}-alike`] = rate(total.accepted + total.refused, total.clean + total.wrong);
  figures[`${name}-accepted`] = rate(total.accepted, total.clean);
  figures[`${name}-columns`] = rate(total.columns, total.clean);
  figures[`${name}-refused`] = rate(total.refused, total.wrong);
  console.log(`${name}: ${total.accepted} of ${total.clean} clean accepted, ${total.columns} with the same columns; ` +
    `${total.refused} of ${total.wrong} wrong refused, ${total.placed} with the first error in the same place; ` +
    `${total.engine} left to Microsoft's engine`);
  if (show) {
    const worst = Object.entries(kinds).filter(([, k]) => k.same < k.all).sort((a, b) => b[1].all - b[1].same - (a[1].all - a[1].same));
    console.log("  " + worst.map(([kind, k]) => `${kind} ${k.same}/${k.all}`).join(", "));
  }
}
const notes = [];

const published = [...read("analytics_rules.jsonl"), ...read("queries.jsonl")].map((row) => ({ kind: row.kind || "rule", query: row.query }));
const wanted = options.only.split(",");
if (wanted.includes("corpus")) compare("corpus", published);
if (wanted.includes("mutants")) {
  const good = published.map((item) => item.query).filter((query) => query.length < 4000 && !official(query).crashed && official(query).errors.length === 0);
  compare("mutants", mutants(judge, good, Number(options.mutants), Number(options.seed)));
}
if (wanted.includes("calls")) {
  // There are 25,000; a sample, which depends on the seed, takes a minute.
  const share = Math.max(1, Math.round(1 / Number(options.share)));
  compare("calls", calls(judge).filter((_, at) => (at + Number(options.seed)) % share === 0));
}
keep();

const groups = new Map();
for (const note of notes) {
  const key = `${note.set} ${note.line}`;
  if (!groups.has(key)) groups.set(key, []);
  groups.get(key).push(note);
}
const sorted = [...groups.entries()].sort((a, b) => b[1].length - a[1].length);
for (const [key, list] of sorted.slice(0, show)) {
  const note = list[0];
  const around = note.at ? ` …${note.query.slice(Math.max(0, note.at.start - 60), note.at.end + 40).replace(/\s+/g, " ")}…` : ` ${note.query.slice(-200).replace(/\s+/g, " ")}`;
  console.log(`${String(list.length).padStart(4)} [${note.kind}] ${key}\n        ${around}`);
}
if (options.dump) fs.writeFileSync(options.dump, notes.map((note) => JSON.stringify(note)).join("\n"));

let failed = false;
if (options.floors) {
  for (const pair of fs.readFileSync(options.floors, "utf8").trim().split(/[,\s]+/)) {
    const [name, floor] = pair.split("=");
    if (figures[name] === undefined) continue;
    const fits = figures[name] >= Number(floor);
    console.log(`${fits ? "ok  " : "FAIL"} ${name} ${figures[name]} (floor ${floor})`);
    failed = failed || !fits;
  }
}
process.exit(failed ? 1 : 0);
