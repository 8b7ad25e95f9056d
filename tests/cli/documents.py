#!/usr/bin/env python3
"""Documents, used as people use them: checked, compared, applied, exported, and applied to a second service.

    documents.py

Expected answers: what docs/guide/documents.md promises; what the second service holds is read through Azure's APIs and its own.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests' / 'harness'))
from service import Service  # noqa: E402

BARTIZAN = str(ROOT / 'target' / 'debug' / 'bartizan')
failures = []
checks = 0

COMPLETE = '''\
tables:
  Doors_CL:
    retention: 90d
    columns:
      - { name: TimeGenerated, type: datetime }
      - { name: Door, type: string }
      - { name: Badge, type: long }
data_collection_rules:
  doors:
    streamDeclarations:
      Custom-Doors:
        columns:
          - { name: at, type: datetime }
          - { name: Door, type: string }
          - { name: Badge, type: long }
    dataFlows:
      - streams: [Custom-Doors]
        transformKql: source | project TimeGenerated = at, Door, Badge
        outputStream: Custom-Doors_CL
functions:
  night-doors: { alias: NightDoors, parameters: "since:int=22", body: "Doors_CL | where hourofday(TimeGenerated) >= since" }
analytics_rules:
  door-at-night:
    name: A door was opened at night
    severity: Medium
    queryFrequency: 1h
    queryPeriod: 1h
    triggerOperator: gt
    triggerThreshold: 0
    tactics: [InitialAccess]
    relevantTechniques: [T1110.003, T1078]
    query: NightDoors() | summarize Count = count() by Door
    customDetails: { Opened: Count }
applications:
  door-collector: {}
role_assignments:
  door-collector-sends: { role: Monitoring Metrics Publisher, principal: door-collector, scope: data_collection_rules.doors }
users:
  ann: { name: Ann, contacts: { mail: { email: ann@example.org } } }
schedules:
  week: { time_zone: UTC, layers: [{ name: only, rotation: { every: week, start: 2026-01-05T08:00, users: [ann] } }] }
escalation_policies:
  all: { steps: [{ targets: [schedule:week] }] }
alert_policies:
  all: { escalation_policy: all }
'''

# A wrong document of each kind, and what the error must say.
WRONG = {
    'tables': ('tables:\n  Doors_CL:\n    columns: [{ name: Badge, type: number }]\n', '`tables.Doors_CL.columns[0].type`'),
    'tables, name': ('tables:\n  Doors:\n    columns: [{ name: TimeGenerated, type: datetime }]\n', "'Doors_CL' would do"),
    'data_collection_rules': ('data_collection_rules:\n  d:\n    dataFlows: [{ streams: [Microsoft-Syslog], outputStream: Custom-Dors_CL }]\n',
                              'there is no table `Dors_CL`'),
    'functions': ('functions:\n  f:\n    alias: 1f\n    body: T\n', '`functions.f.alias`'),
    'functions, query': ('functions:\n  f:\n    alias: F\n    body: "Syslog | were 1"\n', '`functions.f.body`'),
    'analytics_rules': ('analytics_rules:\n  r:\n    name: x\n    severity: High\n    kind: NRT\n    query: Syslogg | take 1\n', '`analytics_rules.r.query`'),
    'applications': ('applications:\n  a:\n    app_id: mine\n', '`mine` is no client id'),
    'applications, secret': ('applications:\n  a:\n    secret: hush\n', 'unknown field `secret`'),
    'role_assignments': ('role_assignments:\n  r: { role: Readr, principal: nobody, scope: workspace }\n', 'Did you mean `Reader`?'),
    'users': ('users:\n  ann: { nme: Ann }\n', 'Did you mean `name`?'),
    'schedules': ('schedules:\n  w: { time_zone: Nowhere, layers: [] }\n', '`schedules.w'),
    'overrides': ('overrides:\n  o: { schedule: nowhere, from: 2026-01-01T00:00Z, to: 2026-01-02T00:00Z, remove: x }\n', 'no schedule `nowhere`'),
    'escalation_policies': ('escalation_policies:\n  p: { steps: [] }\n', '`escalation_policies.p.steps`'),
    'alert_policies': ('alert_policies:\n  p: { escalation_policy: q }\n', 'no escalation policy `q`'),
    'maintenance_windows': ('maintenance_windows:\n  m: { from: 2026-01-02T00:00:00Z, to: 2026-01-01T00:00:00Z }\n', '`maintenance_windows.m.to`'),
    'heartbeats': ('heartbeats:\n  h: { every: 1s }\n', '`heartbeats.h.every`'),
    'unknown kind': ('tabels: {}\n', 'Did you mean `tables`?'),
}


def check(what, holds, seen=''):
    global checks
    checks += 1
    if not holds:
        failures.append(what)
        print(f'FAIL {what}: {str(seen)[:800]}')


def run(*args):
    done = subprocess.run([BARTIZAN, *args], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def session(connect):
    """A client of our API, and the base of its documents."""
    import requests
    form = {'grant_type': 'client_credentials', 'client_id': connect['client_id'], 'client_secret': connect['client_secret'],
            'scope': connect['base_url'].rstrip('/') + '/.default'}
    client = requests.Session()
    # The environment may name the authority of another service of this process.
    client.trust_env = False
    client.verify = connect['ca_cert']
    token = client.post(f"{connect['authority'].rstrip('/')}/{connect['tenant_id']}/oauth2/v2.0/token", data=form, timeout=30).json()['access_token']
    client.headers['Authorization'] = f'Bearer {token}'
    return client, connect['base_url'].rstrip('/') + '/api/v1/documents'


def without_a_service(folder):
    good = folder / 'good.yaml'
    good.write_text(COMPLETE)
    code, out, err = run('check', str(good))
    check('a right document is right', code == 0 and '1 tables' in out and '1 analytics rules' in out, (code, out, err))
    for what, (text, expected) in WRONG.items():
        path = folder / 'wrong.yaml'
        path.write_text(text)
        code, out, err = run('check', str(path))
        check(f'a wrong document is refused: {what}', code == 1 and expected in err and 'wrong.yaml' in err, (code, out, err))
    path = folder / 'wrong.yaml'
    path.write_text('tables:\n  T_CL:\n    colums: []\n')
    code, _, err = run('check', str(path))
    check('the line is named', f'{path}, line 3, `tables.T_CL.colums`' in err and 'Did you mean `columns`?' in err, err)
    path.write_text('functions:\n\n  f:\n    alias: 1f\n    body: T\n')
    code, _, err = run('check', str(path))
    check('the line of an object is named', f'{path}, line 3, `functions.f.alias`' in err, err)
    path.write_text('functions:\n  night-doors: { body: T }\n')
    code, _, err = run('check', str(good), str(path))
    check('a name that stands twice names both files', code == 1 and str(good) in err and str(path) in err, err)
    code, _, _ = run('check', str(folder / 'none.yaml'))
    check('a file that is not there cannot be checked', code == 2, code)
    path.unlink()
    return good


def first(folder, data, good):
    at = ('--data-dir', data)
    code, out, err = run('check', str(good), *at)
    check('it is right for the service too', code == 0, (code, out, err))
    code, out, err = run('diff', str(good), *at)
    check('everything would be new', code == 0 and '+ tables/Doors_CL' in out and '+ users/ann' in out, (code, out, err))
    # One wrong object among good ones: nothing is made, in the catalog or in the store.
    mixed = folder / 'mixed.yaml'
    mixed.write_text(COMPLETE.replace('query: NightDoors()', 'query: NightDors()'))
    code, out, err = run('apply', str(mixed), *at)
    check('a wrong object is refused with its place', code == 1 and 'mixed.yaml' in err and '`analytics_rules.door-at-night.query`' in err, (code, out, err))
    code, out, _ = run('diff', str(good), *at)
    check('nothing of it was applied', out.count('+ ') == 10, out)
    mixed.unlink()
    code, out, err = run('apply', str(good), *at)
    check('it is applied', code == 0 and out.count('+ ') == 10, (code, out, err))
    code, out, err = run('apply', str(good), *at)
    check('applied again, nothing changes', code == 0 and out.strip() == 'Nothing changed.', (code, out, err))
    code, out, err = run('query', *at, '--format', 'csv', 'NightDoors() | count')
    check('the function is called and reads the table', code == 0 and out.split() == ['Count', '0'], (code, out, err))
    code, out, err = run('export', *at)
    check('the export has every kind', code == 0 and all(f'{kind}:' in out for kind in ['tables', 'role_assignments', 'users']), (code, out, err))
    check('no secret is exported', 'secret' not in out.lower() and 'hash' not in out.lower(), out)
    check('the own application is not exported', 'First application' not in out, out)
    code, out, _ = run('oncall', 'export', *at)
    check('on call exports as before', code == 0 and 'schedules:' in out and 'tables:' not in out, out)
    code, _, err = run('export', '--kind', 'table', *at)
    check('a kind that does not exist is refused', code == 1 and 'Did you mean `tables`?' in err, err)


def single(connect):
    client, base = session(connect)
    got = client.get(f'{base}/tables/Doors_CL', timeout=30)
    etag = got.headers.get('ETag', '')
    body = got.json()
    check('an object has an etag', got.status_code == 200 and etag and body['retention'] == 'P90D', got.text)
    body['retention'] = '30d'
    stale = client.put(f'{base}/tables/Doors_CL', json=body, headers={'If-Match': '"00000000-0000-0000-0000-000000000000"'}, timeout=30)
    check('a stale etag is refused', stale.status_code == 412, stale.text)
    changed = client.put(f'{base}/tables/Doors_CL', json=body, headers={'If-Match': etag}, timeout=30)
    check('the right etag is taken', changed.status_code == 200 and changed.headers['ETag'] != etag, changed.text)
    stale = client.delete(f'{base}/tables/Doors_CL', headers={'If-Match': etag}, timeout=30)
    check('deleting needs the version too', stale.status_code == 412, stale.text)
    needed = client.delete(f'{base}/tables/Doors_CL', timeout=30)
    check('a table that a rule writes to stays', needed.status_code == 400 and 'doors' in needed.text, needed.text)
    again = client.put(f'{base}/functions/night-doors', json={'body': 'Doors_CL'}, headers={'If-None-Match': '*'}, timeout=30)
    check('`If-None-Match: *` never replaces', again.status_code == 412, again.text)
    wrong = client.put(f'{base}/functions/f', json={'bdy': 'Doors_CL'}, timeout=30)
    check('a wrong field is named', wrong.status_code == 400 and 'Did you mean `body`?' in wrong.text, wrong.text)
    none = client.get(f'{base}/functions/night-dors', timeout=30)
    check('the nearest name is proposed', none.status_code == 404 and "Did you mean 'night-doors'?" in none.text, none.text)
    none = client.get(f'{base}/function/x', timeout=30)
    check('the nearest kind is proposed', none.status_code == 404 and "Did you mean 'functions'?" in none.text, none.text)
    made = client.put(f'{base}/functions/spare', json={'alias': 'Spare', 'body': 'Doors_CL'}, timeout=30)
    check('an object is made', made.status_code == 201, made.text)
    gone = client.delete(f'{base}/functions/spare', headers={'If-Match': made.headers['ETag']}, timeout=30)
    check('it is deleted', gone.status_code == 204, gone.text)
    kinds = client.get(f'{base}/kinds', timeout=30).json()['kinds']
    check('kinds have schemas', len(kinds) == 13 and all(kind['schema'] for kind in kinds), json.dumps(kinds)[:400])
    user = client.get(f'{base}/users/ann', timeout=30)
    check('on call has etags of its own', user.headers['ETag'] == client.get(base.replace('documents', 'oncall') + '/users/ann', timeout=30).headers['ETag'])


def second(folder, data, exported):
    at = ('--data-dir', data)
    path = folder / 'exported.yaml'
    path.write_text(exported)
    code, out, err = run('apply', str(path), *at)
    check('the export is applied to an empty service', code == 0, (code, out, err))
    code, out, _ = run('export', *at)
    check('its export is identical', code == 0 and out == exported, (out, exported))
    folder_of = folder / 'some'
    folder_of.mkdir()
    (folder_of / 'rules.yaml').write_text('analytics_rules: {}\nfunctions:\n  night-doors: { alias: NightDoors, body: Doors_CL }\n')
    code, out, err = run('diff', '--prune', str(folder_of), *at)
    check('pruning concerns the kinds that are named', code == 0 and '- analytics_rules/door-at-night' in out and '~ functions/night-doors' in out
          and 'tables/' not in out and 'users/' not in out, (code, out, err))
    code, out, err = run('apply', '--prune', str(folder_of), *at)
    check('it is pruned', code == 0, (code, out, err))
    code, out, _ = run('export', '--kind', 'analytics_rules', *at)
    check('no rule is left', 'door-at-night' not in out, out)
    (folder_of / 'rules.yaml').write_text('data_collection_rules: {}\ntables: {}\napplications: {}\nrole_assignments: {}\nusers: {ann: {name: Ann B, contacts: {mail: {email: a@example.org}}}}\n')
    code, out, err = run('apply', '--prune', str(folder_of), *at)
    check('tables and applications are pruned', code == 0 and '- tables/Doors_CL' in out and '- applications/door-collector' in out, (code, out, err))
    check('of on call only users were named', '~ users/ann' in out and 'schedules/' not in out, out)
    code, out, _ = run('query', *at, '--format', 'csv', 'Syslog | count')
    check('the service is still reached, and Microsoft\'s tables are there', code == 0 and out.split() == ['Count', '0'], out)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        good = without_a_service(folder)
        data = str(folder / 'first')
        with Service(data, BARTIZAN) as service:
            first(folder, data, good)
            single(service.connect)
            code, exported, err = run('export', '--data-dir', data)
            check('it is exported', code == 0, err)
        data = str(folder / 'second')
        with Service(data, BARTIZAN):
            second(folder, data, exported)
    print(f'{checks - len(failures)} of {checks} hold')
    sys.exit(1 if failures else 0)


if __name__ == '__main__':
    main()
