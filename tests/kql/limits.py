#!/usr/bin/env python3
"""Queries that need many times their memory limit: each is either answered correctly or rejected with the limit's error, and the process
stays below the limit plus the slack below. Expected results are computed arithmetically.

    tests/kql/limits.py                 128 MiB, rows in millions: a minute or two, part of `make test`
    tests/kql/limits.py --long          1 GiB and rows for about 20 GB, part of `make soak`

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

# The program itself, batches on their way between operators, and what the allocator keeps of what was freed.
SLACK = 300 << 20
# A rejection is also accepted if the result is a single value or row that cannot be split.
RIGHT, REFUSED, EITHER = "right", "refused", "either"
# Maximum number of elements of a list or a set.
LONGEST = 1 << 20


def cases(n, memory):
    """(name, expected outcome, query, expected rows). `n` rows of some 100 bytes."""
    rows = f"range x from 1 to {n} step 1 | extend s = strcat('a text that is long enough to lie outside of its view: ', hash(x), '-', x)"
    total, half = n * (n + 1) // 2, n // 2
    longest = REFUSED if memory < LONGEST * 256 else RIGHT
    return [
        ("sort, read in order", RIGHT, f"{rows} | sort by s asc | where x == 17 | project x", [[17]]),
        ("sort, then numbers", REFUSED, f"{rows} | sort by s asc | serialize r = row_number() | summarize max(r)", [[n]]),
        ("top of many", RIGHT, f"{rows} | top 10 by x desc | summarize min(x)", [[n - 9]]),
        ("list by group", RIGHT, f"{rows} | summarize l = make_list(x) by k = x % {n // 20} | summarize sum(array_length(l))", [[n]]),
        ("texts by group", EITHER, f"{rows} | summarize l = make_list(s) by k = x % {n // 20} | summarize sum(array_length(l))", [[n]]),
        ("one list of all", longest, f"{rows} | summarize l = make_list(s) | project array_length(l)", [[LONGEST]]),
        ("one set of all", longest, f"{rows} | summarize l = make_set(s, {n}) | project array_length(l)", [[LONGEST]]),
        ("distinct texts", RIGHT, f"{rows} | distinct s | count", [[n]]),
        ("groups of one", RIGHT, f"{rows} | summarize c = count(), m = max(x) by s | summarize sum(c), sum(m)", [[n, total]]),
        ("last of each", RIGHT, f"{rows} | summarize arg_max(x, s) by k = x % {n // 4} | count", [[n // 4]]),
        ("distinct count by group", EITHER, f"{rows} | summarize d = dcount(s) by k = x % 1000 | count", [[1000]]),
        ("inner join", RIGHT, f"{rows} | join kind=inner ({rows}) on s | summarize count(), sum(x1)", [[n, total]]),
        ("outer join", RIGHT, f"{rows} | join kind=leftouter ({rows} | where x > {half}) on s | summarize countif(isnull(x1))", [[half]]),
        ("anti join", RIGHT, f"{rows} | join kind=leftanti ({rows} | where x > {half}) on s | count", [[half]]),
        ("unique join", EITHER, f"{rows} | join ({rows}) on s | count", [[n]]),
        ("cross join", RIGHT, f"range x from 1 to {n // 100} step 1 | extend k = 1 | join kind=inner (range y from 1 to 100 step 1 | extend k = 1) on k | summarize count(), sum(y)", [[n // 100 * 100, n // 100 * 5050]]),
        ("mv-expand", RIGHT, f"range x from 1 to {n // 10000} step 1 | mv-expand y = range(1, 10000) to typeof(long) | summarize count()", [[n // 10000 * 10000]]),
        ("mv-apply", EITHER, f"range x from 1 to {n // 1000} step 1 | mv-apply y = range(1, 1000) to typeof(long) on (summarize m = max(y)) | summarize sum(m)", [[n // 1000 * 1000]]),
        ("partition", EITHER, f"{rows} | partition by s (take 1) | count", [[n]]),
        ("materialized", EITHER, f"let T = materialize({rows}); union T, T | count", [[2 * n]]),
        ("a text of gigabytes", REFUSED, "range x from 1 to 100000 step 1 | extend s = strrep(strrep(strcat('a', x), 1000), 1000) | summarize max(strlen(s))", None),
        ("arrays of gigabytes", REFUSED, "range x from 1 to 100000 step 1 | extend a = range(x, x + 1000000) | summarize max(array_length(a))", None),
        ("doubling", REFUSED, "range x from 1 to 8192 step 1 | extend s = strcat('0123456789', x)" + " | extend s = strcat(s, s, s, s)" * 9 + " | summarize max(strlen(s))", None),
        ("a plug-in over all", EITHER, f"{rows} | project d = bag_pack('s', s, 'x', x) | evaluate bag_unpack(d) | count", [[n]]),
        ("pivot", EITHER, f"{rows} | extend k = tostring(x % 5) | evaluate pivot(k, count(), s) | count", [[n]]),
        ("make-series", EITHER, f"{rows} | make-series count() default=0 on x from 1 to {n + 1} step {n // 10} by s | count", [[n]]),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--only", help="cases whose name holds this")
    args = parser.parse_args()
    memory, n = (1 << 30, 160_000_000) if args.long else (128 << 20, 3_000_000)
    folder = tempfile.mkdtemp(prefix="limits-")
    engine, failed = Engine(folder, "--memory", memory, "--disk", "60GiB", "--partitions", 2, "--time", "2h"), 0
    for name, wanted, query, rows in cases(n, memory):
        if args.only and args.only not in name:
            continue
        began = time.monotonic()
        answer, peak = engine.ask(query)
        took = time.monotonic() - began
        if answer is None:
            raise SystemExit(f"the process died of: {query}")
        error = answer["error"]
        if error is None:
            came = RIGHT if rows is None or answer["rows"] == rows else f"wrong: {answer['rows'][:3]}"
        else:
            came = REFUSED if error["code"] == "Memory" else f"{error['code']}: {error['message']}"
        fits = came in (RIGHT, REFUSED) if wanted == EITHER else came == wanted
        small = peak <= memory + SLACK
        # Waits for a level: operators that ran when the query ended give their files back when they notice.
        clean = until(lambda: engine.left() == 0, 10, 0.01)
        failed += not (fits and small and clean)
        notes = "" if fits else f"  FAIL: wanted {wanted}"
        notes += "" if small else "  FAIL: over the limit and its slack"
        notes += "" if clean else f"  FAIL: leaves {engine.left()} bytes on disk"
        print(f"{name:>24}  {came:<8} {took:7.1f} s  {peak >> 20:6} MiB{notes}", flush=True)
    engine.end()
    if any(engine.folder.iterdir()):
        print("FAIL: the folder is not removed at the end")
        failed += 1
    shutil.rmtree(folder, ignore_errors=True)
    print(f"limit {memory >> 20} MiB, slack {SLACK >> 20} MiB, {n} rows: {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
