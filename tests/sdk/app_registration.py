#!/usr/bin/env python3
"""Registers an application as a connector's set-up does (S0-06, S0-07, S0-13) and uses it through Microsoft's SDKs.

    app_registration.py

Graph creates the application and its secret; without the role the upload is rejected; with the role it is accepted; a removed secret and a deleted
application get no token. Formats are those of Graph's public reference.
"""
import datetime as dt
import os
import pathlib
import sys
import tempfile
import uuid

import requests
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from service import Service, credential, define  # noqa: E402

PUBLISHER = '3913510d-42f4-4e42-8a64-420c390055eb'  # Monitoring Metrics Publisher, Azure's role id


def main():
    with tempfile.TemporaryDirectory() as folder, Service(os.path.join(folder, 'data')) as service:
        walk(service.connect)
    print('an application was registered, given a secret and a role, used, and deleted')


def walk(connect):
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
    from azure.identity import ClientSecretCredential
    from azure.monitor.ingestion import LogsIngestionClient
    rule = define(connect, 'Registered_CL', [('TimeGenerated', 'datetime'), ('Name', 'string')])
    graph = connect['graph_endpoint'].rstrip('/')
    token = credential(connect).get_token('https://graph.microsoft.com/.default').token

    def call(method, path, body=None, expect=200):
        reply = requests.request(method, graph + path, json=body, headers={'Authorization': f'Bearer {token}'}, verify=connect['ca_cert'],
                                 timeout=30)
        assert reply.status_code == expect, f'{method} {path}: {reply.status_code} instead of {expect}: {reply.text[:300]}'
        return reply.json() if reply.content else None

    app = call('POST', '/v1.0/applications', {'displayName': 'Flare'}, 201)
    assert app['displayName'] == 'Flare' and app['id'] != app['appId'], app
    found = call('GET', f"/v1.0/applications?$filter=appId eq '{app['appId']}'")['value']
    assert [each['id'] for each in found] == [app['id']], found
    principal = call('POST', '/v1.0/servicePrincipals', {'appId': app['appId']}, 201)
    added = call('POST', f"/v1.0/applications/{app['id']}/addPassword", {'passwordCredential': {'displayName': 'connector'}})
    secret = added['secretText']
    again = call('GET', f"/v1.0/applications/{app['id']}")
    assert again['passwordCredentials'][0]['keyId'] == added['keyId'] and secret not in str(again), 'the secret is shown once'
    missing = call('GET', f"/v1.0/applications/{app['appId']}", expect=404)
    assert missing['error']['code'] == 'Request_ResourceNotFound' and 'object id' in missing['error']['message'], missing
    call('POST', '/v1.0/applications', {'displayName': ' '}, 400)

    def client():
        theirs = ClientSecretCredential(connect['tenant_id'], app['appId'], secret, authority=connect['authority'],
                                        disable_instance_discovery=True)
        return LogsIngestionClient(endpoint=connect['logs_ingestion_endpoint'], credential=theirs)

    row = [{'TimeGenerated': dt.datetime.now(dt.timezone.utc).isoformat(), 'Name': 'one'}]
    try:
        client().upload(rule, 'Custom-Registered_CL', row)
        raise AssertionError('an application without the role was let in')
    except HttpResponseError as error:
        assert error.status_code == 403, error
    scope = f"/subscriptions/{connect['subscription_id']}/resourceGroups/{connect['resource_group']}"
    arm = credential(connect).get_token('https://management.azure.com/.default').token
    reply = requests.put(
        f"{connect['arm_endpoint'].rstrip('/')}{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}",
        params={'api-version': '2022-04-01'}, headers={'Authorization': f'Bearer {arm}'}, verify=connect['ca_cert'], timeout=30,
        json={'properties': {'roleDefinitionId': PUBLISHER, 'principalId': principal['id'], 'principalType': 'ServicePrincipal'}})
    assert reply.status_code == 201, reply.text
    client().upload(rule, 'Custom-Registered_CL', row)

    # A connector's own token may not read the directory: it has one role on one scope.
    theirs = ClientSecretCredential(connect['tenant_id'], app['appId'], secret, authority=connect['authority'], disable_instance_discovery=True)
    own = theirs.get_token('https://graph.microsoft.com/.default').token
    reply = requests.get(graph + '/v1.0/applications', headers={'Authorization': f'Bearer {own}'}, verify=connect['ca_cert'], timeout=30)
    assert reply.status_code == 403, reply.text

    def refused():
        try:
            ClientSecretCredential(connect['tenant_id'], app['appId'], secret, authority=connect['authority'],
                                   disable_instance_discovery=True).get_token('https://monitor.azure.com/.default')
        except ClientAuthenticationError as error:
            return str(error)
        raise AssertionError('a token was given')

    call('POST', f"/v1.0/applications/{app['id']}/removePassword", {'keyId': added['keyId']}, 204)
    assert 'AADSTS7000215' in refused()
    call('DELETE', f"/v1.0/applications/{app['id']}", expect=204)
    assert 'AADSTS700016' in refused()


if __name__ == '__main__':
    sys.exit(main())
