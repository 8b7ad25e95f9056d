#!/usr/bin/env python3
"""Changes through Microsoft's SDKs and the command line are in the audit trail; the trail is verified, then damaged, and the entry is named.

    audit.py

Also: roles on the command line, rows in SentinelAudit and AADServicePrincipalSignInLogs (columns: Microsoft's table references), and no secret
in the trail.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import requests
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from service import BINARY, Service, credential, define, scope  # noqa: E402

RULE = '11111111-2222-3333-4444-000000000012'
MARKER = 'Audited-by-one-byte'


def run(data_dir, *args, expect=0):
    done = subprocess.run([BINARY, *args, '--data-dir', str(data_dir)], capture_output=True, text=True, timeout=120)
    assert done.returncode == expect, f'{args}: {done.returncode} instead of {expect}: {done.stdout[-500:]} {done.stderr[-500:]}'
    return done.stdout if expect == 0 else done.stderr


def entries(data_dir, *args):
    return json.loads(run(data_dir, 'audit', 'list', '--limit', '1000', '--format', 'json', *args))


def main():
    with tempfile.TemporaryDirectory() as folder:
        data_dir = os.path.join(folder, 'data')
        with Service(data_dir) as service:
            secret = changes(service.connect)
            roles(service)
            trail(service, secret)
            rows(service.connect)
            print(run(data_dir, 'audit', 'verify').strip())
            service.stop()
        damage(data_dir)
    print('changes are in the trail, and a changed byte is found and named')


def changes(connect):
    """Changes of several kinds; returns a secret that must not be found."""
    from azure.identity import ClientSecretCredential
    from azure.core.exceptions import ClientAuthenticationError
    from azure.mgmt.securityinsight import SecurityInsightsMgmtClient, models as M
    define(connect, 'Audited_CL', [('TimeGenerated', 'datetime'), ('Name', 'string')])
    client = SecurityInsightsMgmtClient(credential(connect), connect['subscription_id'], base_url=connect['arm_endpoint'],
                                        credential_scopes=['https://management.azure.com/.default'])
    place = connect['resource_group'], connect['workspace_name']
    def rule(name):
        return M.ScheduledAlertRule({'kind': 'Scheduled', 'properties': {
            'displayName': name, 'enabled': False, 'severity': 'Low', 'query': 'Audited_CL', 'queryFrequency': 'PT1H', 'queryPeriod': 'PT1H',
            'triggerOperator': 'GreaterThan', 'triggerThreshold': 0, 'suppressionDuration': 'PT1H', 'suppressionEnabled': False}})
    client.alert_rules.create_or_update(*place, RULE, rule('Before'))
    client.alert_rules.create_or_update(*place, RULE, rule('After'))
    client.incidents.create_or_update(*place, RULE, M.Incident({'properties': {'title': 'Audited', 'severity': 'Low', 'status': 'New'}}))
    client.incidents.delete(*place, RULE)
    client.alert_rules.delete(*place, RULE)

    graph = connect['graph_endpoint'].rstrip('/')
    token = credential(connect).get_token('https://graph.microsoft.com/.default').token
    def call(path, body):
        reply = requests.post(graph + path, json=body, headers={'Authorization': f'Bearer {token}'}, verify=connect['ca_cert'], timeout=30)
        assert reply.status_code in (200, 201), reply.text
        return reply.json()
    app = call('/v1.0/applications', {'displayName': MARKER})
    secret = call(f"/v1.0/applications/{app['id']}/addPassword", {})['secretText']
    ClientSecretCredential(connect['tenant_id'], app['appId'], secret, authority=connect['authority'],
                           disable_instance_discovery=True).get_token('https://monitor.azure.com/.default')
    for _ in range(3):
        try:
            ClientSecretCredential(connect['tenant_id'], app['appId'], 'wrong', authority=connect['authority'],
                                   disable_instance_discovery=True).get_token('https://monitor.azure.com/.default')
            raise AssertionError('a wrong secret was taken')
        except ClientAuthenticationError:
            pass
    return secret


def roles(service):
    data_dir = service.data_dir
    said = run(data_dir, 'roles', 'assign', 'Microsoft Sentinel Responder', '--principal', MARKER, '--scope', 'workspace')
    assert said.strip() == f'{MARKER} is Microsoft Sentinel Responder at workspace', said
    listed = run(data_dir, 'roles', 'list', '--principal', MARKER)
    assert 'Microsoft Sentinel Responder' in listed and 'workspace' in listed, listed
    why = run(data_dir, 'roles', 'explain', '--principal', MARKER)
    assert 'may      Create or replace an incident  [Microsoft Sentinel Responder at workspace]' in why, why
    assert 'may not  Delete an incident' in why, why
    run(data_dir, 'roles', 'revoke', 'Microsoft Sentinel Responder', '--principal', MARKER)
    assert 'holds no role' in run(data_dir, 'roles', 'explain', '--principal', MARKER)
    unlocked = subprocess.run([BINARY, 'roles', 'explain', 'Log Analytics Reader'], capture_output=True, text=True, timeout=60).stdout
    assert 'Queries: everything' in unlocked and 'Sending events: nothing' in unlocked, unlocked


def trail(service, secret):
    data_dir, connect = service.data_dir, service.connect
    found = entries(data_dir)
    kinds = {(each['kind'], each['action']) for each in found}
    for wanted in [('table', 'created'), ('data collection rule', 'created'), ('analytics rule', 'created'), ('analytics rule', 'changed'),
                   ('analytics rule', 'deleted'), ('incident', 'created'), ('incident', 'deleted'), ('app registration', 'created'),
                   ('app registration', 'secret added'), ('role assignment', 'created'), ('role assignment', 'deleted')]:
        assert wanted in kinds, f'{wanted} is not in {sorted(kinds)}'
    numbers = [each['number'] for each in found]
    assert numbers == list(range(len(numbers), 0, -1)), numbers
    changed = entries(data_dir, '--kind', 'analytics rule', '--action', 'changed')
    assert changed[0]['changes']['displayName'] == ['Before', 'After'], changed
    assert changed[0]['actor'] == connect['client_id'] and changed[0]['address'] == '127.0.0.1', changed
    text = json.dumps(found)
    for planted in (secret, connect['client_secret'], connect['admin_password'], connect['workspace_key']):
        assert planted not in text, 'a secret is in the trail'


def rows(connect):
    """Rows arrive with the outbox, within a window."""
    def ask(query):
        token = credential(connect).get_token('https://api.loganalytics.io/.default').token
        reply = requests.post(f"{connect['log_analytics_endpoint'].rstrip('/')}/v1/workspaces/{connect['workspace_id']}/query", json={'query': query},
                              headers={'Authorization': f'Bearer {token}'}, verify=connect['ca_cert'], timeout=60)
        assert reply.status_code == 200, reply.text
        return reply.json()['tables'][0]['rows']

    def wait(query, holds):
        end, seen = time.monotonic() + 60, None
        while time.monotonic() < end:
            seen = ask(query)
            if holds(seen):
                return
            time.sleep(0.5)
        raise AssertionError(f'{query}: {seen}')

    audit = 'SentinelAudit | where SentinelResourceType == "Analytic Rule" | summarize n = count() by OperationName, Description, Caller = tostring(ExtendedProperties.CallerName)'
    wait(audit, lambda found: sorted((row[0], row[1], row[3]) for row in found if row[2] == connect['client_id']) == [
        ('Microsoft.SecurityInsights/alertRules/Delete', 'Analytics rule deleted', 1),
        ('Microsoft.SecurityInsights/alertRules/Write', 'Create or update analytics rule', 2)])
    signins = f'AADServicePrincipalSignInLogs | where ServicePrincipalName == "{MARKER}" or ResultType == "7000215" | summarize by ResultType'
    wait(signins, lambda found: sorted(row[0] for row in found) == ['0', '7000215'])


def damage(data_dir):
    """One byte of the database, with the service stopped."""
    path = os.path.join(data_dir, 'state.db')
    whole = open(path, 'rb').read()
    text = f'{{"displayName":[null,"{MARKER}"]}}'.encode()
    assert whole.count(text) == 1, whole.count(text)
    assert run(data_dir, 'audit', 'verify', '--format', 'json')
    at = whole.index(text) + text.index(MARKER.encode())
    with open(path, 'r+b') as file:
        file.seek(at)
        file.write(bytes([whole[at] ^ 1]))
    said = run(data_dir, 'audit', 'verify', expect=1)
    number = int(said.split('audit entry ')[1].split()[0])
    assert 'was changed' in said, said
    with open(path, 'r+b') as file:
        file.write(whole)
    run(data_dir, 'audit', 'verify')
    # The entry that was named is the one whose byte was changed.
    with Service(data_dir) as service:
        named = [each for each in entries(service.data_dir, '--kind', 'app registration') if each['number'] == number]
        assert named and named[0]['changes']['displayName'] == [None, MARKER], (number, named)
        service.stop()


if __name__ == '__main__':
    sys.exit(main())
