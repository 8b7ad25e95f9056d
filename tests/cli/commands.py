#!/usr/bin/env python3
"""End-to-end tests of user commands: check and test rules, load files, work on incidents.

    commands.py

Expected results: the guides (docs/guide/first-day.md, docs/guide/rules.md); JUnit is read by Python's XML parser, SARIF by its JSON
parser against the required members of SARIF 2.1.0.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / 'tests' / 'harness')]
from service import BINARY, Service, command as run  # noqa: E402

ROWS = 1000  # Rows of an answer at most, as configured below.
failures = []
checks = 0


def check(what, holds, seen=''):
    global checks
    checks += 1
    if not holds:
        failures.append(what)
        print(f'FAIL {what}: {str(seen)[:600]}')


def rules(folder):
    example = ROOT / 'examples' / 'rules'
    code, out, err = run('rules', 'check', str(example), '--strict')
    check('the example has no findings', code == 0 and not out, (code, out, err))
    code, out, err = run('rules', 'test', str(example))
    check('the tests of the example pass', code == 0 and '3 passed, 0 failed' in err, (code, out, err))
    code, out, _ = run('rules', 'test', str(example), '--format', 'junit')
    suite = ET.fromstring(out)
    check('JUnit counts the tests', (suite.get('tests'), suite.get('failures')) == ('3', '0'), out)
    text = (example / 'many-failures.yaml').read_text()
    broken = folder / 'broken.yaml'
    broken.write_text(text.replace('| where Failures', '| were Failures'))
    line = next(number for number, line in enumerate(text.splitlines(), 1) if '| where Failures' in line)
    code, out, _ = run('rules', 'check', str(broken))
    check('a wrong query is placed in its file', code == 1 and f'{broken}:{line}:5: error[KQL0008]' in out, (code, out))
    broken.write_text(text.replace('columnName: UserPrincipalName', 'columnName: User'))
    code, out, _ = run('rules', 'check', str(broken), '--format', 'sarif')
    log = json.loads(out)
    result = log['runs'][0]['results'][0]
    check('SARIF names the finding', code == 1 and log['version'] == '2.1.0' and result['ruleId'] == 'R010', out)
    test = folder / 'fails.test.yaml'
    test.write_text('rule: broken.yaml\ntests:\n  - name: never\n    given: {}\n    expect: { alerts: 2 }\n')
    code, out, _ = run('rules', 'test', str(folder))
    check('a failing test fails', code == 1 and 'expected 2 alerts, got none' in out, (code, out))
    signins = folder / 'SigninLogs.csv'
    signins.write_text((example / 'fixtures' / 'signins.csv').read_text())
    code, out, _ = run('rules', 'run', str(example / 'many-failures.yaml'), '--file', str(signins), '--at', '2026-01-01T10:00:00Z')
    check('a rule runs over a file', code == 0 and '3 failed sign-ins of ann@example.com' in out, (code, out))


def files(folder):
    signins = str(folder / 'SigninLogs.csv')
    code, out, _ = run('query', '--file', signins, '--format', 'csv', 'SigninLogs | where ResultType == "50126" | summarize n = count() by hour = bin(TimeGenerated, 1h)')
    check('an exported file has the published types', code == 0 and out.splitlines() == ['hour,n', '2026-01-01T09:00:00.0000000Z,3'], (code, out))
    code, out, _ = run('query', '--file', signins, 'Syslog | count')
    check('other published tables are empty', code == 0 and out.split()[-1] == '0', (code, out))
    lower = folder / 'lower' / 'signinlogs.csv'
    lower.parent.mkdir()
    lower.write_text(pathlib.Path(signins).read_text())
    for name in ['SigninLogs', 'signinlogs']:
        code, out, err = run('query', '--file', str(lower), '--format', 'csv', f'{name} | where ResultType == "50126" | count')
        check(f'a file named in another case is the published table: {name}', code == 0 and out.split() == ['Count', '3'], (code, out, err))
    code, out, err = run('query', '--file', str(lower), '--format', 'csv', 'union * | count')
    check('it is listed once', code == 0 and out.split() == ['Count', '4'], (code, out, err))
    half = folder / 'half.ndjson'
    half.write_text('{"a": "\\ud83d", "b": "\\ud83d\\ude00"}\n')
    code, out, err = run('query', '--file', str(half), '--format', 'csv', 'half | where a == "\\ufffd" and b == "\\ud83d\\ude00" | count')
    check('half a surrogate pair in a file is replaced', code == 0 and out.split() == ['Count', '1'], (code, out, err))
    query = folder / 'hunt.kql'
    query.write_text('print x = 1\n| were x > 1')
    code, out, _ = run('kql', 'check', str(query))
    check('a query in a file is checked', code == 1 and f'{query}:2:3: error[KQL0008]' in out, (code, out))
    code, out, _ = run('query', '-', given='print y = 2')
    check('a query is read from standard input', code == 0 and out.split() == ['y', '─', '2'], (code, out))
    code, out, _ = run('query', 'print x = 1 | where x > 5')
    check('an empty answer says so', '(no rows)' in out, out)
    done = subprocess.run(f'{BINARY} completion bash | head -1; echo ${{PIPESTATUS[0]}}', shell=True, executable='/bin/bash', capture_output=True, text=True)
    check('completion ends quietly', done.stdout.splitlines()[-1] == '0' and not done.stderr, (done.stdout, done.stderr))


def service(folder, data):
    at = ('--data-dir', data)
    signins = str(folder / 'SigninLogs.csv')
    for expected in ['4 rows of 1 file in `SigninLogs`', '4 rows of 1 file in `SigninLogs`']:
        code, out, err = run('ingest', 'SigninLogs', signins, *at)
        check('a file is loaded', code == 0 and expected in out, (code, out, err))
    code, out, _ = run('query', *at, '--format', 'csv', 'SigninLogs | count')
    check('a file loaded twice is stored once', out.split() == ['Count', '4'], out)
    code, out, err = run('ingest', 'Doors_CL', signins, *at)
    check('a table is made', code == 0 and 'table `Doors_CL` created' in err, (code, out, err))
    code, _, err = run('ingest', 'Doors', signins, *at)
    check('a wrong table name is refused with the right one', code == 1 and '`Doors_CL`' in err, (code, err))
    more = folder / 'more.ndjson'
    more.write_text('{"Badge": 7}\n')
    code, _, err = run('ingest', 'Doors_CL', str(more), *at)
    check('unknown columns are named', code == 1 and '`Badge`' in err and '--add-columns' in err, (code, err))
    code, _, err = run('ingest', 'Doors_CL', str(more), '--add-columns', *at)
    check('columns are added', code == 0, err)
    code, out, _ = run('query', *at, '--format', 'csv', 'Doors_CL | summarize count(), sum(Badge), countif(isnotempty(UserPrincipalName))')
    check('both files are in the table', out.splitlines()[-1] == '5,7,4', out)
    code, _, err = run('query', *at, 'Doors_CL\n| were 1 == 1')
    check('a refusal of the service is placed in the text', code == 1 and 'line 2' in err and '^^^^' in err, (code, err))
    code, out, err = run('query', *at, '--format', 'csv', f'range x from 1 to {ROWS + 1} step 1')
    check('a partial answer is a warning', code == 0 and len(out.split()) == ROWS + 1 and f'rows are missing: the answer has more than {ROWS} rows' in err, (code, out[-99:], err))
    code, out, _ = run('kql', 'run', '--jsonl', *at, given=json.dumps({'id': '1', 'query': f'range x from 1 to {ROWS + 1} step 1'}) + '\n')
    check('a partial answer is an error of a line', code == 0 and json.loads(out)['error']['code'] == 'Rows', (code, out[:300]))
    example = (ROOT / 'examples' / 'rules' / 'many-failures.yaml').read_text()
    rule = folder / 'at.yaml'
    rule.write_text(example.replace('| where Failures >= 3', '| where Failures >= 3 and now() == datetime(2026-01-01 10:00) and ago(1h) == datetime(2026-01-01 09:00)'))
    code, out, err = run('rules', 'run', str(rule), '--at', '2026-01-01T10:00:00Z', *at)
    check('a rule runs over the service at the time given', code == 0 and '3 failed sign-ins of ann@example.com' in out, (code, out, err))
    rule.write_text(example.replace('SigninLogs\n', f'range x from 1 to {ROWS + 1} step 1 | extend ResultType = "50126", IPAddress = "", UserPrincipalName = tostring(x)\n').replace('>= 3', '>= 1'))
    code, out, err = run('rules', 'run', str(rule), *at)
    check('a rule does not run over a partial answer', code == 1 and f'more than {ROWS} rows' in err, (code, out, err))
    code, out, err = run('incidents', 'open', 'Does it wake?', '--severity', 'High', '--drill', *at)
    check('an incident is opened', code == 0 and 'incident 1 is open' in out, (code, out, err))
    run('incidents', 'take', '1', '--as', 'ann@example.com', *at)
    code, out, _ = run('incidents', 'list', '--status', 'Active', '--format', 'json', *at)
    listed = json.loads(out)
    check('it is active and owned', listed[0]['properties']['owner']['assignedTo'] == 'ann@example.com', out)
    check('a drill is labelled', listed[0]['properties']['labels'][0]['labelName'] == 'drill', out)
    code, _, err = run('incidents', 'close', '1', '--classification', 'FalsePositive', *at)
    check('a false positive needs its reason', code == 1 and 'IncorrectAlertLogic' in err, (code, err))
    code, out, err = run('incidents', 'close', '1', '--classification', 'BenignPositive', '--comment', 'drill', *at)
    check('it is closed', code == 0 and 'Closed as BenignPositive' in out, (code, out, err))
    code, out, _ = run('incidents', 'show', '1', *at)
    check('it is shown', 'BenignPositive SuspiciousButExpected' in out and 'DRILL: Does it wake?' in out, out)
    run('incidents', 'reopen', '1', *at)
    code, out, _ = run('incidents', 'list', '--status', 'New', *at)
    check('it is new again', 'DRILL: Does it wake?' in out, out)
    code, _, err = run('incidents', 'show', '99', *at)
    check('an unknown number is refused', code == 1 and 'no incident 99' in err, (code, err))
    end = time.monotonic() + 60
    loaded = None
    while time.monotonic() < end and not (loaded and loaded['next_run']):
        code, out, _ = run('rules', 'list', '--format', 'json', *at)
        loaded = next((rule for rule in json.loads(out)['rules'] if rule['file'] == 'loaded.yaml'), None)
    check('a rule is listed with its file and next run', code == 0 and loaded and loaded['next_run'], out)
    code, out, err = run('rules', 'list', *at)
    lines = out.splitlines()
    check('the list has runs, files and problems', code == 0 and all(name in lines[0] for name in ['last run', 'next run', 'file', 'problem']), out)
    check('a rule is shown with its file', any('loaded.yaml' in line and 'PT1H' in line for line in lines), out)
    check('a file that is not loaded is a warning', 'warning: ' in err and 'broken.yaml' in err, err)


TEAM = """\
users:
  ann: { name: Ann Berg, time_zone: Europe/Oslo, contacts: { mail: { email: ann@example.org } } }
  bo: { name: Bo Lind, time_zone: Europe/Oslo, contacts: { mail: { email: bo@example.org } } }
schedules:
  weeks:
    time_zone: Europe/Oslo
    layers: [{ name: only, rotation: { every: week, start: 2026-01-05T08:00, users: [ann, bo] } }]
escalation_policies:
  all: { steps: [{ targets: [schedule:weeks] }] }
alert_policies:
  high: { escalation_policy: all, when: [{ field: severity, op: at_least, value: High }] }
"""


def oncall_files(folder):
    code, out, err = run('oncall', 'check', '--strict', str(ROOT / 'examples' / 'oncall'))
    check('the example passes the strict check', code == 0, (code, out, err))
    team = folder / 'team.yaml'
    team.write_text(TEAM)
    code, out, err = run('oncall', 'check', str(team))
    check('warnings are no mistakes', code == 0 and 'no policy matches every incident' in out, (code, out, err))
    code, out, err = run('oncall', 'check', '--strict', str(team))
    check('with --strict they are', code == 1 and '--strict' in err, (code, out, err))
    code, out, err = run('oncall', 'check', str(folder / 'nope.yaml'))
    check('a file that cannot be read ends with 2', code == 2 and 'nope.yaml' in err, (code, out, err))


def oncall(folder, data):
    at = ('--data-dir', data)
    code, out, err = run('oncall', 'apply', str(folder / 'team.yaml'), *at)
    check('a team is applied', code == 0, (code, out, err))
    # Oslo is UTC+01:00 in December, Ann's week begins on 21 December 2026 (docs/guide/oncall.md): 08:00 there is 02:00 in New York.
    code, out, err = run('oncall', 'shifts', '--user', 'ann', '--zone', 'America/New_York', '--from', '2026-12-21', '--to', '2026-12-29', *at)
    check("a user's turns are shown in a zone", code == 0 and '2026-12-21 02:00' in out and 'bo' not in out.split(), (code, out, err))
    code, out, err = run('oncall', 'shifts', 'weeks', '--user', 'nobody', *at)
    check('an unknown user is refused', code != 0 and 'nobody' in err, (code, out, err))
    for what in ['schedule/weeks', 'user/ann']:
        code, out, err = run('oncall', 'address', what, *at)
        check(f'{what} has an address', code == 0 and 'https://' in out and '/oncall/calendars/' in out, (code, out, err))
    code, out, err = run('oncall', 'address', 'schedule/none', *at)
    check('a schedule that is not there has none', code != 0 and 'none' in err, (code, out, err))
    code, out, err = run('oncall', 'mute', '--for', '2h', '--when', 'severity at_most Medium', '--name', 'switches', *at)
    check('a mute begins', code == 0, (code, out, err))
    code, out, err = run('oncall', 'export', *at)
    check('it is in the directory, with its condition', code == 0 and 'switches' in out and 'at_most' in out, (code, out, err))
    code, out, err = run('oncall', 'mute', '--end', 'switches', *at)
    check('it ends when asked', code == 0, (code, out, err))
    code, out, err = run('oncall', 'mute', '--end', 'never-was', *at)
    check('a mute that never was cannot end', code != 0 and 'never-was' in err, (code, out, err))
    run('incidents', 'open', 'Who is paged?', '--severity', 'High', *at)
    pages = lambda *more: json.loads(run('oncall', 'pages', '--format', 'json', *more, *at)[1] or '{}').get('value', [])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not pages():
        time.sleep(0.2)
    check('whoever is on call is paged', len(pages()) >= 1, pages())
    check('pages due later than --from', pages('--from', '2000-01-01T00:00:00Z') == pages() and pages('--from', '2100-01-01T00:00:00Z') == [])
    check('pages due before --to', pages('--to', '2000-01-01T00:00:00Z') == [] and len(pages('--to', '2100-01-01', '--zone', 'Europe/Oslo')) == len(pages()))
    code, out, err = run('oncall', 'pages', '--zone', 'Nowhere/Here', *at)
    check('an unknown zone is refused', code != 0 and 'Nowhere/Here' in err, (code, out, err))


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rules(folder)
        files(folder)
        oncall_files(folder)
        data = os.path.join(name, 'data')
        loaded = folder / 'loaded'
        loaded.mkdir()
        rule = (ROOT / 'examples' / 'rules' / 'many-failures.yaml').read_text()
        # It never fires, so that incidents are those of the commands.
        (loaded / 'loaded.yaml').write_text(rule.replace('50126', 'never'))
        (loaded / 'broken.yaml').write_text(rule.replace('id: 3d7c2f5e', 'id: 4d7c2f5e').replace('queryFrequency: 1h', 'queryFrequency: 1m'))
        config = folder / 'bartizan.yaml'
        config.write_text(f'version: 1\nrules: [{loaded}]\nquery:\n  rows: {ROWS}\n')
        with Service(data, extra=['--config', str(config)]):
            service(folder, data)
            oncall(folder, data)
    print(f'{checks - len(failures)} of {checks} hold')
    sys.exit(1 if failures else 0)


if __name__ == '__main__':
    main()
