#!/usr/bin/env python3
"""Backup and restore of a live data directory.

    backup.py

A backup is made while rows are uploaded. The restored service has every row that was acknowledged before the backup began, the same keys and the same
rights; a damaged backup is refused by the name of the file. Expected results: what docs/guide/operations.md promises, and `sha256sum`.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'harness'), str(HERE)]
import requests
from score import Score
from service import BINARY, Service, bearer, define
from supervision import Peer

TABLE = 'Kept_CL'
# Many small files and log files: they are merged and removed while the backup is made.
CONFIG = 'version: 1\nworkspace: { flush_after: 1s, log_file_size: 64KiB, small_files: 3 }\n'
score = Score()


class Uploads(threading.Thread):
    """Sends rows 0, 1, 2 … one after the other, until told to stop."""

    def __init__(self, peer, stream):
        super().__init__(daemon=True)
        self.peer, self.acknowledged, self.ending, self.problems = peer, 0, threading.Event(), []
        self.url = f"{peer.connect['logs_ingestion_endpoint']}/dataCollectionRules/{stream}/streams/Custom-{TABLE}?api-version=2023-01-01"

    def run(self):
        headers, session = bearer(self.peer.connect, 'https://monitor.azure.com'), requests.Session()
        session.verify = self.peer.connect['ca_cert']
        while not self.ending.is_set():
            rows = [{'TimeGenerated': '2026-12-01T00:00:00Z', 'N': self.acknowledged + n, 'Text': 'x' * 200} for n in range(20)]
            reply = session.post(self.url, json=rows, headers=headers, timeout=60)
            if reply.status_code != 204:
                self.problems.append((reply.status_code, reply.text[:200]))
                return
            self.acknowledged += 20


def bartizan(*args):
    done = subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def service(data, config, port=0):
    made = Service(data, extra=['--config', str(config)])
    made.port = port
    return made


def numbers(peer):
    rows = peer.ask(f'{TABLE} | summarize Count = count() by N | summarize Rows = count(), Newest = max(N), Most = max(Count)')
    return rows[0]['Rows'], rows[0]['Newest'], rows[0]['Most']


def live(folder, config):
    """A backup beside uploads; gives how many rows were acknowledged before it began, and how to connect."""
    data = folder / 'data'
    data.mkdir(mode=0o700)
    with service(data, config) as running:
        peer = Peer(running.connect)
        stream = define(running.connect, TABLE, [('TimeGenerated', 'datetime'), ('N', 'long'), ('Text', 'string')])
        uploads = Uploads(peer, stream)
        uploads.start()
        peer.wait('rows in files and in the log', lambda: uploads.acknowledged > 2_000 and list(data.glob('tables/*/*/*.parquet')))
        incident = subprocess.run([BINARY, 'incidents', 'open', 'Before', '--data-dir', str(data)], capture_output=True, text=True, timeout=60)
        score.check('an incident is opened', incident.returncode == 0, incident.stderr)
        before = uploads.acknowledged
        code, text = bartizan('backup', folder / 'backup', '--data-dir', data)
        score.check('a backup is made beside uploads', code == 0 and 'files' in text and 'warning' not in text, text)
        for n in range(5):
            code, text = bartizan('backup', folder / f'again-{n}', '--data-dir', data)
            score.check(f'and again {n}', code == 0, text)
        after = uploads.acknowledged
        uploads.ending.set()
        uploads.join(60)
        score.check('rows are taken meanwhile', after > before and not uploads.problems, (before, after, uploads.problems))
        score.check('/healthz names nothing', not [name for name in peer.conditions() if name not in ('file-mode', 'disk.room')], peer.conditions())
        score.check('nothing is left in the data directory', not list((data / 'tmp').glob('backup-*')))
        code, text = bartizan('backup', folder / 'backup', '--data-dir', data)
        score.check('a folder that is not empty is refused', code == 1 and 'not empty' in text, (code, text))
        score.check('the service stops as always', running.stop() == 0)
    return before, peer.connect


def restored(folder, config, before, connect):
    """The restored service: rows, keys, rights and incidents."""
    backup, data = folder / 'backup', folder / 'restored'
    modes = {path.stat().st_mode & 0o077 for path in [backup, *backup.rglob('*')]}
    score.check('nobody else can read the backup', modes == {0}, modes)
    sums = subprocess.run(['sha256sum', '--check', '--quiet', 'SHA256SUMS'], cwd=backup, capture_output=True, text=True)
    score.check('sha256sum finds it whole', sums.returncode == 0, sums.stderr)
    code, text = bartizan('restore', backup, '--data-dir', data)
    score.check('it is restored', code == 0, text)
    same = [path.name for path in (folder / 'data' / 'keys').iterdir() if path.read_bytes() != (data / 'keys' / path.name).read_bytes()]
    score.check('the keys are the same', not same, same)
    with service(data, config, port=int(connect['base_url'].rsplit(':', 1)[1])) as running:
        names = ['client_id', 'client_secret', 'tenant_id', 'workspace_id', 'workspace_key']
        score.check('clients go on with the same secrets', all(running.connect[name] == connect[name] for name in names))
        peer = Peer(running.connect)
        rows, newest, most = numbers(peer)
        score.check('every row acknowledged before is there, once', rows >= before and newest == rows - 1 and most == 1, (before, rows, newest, most))
        named = [name for name in peer.conditions() if name not in ('file-mode', 'disk.room')]
        score.check('/healthz names nothing', not named, peer.conditions())
        done = subprocess.run([BINARY, 'incidents', 'list', '--data-dir', str(data)], capture_output=True, text=True, timeout=60)
        score.check('the incident is there', 'Before' in done.stdout, done.stdout + done.stderr)
        subprocess.run([BINARY, 'incidents', 'open', 'After', '--data-dir', str(data)], capture_output=True, timeout=60)
        titles = lambda: {row['Title'] for row in peer.ask('SecurityIncident | distinct Title')} >= {'Before', 'After'}
        score.check('new incidents reach their table', peer.wait('both incidents', titles))
        score.check('it stops', running.stop() == 0)
    code, text = bartizan('backup', folder / 'stopped', '--data-dir', data)
    score.check('a stopped service is backed up as well', code == 0, text)
    with service(data, config) as running:
        named = [name for name in Peer(running.connect).conditions() if name not in ('file-mode', 'disk.room')]
        score.check('which changes nothing in it', not named, named)
        running.stop()
    code, text = bartizan('restore', backup, '--data-dir', data)
    score.check('a data directory in use is not restored over', code == 1 and 'not empty' in text, (code, text))


def damaged(folder):
    """A flipped byte in each kind of file is refused by name, and nothing is written."""
    backup, target = folder / 'backup', folder / 'never'
    kinds = ['state.db', 'connect.json', 'backup.json', 'keys/*', 'tls/*.pem', 'tables/*/manifest.json', 'tables/*/*/*.parquet', 'wal/*/*.log']
    for kind in kinds:
        path = sorted(backup.glob(kind))[0]
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(flipped) // 2] ^= 0x10
        path.write_bytes(flipped)
        code, text = bartizan('restore', backup, '--data-dir', target)
        name = str(path.relative_to(backup))
        score.check(f'a flipped byte in {kind} is refused by name', code == 1 and f'`{name}`' in text and not target.exists(), (code, text))
        path.write_bytes(whole)
    code, text = bartizan('restore', backup, '--check')
    score.check('put back, it is whole', code == 0, text)
    shutil.copytree(backup, folder / 'partial')
    (folder / 'partial' / 'SHA256SUMS').unlink()
    code, text = bartizan('restore', folder / 'partial', '--data-dir', target)
    score.check('half a backup is none', code == 1 and 'no complete backup' in text, (code, text))
    half = folder / 'half'
    half.mkdir(mode=0o700)
    (half / 'restore-unfinished').touch()
    done = subprocess.run([BINARY, 'up', '--data-dir', str(half), '--listen', '127.0.0.1:0'], capture_output=True, text=True, timeout=60)
    score.check('half a restore does not start', done.returncode == 2 and 'interrupted' in done.stderr, done.stderr)
    code, text = bartizan('backup', folder / 'nothing', '--data-dir', folder / 'none')
    score.check('what is no data directory is not backed up', code == 2 and 'no data directory' in text and not (folder / 'none').exists(), (code, text))


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = folder / 'bartizan.yaml'
        config.write_text(CONFIG)
        before, connect = live(folder, config)
        restored(folder, config, before, connect)
        damaged(folder)
    score.end()


if __name__ == '__main__':
    main()
