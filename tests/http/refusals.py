#!/usr/bin/env python3
"""Rejections are delivered: every client reads every status, with bodies from 10 bytes to 100 MB, over HTTP/1.1 and HTTP/2.

    refusals.py [--requests N] [--against URL --ca FILE]

Clients: httpx with a pool over both versions, requests, curl over both versions. After each rejection the same client is served. With `--against`
the same requests are sent to another server (nginx, in the soak test), and only the results are printed.
"""
import argparse
import collections
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import time

import httpx
import requests

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from service import Service, bearer, define

# Mostly small, some large: the total can be sent by a CI machine in seconds.
SIZES = [10, 100, 1_000, 10_000, 65_536, 100_000, 10, 300_000, 1_000, 1_048_577]
LARGE = [5_000_000, 20_000_000]
HUGE = 100_000_000
# Lost statuses after which a client is skipped.
GIVE_UP = 5
BODY = os.urandom(1 << 20)


def pieces(size):
    """A body of `size` bytes without a copy in memory."""
    while size > 0:
        yield BODY[:min(size, len(BODY))]
        size -= len(BODY)


def whole(size):
    return (BODY * (size // len(BODY) + 1))[:size]


class Score:
    def __init__(self, name):
        self.name, self.read, self.lost, self.began = name, collections.Counter(), [], time.monotonic()

    def add(self, size, run, expected):
        try:
            status = run()
        except Exception as error:  # any failure means that the status was not read
            self.lost.append(f'{size} bytes: {type(error).__name__}: {str(error)[:120]}')
            return
        self.read[status] += 1
        if expected and status not in expected:
            self.lost.append(f'{size} bytes: {status} instead of {expected}')

    def done(self):
        seconds = time.monotonic() - self.began
        total = sum(self.read.values())
        print(f"{'FAIL ' if self.lost else 'ok   '} {self.name}: {total} statuses read in {seconds:.1f} s: {dict(self.read)}", flush=True)
        for line in self.lost[:5]:
            print(f'        {line}')
        return not self.lost


def curl(url, size, version, ca, headers=()):
    with tempfile.NamedTemporaryFile() as file:
        for piece in pieces(size):
            file.write(piece)
        file.flush()
        command = ['curl', '-sS', version, '--cacert', ca, '-o', '/dev/null', '-w', '%{http_code}', '--data-binary', f'@{file.name}', url]
        for header in headers:
            command += ['-H', header]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if ran.returncode != 0:
        raise RuntimeError(f'curl ended with {ran.returncode}: {ran.stderr.strip()}')
    return int(ran.stdout)


def trial(targets, good, ca, count, strict=True, patience=60):
    """`targets`: (method, URL, headers, expected status by size). Returns whether everything arrived."""
    context = ssl.create_default_context(cafile=ca)
    fine = True
    sizes = [SIZES[n % len(SIZES)] for n in range(count)] + LARGE * 3
    for name, http2 in (('httpx, HTTP/1.1, pooled', False), ('httpx, HTTP/2, pooled', True)):
        score = Score(name)
        with httpx.Client(verify=context, http1=not http2, http2=http2, timeout=patience) as client:
            for n, size in enumerate(sizes):
                if len(score.lost) > GIVE_UP:
                    break
                method, url, headers, expected = targets[n % len(targets)]
                # Sometimes a body without Content-Length.
                content = whole(size) if n % 7 else pieces(size)
                score.add(size, lambda: client.request(method, url, headers=headers, content=content).status_code, expected(size))
                if strict and n % 10 == 0:
                    score.add(0, lambda: client.get(good).status_code, {200})
        fine &= score.done()
    score = Score('requests, pooled')
    session = requests.Session()
    session.trust_env = False
    session.verify = ca
    for n, size in enumerate(sizes[:count // 5] + LARGE * 3 + [HUGE]):
        method, url, headers, expected = targets[n % len(targets)]
        content = whole(size) if n % 7 else pieces(size)
        score.add(size, lambda: session.request(method, url, headers=headers, data=content, timeout=120).status_code, expected(size))
    fine &= score.done()
    if not shutil.which('curl'):
        print('skipped: curl: it is not installed here')
        return fine
    for version in ('--http1.1', '--http2'):
        score = Score(f'curl {version}')
        for n, size in enumerate(SIZES + LARGE * 5 + SIZES + [HUGE] * 2):
            _, url, headers, expected = targets[n % 2]
            said = [f'{key}: {value}' for key, value in headers.items()]
            # With and without `Expect: 100-continue`.
            score.add(size, lambda: curl(url, size, version, ca, said + ([] if n % 3 else ['Expect:'])), expected(size))
        fine &= score.done()
    return fine


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--requests', type=int, default=1000)
    parser.add_argument('--against')
    parser.add_argument('--ca')
    args = parser.parse_args()
    if args.against:
        anything = lambda size: None
        targets = [('POST', args.against + path, {}, anything) for path in ('/refused', '/small', '/nowhere')]
        trial(targets, args.against + '/', args.ca, args.requests, strict=False, patience=5)
        return
    with tempfile.TemporaryDirectory() as folder, Service(os.path.join(folder, 'data')) as service:
        connect = service.connect
        rule = define(connect, 'Refused_CL', [('TimeGenerated', 'datetime'), ('A', 'string')])
        token = bearer(connect, 'https://monitor.azure.com')
        base = connect['base_url']
        upload = f'{base}/dataCollectionRules/{rule}/streams/Custom-Refused_CL?api-version=2023-01-01'
        mine = {**token, 'Content-Type': 'application/json'}
        only = lambda status: lambda size: {status}
        targets = [
            ('POST', upload, {}, only(401)),
            ('POST', base + '/nowhere', {}, only(404)),
            ('PUT', base + '/healthz', {}, only(405)),
            ('POST', upload, mine, lambda size: {413} if size > 1 << 20 else {400}),
            ('POST', upload, {**mine, 'Content-Type': 'text/plain'}, only(415)),
            ('POST', upload, {'Authorization': 'Bearer x.y.z'}, only(401)),
        ]
        fine = trial(targets, base + '/healthz', connect['ca_cert'], args.requests)
    print('1 passed, 0 failed' if fine else '0 passed, 1 failed')
    sys.exit(0 if fine else 1)


main()
