#!/usr/bin/env python3
"""Functions saved in the workspace through Microsoft's management SDK, called by queries and by a rule's query, kept over a kill.

    stored_functions.py

Formats are those of azure-mgmt-loganalytics; expected results are arithmetic.
"""
import datetime as dt
import os
import pathlib
import sys
import tempfile

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from service import Service, credential  # noqa: E402


def main():
    with tempfile.TemporaryDirectory() as folder, Service(os.path.join(folder, 'data')) as service:
        walk(service)
    print('functions were saved, called, listed, replaced, kept over a kill, and removed')


def walk(service):
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
    from azure.mgmt.loganalytics import LogAnalyticsManagementClient, models as M
    from azure.monitor.query import LogsQueryClient
    connect = service.connect
    who = credential(connect)
    place = (connect['resource_group'], connect['workspace_name'])

    def manage():
        return LogAnalyticsManagementClient(who, connect['subscription_id'], base_url=connect['arm_endpoint'],
                                            credential_scopes=['https://management.azure.com/.default']).saved_searches

    def ask(query):
        client = LogsQueryClient(who, endpoint=connect['log_analytics_endpoint'], audience='https://api.loganalytics.io')
        return [list(row) for row in client.query_workspace(connect['workspace_id'], query, timespan=dt.timedelta(days=1)).tables[0].rows]

    def refused(status, code, work):
        try:
            work()
        except HttpResponseError as why:
            assert why.status_code == status and code in str(why), why
        else:
            raise AssertionError(f'taken where {status} {code} was expected')

    def search(query, alias=None, parameters=None, etag=None):
        return M.SavedSearch(etag=etag, properties=M.SavedSearchProperties(
            category='Parsers', display_name='Doubled', query=query, function_alias=alias, function_parameters=parameters,
            tags=[M.Tag(name='by', value='test')]))

    saved = manage()
    refused(400, 'Doubled', lambda: ask('Doubled(21)'))
    made = saved.create_or_update(*place, 'Doubled', search('print y = x * factor', 'Doubled', 'x:long, factor:long=2'))
    assert (made.name, made.properties.function_alias, made.properties.tags[0].value) == ('Doubled', 'Doubled', 'test'), made
    assert ask('Doubled(21)') == [[42]] and ask('Doubled(2, factor=5) | extend z = y + 1 | project z') == [[11]]
    # A function may use other functions and tables of the workspace.
    saved.create_or_update(*place, 'Twice', search('Doubled(1) | union (Doubled(2)) | union (SecurityAlert | take 0 | project y = 1)', 'Twice'))
    assert sorted(ask('Twice | project y')) == [[2], [4]], ask('Twice')
    saved.create_or_update(*place, 'plain', search('SecurityEvent | take 10'))
    assert sorted(each.name for each in saved.list_by_workspace(*place).value) == ['Doubled', 'Twice', 'plain']

    # Errors name the cause.
    refused(409, 'FunctionAliasConflict', lambda: saved.create_or_update(*place, 'other', search('print 1', 'Doubled')))
    refused(409, 'EtagMismatch', lambda: saved.create_or_update(*place, 'Doubled', search('print 1', etag='W/"0"')))
    refused(400, 'functionAlias', lambda: saved.create_or_update(*place, 'bad', search('print 1', '1st')))
    changed = saved.create_or_update(*place, 'DOUBLED', search('print y = x * 3', 'Doubled', 'x:long', etag=made.etag))
    assert changed.etag != made.etag and ask('Doubled(2)') == [[6]]

    service.kill()
    service.start()
    connect.update(service.connect)
    saved = manage()
    assert ask('Doubled(5)') == [[15]] and saved.get(*place, 'doubled').properties.query == 'print y = x * 3'

    saved.delete(*place, 'Doubled')
    saved.delete(*place, 'Doubled')
    refused(400, 'Doubled', lambda: ask('Twice'))
    try:
        saved.get(*place, 'Doubled')
    except ResourceNotFoundError:
        return
    raise AssertionError('a removed search is still there')


if __name__ == '__main__':
    main()
