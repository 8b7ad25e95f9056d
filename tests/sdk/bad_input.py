#!/usr/bin/env python3
"""Sends invalid requests over real TLS to a real service, and checks that each gets a specific error while others are served.

    bad_input.py

A second client uploads and queries continuously; a rejection or lost row of it fails the run. The disk that fills is a small tmpfs, for
which the script needs to be root; otherwise that check is skipped with a message.
"""
import base64
import datetime as dt
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import requests
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from score import wait  # noqa: E402
from service import BINARY, Service, bearer, credential, define, incident_path, scope  # noqa: E402

TABLE = 'Bad_CL'
passed = failed = skipped = 0


def check(name, run):
    global passed, failed
    try:
        said = run()
        passed += 1
        print(f'ok    {name}: {str(said)[:150]}', flush=True)
    except Exception as error:  # count it and continue
        failed += 1
        print(f'FAIL  {name}: {type(error).__name__}: {str(error)[:400]}', flush=True)


def expect(reply, status, *words):
    text = reply.text
    assert reply.status_code == status, f'{reply.status_code} instead of {status}: {text[:200]}'
    missing = [word for word in words if word.lower() not in text.lower()]
    assert not missing, f'the error does not say {missing}: {text[:200]}'
    error = json.loads(text).get('error', {})
    return f"{status} {error.get('code')}: {error.get('message', '')}" if isinstance(error, dict) else f'{status} {text[:120]}'


class Others:
    """A well-behaved client that works continuously."""

    def __init__(self, connect, rule):
        from azure.monitor.ingestion import LogsIngestionClient
        self.client = LogsIngestionClient(endpoint=connect['logs_ingestion_endpoint'], credential=credential(connect))
        self.rule, self.sent, self.errors, self.going = rule, 0, [], True
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while self.going:
            try:
                self.client.upload(self.rule, f'Custom-{TABLE}', [{'TimeGenerated': dt.datetime.now(dt.timezone.utc).isoformat(), 'A': 'good'}])
                self.sent += 1
            except Exception as error:
                self.errors.append(str(error)[:200])
            time.sleep(0.02)

    def end(self):
        self.going = False
        self.thread.join(60)
        return self.sent


def main():
    with tempfile.TemporaryDirectory() as folder:
        with Service(os.path.join(folder, 'data')) as service:
            against(service)
        starts(pathlib.Path(folder))
        full_disk(pathlib.Path(folder))
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    sys.exit(1 if failed else 0)


def against(service):
    c = service.connect
    rule = define(c, TABLE, [('TimeGenerated', 'datetime'), ('A', 'string'), ('D', 'dynamic'), ('N', 'int')])
    cred = credential(c)
    token = cred.get_token('https://monitor.azure.com/.default').token
    url = f"{c['logs_ingestion_endpoint']}/dataCollectionRules/{rule}/streams/Custom-{TABLE}?api-version=2023-01-01"
    others = Others(c, rule)

    def post(body, token=token, **headers):
        headers = {'Authorization': f'Bearer {token}', 'Content-Type': 'application/json', **{k.replace('_', '-'): v for k, v in headers.items()}}
        return requests.post(url, data=body, headers=headers, verify=c['ca_cert'], timeout=60)

    row = {'TimeGenerated': '2026-01-01T00:00:00Z', 'A': 'x'}
    check('a 20 MB body', lambda: expect(post(b'[' + b' ' * 20_000_000 + b']'), 413, 'ContentLengthLimitExceeded', '1048576'))
    check('a gzip bomb', lambda: expect(post(gzip.compress(b'[' + b' ' * 300_000_000 + b']', 9), Content_Encoding='gzip'), 413, 'inflate'))
    check('1,000-deep JSON', lambda: expect(post(b'[{"D":' + b'[' * 1000 + b']' * 1000 + b'}]'), 400, 'deep'))
    check('JSON that ends early', lambda: expect(post(b'[{"A":'), 400, 'JSON'))
    check('an object instead of an array', lambda: expect(post(json.dumps(row)), 400, 'array'))
    check('an unknown stream', lambda: expect(requests.post(url.replace(f'Custom-{TABLE}', 'Custom-Nope'), data='[]', headers={'Authorization': f'Bearer {token}', 'Content-Type': 'application/json'}, verify=c['ca_cert']), 404, 'stream'))

    other = cred.get_token('https://graph.microsoft.com/.default').token
    check('a wrong audience', lambda: expect(post('[]', token=other), 401, 'audience'))
    claims = json.loads(base64.urlsafe_b64decode(token.split('.')[1] + '=='))
    head = json.loads(base64.urlsafe_b64decode(token.split('.')[0] + '=='))
    b64 = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b'=').decode()
    check('alg: none', lambda: expect(post('[]', token=f"{b64({**head, 'alg': 'none'})}.{b64(claims)}."), 401, 'algorithm'))
    key = next(service.data_dir.glob('keys/*.pem'), None)

    def expired():
        import jwt
        past = int(time.time()) - 3600
        old = jwt.encode({**claims, 'exp': past, 'nbf': past - 60, 'iat': past - 60}, key.read_text(), algorithm='RS256', headers={'kid': head['kid']})
        return expect(post('[]', token=old), 401, 'expired')
    check('an expired token', expired)
    check('a token that was tampered with', lambda: expect(post('[]', token=f"{b64(head)}.{b64({**claims, 'appid': 'x'})}.{token.split('.')[2]}"), 401, 'signature'))

    incidents = f"{c['arm_endpoint']}{incident_path(c, uuid.uuid4())}?api-version=2025-09-01"
    put = lambda body: requests.put(incidents, json=body, headers=bearer(c, 'https://management.azure.com'), verify=c['ca_cert'], timeout=30)
    made = put({'properties': {'title': 't', 'severity': 'Low', 'status': 'New'}}).json()
    put({'etag': made['etag'], 'properties': {'title': 't2', 'severity': 'Low', 'status': 'New'}})
    check('a stale etag', lambda: expect(put({'etag': made['etag'], 'properties': {'title': 't3', 'severity': 'Low', 'status': 'New'}}), 409, 'Newer version'))

    query = f"{c['log_analytics_endpoint']}/v1/workspaces/{c['workspace_id']}/query"
    la = cred.get_token('https://api.loganalytics.io/.default').token
    ask = lambda kql: requests.post(query, json={'query': kql}, headers={'Authorization': f'Bearer {la}'}, verify=c['ca_cert'], timeout=60)
    check('a query nested 1,000 deep', lambda: expect(ask('print ' + '(' * 1000 + '1' + ')' * 1000), 400, 'nested'))

    # One invalid row does not affect its neighbours, and is kept with the reason.
    mixed = [row, {'TimeGenerated': '2026-01-01T00:00:00Z', 'A': 'y', 'N': 'not a number'}, 17]

    def dead_letters():
        assert post(json.dumps(mixed)).status_code == 204
        rows = lambda: ask(f'DCRLogErrors | where InputStreamId has "{TABLE}" | project Message').json()['tables'][0]['rows']
        return wait(rows, 'row in DCRLogErrors', 10)[0][0]
    check('a bad row among good ones', dead_letters)

    sent = others.end()

    def served():
        assert not others.errors, others.errors[:2]
        count = ask(f'{TABLE} | where A == "good" | count').json()['tables'][0]['rows'][0][0]
        assert sent > 0 and count == sent, f'{sent} sent, {count} stored'
        return f'{sent} uploads of another client, all stored'
    check('others were served all the while', served)


def starts(folder):
    """Errors that are detected at start."""
    def config(text, *words):
        path = folder / 'bartizan.yaml'
        path.write_text(text)
        ran = subprocess.run([BINARY, 'up', '--config', str(path), '--data-dir', str(folder / 'other'), '--listen', '127.0.0.1:0'], capture_output=True, text=True, timeout=30)
        assert ran.returncode == 2, f'exit code {ran.returncode}'
        missing = [word for word in words if word not in ran.stderr]
        assert not missing, f'{missing} not in: {ran.stderr}'
        return ran.stderr.strip()
    check('a config with a typo', lambda: config('version: 1\nlisen: 127.0.0.1:1\n', 'line 2', 'lisen', 'Did you mean `listen`?'))

    def broken_rule():
        rules = folder / 'rules'
        rules.mkdir()
        (rules / 'bad.yaml').write_text('name: Bad\nkind: Scheduled\nqueryFrequency: 1s\nqueryPeriod: 1h\ntriggerOperator: gt\ntriggerThreshold: 0\nquery: T\n')
        (rules / 'good.yaml').write_text('id: good\nname: Good\nkind: NRT\nseverity: Low\nquery: Syslog\n')
        (folder / 'rules.yaml').write_text(f'version: 1\nrules: [{rules}]\n')
        with Service(folder / 'with-rules', extra=['--config', str(folder / 'rules.yaml')]) as service:
            url = f"{service.connect['arm_endpoint']}{scope(service.connect)[1]}/providers/Microsoft.SecurityInsights/alertRules?api-version=2025-09-01"
            rules = requests.get(url, headers=bearer(service.connect, 'https://management.azure.com'), verify=service.connect['ca_cert']).json()['value']
            names = [each['properties']['displayName'] for each in rules]
            assert 'Good' in names and 'Bad' not in names, names
        said = [line for line in (folder / 'with-rules.log').read_text().splitlines() if 'bad.yaml' in line]
        assert said and 'line 3' in said[0] and 'queryFrequency' in said[0], said
        return said[0][-140:]
    check('a broken rule file', broken_rule)


def full_disk(folder):
    """Rejects new rows when the disk is full, continues to serve queries, and accepts rows again once there is space, without a restart."""
    global skipped
    place = folder / 'small'
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', str(place)], capture_output=True).returncode:
        skipped += 1
        print('skipped: a disk that fills: a small file system cannot be mounted here')
        return
    try:
        check('a disk that fills', lambda: fill(place))
    finally:
        subprocess.run(['umount', '-l', str(place)], capture_output=True)


def fill(place):
    with Service(place / 'data') as service:
        c = service.connect
        rule = define(c, TABLE, [('TimeGenerated', 'datetime'), ('A', 'string')])
        token = credential(c).get_token('https://monitor.azure.com/.default').token
        la = credential(c).get_token('https://api.loganalytics.io/.default').token
        url = f"{c['logs_ingestion_endpoint']}/dataCollectionRules/{rule}/streams/Custom-{TABLE}?api-version=2023-01-01"
        send = lambda: requests.post(url, json=[{'TimeGenerated': dt.datetime.now(dt.timezone.utc).isoformat(), 'A': os.urandom(20_000).hex()} for _ in range(20)],
                                     headers={'Authorization': f'Bearer {token}'}, verify=c['ca_cert'], timeout=60)
        ask = lambda: requests.post(f"{c['log_analytics_endpoint']}/v1/workspaces/{c['workspace_id']}/query", json={'query': f'{TABLE} | count'},
                                    headers={'Authorization': f'Bearer {la}'}, verify=c['ca_cert'], timeout=60).json()['tables'][0]['rows'][0][0]
        ballast = place / 'ballast'
        acknowledged, refused = 0, None
        with open(ballast, 'wb') as file:
            room = os.statvfs(place)
            file.write(b'x' * max(0, room.f_bavail * room.f_frsize - 4_000_000))
        for _ in range(200):
            reply = send()
            if reply.status_code == 204:
                acknowledged += 20
            else:
                refused = reply
                break
        assert refused is not None, 'the disk never filled'
        assert refused.status_code in (429, 503) and 'Retry-After' in refused.headers, f'{refused.status_code} {refused.text[:200]}'
        stored = ask()
        assert stored == acknowledged, f'{acknowledged} acknowledged, {stored} stored'
        ballast.unlink()
        wait(lambda: send().status_code == 204, 'row that is taken after there is room again', 30, 0.1)
        stored = ask()
        assert stored == acknowledged + 20, f'{acknowledged + 20} acknowledged, {stored} stored'
        return f'{refused.status_code} {json.loads(refused.text)["error"]["message"]}; took rows again without a restart'


if __name__ == '__main__':
    main()
