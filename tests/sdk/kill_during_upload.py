#!/usr/bin/env python3
"""Kills the service at random times while the unmodified SDK uploads; then checks that every acknowledged row is stored exactly once.

    kill_during_upload.py --kills 10 [--seed 7] [--rows 1000000]

Each batch carries a key (`x-ms-client-request-id`, which the SDK keeps over its own retries); a batch without an acknowledgement is sent again
under the same key. With --rows the table is first filled, so that the restarts are timed over that many rows. Prints the seed.
"""
import argparse
import datetime as dt
import os
import pathlib
import random
import statistics
import sys
import tempfile
import threading
import time
import uuid

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from service import Service, credential, define  # noqa: E402

TABLE = 'Killed_CL'


def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--kills', type=int, default=10)
    ap.add_argument('--seed', type=int, default=int(os.environ.get('BARTIZAN_SEED', random.randrange(1 << 30))))
    ap.add_argument('--rows', type=int, default=0, help='rows stored before the first kill')
    ap.add_argument('--restart-limit', type=float, default=3.0, help='seconds a restart may take')
    a = ap.parse_args()
    print(f'seed {a.seed} (run again with BARTIZAN_SEED={a.seed})', flush=True)
    random.seed(a.seed)
    with tempfile.TemporaryDirectory() as folder:
        ok = trial(a, os.path.join(folder, 'data'))
    sys.exit(0 if ok else 1)


def trial(a, data_dir):
    with Service(data_dir) as service:
        connect = service.connect
        rule = define(connect, TABLE, [('TimeGenerated', 'datetime'), ('Batch', 'string'), ('N', 'long'), ('Text', 'string')])
        from azure.core.exceptions import AzureError
        from azure.core.pipeline.policies import RetryPolicy
        from azure.monitor.ingestion import LogsIngestionClient
        from azure.monitor.query import LogsQueryClient
        client = LogsIngestionClient(endpoint=connect['logs_ingestion_endpoint'], credential=credential(connect), retry_policy=RetryPolicy.no_retries())

        def batch(size):
            now = dt.datetime.now(dt.timezone.utc).isoformat()
            name = uuid.UUID(int=random.getrandbits(128)).hex
            return name, [{'TimeGenerated': now, 'Batch': name, 'N': n, 'Text': 'x' * 40} for n in range(size)]

        filled = 0
        while filled < a.rows:
            _, rows = batch(5000)
            client.upload(rule, f'Custom-{TABLE}', rows)
            filled += len(rows)
        acknowledged, sent, unclear = {}, 0, 0
        lock, going = threading.Lock(), threading.Event()
        going.set()

        def uploader():
            nonlocal sent, unclear
            while going.is_set():
                with lock:
                    name, rows = batch(random.randrange(1, 60))
                    sent += 1
                while True:  # retry until acknowledged, which the key makes safe
                    try:
                        client.upload(rule, f'Custom-{TABLE}', rows, request_id=name)
                        with lock:
                            acknowledged[name] = len(rows)
                        break
                    except AzureError:
                        with lock:
                            unclear += 1
                        time.sleep(0.02)

        threads = [threading.Thread(target=uploader, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        restarts = []
        for kill in range(a.kills):
            time.sleep(random.uniform(0.05, 0.8))
            service.kill()
            restarts.append(service.start())
            if (kill + 1) % 10 == 0 or kill + 1 == a.kills:
                print(f'{kill + 1}/{a.kills} kills, {len(acknowledged)} batches acknowledged, restart {restarts[-1]:.2f} s', flush=True)
        going.clear()
        for thread in threads:
            thread.join(60)
        stuck = sum(thread.is_alive() for thread in threads)
        query = LogsQueryClient(credential(connect), endpoint=connect['log_analytics_endpoint'], audience='https://api.loganalytics.io')
        ask = lambda kql: query.query_workspace(connect['workspace_id'], kql, timespan=None).tables[0].rows
        stored = {row[0]: (row[1], row[2]) for row in ask(f'{TABLE} | summarize n = count(), distinct_n = count_distinct(N) by Batch')}
        lost = [name for name, rows in acknowledged.items() if stored.get(name, (0, 0))[1] != rows]
        twice = [name for name, (rows, different) in stored.items() if rows != different]
        total = sum(rows for rows, _ in stored.values())
        print(f'{a.kills} kills, {sent} batches sent, {unclear} answers missing, {len(acknowledged)} acknowledged, {total} rows stored')
        print(f'restart: median {statistics.median(restarts):.2f} s, worst {max(restarts):.2f} s')
        print(f'lost {len(lost)}, stored twice {len(twice)}, uploads that never ended {stuck}')
        late = max(restarts) > a.restart_limit
        if late:
            print(f'a restart took longer than {a.restart_limit} s')
        return not (lost or twice or stuck or late) and len(acknowledged) > 0


if __name__ == '__main__':
    main()
