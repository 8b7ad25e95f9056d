// Generates invalid (and sometimes still valid) variants of valid queries from Microsoft's syntax tree, with a seeded random generator:
// common mistakes — a wrong name, type, count or position — and incomplete text as seen by an editor.
//
//   const { mutants } = require("./mutants.js");
//   mutants(judge, queries, count, seed) → [{ kind, query }]
"use strict";

/** A small seeded random number generator (mulberry32). */
function random(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (n) => Math.floor(next() * n);
  return { below, pick: (list) => list[below(list.length)] };
}

/** The tree of a query, flattened: nodes and tokens with their kinds by name. */
function flatten(judge, query) {
  const names = {};
  const kinds = judge.kusto.Syntax.SyntaxKind;
  for (const name of Object.keys(kinds)) if (typeof kinds[name] === "number") names[kinds[name]] = name;
  const code = judge.kusto.KustoCode.ParseAndAnalyze(query, judge.globals);
  const all = [];
  const walk = (node, parent) => {
    if (!node) return;
    const symbol = node.ReferencedSymbol ? globalThis.Bridge.getTypeName(node.ReferencedSymbol).replace("Kusto.Language.Symbols.", "") : "";
    const item = {
      kind: names[node.Kind] || "",
      token: Boolean(node.IsToken),
      start: node.TextStart,
      end: node.End,
      symbol,
      type: node.ResultType ? node.ResultType.Name : "",
      parent,
      children: [],
    };
    item.text = query.slice(item.start, item.end);
    if (parent) parent.children.push(item);
    all.push(item);
    for (let at = 0; at < node.ChildCount; at++) walk(node.GetChild(at), item);
  };
  walk(code.Syntax, null);
  return all;
}

const put = (query, item, text) => query.slice(0, item.start) + text + query.slice(item.end);
const insert = (query, at, text) => query.slice(0, at) + text + query.slice(at);

function misspelt(chance, text) {
  if (text.length < 3) return text + "x";
  const at = 1 + chance.below(text.length - 1);
  return chance.pick([
    text.slice(0, at) + text.slice(at + 1),
    text.slice(0, at) + text[at] + text.slice(at),
    text + "s",
    text.slice(0, at) + "q" + text.slice(at),
  ]);
}

/** Elements of comma-separated lists within an item. */
const elements = (item) => item.children.filter((child) => child.kind === "SeparatedElement");
const isColumn = (item) => item.kind === "NameReference" && item.symbol === "ColumnSymbol";
const isPipe = (item) => item.kind === "PipeExpression";
/** Positions where an operator may be appended: the ends of pipe operators. */
const pipes = (all) => all.filter(isPipe);
const columnsOf = (all) => [...new Set(all.filter(isColumn).map((item) => item.text))].filter((name) => /^[A-Za-z_]\w*$/.test(name));
const typed = (all, ...types) => all.filter((item) => isColumn(item) && types.includes(item.type));
const literal = (item) => /LiteralExpression$/.test(item.kind) && !item.token;
const calls = (all) => all.filter((item) => item.kind === "FunctionCallExpression");
const argumentsOf = (call) => {
  const list = call.children.find((child) => child.kind === "ArgumentList" || child.kind === "ExpressionList");
  const inner = list && list.children.find((child) => elements(child).length > 0);
  return inner ? elements(inner) : [];
};

/** Each takes the random generator, the query and its flat tree, and returns a query or null. */
const KINDS = {
  misspeltColumn: (c, q, all) => of(c, all.filter(isColumn), (item) => put(q, item, misspelt(c, item.text))),
  misspeltFunction: (c, q, all) =>
    of(c, calls(all).map((call) => call.children[0]).filter(Boolean), (item) => put(q, item, misspelt(c, item.text))),
  misspeltTable: (c, q, all) =>
    of(c, all.filter((item) => item.kind === "NameReference" && item.symbol === "TableSymbol"), (item) => put(q, item, misspelt(c, item.text))),
  misspeltKeyword: (c, q, all) =>
    of(c, all.filter((item) => item.token && /Keyword$/.test(item.kind) && item.text.length > 1), (item) => put(q, item, misspelt(c, item.text))),
  columnCase: (c, q, all) => of(c, all.filter(isColumn), (item) => put(q, item, c.pick([item.text.toLowerCase(), item.text.toUpperCase()]))),
  functionCase: (c, q, all) =>
    of(c, calls(all).map((call) => call.children[0]).filter(Boolean), (item) => put(q, item, c.pick([item.text.toUpperCase(), item.text[0].toUpperCase() + item.text.slice(1)]))),
  keywordCase: (c, q, all) => of(c, all.filter((item) => item.token && /Keyword$/.test(item.kind) && item.text), (item) => put(q, item, item.text.toUpperCase())),
  otherColumn: (c, q, all) => of(c, all.filter(isColumn), (item) => put(q, item, c.pick(columnsOf(all)) || "x")),
  extraArgument: (c, q, all) =>
    of(c, calls(all), (call) => {
      const close = call.end - 1;
      const more = c.pick(["1", "'x'", "true", "dynamic([])", "now()", c.pick(columnsOf(all)) || "1"]);
      return insert(q, close, argumentsOf(call).length ? ", " + more : more);
    }),
  missingArgument: (c, q, all) =>
    of(c, calls(all).filter((call) => argumentsOf(call).length > 0), (call) => {
      const args = argumentsOf(call);
      const gone = c.below(args.length);
      const kept = args.filter((_, at) => at !== gone).map((arg) => arg.text.replace(/\s*,\s*$/, ""));
      return q.slice(0, args[0].start) + kept.join(", ") + q.slice(args[args.length - 1].end);
    }),
  swappedArguments: (c, q, all) =>
    of(c, calls(all).filter((call) => argumentsOf(call).length > 1), (call) => {
      const args = argumentsOf(call).map((arg) => arg.text.replace(/\s*,\s*$/, ""));
      const at = c.below(args.length - 1);
      [args[at], args[at + 1]] = [args[at + 1], args[at]];
      const list = argumentsOf(call);
      return q.slice(0, list[0].start) + args.join(", ") + q.slice(list[list.length - 1].end);
    }),
  wrongLiteral: (c, q, all) =>
    of(c, all.filter(literal), (item) => put(q, item, c.pick(["1", "'x'", "1.5", "1h", "true", "dynamic([1])", "datetime(2020-01-01)", "guid(null)", "int(3)"]))),
  wrongColumnType: (c, q, all) =>
    of(c, all.filter(isColumn), (item) => {
      const others = all.filter((other) => isColumn(other) && other.type !== item.type);
      return others.length ? put(q, item, c.pick(others).text) : null;
    }),
  castColumn: (c, q, all) =>
    of(c, all.filter(isColumn), (item) => put(q, item, `${c.pick(["tostring", "tolong", "todatetime", "parse_json", "toreal", "tobool", "totimespan", "strlen", "isempty"])}(${item.text})`)),
  numberForString: (c, q, all) => of(c, all.filter((item) => item.kind === "StringLiteralExpression"), (item) => put(q, item, "42")),
  stringForNumber: (c, q, all) => of(c, all.filter((item) => /^(Long|Int|Real|TimeSpan|DateTime)LiteralExpression$/.test(item.kind)), (item) => put(q, item, '"42"')),
  otherOperator: (c, q, all) =>
    of(c, all.filter((item) => item.token && /^(==|!=|=~|<|>|<=|>=|has|contains|startswith|endswith|in|in~|has_any|\+|-|\*|\/|and|or)$/.test(item.text) && item.parent && /Expression/.test(item.parent.kind)), (item) =>
      put(q, item, c.pick(["==", "!=", "=~", "<", ">=", "has", "contains", "startswith", "matches regex", "in", "!in", "has_any", "+", "-", "*", "/", "%", "and", "or", "=", "<>", "&&", "between", "like"]))),
  missingWord: (c, q, all) => of(c, all.filter((item) => item.token && /Keyword$/.test(item.kind) && /^(by|on|kind|of|with|from|to|step|limit|and|or|asc|desc|in|let)$/.test(item.text)), (item) => put(q, item, "")),
  missingToken: (c, q, all) => of(c, all.filter((item) => item.token && item.end > item.start), (item) => put(q, item, "")),
  doubledToken: (c, q, all) => of(c, all.filter((item) => item.token && item.end > item.start), (item) => put(q, item, item.text + " " + item.text)),
  missingBar: (c, q, all) => of(c, all.filter((item) => item.token && item.text === "|"), (item) => put(q, item, "")),
  missingElement: (c, q, all) =>
    of(c, all.filter((item) => item.kind === "SeparatedElement" && item.parent && elements(item.parent).length > 1), (item) => {
      const list = elements(item.parent);
      const kept = list.filter((other) => other !== item).map((other) => other.text.replace(/\s*,\s*$/, ""));
      return q.slice(0, list[0].start) + kept.join(", ") + q.slice(list[list.length - 1].end);
    }),
  missingStep: (c, q, all) =>
    of(c, pipes(all), (item) => {
      const operator = item.children[item.children.length - 1];
      const bar = item.children[item.children.length - 2];
      return operator && bar ? q.slice(0, bar.start) + q.slice(operator.end) : null;
    }),
  missingLet: (c, q, all) =>
    of(c, all.filter((item) => item.kind === "LetStatement"), (item) => {
      const end = q[item.end] === ";" ? item.end + 1 : item.end;
      return q.slice(0, item.start) + q.slice(end);
    }),
  lateLet: (c, q, all) => {
    const lets = all.filter((item) => item.kind === "LetStatement" && item.parent && item.parent.kind === "SeparatedElement" && item.parent.parent.parent.kind === "QueryBlock");
    if (lets.length < 2) return null;
    const at = c.below(lets.length - 1);
    const [first, second] = [lets[at], lets[at + 1]];
    return q.slice(0, first.start) + second.text + q.slice(first.end, second.start) + first.text + q.slice(second.end);
  },
  unknownJoinKind: (c, q, all) =>
    of(c, all.filter((item) => item.token && item.kind === "JoinKeyword"), (item) => insert(q, item.end, ` kind=${c.pick(["iner", "outer", "left", "cross", "leftouterr", "semi", "fullouter", "innerunique"])} `)),
  joinCondition: (c, q, all) =>
    of(c, all.filter((item) => item.kind === "JoinOnClause"), (item) => {
      const column = c.pick(columnsOf(all)) || "x";
      return put(q, item, c.pick([`on ${column}`, `on $left.${column} == $right.${column}`, `on $left.${column}`, `on ${column} == 1`, "on", `on $right.${column} == $left.${column}`, `on 'x'`]));
    }),
  projectedAway: (c, q, all) => after(c, q, all, () => `project-away ${c.pick(columnsOf(all)) || "x"}`),
  narrowed: (c, q, all) => after(c, q, all, () => `project ${c.pick(columnsOf(all)) || "x"}`),
  renamed: (c, q, all) => after(c, q, all, () => `project-rename Renamed = ${c.pick(columnsOf(all)) || "x"}`),
  misplacedAggregate: (c, q, all) =>
    after(c, q, all, () => {
      const column = c.pick(columnsOf(all)) || "x";
      return c.pick(["extend n = count()", `where sum(${column}) > 1`, `project m = max(${column})`, `extend dcount(${column})`, `where count() > 1`, `summarize sum(count())`, `sort by count()`, `distinct count()`]);
    }),
  duplicateColumn: (c, q, all) =>
    after(c, q, all, () => {
      const column = c.pick(columnsOf(all)) || "x";
      return c.pick([`project ${column}, ${column}`, `project a = ${column}, a = 1`, `extend a = 1, a = 2`, `summarize a = count(), a = 1`, `project-rename a = ${column}, a = ${column}`, `distinct ${column}, ${column}`, `summarize count() by ${column}, ${column}`]);
    }),
  oddStep: (c, q, all) =>
    after(c, q, all, () => {
      const column = c.pick(columnsOf(all)) || "x";
      return c.pick([
        `where ${column}`, `where ${column} == 1`, `where ${column} == 'x'`, `where ${column} > ago(1h)`, `where ${column} has 'x'`,
        `take 'x'`, `take -1`, `take ${column}`, `top 5 by ${column}`, `top ${column} by ${column}`, `sort by ${column} ascending`,
        `summarize by`, `summarize ${column}`, `summarize count() by bin(${column}, 1h)`, `summarize count() by ${column}, bin(${column}, 10)`,
        `summarize avg(${column}), sum(${column})`, `summarize make_set(${column}, 'x')`, `summarize arg_max(${column}, *) by ${column}`,
        `mv-expand ${column}`, `mv-expand ${column} to typeof(string)`, `mv-expand x = ${column}, y = ${column}`, `mv-apply ${column} on (take 1)`,
        `parse ${column} with * 'a' b`, `parse ${column} with * 'a' b:nosuch`, `extend x = ${column} + 1`, `extend ${column} = -${column}`,
        `extend x = strcat(${column}, 1)`, `extend x = tolower(${column})`, `extend y = split(${column}, ',')[0]`, `extend z = ${column}.a.b`,
        `extend z = ${column}['a']`, `extend (a, b) = ${column}`, `evaluate bag_unpack(${column})`, `evaluate nosuch(${column})`,
        `lookup (print ${column} = 1) on ${column}`, `join (print ${column} = 'x') on ${column}`, `join ${column} on ${column}`, `union ${column}`,
        `project-reorder ${column} asc, *`, `project-keep ${column}, Nosuch*`, `count as n`, `getschema`, `as x`, `render timechart`, `render nosuch`,
        `make-series count() on ${column} step 1h by ${column}`, `make-series n = count() default=0 on ${column} from ago(1d) to now() step 1h`,
        `serialize n = row_number()`, `extend n = row_number()`, `extend n = prev(${column})`, `sort by ${column} | extend n = prev(${column})`,
        `where ${column} in ('a', 1)`, `where ${column} between (1 .. 5)`, `where ${column} between (ago(1d) .. now())`, `where ${column} in~ (1)`,
        `where ${column} has_any ('a', 'b')`, `where isnotempty(${column}) and ${column}`, `where not(${column})`, `where ${column} matches regex 1`,
        `distinct *`, `distinct ${column}`, `sample 5`, `sample-distinct 5 of ${column}`, `search 'x'`, `where * has 'x'`, `project ${column} = 1, *`,
        `top-nested 3 of ${column} by count()`, `invoke nosuch()`, `extend x = iff(${column}, 1, 2)`, `extend x = iff(true, ${column}, 1)`,
        `extend x = case(true, ${column}, 'x')`, `extend x = coalesce(${column}, 'x')`, `summarize countif(${column})`, `extend x = bin(${column}, 1)`,
        `extend x = datetime_diff('day', ${column}, now())`, `extend x = format_datetime(${column}, 'yyyy')`, `extend x = extract('a', 1, ${column})`,
        `where ${column} =~ 1`, `where ${column} startswith ${column}`, `summarize percentile(${column}, 50)`, `summarize x = max(${column}) - min(${column})`,
        `extend x = toscalar(${column})`, `extend x = toscalar(print 1)`, `where ${column} !in (print 1)`, `project-away ${column}, ${column}`, `project`, `extend`, `where`,
      ]);
    }),
  scalarForTable: (c, q, all) => of(c, all.filter((item) => item.kind === "NameReference" && item.symbol === "TableSymbol"), (item) => put(q, item, c.pick(["1", "'x'", "now()", "dynamic([])"]))),
  tableForScalar: (c, q, all) => {
    const tables = all.filter((item) => item.kind === "NameReference" && item.symbol === "TableSymbol");
    return tables.length ? of(c, all.filter(isColumn), (item) => put(q, item, c.pick(tables).text)) : null;
  },
  badDynamic: (c, q, all) =>
    of(c, all.filter((item) => item.kind === "DynamicExpression"), (item) => put(q, item, c.pick([item.text.slice(0, -2) + ")", "dynamic([1, 2)", "dynamic({'a' 1})", "dynamic(a)", "dynamic()", "dynamic([1,,2])", "dynamic({a: 1})"]))),
  openString: (c, q, all) => of(c, all.filter((item) => item.kind === "StringLiteralExpression"), (item) => put(q, item, item.text.slice(0, -1))),
  openBracket: (c, q, all) => of(c, all.filter((item) => item.token && /^[\])}]$/.test(item.text)), (item) => put(q, item, "")),
  otherStepName: (c, q, all) =>
    of(c, all.filter((item) => item.token && /^(project|extend|summarize|where|distinct|project-away|project-rename|take|sort|mv-expand)$/.test(item.text)), (item) =>
      put(q, item, c.pick(["project", "extend", "summarize", "where", "distinct", "project-away", "project-rename", "take", "sort", "sort by", "mv-expand", "project-keep", "filter", "serialize", "print"]))),
  wrongUserArgument: (c, q, all) =>
    of(c, calls(all).filter((call) => call.children[0] && /FunctionSymbol/.test(call.symbol) && new RegExp(`let\\s+${call.children[0].text}\\s*=`).test(q) && argumentsOf(call).length > 0), (call) => {
      const arg = c.pick(argumentsOf(call));
      return put(q, { start: arg.start, end: arg.start + arg.text.replace(/\s*,\s*$/, "").length }, c.pick(["1", "'x'", "1h", "dynamic([])", "now()", "T", "(print 1)"]));
    }),
  outOfScope: (c, q, all) => {
    // Moves a `let` into a function, so that its name is out of scope.
    const lets = all.filter((item) => item.kind === "LetStatement");
    if (!lets.length) return null;
    return of(c, lets, (item) => put(q, item, `let wrapped = () { ${item.text}; print 1 }`));
  },
  oddOption: (c, q, all) =>
    of(c, all.filter((item) => item.token && /^(join|union|summarize|mv-expand|distinct|lookup|parse|evaluate|top|sort|take|where|extend|make-series)$/.test(item.text)), (item) =>
      insert(q, item.end, ` ${c.pick(["kind=inner", "kind=foo", "isfuzzy=true", "isfuzzy=1", "withsource=S", "hint.strategy=shuffle", "hint.shufflekey=x", "hint.foo=1", "nosuch=1", "bagexpansion=array", "with_itemindex=i", "kind=regex", "kind=bag"])} `)),
};

function of(chance, list, make) {
  return list.length ? make(chance.pick(list)) : null;
}

/** Appends an operator after one of a pipe. */
function after(chance, query, all, make) {
  return of(chance, pipes(all), (item) => {
    const at = item.end;
    return query.slice(0, at) + "\n| " + make() + "\n" + query.slice(at);
  });
}

function mutants(judge, queries, count, seed) {
  const chance = random(seed);
  const kinds = Object.keys(KINDS);
  const trees = new Map();
  const made = [];
  const seen = new Set();
  for (let tries = 0; made.length < count && tries < count * 20; tries++) {
    const query = chance.pick(queries);
    if (!trees.has(query)) trees.set(query, flatten(judge, query));
    const kind = kinds[tries % kinds.length];
    const mutant = KINDS[kind](chance, query, trees.get(query));
    if (!mutant || mutant === query || seen.has(mutant)) continue;
    seen.add(mutant);
    made.push({ kind, query: mutant });
  }
  return made;
}

module.exports = { mutants, random };
