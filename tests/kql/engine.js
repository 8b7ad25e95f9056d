// Where Microsoft's engine is recorded to judge otherwise than Microsoft's parser. `bartizan kql check` follows the engine there, because a rule
// runs on an engine; the recorded answers are cases in cases/kql/ (literals, mixed-types, names, parse, summarize). Published queries are
// compared without these exceptions: what the engine refuses is not published.
"use strict";

/** Messages of ours for what the engine refuses and the parser accepts. */
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

/** Calls whose columns the engine names otherwise. */
const NAMED = /\b(pow|covariance|covarianceif|covariancep|covariancepif)\s*\(/;

/** `theirs` and `mine` are verdicts on `query`. */
function differs(theirs, mine, query) {
  if (theirs.errors.length > 0) return false;
  if (mine.errors.length > 0) return mine.errors.every((error) => REFUSED.some((pattern) => pattern.test(error.message)));
  return NAMED.test(query);
}

module.exports = { differs };
