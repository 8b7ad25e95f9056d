#!/usr/bin/env python3
"""Decompression bombs, one at a time and fifty at once: rejected or stored within the documented memory, while others are served.

    bombs.py [--together N]

Prints the peak memory of the service before and with each kind. The limits are those of docs/reference/service-limits.md.
"""
import argparse
import concurrent.futures
import gzip
import json
import os
import pathlib
import re
import sys
import tempfile
import threading
import time

import requests

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from service import Service, bearer, define

# Inflated bodies 256, bodies on the wire 128, rows 512, transforms and tables of one round, and the base size of the process.
STATED_MIB = 256 + 128 + 512 + 300
WIDE = 300
SLOW = ('20,000,000 empty objects', '60 MB of blanks', '50,000 empty objects for a wide table')


def memory(pid, field='VmRSS'):
    return int(re.search(rf'{field}:\s+(\d+) kB', open(f'/proc/{pid}/status').read()).group(1)) // 1024


class Peak(threading.Thread):
    """Peak memory of a process since the last call."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most = pid, 0
        self.start()

    def run(self):
        while True:
            try:
                self.most = max(self.most, memory(self.pid))
            except (OSError, AttributeError):
                return
            time.sleep(0.02)

    def take(self):
        most, self.most = max(self.most, memory(self.pid)), 0
        return most


def bombs():
    """Name, stream, gzip body, accepted statuses."""
    spread = json.dumps([{'A': 'x'}])[:-1].encode()
    return [
        ('2,000,000 numbers instead of objects', 'Small_CL', gzip.compress(b'[' + b'1,' * 1_999_999 + b'1]'), {400, 503}),
        ('1,000,000 empty objects for a wide table', 'Wide_CL', gzip.compress(b'[' + b'{},' * 999_999 + b'{}]'), {413, 503}),
        ('20,000,000 empty objects', 'Small_CL', gzip.compress(b'[' + b'{},' * 19_999_999 + b'{}]'), {413, 503}),
        ('50,000 empty objects for a wide table', 'Wide_CL', gzip.compress(b'[' + b'{},' * 49_999 + b'{}]'), {204, 429, 503}),
        ('60 MB of blanks', 'Small_CL', gzip.compress(b'[' + b' ' * 60_000_000 + b']'), {204, 429, 503}),
        ('500 MB of blanks', 'Small_CL', gzip.compress(b' ' * 500_000_000), {413, 503}),
        ('5 MB of equal lines', 'Small_CL', gzip.compress(spread + b',{"A":"connection from 192.0.2.7 accepted by rule 17"}' * 95_000 + b']'),
         {204, 429, 503}),
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--together', type=int, default=50)
    parser.add_argument('--quick', action='store_true', help='only those that cost a machine without optimisation little')
    args = parser.parse_args()
    fine = True
    with tempfile.TemporaryDirectory() as folder, Service(os.path.join(folder, 'data')) as service:
        connect = service.connect
        rules = {
            'Small_CL': define(connect, 'Small_CL', [('TimeGenerated', 'datetime'), ('A', 'string')]),
            'Wide_CL': define(connect, 'Wide_CL', [('TimeGenerated', 'datetime')] + [(f'C{n}', 'string') for n in range(WIDE - 1)]),
        }
        token = bearer(connect, 'https://monitor.azure.com')

        def send(table, body, timeout=120):
            url = f"{connect['base_url']}/dataCollectionRules/{rules[table]}/streams/Custom-{table}?api-version=2023-01-01"
            headers = {**token, 'Content-Type': 'application/json', 'Content-Encoding': 'gzip'}
            return requests.post(url, data=body, headers=headers, verify=connect['ca_cert'], timeout=timeout)

        small = gzip.compress(b'[{"A":"good"}]')
        send('Small_CL', small).raise_for_status()
        base = memory(service.process.pid)
        peak = Peak(service.process.pid)
        print(f'      the service has {base} MiB; at most {base + STATED_MIB} MiB are right', flush=True)
        for name, table, body, right in (bomb for bomb in bombs() if not args.quick or bomb[0] not in SLOW):
            for together in (1, args.together):
                began = time.monotonic()
                with concurrent.futures.ThreadPoolExecutor(together + 1) as pool:
                    replies = [pool.submit(send, table, body) for _ in range(together)]
                    good = [send('Small_CL', small).status_code for _ in range(3)] if together > 1 else [204]
                    statuses = [reply.result().status_code for reply in replies]
                most = peak.take()
                kinds = {status: statuses.count(status) for status in sorted(set(statuses))}
                ok = set(statuses) <= right and most <= base + STATED_MIB and all(status in (204, 429, 503) for status in good)
                fine &= ok
                print(f"{'ok   ' if ok else 'FAIL '} {together} × {name} ({len(body):,} bytes): {kinds}, at most {most} MiB, "
                      f'{time.monotonic() - began:.1f} s; another upload meanwhile: {good}', flush=True)
        # No lasting effect: a normal upload is stored.
        fine &= send('Small_CL', small).status_code == 204
    print('1 passed, 0 failed' if fine else '0 passed, 1 failed')
    sys.exit(0 if fine else 1)


main()
