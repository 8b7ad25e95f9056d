#!/usr/bin/env python3
"""Slow, silent and numerous clients do not deny service: while they hold as many connections as they can, a probe is answered and uploads are stored.

    lock_out.py [--seconds N]

The service has 512 file descriptors, fewer than the attackers open connections. Attackers come from one loopback address and from many.
"""
import argparse
import os
import pathlib
import resource
import socket
import ssl
import sys
import tempfile
import threading
import time
import uuid

import requests

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from service import Service, define

DESCRIPTORS = 512
SLOW = 1_024
IDLE = 1_500


class Probe(threading.Thread):
    """Continuously requests a token, a query and an upload, each over a new connection."""

    def __init__(self, connect, rule):
        super().__init__(daemon=True)
        self.connect, self.rule = connect, rule
        self.times, self.errors, self.rows, self.again, self.going = [], [], 0, 0, True

    def once(self):
        c, ca = self.connect, self.connect['ca_cert']
        form = {'grant_type': 'client_credentials', 'client_id': c['client_id'], 'client_secret': c['client_secret'],
                'scope': 'https://monitor.azure.com/.default'}
        reply = requests.post(f"{c['authority']}/{c['tenant_id']}/oauth2/v2.0/token", data=form, verify=ca, timeout=20)
        reply.raise_for_status()
        reply = requests.post(f"{c['logs_ingestion_endpoint']}/dataCollectionRules/{self.rule}/streams/Custom-Probe_CL?api-version=2023-01-01",
                              json=[{'A': str(uuid.uuid4())}], headers={'Authorization': 'Bearer ' + reply.json()['access_token']}, verify=ca,
                              timeout=20)
        reply.raise_for_status()
        self.rows += 1

    def run(self):
        while self.going:
            began = time.monotonic()
            for left in (1, 0):
                try:
                    self.once()
                    self.times.append(time.monotonic() - began)
                    break
                except requests.ConnectionError as error:
                    # As every SDK does, once; how often is limited below.
                    self.again += 1
                    if not left:
                        self.errors.append(f'{type(error).__name__}: {str(error)[:150]}')
                except Exception as error:
                    self.errors.append(f'{type(error).__name__}: {str(error)[:150]}')
                    break
            time.sleep(0.05)

    def end(self, what):
        self.going = False
        self.join(60)
        times = sorted(self.times) or [99.0]
        line = f'{len(self.times)} rounds of token and upload, median {times[len(times) // 2] * 1000:.0f} ms, slowest {times[-1] * 1000:.0f} ms'
        fine = not self.errors and self.again <= len(self.times) // 20 and len(self.times) >= 5 and times[-1] < 5
        print(f"{'ok   ' if fine else 'FAIL '} {what}: {line}; repeated: {self.again}; errors: {len(self.errors)} {self.errors[:2]}", flush=True)
        return fine


def opened(port, n):
    """A TCP connection, every second one from a different address."""
    stream = socket.socket()
    if n % 2:
        stream.bind((f'127.1.{n // 250}.{n % 250 + 1}', 0))
    stream.settimeout(10)
    stream.connect(('127.0.0.1', port))
    return stream


def slow(port, tenant, n, context):
    """A token request that stalls within its body."""
    stream = context.wrap_socket(opened(port, n), server_hostname='localhost')
    stream.sendall(f'POST /{tenant}/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400\r\n\r\ngrant_type=cli'.encode())
    return stream


def attack(seconds, make, count):
    """Keeps `count` connections open for the given time, replacing closed ones."""
    streams, until, failures, made = {}, time.monotonic() + seconds, 0, 0
    n = 0
    while time.monotonic() < until:
        n += 1
        try:
            old = streams.pop(n % count, None)
            if old:
                old.close()
            streams[n % count] = make(n)
            made += 1
        except OSError:
            failures += 1
            time.sleep(0.01)
    return streams, made, failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seconds', type=float, default=5)
    args = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    fine = True
    with tempfile.TemporaryDirectory() as folder, Service(os.path.join(folder, 'data'), prepare=few) as service:
        connect = service.connect
        rule = define(connect, 'Probe_CL', [('TimeGenerated', 'datetime'), ('A', 'string')])
        context = ssl.create_default_context(cafile=connect['ca_cert'])
        attacks = [
            (f'{SLOW} slow token requests', SLOW, lambda n: slow(service.port, connect['tenant_id'], n, context)),
            (f'{IDLE} silent connections', IDLE, lambda n: opened(service.port, n)),
        ]
        for what, count, make in attacks:
            probe = Probe(connect, rule)
            probe.start()
            streams, made, failures = attack(args.seconds, make, count)
            # All connections stay open while the probe runs.
            time.sleep(1)
            fine &= probe.end(f'{what} ({made} opened, {failures} refused)')
            for stream in streams.values():
                stream.close()
        descriptors = len(os.listdir(f'/proc/{service.process.pid}/fd'))
        print(f'ok    the service has {descriptors} of {DESCRIPTORS} descriptors open afterwards')
        fine &= service.stop() == 0
    print('1 passed, 0 failed' if fine else '0 passed, 1 failed')
    sys.exit(0 if fine else 1)


main()
