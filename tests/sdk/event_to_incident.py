#!/usr/bin/env python3
"""Latency from the start of an SDK's upload until the incident is listed: median, maximum and all of N rounds.

    event_to_incident.py [--rounds 10] [--limit 0.5]
"""
import argparse
import datetime as dt
import os
import pathlib
import statistics
import sys
import tempfile
import time
import uuid

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from service import Service, credential, define  # noqa: E402

TABLE = 'Latency_CL'


def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--rounds', type=int, default=10)
    ap.add_argument('--limit', type=float, default=0.5, help='seconds the median may take')
    a = ap.parse_args()
    with tempfile.TemporaryDirectory() as folder, Service(os.path.join(folder, 'data')) as service:
        times = measure(service.connect, a.rounds)
    median = statistics.median(times)
    print('event to incident: ' + ', '.join(f'{1000 * t:.0f}' for t in times) + ' ms')
    print(f'median {1000 * median:.0f} ms, worst {1000 * max(times):.0f} ms, limit {1000 * a.limit:.0f} ms')
    sys.exit(0 if median <= a.limit else 1)


def measure(connect, rounds):
    rule = define(connect, TABLE, [('TimeGenerated', 'datetime'), ('User', 'string'), ('Tries', 'int')])
    from azure.mgmt.securityinsight import SecurityInsightsMgmtClient, models as M
    from azure.monitor.ingestion import LogsIngestionClient
    cred = credential(connect)
    insights = SecurityInsightsMgmtClient(cred, connect['subscription_id'], base_url=connect['arm_endpoint'],
                                          credential_scopes=['https://management.azure.com/.default'])
    place = (connect['resource_group'], connect['workspace_name'])
    insights.alert_rules.create_or_update(*place, str(uuid.uuid4()), M.NrtAlertRule({'kind': 'NRT', 'properties': {
        'displayName': 'Too many tries', 'enabled': True, 'severity': 'High', 'suppressionEnabled': False, 'suppressionDuration': 'PT1H',
        'query': f'{TABLE} | where Tries >= 99 | project User, Tries', 'alertDetailsOverride': {'alertDisplayNameFormat': 'Too many tries by {{User}}'},
        'eventGroupingSettings': {'aggregationKind': 'AlertPerResult'}, 'incidentConfiguration': {'createIncident': True}}}))
    client = LogsIngestionClient(endpoint=connect['logs_ingestion_endpoint'], credential=cred)
    times = []
    for turn in range(rounds + 1):
        user = f'user{uuid.uuid4().hex[:8]}'
        began = time.monotonic()
        client.upload(rule, f'Custom-{TABLE}', [{'TimeGenerated': dt.datetime.now(dt.timezone.utc).isoformat(), 'User': user, 'Tries': 99}])
        while True:
            found = list(insights.incidents.list(*place, orderby='properties/createdTimeUtc desc', top=5))
            if any(user in (incident.get('properties') or incident)['title'] for incident in found):
                break
            if time.monotonic() - began > 30:
                sys.exit('no incident within 30 s')
            time.sleep(0.005)
        if turn:  # the first round opens connections and gets tokens
            times.append(time.monotonic() - began)
    return times


if __name__ == '__main__':
    main()
