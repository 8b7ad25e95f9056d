#!/usr/bin/env python3
"""Deletes, zeroes, truncates and corrupts every file of a data directory in turn; checks that the loss is reported and everything else is served.

    damage.py                 each kind of file once (a minute)
    damage.py --long          each file, every kind of damage, after a clean stop and after kill -9

A template directory is filled once: a table with several data files and rows in the log, a rule, an incident, keys and certificates. Each trial
copies it, damages one file, starts the service over the copy and checks `/healthz` and `/api/v1/health` (which must name the file), the rows, the
rule, and the bytes of other files. Modification times are kept, as in bit rot. Prints the seed.
"""
import argparse
import hashlib
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from score import wait  # noqa: E402
from service import Service, bearer, define, ingest, put, query, scope  # noqa: E402

TABLE, FLUSHED, LOGGED = 'Kept_CL', 3, 2  # batches in data files, and in the log
ROWS = 200
HARMS = ('remove', 'empty', 'zero', 'cut', 'flip')
# Files without data to lose: recreated without a report.
NOTHING = re.compile(r'^(lock|state\.db-shm|reserve/.*|tmp(/.*)?|quarantine/.*)$')
# Rewritten by every start.
REWRITTEN = re.compile(r'^(lock|audit\.head|connect\.json|state\.db.*|copies/.*|reserve/.*|tmp/.*|.*\.json|tables/[^/]+/keys-.*)$')


def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--long', action='store_true')
    ap.add_argument('--only', help='a regular expression over "state file harm"')
    ap.add_argument('--seed', type=int, default=int(os.environ.get('BARTIZAN_SEED', random.randrange(1 << 30))))
    a = ap.parse_args()
    print(f'seed {a.seed} (run again with BARTIZAN_SEED={a.seed})', flush=True)
    rng = random.Random(a.seed)
    failures, trials, slowest = [], 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for state in ('stopped', 'killed') if a.long else ('stopped',):
            template = fill(folder / state, state)
            for file, harm in plan(template, a.long, rng):
                if a.only and not re.search(a.only, f'{state} {file} {harm}'):
                    continue
                copy = folder / 'trial'
                shutil.copytree(template, copy, symlinks=True)
                began = time.monotonic()
                wrong = trial(copy, file, harm, state, rng)
                trials, slowest = trials + 1, max(slowest, time.monotonic() - began)
                if wrong:
                    failures.append((state, file, harm, wrong))
                    print(f'FAIL {state} {harm} {file}: {"; ".join(wrong)}', flush=True)
                    print((folder / 'trial.log').read_text()[-1500:], flush=True)
                shutil.rmtree(copy)
                (folder / 'trial.log').unlink(missing_ok=True)
    print(f'{trials} trials, {len(failures)} failed, slowest {slowest:.1f} s')
    sys.exit(1 if failures or not trials else 0)


def fill(data_dir, state):
    """A data directory with every kind of file."""
    config = data_dir.parent / f'{state}.yaml'
    config.write_text('version: 1\nworkspace:\n  flush_after: 1s\n  small_files: 100\n')
    with Service(data_dir, extra=['--config', str(config)]) as service:
        connect = service.connect
        rule = define(connect, TABLE, [('TimeGenerated', 'datetime'), ('Batch', 'long'), ('N', 'long'), ('Text', 'string')])
        _, workspace = scope(connect)
        put(connect, f'{workspace}/providers/Microsoft.SecurityInsights/alertRules/11111111-2222-3333-4444-555555555555', '2024-09-01', {
            'kind': 'Scheduled', 'properties': {
                'displayName': 'kept', 'enabled': True, 'severity': 'Low', 'query': f'{TABLE} | where N == -1', 'queryFrequency': 'PT1H',
                'queryPeriod': 'PT1H', 'triggerOperator': 'GreaterThan', 'triggerThreshold': 0, 'suppressionDuration': 'PT1H', 'suppressionEnabled': False}})
        for batch in range(FLUSHED):
            upload(connect, rule, batch)
            parquet = lambda: len(list(data_dir.glob(f'tables/*/{TABLE}.*/*.parquet')))
            wait(lambda: parquet() > batch, 'a data file')
        service.stop()
    # The last rows stay in the log: the default is to keep them there for minutes.
    with Service(data_dir) as service:
        for batch in range(FLUSHED, FLUSHED + LOGGED):
            upload(service.connect, rule, batch)
        reserve = lambda: len(list(data_dir.glob('reserve/*'))) == 16
        wait(reserve, 'the reserve')
        wait(lambda: list(data_dir.glob('copies/state-*.db')), 'a copy of the state')
        service.stop() if state == 'stopped' else service.kill()
    return data_dir


def upload(connect, rule, batch):
    import datetime as dt
    now = dt.datetime.now(dt.timezone.utc).isoformat()
    rows = [{'TimeGenerated': now, 'Batch': batch, 'N': n, 'Text': f'row {n * 7919 % 1000} of {batch}'} for n in range(ROWS)]
    ingest(connect, rule, TABLE, rows).raise_for_status()


def plan(template, long, rng):
    """Pairs of a file and a kind of damage: all, or each kind of file once with one kind of damage."""
    files = sorted(str(path.relative_to(template)) for path in template.rglob('*') if path.is_file() and not path.is_symlink())
    if long:
        return [(file, harm) for file in files for harm in HARMS]
    kinds = {}
    for file in files:
        kind = re.sub(r'[0-9a-f]{8,}|\d+', '#', file)
        kind = re.sub(r'^tables/[^/]+/[A-Za-z]\w*\.#', 'tables/#/table', kind) if TABLE in file or '.json' in kind else kind
        kinds.setdefault(kind, []).append(file)
    harms = list(HARMS)
    rng.shuffle(harms)
    chosen = [rng.choice(kinds[kind]) for kind in sorted(kinds) if not NOTHING.match(kinds[kind][0])]
    return [(file, harms[n % len(harms)]) for n, file in enumerate(chosen)]


def harm_file(path, harm, rng):
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    data = bytearray(path.read_bytes())
    if harm == 'remove':
        path.unlink()
        return
    if harm == 'empty':
        data = bytearray()
    elif harm == 'zero':
        data = bytearray(len(data))
    elif harm == 'cut':
        data = data[:len(data) // 2]
    elif harm == 'flip' and data:
        at = rng.randrange(min(4, len(data) - 1), len(data))  # a Parquet file's first four bytes are only a magic number
        data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    os.utime(path, ns=times)


def digests(data_dir):
    return {str(path.relative_to(data_dir)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in data_dir.rglob('*') if path.is_file()}


def trial(data_dir, file, harm, state, rng):
    """Errors after one kind of damage."""
    import requests
    path = data_dir / file
    was = path.read_bytes()
    harm_file(path, harm, rng)
    harmless = NOTHING.match(file) or (path.exists() and path.read_bytes() == was)
    before = digests(data_dir)
    wrong = []
    service = Service(data_dir)
    try:
        service.start()
    except RuntimeError as error:
        return [str(error)]
    try:
        connect = service.connect
        def auth(resource):
            return dict(headers=bearer(connect, resource), verify=connect['ca_cert'], timeout=30)

        ours = auth(connect['base_url'])

        def conditions():
            reply = requests.get(connect['base_url'] + '/api/v1/health', **ours)
            reply.raise_for_status()
            return reply.json()['conditions']

        # The reported name omits internal folders.
        label = '/'.join(file.split('/')[-2:]) if file.endswith('.parquet') else file.split('/')[-1]
        named = lambda: any(label in each['subject'] + each['summary'] for each in conditions())
        if not harmless:
            try:
                wait(named, f'condition that names {label}', 20)
            except TimeoutError as error:
                wrong.append(f'{error}: {[(c["name"], c["subject"]) for c in conditions()]}')
        wrong += rows(connect, file, harm, harmless)
        rule = scope(connect)[1] + '/providers/Microsoft.SecurityInsights/alertRules/11111111-2222-3333-4444-555555555555'
        reply = requests.get(connect['arm_endpoint'] + rule, params={'api-version': '2024-09-01'}, **auth('https://management.azure.com'))
        # After kill -9 the newest changes are only in the database's log, or in a database newer than its copy.
        if reply.status_code != 200 and not (state == 'killed' and file.startswith('state.db')):
            wrong.append(f'the rule is gone: {reply.status_code}')
        said = requests.get(connect['base_url'] + '/healthz', verify=connect['ca_cert'], timeout=30)
        if said.status_code != 200 or (conditions() and len(said.text.split('\n')) < 3):
            wrong.append(f'/healthz: {said.status_code} {said.text!r}')
        for text in (said.text, str(conditions())):
            if str(data_dir) in text:
                wrong.append('a path of the server is shown')
    except Exception as error:  # noqa: BLE001 report the trial and continue
        wrong.append(f'{type(error).__name__}: {error}')
    finally:
        if service.process.poll() is None:
            service.stop()
        elif service.process.returncode:
            wrong.append(f'the service ended with {service.process.returncode}')
    after = digests(data_dir)
    kept = set(after.values())
    for name, digest in before.items():
        gone = name not in after if REWRITTEN.match(name) else digest not in kept
        if gone and name != file and not NOTHING.match(name) and name not in ('state.db-wal', 'state.db-shm', 'state.db.seal') \
                and not name.startswith('copies/state-') and '/keys-' not in name:
            wrong.append(f'{name} is gone or changed')
    return wrong


def rows(connect, file, harm, harmless):
    """What is wrong with the rows that are served."""
    reply = query(connect, f'{TABLE} | summarize n = count(), wrong = countif(Text != strcat("row ", tostring(N * 7919 % 1000), " of ", tostring(Batch))) by Batch')
    body = reply.json()
    if reply.status_code != 200:
        return [f'the query: {reply.status_code} {reply.text[:300]}']
    found = {row[0]: (row[1], row[2]) for row in body['tables'][0]['rows']}
    lost = [batch for batch in range(FLUSHED + LOGGED) if found.get(batch) != (ROWS, 0)]
    wrong = [f'batch {batch} has {found[batch]} rows, wrong ones' for batch in lost if batch in found]
    if TABLE in file and file.endswith('.parquet') and not harmless:
        if len(lost) != 1 or 'error' not in body:
            wrong.append(f'lost {lost}, partial error {body.get("error")}')
        elif file.split('/')[-1] not in str(body['error']):
            wrong.append(f'the partial error does not name the file: {body["error"]}')
    elif file.endswith('.log'):
        if any(batch < FLUSHED for batch in lost):
            wrong.append(f'lost {lost} with a log file')
    elif lost:
        wrong.append(f'lost {lost} without a reason')
    return wrong


if __name__ == '__main__':
    main()
