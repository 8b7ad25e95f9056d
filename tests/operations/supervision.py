#!/usr/bin/env python3
"""Supervision of the running service: tasks that panic, rules that are slow, fail or are broken, a blocked runtime, and reloading.

    supervision.py

No other rule starts more than a second late, `/healthz` and `SentinelHealth` report the problem and its cause, and the service continues. Needs a debug
build: faults are triggered through the folder in BARTIZAN_FAULTS.
"""
import concurrent.futures
import datetime as dt
import json
import os
import pathlib
import signal
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'harness')]
import requests
from score import Score, until
from service import Service, bearer, command, define, ingest, query

TABLE = 'Watched_CL'
CONFIG = 'version: 1\nworkspace:\n  flush_after: 1s\ndetection:\n  time: 3s\nsources:\n  syslog:\n    - { name: lines, tcp: 0 }\nrules: [%s]\n'
TASKS = ['detection', 'correlation', 'outbox', 'paging', 'incident-changes', 'sending', 'heartbeats', 'rule-files', 'source.syslog.lines', 'http']
score = Score()


def rule(name, query, kind='NRT', more=''):
    return f'id: {name}\nname: Rule {name}\nkind: {kind}\nseverity: High\neventGroupingSettings:\n  aggregationKind: AlertPerResult\n{more}query: |\n  {query}\n'


RULES = {
    'well.yaml': rule('well', f'{TABLE} | project N, TimeGenerated'),
    'slow.yaml': rule('slow', f'let n = toscalar(range x from 1 to 1000000000000 step 1 | summarize sum(x)); {TABLE} | where N < n'),
    'fails.yaml': rule('fails', f'{TABLE} | where NoSuchColumn == 1'),
    'daily.yaml': rule('daily', f'{TABLE} | project N', 'Scheduled',
                       'queryFrequency: 1d\nqueryPeriod: 1d\ntriggerOperator: gt\ntriggerThreshold: 0\n'
                       'entityMappings:\n  - entityType: Account\n    fieldMappings:\n      - identifier: FullName\n        columnName: User\n'),
    'x-twin.yaml': rule('well', TABLE),
    'wrong.yaml': 'name: [',
}


class Peer:
    """The service from the view of a sender, an analyst and an operator."""

    def __init__(self, connect):
        self.connect, self.session = connect, requests.Session()
        self.session.verify = connect['ca_cert']

    def get(self, path, audience=None):
        headers = bearer(self.connect, audience) if audience else {}
        reply = self.session.get(self.connect['base_url'] + path, headers=headers, timeout=30)
        return reply.status_code, reply.json() if 'json' in reply.headers.get('content-type', '') else reply.text

    def conditions(self):
        """The public summaries by name: `NAME COUNT: SUMMARY`."""
        lines = [line.partition(': ') for line in self.get('/healthz')[1].splitlines()[1:]]
        return {head.split(' ')[0]: summary for head, _, summary in lines}

    def wait(self, what, found, seconds=30):
        """Looks until `found` gives something; gives it, or nothing."""
        if value := until(found, seconds, 0.1, but=requests.RequestException):
            return value
        print(f'  waited {seconds} s for: {what}', file=sys.stderr)
        return None

    def send(self, stream, n):
        row = {'TimeGenerated': dt.datetime.now(dt.timezone.utc).isoformat(), 'N': n}
        reply = ingest(self.connect, stream, TABLE, [row])
        assert reply.status_code == 204, (reply.status_code, reply.text[:300])

    def ask(self, kql):
        reply = query(self.connect, kql)
        assert reply.status_code == 200, reply.text[:500]
        table = reply.json()['tables'][0]
        names = [column['name'] for column in table['columns']]
        return [dict(zip(names, row)) for row in table['rows']]


def rules(peer, stream):
    """One rule that runs into its time limit, and one that fails: the healthy one starts within a second of each row."""
    for n in range(6):
        peer.send(stream, n)
        time.sleep(0.7)  # a row while the slow rule runs, not only before it
    alerts = 'SecurityAlert | where AlertName == "Rule well" | project Started = TimeGenerated, Until = todatetime(parse_json(ExtendedProperties)["Query End Time UTC"])'
    found = peer.wait('six alerts', lambda: (rows := peer.ask(alerts)) and len(rows) >= 6 and rows)
    score.check('a rule that is well fires for each row beside a slow and a failing one', found and len(found) == 6, found and len(found))
    arrived = sorted(instant(row['Arrived']) for row in peer.ask(f'{TABLE} | where N < 6 | project Arrived = ingestion_time()'))
    started = sorted(instant(row['Started']) for row in found or [])
    late = [(began - came).total_seconds() for came, began in zip(arrived, started)]
    score.check('it starts within a second of each row', late and max(late) < 1.0, late)
    slow = lambda: (found := peer.conditions()) and 'timed out' in found.get('rule.slow', '') and found
    conditions = peer.wait('the slow rule to be named', slow) or peer.conditions()
    score.check('/healthz names the slow rule and why', 'The query execution timed out' in conditions.get('rule.slow', ''), conditions)
    score.check('/healthz names the failing rule and why', 'A semantic error occurred' in conditions.get('rule.fails', ''), conditions)
    score.check('/healthz and /readyz answer 200 meanwhile', peer.get('/healthz')[0] == peer.get('/readyz')[0] == 200)
    told = 'SentinelHealth | where SentinelResourceType == "Analytics Rule" | summarize arg_max(TimeGenerated, *) by SentinelResourceName'
    run = 'NRT analytics rule run'
    expected = {'Rule well': ('Success', '', run), 'Rule slow': ('Failure', 'QueryTimeout', run), 'Rule fails': ('Failure', 'SemanticError', run),
                'Rule daily': ('Success', '', 'Scheduled analytics rule run')}
    seen = lambda: {row['SentinelResourceName']: (row['Status'], row['Reason'], row['OperationName']) for row in peer.ask(told)}
    score.check('SentinelHealth says which and why', peer.wait('SentinelHealth', lambda: seen() == expected), seen())
    metrics = peer.get('/metrics')[1]
    score.check('/metrics names the failing rules', 'bartizan_rule_failing{rule="slow",name="Rule slow"} 1' in metrics, [line for line in metrics.splitlines() if 'rule_fail' in line])


def instant(text):
    text = text.rstrip('Z')
    head, _, tail = text.partition('.')
    return dt.datetime.fromisoformat(head + '.' + (tail + '000000')[:6])


def files(peer, folder, stream, process):
    """Rule files: errors are reported, and changes are applied without a restart."""
    conditions = peer.conditions()
    names = [name for name in ('rule-file.x-twin.yaml', 'rule-file.wrong.yaml', 'rule-columns.daily') if name not in conditions]
    score.check('two files with one id, a broken file and a mapping to a missing column are named', not names, names)
    status, listed = peer.get('/api/v1/rules', peer.connect['base_url'])
    daily = next((each for each in listed['rules'] if each['id'] == 'daily'), {}) if status == 200 else {}
    score.check('a daily rule ran when it was created, and shows when it runs next', daily.get('last_run') and daily.get('next_run', '') > daily['last_run'], daily)
    (folder / 'slow.yaml').unlink()
    (folder / 'fails.yaml').write_text(rule('fails', f'{TABLE} | where N == 100 | project N'))
    (folder / 'wrong.yaml').unlink()
    (folder / 'x-twin.yaml').unlink()
    gone = lambda: not {'rule.slow', 'rule-file.wrong.yaml', 'rule-file.x-twin.yaml'} & peer.conditions().keys()
    score.check('files are read again as they change', peer.wait('their conditions to end', gone))
    listed = {each['id']: each for each in peer.get('/api/v1/rules', peer.connect['base_url'])[1]['rules']}
    score.check('a rule whose file is gone is disabled', listed['slow']['enabled'] is False, listed['slow'])
    peer.send(stream, 100)
    fired = lambda: peer.ask('SecurityAlert | where AlertName == "Rule fails"')
    score.check('a rule that was repaired fires, and its condition ends', peer.wait('its alert', fired) and 'rule.fails' not in peer.conditions())
    (folder / 'new.yaml').write_text(rule('new', f'{TABLE} | where N == 200 | project N'))
    process.send_signal(signal.SIGHUP)
    known = lambda: any(each['id'] == 'new' for each in peer.get('/api/v1/rules', peer.connect['base_url'])[1]['rules'])
    score.check('SIGHUP reloads and does not end the service', peer.wait('the new rule', known) and process.poll() is None)


def tasks(peer, faults, stream):
    """Every task panics once; each is reported and works again."""
    for name in TASKS:
        (faults / f'panic-{name}').touch()
    missing = lambda: [name for name in TASKS if f'task.{name}' not in peer.conditions()]
    score.check('a task that panics is named by /healthz, each of them', peer.wait('all tasks', lambda: not missing()), missing())
    summary = peer.conditions()['task.detection']
    score.check('and says what happened', 'panicked and is started again' in summary, summary)
    metrics = peer.get('/metrics')[1]
    counted = [name for name in TASKS if f'bartizan_task_restarts_total{{task="{name}",reason="panic"}} 1' not in metrics]
    score.check('each restart is counted', not counted, counted)
    peer.send(stream, 300)
    fired = lambda: peer.ask('SecurityIncident | where Title == "Rule well" | summarize by IncidentNumber') and \
        peer.ask(f'SecurityAlert | where AlertName == "Rule well" | where todatetime(parse_json(ExtendedProperties)["Query End Time UTC"]) > toscalar({TABLE} | where N == 300 | project ingestion_time() - 1ms)')
    score.check('afterwards an event becomes an alert and an incident again', peer.wait('the alert', fired))
    (faults / 'block-runtime').touch()
    blocked = peer.wait('the watchdog', lambda: peer.conditions().get('runtime.blocked'))
    score.check('a blocked thread of the runtime is named', blocked and 'blocked for' in blocked, blocked)


def table_threads(peer, faults, stream):
    """The threads that write the log and the files panic: senders get an answer, what was acknowledged is there, once, and rows are taken again."""
    def send(n):
        """The statuses until the row is taken."""
        url = f"{peer.connect['logs_ingestion_endpoint']}/dataCollectionRules/{stream}/streams/Custom-{TABLE}?api-version=2023-01-01"
        statuses, row = [], {'TimeGenerated': dt.datetime.now(dt.timezone.utc).isoformat(), 'N': n}
        while 204 not in statuses and len(statuses) < 60:
            reply = peer.session.post(url, json=[row], headers={**bearer(peer.connect, 'https://monitor.azure.com'), 'x-ms-client-request-id': f'panic-{n}'}, timeout=30)
            statuses.append(reply.status_code)
            if statuses[-1] != 204:
                time.sleep(0.2)
        return statuses

    for name, first in (('log', 400), ('files', 500)):
        (faults / f'panic-{name}').touch()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(send, range(first, first + 24)))
        odd = [statuses for statuses in answers if statuses[-1] != 204 or not set(statuses) <= {204, 429, 503}]
        score.check(f'senders get an answer while `{name}` panics, and their rows are taken afterwards', not odd, odd)
        named = peer.wait(f'task.{name}', lambda: peer.conditions().get(f'task.{name}'))
        score.check(f'/healthz names `{name}`, and answers 200', named and 'panicked and is started again' in named and peer.get('/healthz')[0] == 200, named)
        counted = f'bartizan_task_restarts_total{{task="{name}",reason="panic"}} 1'
        score.check(f'the panic of `{name}` is counted', counted in peer.get('/metrics')[1])
        stored = sorted(row['N'] for row in peer.ask(f'{TABLE} | where N between ({first} .. {first + 23})'))
        score.check(f'every row is there once after `{name}` panicked', stored == list(range(first, first + 24)), stored)


def hang_up_while_starting(folder):
    """SIGHUP before the service is ready: it starts, and reloads afterwards."""
    data = folder / 'early'
    data.mkdir(mode=0o700)
    service = Service(data)

    def hang_up():
        while service.process is None or not (data / 'lock').exists():
            time.sleep(0.002)
        while not service.healthy() and service.process.poll() is None:
            service.process.send_signal(signal.SIGHUP)
            time.sleep(0.05)

    sender = threading.Thread(target=hang_up)
    sender.start()
    service.start()
    sender.join()
    score.check('SIGHUP while the service starts does not end it', service.healthy() and service.process.poll() is None)
    score.check('it can be stopped as always', service.stop() == 0)


def doctor(data_dir, *more):
    """Exit code, and the checks by name."""
    code, out, err = command('doctor', '--data-dir', data_dir, '--format', 'json', *more)
    return code, {each['name']: each for each in json.loads(out)['checks']} if out else err


def command_line(peer, data_dir, config):
    """`doctor` and `tables list` on the running service."""
    code, checks = doctor(data_dir, '--config', str(config))
    statuses = {name: check['status'] for name, check in checks.items()}
    well = ['configuration', 'data directory', 'files', 'quarantine', 'certificate', 'authority', 'clock', 'service', 'tasks']
    score.check('doctor finds the failing rules and nothing else wrong', code == 1 and statuses['rules'] == 'wrong' and 'rule.slow' in checks['rules']['message']
                and all(statuses[name] == 'ok' for name in well), checks)
    _, out, err = command('tables', 'list', '--data-dir', data_dir, '--format', 'json')
    tables = {each['name']: each for each in json.loads(out or '[]')}
    score.check('tables list says how much each table holds', tables.get(TABLE, {}).get('rows') == 6 and tables[TABLE]['bytes'] > 0 and tables[TABLE]['oldest'],
                tables or err)
    text = peer.get('/metrics')[1]
    score.check('metrics have texts, and values of the process and the disk', all(part in text for part in (
        '# HELP bartizan_rule_failing ', '# TYPE process_resident_memory_bytes gauge', 'process_open_fds ', 'bartizan_disk_free_bytes ')), text[:300])


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rule_folder, faults = folder / 'rules', folder / 'faults'
        rule_folder.mkdir()
        faults.mkdir()
        (folder / 'data').mkdir(mode=0o700)
        for file, text in RULES.items():
            (rule_folder / file).write_text(text)
        config = folder / 'bartizan.yaml'
        config.write_text(CONFIG % rule_folder)
        os.environ['BARTIZAN_FAULTS'] = str(faults)
        with Service(folder / 'data', extra=['--config', str(config)]) as service:
            peer = Peer(service.connect)
            stream = define(service.connect, TABLE, [('TimeGenerated', 'datetime'), ('N', 'long')])
            rules(peer, stream)
            command_line(peer, folder / 'data', config)
            files(peer, rule_folder, stream, service.process)
            tasks(peer, faults, stream)
            table_threads(peer, faults, stream)
            score.check('SIGTERM ends it cleanly', service.stop() == 0)
            config.write_text('version: 1\nlisten: 127.0.0.1:0\n')
            code, checks = doctor(folder / 'data', '--config', str(config))
            wrong = [name for name, check in checks.items() if check['status'] == 'wrong' and name != 'disk room']
            score.check('doctor on a directory without a service', not wrong and checks['port']['status'] == 'ok', (code, checks))
            hang_up_while_starting(folder)
            score.check('doctor without a directory ends with 2', doctor(folder / 'none')[0] == 2)
    score.end()


if __name__ == '__main__':
    main()
