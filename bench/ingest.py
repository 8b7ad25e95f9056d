"""Throughput of ingestion per CPU second of the service.

JSON: 968 kB bodies of 605-byte events through the Logs Ingestion API over TLS, plain and gzipped, by four senders. CEF: events of a firewall over
one TCP connection. CPU time is that of the service process (utime and stime), so that the senders' own time does not count; a round counts only
if every row is stored. Compare ratios between runs on one machine, not absolute numbers.
"""
import argparse
import concurrent.futures
import gzip
import json
import os
import pathlib
import random
import socket
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / 'tests' / 'harness')]
import requests  # noqa: E402
from score import wait  # noqa: E402
from service import Service, ask, bearer, define  # noqa: E402

TICK = os.sysconf('SC_CLK_TCK')
COLUMNS = [('TimeGenerated', 'datetime'), ('EventId', 'string'), ('EventType', 'string'), ('Severity', 'int'), ('User', 'string'), ('SourceIp', 'string'),
           ('DestinationIp', 'string'), ('Bytes', 'long'), ('Url', 'string'), ('UserAgent', 'string'), ('Message', 'string'), ('Details', 'dynamic')]


def cpu(pid):
    fields = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def event(n, dice):
    one = {'TimeGenerated': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()), 'EventId': f'{n:012x}', 'EventType': dice.choice(['login', 'proxy', 'dns', 'file']),
           'Severity': dice.randrange(10), 'User': f'user{dice.randrange(5000)}@example.org', 'SourceIp': f'10.{n % 250}.{dice.randrange(250)}.7',
           'DestinationIp': f'203.0.113.{dice.randrange(250)}', 'Bytes': dice.randrange(1 << 31), 'Url': f'https://host{dice.randrange(900)}.example.org/path/{n}',
           'UserAgent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36', 'Message': '', 'Details': {'rule': dice.randrange(300), 'action': 'allow', 'tags': ['a', 'b']}}
    one['Message'] = 'm' * max(0, 605 - len(json.dumps(one, separators=(',', ':'))))
    return one


def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--megabytes', type=int, default=200)
    ap.add_argument('--events', type=int, default=400_000)
    a = ap.parse_args()
    dice = random.Random(7)
    bodies = [json.dumps([event(n * 1600 + k, dice) for k in range(1600)], separators=(',', ':')).encode() for n in range(8)]
    rounds = max(1, a.megabytes * 1_000_000 // len(bodies[0]))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = folder / 'bartizan.yaml'
        config.write_text('version: 1\nsources:\n  syslog:\n    - { name: firewalls, tcp: 0 }\n')
        with Service(folder / 'data', extra=('--config', str(config))) as service:
            rule = define(service.connect, 'Ingest_CL', COLUMNS)
            expected = json_round(service, rule, bodies, rounds, 'plain', lambda body: (body, {}), 0)
            json_round(service, rule, bodies, rounds, 'gzip', lambda body: (gzip.compress(body, 6), {'Content-Encoding': 'gzip'}), expected)
            cef_round(service, a.events)


def json_round(service, rule, bodies, rounds, name, encode, before):
    url = f"{service.connect['logs_ingestion_endpoint']}/dataCollectionRules/{rule}/streams/Custom-Ingest_CL?api-version=2023-01-01"
    encoded = [encode(body) for body in bodies]
    session = requests.Session()
    session.verify = service.connect['ca_cert']
    session.mount('https://', requests.adapters.HTTPAdapter(pool_maxsize=8))
    headers = bearer(service.connect, 'https://monitor.azure.com')

    def send(n):
        body, more = encoded[n % len(encoded)]
        reply = session.post(url, data=body, headers={**headers, 'Content-Type': 'application/json', **more}, timeout=120)
        assert reply.status_code == 204, (reply.status_code, reply.text[:300])

    send(0)
    began, start = cpu(service.process.pid), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(rounds)))
    used, took = cpu(service.process.pid) - began, time.monotonic() - start
    expected = before + (rounds + 1) * 1600
    found = ask(service.connect, 'Ingest_CL | count')[0][0]
    assert found == expected, (found, expected)
    size = rounds * len(bodies[0]) / 1e6
    print(f'JSON, {name}: {size / used:6.1f} MB per CPU second ({size:.0f} MB, {used:.1f} s of CPU, {took:.1f} s)', flush=True)
    return expected


def cef_round(service, events):
    port = int(next(one['address'] for one in service.connect['syslog'] if one['protocol'] == 'tcp').rsplit(':', 1)[1])
    dice = random.Random(8)
    lines = ''.join(
        f'<134>Dec  1 10:00:00 fw01 CEF:0|Fortinet|Fortigate|7.2|00013|traffic:forward close|3|deviceExternalId=FG{n} src=10.1.{n % 250}.9 spt={1024 + n % 60000} '
        f'dst=203.0.113.{n % 250} dpt=443 proto=6 act=close app=HTTPS out={dice.randrange(9999)} in={dice.randrange(99999)} duser=user{n % 500} '
        f'cs1=policy{n % 40} cs1Label=policy msg=session closed\n' for n in range(20_000)).encode()
    rounds = max(1, events // 20_000)
    began, start = cpu(service.process.pid), time.monotonic()
    with socket.create_connection(('127.0.0.1', port), timeout=60) as stream:
        stream.settimeout(120)
        for _ in range(rounds):
            stream.sendall(lines)
    total = rounds * 20_000
    wait(lambda: ask(service.connect, 'CommonSecurityLog | count')[0][0] >= total, 'rows', 120, 0.2)
    used, took = cpu(service.process.pid) - began, time.monotonic() - start
    print(f'CEF over TCP: {total / used:,.0f} events per CPU second ({total:,} events, {used:.1f} s of CPU, {took:.1f} s)', flush=True)


if __name__ == '__main__':
    main()
