// Recorded differences between Microsoft's engine and Microsoft's parser. `bartizan kql check` follows the engine, because rules run on an
// engine; the recorded results are cases in cases/kql/ (literals, mixed-types, names, parse, summarize). Published queries are compared
// without these exceptions, because a query that the engine rejects is not published.
"use strict";

/** Our messages for queries that the engine rejects and the parser accepts. */
const REFUSED = [
  /^`(iff|case|coalesce)` wants a \w+ as for the other values/,
  /^`!?in~?` compares a \w+ with column/,
  /^`[=!<>]+` cannot take two dynamics/,
  /^`!?has(_cs)?` looks for a string, this is a dynamic/,
  /^`(countof|extract|replace|replace_regex|replace_strings?|trim(_start|_end)?|url_(de|en)code)` wants a string for argument \d, got dynamic/,
  /^`.*` cannot be read as a (bool|datetime|decimal|guid|int|long|real|timespan)$/,
  /^`(bool|date|datetime|guid|time|timespan)\(.*\)` is no JSON value$/,
  /^there is no aggregate here$/,
  /^`flags` needs `kind=regex`$/,
];

/** Calls with different default column names in the engine. */
const NAMED = /\b(pow|covariance|covarianceif|covariancep|covariancepif)\s*\(/;

/** `theirs` and `mine` are the results for `query`. */
function differs(theirs, mine, query) {
  if (theirs.errors.length > 0) return false;
  if (mine.errors.length > 0) return mine.errors.every((error) => REFUSED.some((pattern) => pattern.test(error.message)));
  return NAMED.test(query);
}

module.exports = { differs };
