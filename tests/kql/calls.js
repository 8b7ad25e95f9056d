// Generates calls of every function, aggregate and plug-in known to Microsoft's parser, and expressions over every operator: with the right
// number of arguments and one fewer or more, each argument once in every type. Validity, result name and result type are compared.
"use strict";

/** One column of each type. */
const ROW = "datatable(s:string, n:long, i:int, r:real, d:datetime, t:timespan, b:bool, y:dynamic, g:guid, m:decimal)[]";
const OF_TYPE = { string: "s", long: "n", int: "i", real: "r", datetime: "d", timespan: "t", bool: "b", dynamic: "y", guid: "g", decimal: "m" };
const LITERALS = { string: "'a'", long: "1", int: "int(1)", real: "1.5", datetime: "datetime(2020-01-01)", timespan: "1h", bool: "true", dynamic: "dynamic([1])", guid: "guid(null)", decimal: "decimal(1)" };
const COLUMNS = Object.values(OF_TYPE);
const OPERATORS = ["==", "!=", "=~", "!~", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "and", "or", "has", "!has", "has_cs", "contains", "!contains_cs", "startswith", "endswith_cs", "hasprefix", "matches regex", "in", "!in", "in~", "has_any", "has_all"];

/** Converts any list type of the package to an array. */
function list(items) {
  if (Array.isArray(items)) return items;
  const out = [];
  if (items) for (let at = 0; at < items.Count; at++) out.push(items.getItem(at));
  return out;
}

/** A likely argument for a parameter. */
function likely(parameter) {
  const declared = list(parameter.DeclaredTypes).map((type) => type.Name);
  const values = list(parameter.Values);
  // 0 is any expression; the others require constants, literals, columns …
  const constant = parameter.ArgumentKind >= 8;
  if (values.length) return typeof values[0] === "string" ? `'${values[0]}'` : String(values[0]);
  if (declared.length) return (constant ? LITERALS : OF_TYPE)[declared[0]] || OF_TYPE[declared[0]] || "n";
  const kinds = globalThis.Kusto.Language.Symbols.ParameterTypeKind;
  const named = (name) => parameter.TypeKind === kinds[name];
  const type = named("StringOrDynamic") || named("StringOrArray") ? "string" : named("DynamicArray") || named("DynamicBag") ? "dynamic" : "long";
  return (constant ? LITERALS : OF_TYPE)[type];
}

function argumentLists(symbol) {
  const lists = new Set();
  for (const signature of list(symbol.Signatures)) {
    const parameters = list(signature.Parameters);
    const least = signature.MinArgumentCount;
    const most = Math.min(signature.MaxArgumentCount, least + 3, 8);
    const base = (count) => Array.from({ length: count }, (_, at) => (parameters.length ? likely(parameters[Math.min(at, parameters.length - 1)]) : "n"));
    for (let count = Math.max(0, least - 1); count <= most + 1; count++) lists.add(base(count).join(", "));
    for (let at = 0; at < most; at++) {
      for (const column of [...COLUMNS, "'a'", "1", "1.5", "dynamic([1])", "null_"]) {
        const args = base(Math.max(least, at + 1));
        args[at] = column === "null_" ? "nosuch" : column;
        lists.add(args.join(", "));
      }
    }
  }
  return [...lists];
}

function calls(judge) {
  const made = [];
  const globals = judge.globals;
  for (const symbol of list(globals.Functions)) {
    if (symbol.Name.startsWith("_")) continue;
    const rows = /^(prev|next|row_)/.test(symbol.Name) ? `${ROW} | sort by n` : ROW;
    for (const args of argumentLists(symbol)) made.push({ kind: symbol.Name, query: `${rows} | project ${symbol.Name}(${args})` });
  }
  for (const symbol of list(globals.Aggregates)) {
    for (const args of argumentLists(symbol)) made.push({ kind: symbol.Name, query: `${ROW} | summarize ${symbol.Name}(${args})` });
  }
  for (const symbol of list(globals.PlugIns)) {
    for (const args of argumentLists(symbol)) made.push({ kind: symbol.Name, query: `${ROW} | evaluate ${symbol.Name}(${args})` });
  }
  for (const operator of OPERATORS) {
    const right = (item) => (/^(!?in~?|has_any|has_all)$/.test(operator) ? `(${item})` : item);
    for (const left of COLUMNS) {
      for (const item of [...COLUMNS, "'a'", "1", "1.5", "dynamic([1])", "1h"]) {
        made.push({ kind: operator, query: `${ROW} | project ${left} ${operator} ${right(item)}` });
      }
    }
  }
  for (const one of COLUMNS) {
    for (const text of [`-${one}`, `not(${one})`, `${one}.a`, `${one}[0]`, `${one}['a']`, `y[${one}]`, `toscalar(${one})`, `${one} between (1 .. 5)`, `${one} between (d .. t)`, `${one} between (${one} .. ${one})`]) {
      made.push({ kind: "expression", query: `${ROW} | project ${text}` });
    }
    for (const text of STEPS) made.push({ kind: "step", query: `${ROW} | ${text.replaceAll("@", one)}` });
  }
  return made;
}

/** Operators over a column of each type. */
const STEPS = [
  "where @", "where @ == @", "take @", "top 3 by @", "top @ by n", "sort by @", "sort by @ asc nulls first", "distinct @", "summarize count() by @", "summarize by @", "summarize @",
  "summarize count() by bin(@, 1)", "summarize count() by bin(@, 1h)", "summarize x = count() by y1 = @", "extend @", "extend @ = 1", "extend x = @, x = 1", "project @", "project @, @", "project a = @, b = a",
  "project-away @", "project-keep @", "project-rename x = @", "project-rename @ = n", "project-reorder @", "project-reorder @ asc", "project-away @*", "mv-expand @", "mv-expand @ to typeof(long)", "mv-expand x = @",
  "mv-expand x = @ to typeof(nosuch)", "mv-expand bagexpansion=array @", "mv-expand with_itemindex=k @", "mv-apply @ on (take 1)", "mv-apply x = @ to typeof(string) on (where x == 'a')", "mv-apply @ on (summarize c = count())",
  "parse @ with 'a' x 'b'", "parse @ with * 'a' x:long 'b' *", "parse kind=regex @ with 'a' x 'b'", "parse kind=nosuch @ with 'a' x", "parse-where @ with 'a' x:int", "parse-kv @ as (a:string, b:long) with (pair_delimiter=',')",
  "make-series count() on @ step 1", "make-series count() on @ from 1 to 5 step 1", "make-series x = avg(n) default=0 on @ step 1h by s", "make-series sum(@) on d step 1h", "join kind=inner (print @ = 'a') on @",
  "join (print @ = 1) on @", "join (print x = 1) on $left.@ == $right.x", "join kind=leftouter (print x = 'a') on $left.@ == $right.x", "lookup (print @ = 'a', q = 1) on @", "union (print @ = 1)", "union kind=inner (print @ = 'a')",
  "union withsource=@ (print q = 1)", "evaluate bag_unpack(@)", "evaluate pivot(@)", "evaluate pivot(s, sum(@))", "evaluate pivot(@, count(), s)", "top-nested 3 of @ by count()", "top-nested of @ by max(n)", "top-hitters 3 of @",
  "top-hitters 3 of @ by n", "top-hitters 3 of s by @", "sample @", "sample-distinct 3 of @", "partition by @ (take 1)", "partition hint.strategy=native by @ (summarize count())", "scan with (step a: @ == @ => x = @;)", "scan declare (q:long=0) with (step a: true => q = @;)",
  "serialize x = row_number(), @", "sort by n | extend x = prev(@)", "sort by n | extend x = row_cumsum(@)", "sort by n | extend x = row_rank_dense(@)", "search 'a'", "search @ == 'a'", "where * == @", "find where @ == 1", "count", "getschema",
  "as x | join x on @", "extend x = toscalar(print @)", "where @ in (print 1)", "where @ in ((print 'a'))", "where @ !in~ (print x = 'a')", "where @ has_any (print 'a')", "reduce by @", "facet by @", "fork (take 1) (count)", "render timechart", "invoke f()",
  "project x = iff(b, @, n)", "project x = iff(b, @, s)", "project case(b, @, b, n, s)", "project coalesce(@, s)", "project x = @, n", "summarize a = max(@), b = min(@)", "summarize arg_max(@, *)", "summarize arg_max(n, @) by s", "summarize take_any(@), any(@)",
  "summarize take_any(*) by @", "summarize make_list(@), make_set(@, 5)", "summarize percentile(@, 50), percentiles(n, 5, 95)", "summarize count(), dcount(@) by s, n", "summarize sum(@) + 1", "summarize x = sum(@) / count()", "summarize round(avg(@), 2)", "summarize max(@) - min(@)",
  "summarize tostring(make_set(@))", "summarize bin(@, 1)", "summarize strcat('a', max(@))", "summarize n, max(@)", "summarize max(@) by n + 1", "summarize max(@) by tostring(y.a), y.b", "extend (a, z) = @", "project (a, z) = series_stats(y)", "distinct *", "project-rename n = s",
  "summarize hint.strategy=shuffle count() by @", "summarize count() by @, @", "order by @ desc, n asc", "filter @ > 1", "limit 5", "project pack('a', @), bag_pack('a', @), pack_all()", "project y.a, y['b'], y[0], y.a.b, y.a['c']", "project strcat(s, @), tostring(@), strlen(s)", "project @ in (1, 2, 'a')",
];

module.exports = { calls, ROW };
