#!/usr/bin/env python3
"""A table that Microsoft documents and nobody created: queried, named by a rule, filled by the unmodified SDK, kept over a kill.

    published_tables.py

`StorageBlobLogs` is not among the built-in tables. Sizes are computed here by the published rule: the text of all columns but six.
"""
import datetime as dt
import os
import pathlib
import sys
import tempfile
import uuid

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from service import Service, credential, put, scope

TABLE = 'StorageBlobLogs'
TIME = '2026-03-01T12:00:00.0000000Z'  # as long as any datetime


def main():
    with tempfile.TemporaryDirectory() as folder, Service(os.path.join(folder, 'data')) as service:
        walk(service)
    print('a published table was queried, created by its first rows, kept over a kill, and sized')


def walk(service):
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
    from azure.mgmt.loganalytics import LogAnalyticsManagementClient
    from azure.mgmt.securityinsight import SecurityInsightsMgmtClient, models as M
    from azure.monitor.ingestion import LogsIngestionClient
    from azure.monitor.query import LogsQueryClient
    connect = service.connect
    who = credential(connect)
    place = (connect['resource_group'], connect['workspace_name'])
    providers, workspace = scope(connect)
    arm = {'base_url': connect['arm_endpoint'], 'credential_scopes': ['https://management.azure.com/.default']}

    def ask(query):
        client = LogsQueryClient(who, endpoint=connect['log_analytics_endpoint'], audience='https://api.loganalytics.io')
        return [list(row) for row in client.query_workspace(connect['workspace_id'], query, timespan=None).tables[0].rows]

    def tables():
        return LogAnalyticsManagementClient(who, connect['subscription_id'], **arm).tables

    def upload(rows):
        LogsIngestionClient(endpoint=connect['logs_ingestion_endpoint'], credential=who).upload(rule, f'Microsoft-{TABLE}', rows)

    assert ask(f'{TABLE} | count') == [[0]]
    assert ask(f'union withsource=Source * | where Source == "{TABLE}" | count') == [[0]]
    try:
        ask('storagebloblogs | count')
    except HttpResponseError as why:
        assert why.status_code == 400, why
    else:
        raise AssertionError('names of tables are case-sensitive')
    assert tables().get(*place, TABLE).schema.table_type == 'Microsoft'
    assert TABLE in [table.name for table in tables().list_by_workspace(*place)]
    try:
        tables().get(*place, 'Okta_CL')
    except ResourceNotFoundError:
        pass
    else:
        raise AssertionError('a custom table exists once it is created')

    insights = SecurityInsightsMgmtClient(who, connect['subscription_id'], **arm)
    insights.alert_rules.create_or_update(*place, str(uuid.uuid4()), M.NrtAlertRule({'kind': 'NRT', 'properties': {
        'displayName': 'Blobs deleted', 'enabled': True, 'severity': 'High', 'suppressionEnabled': False, 'suppressionDuration': 'PT1H',
        'query': f'{TABLE} | where OperationName == "DeleteBlob" | project AccountName', 'eventGroupingSettings': {'aggregationKind': 'SingleAlert'}}}))
    made = put(connect, f'{providers}/Microsoft.Insights/dataCollectionRules/blobs', '2023-03-11', {
        'location': 'local', 'kind': 'Direct', 'properties': {
            'destinations': {'logAnalytics': [{'workspaceResourceId': workspace, 'name': 'w'}]},
            'dataFlows': [{'streams': [f'Microsoft-{TABLE}'], 'destinations': ['w'], 'transformKql': 'source', 'outputStream': f'Microsoft-{TABLE}'}]}})
    rule = made['properties']['immutableId']
    assert ask(f'union withsource=Source * | where Source == "{TABLE}" | count') == [[0]], 'a rule creates no table'

    now = dt.datetime.now(dt.timezone.utc).isoformat()
    upload([{'TimeGenerated': now, 'OperationName': 'GetBlob', 'AccountName': 'files', 'StatusCode': '200', '_BilledSize': 1e9},
            {'TimeGenerated': now, 'OperationName': 'PutBlob', 'AccountName': 'files'}])
    for killed in (False, True):
        if killed:
            service.kill()
            service.start()
            connect.update(service.connect)
        assert ask(f'{TABLE} | project OperationName, StatusCode | order by OperationName asc') == [['GetBlob', '200'], ['PutBlob', '']]
        assert ask(f'union withsource=Source * | where Source == "{TABLE}" | count') == [[2]]
        tenant = ask(f'{TABLE} | project TenantId | take 1')[0][0]
        size = sum(len(TIME) + len(operation) + len('files') + len(status) + len(tenant) for operation, status in [('GetBlob', '200'), ('PutBlob', '')])
        assert ask(f'union * | where Type == "{TABLE}" | where _IsBillable == true | summarize sum(_BilledSize) by Type') == [[TABLE, size]], size
    upload([{'TimeGenerated': now, 'OperationName': 'GetBlob'}])
    assert ask(f'{TABLE} | count') == [[3]]
    assert [row[0] for row in ask('SecurityIncident | project _IsBillable')] in ([], ['False']), 'Sentinel\'s own tables are free'


if __name__ == '__main__':
    main()
