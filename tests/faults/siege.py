#!/usr/bin/env python3
"""Everything that readers, publishers and strangers may do to a service, all at once, while a probe, a near-real-time rule and pages go on.

    siege.py [--seconds 3600] [--p99 0.5]

Attackers: queries made to end the process (stack, planning, memory), large documents for `oncall/check`, decompression bombs, slow and silent
connections, refused bodies. Each works in a process of its own, with applications of their own. Meanwhile the probe asks a query and uploads a
row every quarter of a second with its own application, and every two seconds a row that must become an incident and a page.

Passes where the probe's 99th percentile is below the limit, none of its requests failed, every incident was paged once, and the memory of the
process stayed below the documented limits plus 300 MiB and went back afterwards. Loopback only; ends by itself.
"""
import argparse
import datetime as dt
import gzip
import json
import multiprocessing
import pathlib
import random
import re
import signal
import socket
import ssl
import sys
import tempfile
import time
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / folder) for folder in ('harness', 'oncall', 'kql')]
import requests
from attacks import cases
from event_to_page import DIRECTORY
from provider import Provider, configuration
from score import Score
from service import Service, credential, define, put, scope

ROLES = {'reader': '73c42c96-874c-492b-b04d-ab87d138a893', 'publisher': '3913510d-42f4-4e42-8a64-420c390055eb',
         'responder': '3e150937-b8fe-4cfb-8069-0eaf05ecd056'}
# docs/reference/service-limits.md and query-limits.md: inflated bodies, bodies on the wire, rows of uploads; and all queries together.
STATED_MIB = 256 + 128 + 512
QUERIES_MIB = 1024
SLACK_MIB = 300
CONFIG = '''
query:
  memory: 256MiB
  total_memory: 1GiB
'''


def rss(pid):
    return int(re.search(r'VmRSS:\s+(\d+) kB', open(f'/proc/{pid}/status').read()).group(1)) // 1024


class Peer:
    """An application of the service."""

    def __init__(self, connect, app, secret):
        self.connect, self.app, self.secret = connect, app, secret
        self.session = requests.Session()
        self.session.verify = connect['ca_cert']
        self.tokens = {}

    def token(self, audience):
        kept = self.tokens.get(audience)
        if kept and kept[1] > time.monotonic():
            return kept[0]
        form = {'grant_type': 'client_credentials', 'client_id': self.app, 'client_secret': self.secret, 'scope': f'{audience}/.default'}
        reply = self.session.post(f"{self.connect['authority']}/{self.connect['tenant_id']}/oauth2/v2.0/token", data=form, timeout=30)
        reply.raise_for_status()
        self.tokens[audience] = (reply.json()['access_token'], time.monotonic() + 600)
        return self.tokens[audience][0]

    def query(self, kql, timeout=60):
        url = f"{self.connect['log_analytics_endpoint'].rstrip('/')}/v1/workspaces/{self.connect['workspace_id']}/query"
        return self.session.post(url, json={'query': kql}, headers={'Authorization': 'Bearer ' + self.token('https://api.loganalytics.io')},
                                 timeout=timeout)

    def insist(self, *args):
        """An upload as an SDK makes it: again after `Retry-After` where the service is busy. Gives how often it was repeated."""
        for again in range(5):
            reply = self.upload(*args)
            if reply.status_code not in (429, 503):
                break
            time.sleep(float(reply.headers['Retry-After']))
        reply.raise_for_status()
        return again

    def upload(self, rule, stream, body, encoding=None, timeout=60):
        url = f"{self.connect['logs_ingestion_endpoint'].rstrip('/')}/dataCollectionRules/{rule}/streams/{stream}?api-version=2023-01-01"
        headers = {'Authorization': 'Bearer ' + self.token('https://monitor.azure.com'), 'Content-Type': 'application/json'}
        if encoding:
            headers['Content-Encoding'] = encoding
        return self.session.post(url, data=body, headers=headers, timeout=timeout)


def register(connect, name, roles):
    """An application with these roles; gives its id and secret."""
    graph = connect['graph_endpoint'].rstrip('/')
    token = credential(connect).get_token('https://graph.microsoft.com/.default').token

    def call(path, body):
        reply = requests.post(graph + path, json=body, headers={'Authorization': f'Bearer {token}'}, verify=connect['ca_cert'], timeout=30)
        reply.raise_for_status()
        return reply.json()

    app = call('/v1.0/applications', {'displayName': name})
    principal = call('/v1.0/servicePrincipals', {'appId': app['appId']})
    secret = call(f"/v1.0/applications/{app['id']}/addPassword", {'passwordCredential': {'displayName': name}})['secretText']
    group = f"/subscriptions/{connect['subscription_id']}/resourceGroups/{connect['resource_group']}"
    for role in roles:
        put(connect, f'{group}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}', '2022-04-01', {
            'properties': {'roleDefinitionId': ROLES[role], 'principalId': principal['id'], 'principalType': 'ServicePrincipal'}})
    return app['appId'], secret


# --- Attackers: each in a process of its own, until the parent ends it. They count statuses; any answer is right, as long as the others go on.

def queries(connect, application, _):
    peer = Peer(connect, *application)
    texts = [query for _, _, query, _ in cases()]
    while True:
        text = random.choice(texts)
        yield peer.query(text, timeout=120).status_code


def cross_joins(connect, application, _):
    peer = Peer(connect, *application)
    while True:
        yield peer.query('range a from 1 to 3000 step 1 | extend k=1 | join kind=inner (range b from 1 to 3000 step 1 | extend k=1) on k | count',
                         timeout=120).status_code


def documents(connect, application, _):
    peer = Peer(connect, *application)
    users = {f'u{n}': {'name': f'User {n}', 'contacts': {'m': {'email': f'u{n}@example.org'}}} for n in range(20_000)}
    text = json.dumps({'users': users, 'escalation_policies': {'p': {'steps': [{'targets': [f'user:v{n}' for n in range(2000)]}]}}})
    while True:
        yield peer.session.post(connect['base_url'] + '/api/v1/oncall/check', data=text[:2_000_000] if random.random() < 0.3 else text,
                                headers={'Authorization': 'Bearer ' + peer.token(connect['base_url'].rstrip('/')), 'Content-Type': 'application/json'},
                                timeout=120).status_code


def inflating(connect, application, rule):
    peer = Peer(connect, *application)
    bodies = [gzip.compress(b'[' + b'1,' * 1_999_999 + b'1]'), gzip.compress(b'[' + b'{},' * 999_999 + b'{}]'), gzip.compress(b' ' * 300_000_000),
              gzip.compress(b'[' + b'{"User":"a"},' * 90_000 + b'{"User":"a"}]')]
    while True:
        yield peer.upload(rule, 'Custom-Siege_CL', random.choice(bodies), 'gzip', timeout=120).status_code


def refused(connect, application, rule):
    peer = Peer(connect, *application)
    while True:
        size = random.choice([10, 10_000, 1_000_000, 8_000_000])
        yield peer.upload(rule, 'Custom-Nothing_CL', b'x' * size, timeout=60).status_code


def slow(connect, _, __):
    context = ssl.create_default_context(cafile=connect['ca_cert'])
    port = int(connect['base_url'].rsplit(':', 1)[1].strip('/'))
    streams = [None] * 400
    n = 0
    while True:
        n += 1
        stream = socket.socket()
        stream.bind((f'127.2.{n // 250 % 250}.{n % 250 + 1}', 0))
        stream.settimeout(10)
        stream.connect(('127.0.0.1', port))
        if n % 2:
            stream = context.wrap_socket(stream, server_hostname='localhost')
            stream.sendall(f"POST /{connect['tenant_id']}/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400\r\n\r\ngrant_type=cli".encode())
        old, streams[n % 400] = streams[n % 400], stream
        if old:
            old.close()
        time.sleep(0.02)
        yield 0


ATTACKERS = [('queries', queries, 2), ('cross joins', cross_joins, 2), ('documents', documents, 1), ('bombs', inflating, 2),
             ('refused bodies', refused, 1), ('slow connections', slow, 1)]


def attack(make, connect, application, rule, counts, key):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rounds = make(connect, application, rule)
    while True:
        try:
            status = next(rounds)
        except StopIteration:
            # A generator ends with the error that it raised: begin anew.
            rounds = make(connect, application, rule)
            continue
        except Exception as error:
            rounds = make(connect, application, rule)
            status = type(error).__name__
            time.sleep(0.05)
        name = f'{key} {status}'
        counts[name] = counts.get(name, 0) + 1


def percentile(times, share):
    times = sorted(times)
    return times[min(len(times) - 1, int(len(times) * share))] if times else 99.0


def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--seconds', type=float, default=3600)
    ap.add_argument('--p99', type=float, default=0.5, help='limit of the probe in seconds')
    a = ap.parse_args()
    score, provider = Score(), Provider()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = configuration(folder, provider, DIRECTORY.format(folder=folder))
        config.write_text(config.read_text() + CONFIG)
        with Service(folder / 'data', extra=('--config', str(config))) as service:
            siege(service, provider, a, score)
    score.end()


def siege(service, provider, a, score):
    connect, pid = service.connect, service.process.pid
    rule = define(connect, 'Siege_CL', [('TimeGenerated', 'datetime'), ('User', 'string'), ('Tries', 'int')])
    _, workspace = scope(connect)
    put(connect, f'{workspace}/providers/Microsoft.SecurityInsights/alertRules/{uuid.uuid4()}', '2025-09-01', {
        'kind': 'NRT', 'properties': {
            'displayName': 'Too many tries', 'enabled': True, 'severity': 'High', 'suppressionEnabled': False, 'suppressionDuration': 'PT1H',
            'query': 'Siege_CL | where Tries >= 99 | project User, Tries',
            'alertDetailsOverride': {'alertDisplayNameFormat': 'Too many tries by {{User}}'},
            'eventGroupingSettings': {'aggregationKind': 'AlertPerResult'}, 'incidentConfiguration': {'createIncident': True}}})
    probe = Peer(connect, *register(connect, 'probe', ['reader', 'publisher']))
    context = multiprocessing.get_context('fork')
    counts = context.Manager().dict()
    attackers = []
    base = rss(pid)
    for key, make, number in ATTACKERS:
        application = register(connect, key, ['reader', 'publisher', 'responder'])
        for _ in range(number):
            attackers.append(context.Process(target=attack, args=(make, connect, application, rule, counts, key), daemon=True))
    asked, uploaded, errors, began, most, over, repeated = [], [], [], {}, base, 0, 0
    limit = base + STATED_MIB + QUERIES_MIB + SLACK_MIB
    for attacker in attackers:
        attacker.start()
    until, next_page, n = time.monotonic() + a.seconds, 0.0, 0
    try:
        while time.monotonic() < until:
            n += 1
            start = time.monotonic()
            try:
                reply = probe.query('Siege_CL | where User == "probe" | take 5')
                reply.raise_for_status()
                asked.append(time.monotonic() - start)
                user, tries = 'probe', 1
                if start >= next_page:
                    user, tries, next_page = f'user{uuid.uuid4().hex[:8]}', 99, start + 2
                middle = time.monotonic()
                body = json.dumps([{'TimeGenerated': dt.datetime.now(dt.timezone.utc).isoformat(), 'User': user, 'Tries': tries}])
                repeated += probe.insist(rule, 'Custom-Siege_CL', body)
                uploaded.append(time.monotonic() - middle)
                if tries == 99:
                    began[user] = middle
            except (requests.RequestException, OSError) as error:
                errors.append(f'{type(error).__name__}: {str(error)[:200]}')
            now = rss(pid)
            most, over = max(most, now), over + (now > limit)
            if n % 400 == 0:
                print(f'      {n} rounds, query p99 {1000 * percentile(asked, .99):.0f} ms, upload p99 {1000 * percentile(uploaded, .99):.0f} ms, '
                      f'{now} MiB, {len(errors)} errors', flush=True)
            time.sleep(max(0.0, 0.25 - (time.monotonic() - start)))
    finally:
        for attacker in attackers:
            attacker.kill()
    print('      ' + ', '.join(f'{key}: {count}' for key, count in sorted(dict(counts).items())), flush=True)
    for what, times in (('queries', asked), ('uploads', uploaded)):
        line = f'{len(times)}, p50 {1000 * percentile(times, .5):.0f} ms, p99 {1000 * percentile(times, .99):.0f} ms, worst {1000 * max(times or [99]):.0f} ms'
        print(f'      {what} of the probe: {line}', flush=True)
        score.check(f'99 of 100 {what} of the probe are answered within {a.p99} s', percentile(times, .99) <= a.p99, line)
    print(f'      uploads of the probe that were repeated because the service was busy: {repeated}', flush=True)
    score.check('no request of the probe failed', not errors, (len(errors), errors[:3]))
    score.check(f'memory stays below the documented limits ({limit} MiB)', over == 0, f'{most} MiB at most, {over} samples over')
    end = time.monotonic() + 60
    pages = {}
    while time.monotonic() < end and not began.keys() <= pages.keys():
        with provider.lock:
            pages = {}
            for at, _, body in provider.hooks:
                if body['bartizan']['event'] == 'page':
                    pages.setdefault(body['bartizan']['incident']['title'].split(' by ')[-1], []).append(at)
        time.sleep(0.2)
    missed = began.keys() - pages.keys()
    delays = [pages[user][0] - at for user, at in began.items() if user in pages]
    score.check(f'all {len(began)} incidents are paged', not missed, f'{len(missed)} missed')
    score.check('none of them twice', all(len(times) == 1 for times in pages.values()), '')
    print(f'      event to page: p50 {1000 * percentile(delays, .5):.0f} ms, p99 {1000 * percentile(delays, .99):.0f} ms; {most} MiB at most', flush=True)
    end = time.monotonic() + 60
    while rss(pid) > base + SLACK_MIB and time.monotonic() < end:
        time.sleep(0.5)
    score.check('memory goes back afterwards', rss(pid) <= base + SLACK_MIB, f'{base} MiB before, {rss(pid)} MiB after')
    score.check('the service stops cleanly', service.stop(60) == 0)


if __name__ == '__main__':
    main()
