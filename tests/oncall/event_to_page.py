#!/usr/bin/env python3
"""Latency from the start of an SDK's upload until the page reaches its provider: percentiles of N events.

    event_to_page.py [--events 300] [--every 0.1] [--p50 0.1] [--p99 0.5]

All components are real: the SDK, TLS, the synced log, the near-real-time rule in KQL, alert, incident, escalation, and the request that
reaches a receiver on this machine. Events come one after the other, each of them an incident of its own.
"""
import argparse
import datetime as dt
import pathlib
import sys
import tempfile
import time
import uuid

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from provider import Provider, configuration  # noqa: E402
from score import until  # noqa: E402
from service import Service, credential, define  # noqa: E402

TABLE = 'Paging_CL'
DIRECTORY = '''
users:
  ann: {{ name: Ann Berg, contacts: {{ hook: {{ webhook: "file:{folder}/ann.hook" }} }} }}
escalation_policies:
  now: {{ steps: [{{ targets: ["user:ann"] }}] }}
alert_policies:
  everything: {{ escalation_policy: now }}
'''


def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--events', type=int, default=300)
    ap.add_argument('--every', type=float, default=0.1, help='seconds between events')
    ap.add_argument('--p50', type=float, default=0.1)
    ap.add_argument('--p99', type=float, default=0.5)
    a = ap.parse_args()
    provider = Provider()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = configuration(folder, provider, DIRECTORY.format(folder=folder))
        with Service(folder / 'data', extra=('--config', str(config))) as service:
            times = sorted(measure(service.connect, provider, a))
    at = lambda share: times[min(len(times) - 1, int(share * len(times)))]  # noqa: E731
    print(f'event to page, {len(times)} events: p50 {1000 * at(.5):.0f} ms, p90 {1000 * at(.9):.0f} ms, p99 {1000 * at(.99):.0f} ms, '
          f'worst {1000 * times[-1]:.0f} ms (limits: p50 {1000 * a.p50:.0f}, p99 {1000 * a.p99:.0f})')
    sys.exit(0 if at(.5) <= a.p50 and at(.99) <= a.p99 else 1)


def measure(connect, provider, a):
    rule = define(connect, TABLE, [('TimeGenerated', 'datetime'), ('User', 'string'), ('Tries', 'int')])
    from azure.mgmt.securityinsight import SecurityInsightsMgmtClient, models as M
    from azure.monitor.ingestion import LogsIngestionClient
    cred = credential(connect)
    insights = SecurityInsightsMgmtClient(cred, connect['subscription_id'], base_url=connect['arm_endpoint'],
                                          credential_scopes=['https://management.azure.com/.default'])
    insights.alert_rules.create_or_update(connect['resource_group'], connect['workspace_name'], str(uuid.uuid4()), M.NrtAlertRule({
        'kind': 'NRT', 'properties': {
            'displayName': 'Too many tries', 'enabled': True, 'severity': 'High', 'suppressionEnabled': False, 'suppressionDuration': 'PT1H',
            'query': f'{TABLE} | where Tries >= 99 | project User, Tries',
            'alertDetailsOverride': {'alertDisplayNameFormat': 'Too many tries by {{User}}'},
            'eventGroupingSettings': {'aggregationKind': 'AlertPerResult'}, 'incidentConfiguration': {'createIncident': True}}}))
    client = LogsIngestionClient(endpoint=connect['logs_ingestion_endpoint'], credential=cred)
    began = {}
    warm_up = 3  # connections and tokens
    for turn in range(a.events + warm_up):
        user = f'user{uuid.uuid4().hex[:8]}'
        start = time.monotonic()
        client.upload(rule, f'Custom-{TABLE}', [{'TimeGenerated': dt.datetime.now(dt.timezone.utc).isoformat(), 'User': user, 'Tries': 99}])
        if turn >= warm_up:
            began[user] = start
        time.sleep(max(0.0, a.every - (time.monotonic() - start)))

    def pages():
        with provider.lock:
            return {body['bartizan']['incident']['title'].split(' by ')[-1]: at for at, _, body in provider.hooks if body['bartizan']['event'] == 'page'}

    if not until(lambda: began.keys() <= pages().keys(), 60, 0.1):
        sys.exit(f'{len(began.keys() - pages().keys())} of {len(began)} events reached nobody within 60 s')
    arrived = pages()
    return [arrived[user] - start for user, start in began.items()]


if __name__ == '__main__':
    main()
