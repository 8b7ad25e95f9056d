#!/usr/bin/env python3
"""The commands for people, run as people run them: rules checked and tested, files loaded, incidents worked on.

    commands.py

Expected answers: what the guides promise (docs/guide/first-day.md, docs/guide/rules.md); JUnit is read by Python's XML parser, SARIF by its JSON
parser against the required members of SARIF 2.1.0.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / 'tests' / 'harness')]
from service import BINARY, Service, command as run  # noqa: E402

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
    code, out, _ = run('rules', 'check', str(broken))
    check('a wrong query is placed in its file', code == 1 and f'{broken}:19:5: error[KQL0008]' in out, (code, out))
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
    code, out, _ = run('rules', 'list', *at)
    check('rules are listed', code == 0, out)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rules(folder)
        files(folder)
        data = os.path.join(name, 'data')
        with Service(data):
            service(folder, data)
    print(f'{checks - len(failures)} of {checks} hold')
    sys.exit(1 if failures else 0)


if __name__ == '__main__':
    main()
