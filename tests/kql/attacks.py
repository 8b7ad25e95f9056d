#!/usr/bin/env python3
"""Queries designed to crash the process or exhaust its memory. Each is either answered correctly or rejected with a specific limit error,
in bounded time; the process survives and stays below the limit of all queries plus the slack below. Expected results are computed
arithmetically.

    tests/kql/attacks.py            part of `make test`
    tests/kql/attacks.py --only and

Process memory is the peak resident size reported by the kernel (VmHWM), reset before each query.
"""

import argparse
import pathlib
import shutil
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "harness")]
from engine import Engine  # noqa: E402
from score import until  # noqa: E402

MEMORY = 256 << 20
# The program itself, plans, batches in flight, and memory kept by the allocator.
SLACK = 300 << 20
# Maximum seconds per query on a busy machine. Regression: some took minutes and could not be cancelled.
LONGEST = 60
# Answered correctly, rejected by a limit, or either.
RIGHT, REFUSED, EITHER = "right", "refused", "either"
# Limit errors of `kql run`: depth and size of the text, planning, memory.
LIMITS = {"KQL0011", "KQL0113", "KQL0114", "Planning", "Memory", "SharedMemory"}


def arithmetic(depth):
    text = "x"
    for n in range(depth):
        text = f"({text}+{n})" if n % 2 else f"({text}*1)"
    return text


def cases():
    """(name, expected outcome, query, expected rows)"""
    ten, sixty = "range N from 1 to 10 step 1", arithmetic(60)
    tests = lambda op, sign, start, count: f"{ten} | where " + f" {op} ".join(f"N{sign}{n}" for n in range(start, start + count)) + " | count"
    nest = lambda begin, times, inner, end: begin * times + inner + end * times
    return [
        # The stack.
        ("and of 3,000", RIGHT, tests("and", "!=", 100, 3000), [[10]]),
        ("and of 10,000", RIGHT, tests("and", "!=", 100, 10000), [[10]]),
        ("or of 10,000", RIGHT, tests("or", "==", 1, 10000), [[10]]),
        ("where 390 times", RIGHT, ten + "".join(f" | where N != {n + 100} and N != {n + 1000}" for n in range(390)) + " | count", [[10]]),
        ("where 500 times", REFUSED, ten + " | where N > 0" * 500 + " | count", None),
        ("parentheses", REFUSED, "print " + nest("(", 5000, "1", ")"), None),
        ("between", EITHER, f"{ten} | where " + nest("N between (0 .. iff(", 60, "true", ", 100, 200))") + " | count", [[10]]),
        ("functions", EITHER, "let f=(x:long){" + sixty + "}; range y from 1 to 3 step 1 | extend z = " + nest("f(", 60, "y", ")"), None),
        ("variables", EITHER, "let a0 = toscalar(print 1);" + "".join(f"let a{n} = a{n - 1} + 1;" for n in range(1, 3000)) + " print a2999", None),
        ("tables", EITHER, "let a0 = print 1;" + "".join(f"let a{n} = a{n - 1} | take 1;" for n in range(1, 1000)) + " a999", None),
        ("joins in joins", EITHER, ten + " | join kind=inner (range N from 1 to 10 step 1" * 40 + ") on N" * 40 + " | count", [[10]]),
        ("subqueries", EITHER, ten + " | where N in (range N from 1 to 10 step 1" * 40 + ")" * 40 + " | count", [[10]]),
        ("mv-apply", EITHER, ten + " | mv-apply y = range(1, 1) to typeof(long) on (extend z = 1" * 30 + ")" * 30 + " | count", None),
        ("dynamic", REFUSED, "print dynamic(" + nest("[", 3000, "", "]") + ")", None),
        # Planning.
        ("a list of 100,000", RIGHT, f"{ten} | where N in (" + ",".join(map(str, range(100000))) + ") | count", [[10]]),
        ("200 deep steps", RIGHT, "range x from 1 to 10 step 1 " + f"| extend x = {sixty} " * 200 + "| summarize count()", [[10]]),
        ("union of 2,000", RIGHT, "union " + ",".join(f"(print x={n})" for n in range(2000)) + " | count", [[2000]]),
        ("9,000 columns", EITHER, f"{ten} | project " + ",".join(f"a{n}=N+{n}" for n in range(9000)) + " | count", [[10]]),
        ("30,000 columns", REFUSED, f"{ten} | project " + ",".join(f"a{n}=N+{n}" for n in range(30000)), None),
        ("columns without names", EITHER, f"{ten} | project " + ",".join(f"N+{n}" for n in range(5000)) + " | count", [[10]]),
        ("packs in packs", EITHER, f"{ten} | extend y = " + nest("pack('a',", 90, "N", ")") + " | count", [[10]]),
        ("a wide pack", EITHER, f"{ten} | extend y = pack(" + ",".join(f"'k{n}',N" for n in range(3000)) + ") | count", [[10]]),
        ("search for 10,000 terms", EITHER, f"{ten} | extend s = tostring(N) | search " + " or ".join(f"'term{n}'" for n in range(10000)) + " | count", [[0]]),
        # Memory.
        ("strrep, folded", REFUSED, "print strlen(strrep(strrep(strrep(strrep('aaaaaaaa', 1000), 1000), 1000), 1000))", None),
        ("strrep of rows", REFUSED, "range x from 1 to 1000 step 1 | extend s = strrep(strrep(strrep(strcat('a', x), 1000), 1000), 1000) | summarize max(strlen(s))", None),
        ("packs that double", REFUSED, "range x from 1 to 100 step 1 | extend p = pack('a', strrep('x', 1000)) " + "| extend p = pack('a',p,'b',p,'c',p,'d',p) " * 12 + "| summarize max(strlen(tostring(p)))", None),
        ("arrays that double", REFUSED, "range x from 1 to 100 step 1 | extend a = range(1, 100000) " + "| extend a = array_concat(a, a, a, a) " * 9 + "| summarize max(array_length(a))", None),
        ("replacing that squares", REFUSED, "print s = strrep('a', 1000) " + "| extend s = replace_string(s, 'a', s) " * 4 + "| project strlen(s)", None),
        ("percentiles by group", EITHER, "range x from 1 to 300000 step 1 | summarize percentiles(x, 5, 50, 95) by x | count", [[300000]]),
        ("materialized twelve times", REFUSED, "".join(f"let m{n} = materialize(range x from 1 to 1000000 step 1 | extend s = strcat('a text that does not lie in its view', x, {n}));" for n in range(12)) + " union " + ",".join(f"m{n}, m{n}" for n in range(12)) + " | count", None),
    ]


def start(folder):
    return Engine(folder, "--memory", MEMORY, "--partitions", 2, "--time", f"{LONGEST}s")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="cases whose name holds this")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="attacks-")
    engine, failed = start(folder), 0
    for name, wanted, query, rows in cases():
        if args.only and args.only not in name:
            continue
        began = time.monotonic()
        answer, peak = engine.ask(query)
        took = time.monotonic() - began
        if answer is None:
            print(f"{name:>26}  FAIL: the process ended with {engine.process.wait(30)}", flush=True)
            engine, failed = start(folder), failed + 1
            continue
        error = answer["error"]
        if error is None:
            came = RIGHT if rows is None or answer["rows"] == rows else f"wrong: {answer['rows'][:3]}"
        else:
            limit = error["code"] in LIMITS or "nested more than" in error["message"]
            came = REFUSED if limit else f"{error['code']}: {error['message'][:100]}"
        notes = "" if (came in (RIGHT, REFUSED) if wanted == EITHER else came == wanted) else f"  FAIL: wanted {wanted}"
        notes += "" if peak <= 2 * MEMORY + SLACK else "  FAIL: over the limit and its slack"
        notes += "" if took <= LONGEST else "  FAIL: took too long"
        failed += bool(notes)
        print(f"{name:>26}  {came:<8} {took:6.1f} s  {peak >> 20:5} MiB{notes}", flush=True)
    # What was freed goes back to the system, a little later.
    if not until(lambda: engine.status("VmRSS") <= SLACK, 10):
        print(f"FAIL: {engine.status('VmRSS') >> 20} MiB stay behind")
        failed += 1
    engine.end()
    shutil.rmtree(folder, ignore_errors=True)
    print(f"limit {MEMORY >> 20} MiB a query, twice that for all, slack {SLACK >> 20} MiB: {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
