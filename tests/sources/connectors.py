#!/usr/bin/env python3
"""Sources with routes and destinations of the running service, over real sockets and files.

    connectors.py

A syslog listener whose messages pass a transform; a destination that gets the rows of a table as JSON lines; pause, resume, rewind and test by
the command line and the API; kill -9 while rows are sent on. Expected answers are computed here from what was sent.
"""
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'harness')]
import requests
from score import Score, until as wait_until
from service import BINARY, Service, bearer

score = Score()

CONFIG = '''version: 1
destination_roots: ["{root}"]
sources:
  syslog:
    - name: firewalls
      tcp: 0
      route:
        transforms:
          Microsoft-CommonSecurityLog: source | where DeviceAction != "allow" | extend Activity = strcat("[shaped] ", Activity)
destinations:
  file:
    - name: archive
      path: {root}/firewalls
      follow:
        tables: [CommonSecurityLog]
        transform: source | project TimeGenerated, Activity, DeviceAction, SourcePort
'''


def command(data, *words):
    ended = subprocess.run([BINARY, *words, '--data-dir', str(data)], capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stdout, ended.stderr


def wait(condition, seconds=60):
    return wait_until(condition, seconds)


class Peer:
    def __init__(self, service):
        self.connect = service.connect

    def headers(self):
        return bearer(self.connect, self.connect['base_url'].rstrip('/'))

    def get(self, path):
        return requests.get(self.connect['base_url'] + path, headers=self.headers(), verify=self.connect['ca_cert'], timeout=30)

    def post(self, path, body):
        return requests.post(self.connect['base_url'] + path, json=body, headers=self.headers(), verify=self.connect['ca_cert'], timeout=30)

    def status(self, role, name):
        return next(one for one in self.get(f'/api/v1/{role}s').json()['connectors'] if one['id'] == name)

    def send(self, ports, action='deny'):
        port = next(one['address'] for one in self.connect['syslog'] if one['name'] == 'firewalls').rsplit(':', 1)[1]
        lines = ''.join(f'<134>1 - fw app - - - CEF:0|Vendor|Product|1|7|connection|5|act={action} spt={n}\n' for n in ports)
        with socket.create_connection(('127.0.0.1', int(port)), timeout=10) as s:
            s.sendall(lines.encode())


def archived(root):
    rows = []
    for file in sorted((root / 'firewalls' / 'CommonSecurityLog').glob('*.jsonl')):
        rows += [json.loads(line) for line in file.read_text().splitlines()]
    return rows


def query(data, text):
    code, out, err = command(data, 'query', '--format', 'json', text)
    if code:
        return err
    return json.loads(out)


def run(folder):
    root, data, config = folder / 'archive', folder / 'data', folder / 'bartizan.yaml'
    root.mkdir()
    config.write_text(CONFIG.format(root=root))
    service = Service(data, extra=['--config', str(config)])
    data.mkdir()
    service.start()
    try:
        peer = Peer(service)
        peer.send(range(1, 101))
        peer.send(range(1001, 1051), action='allow')
        rows = wait(lambda: len(archived(root)) >= 100 and archived(root)) or []
        score.check('the rows of the table arrive as JSON lines', sorted(row['SourcePort'] for row in rows) == list(range(1, 101)), len(rows))
        score.check('the transform of the route shaped them', rows and all(row['Activity'] == '[shaped] connection' for row in rows), rows[:1])
        score.check('the transform of the destination chose the columns',
                    rows and set(rows[0]) == {'TimeGenerated', 'Activity', 'DeviceAction', 'SourcePort', '_Key'}, rows[:1])
        status = wait(lambda: peer.status('destination', 'file/archive')['rows'] >= 100 and peer.status('destination', 'file/archive'))
        score.check('the destination counts what was acknowledged', status and status['rows'] == 100 and status['state'] == 'running', status)
        source = peer.status('source', 'syslog/firewalls')
        score.check('the source counts what was stored', source['rows'] == 100 and source['streams'][0] == 'Microsoft-Syslog', source)

        code, out, _ = command(data, 'sources', 'list')
        score.check('`sources list` shows it', code == 0 and 'syslog/firewalls' in out and 'running' in out, out)
        code, out, _ = command(data, 'destinations', 'test', 'archive')
        score.check('`destinations test` says what it found', code == 0 and 'can be written' in out, out)
        code, out, _ = command(data, 'sources', 'test', 'firewalls')
        score.check('`sources test` names the sockets of a listener', code == 0 and 'listening on tcp 127.0.0.1' in out, out)
        code, _, err = command(data, 'destinations', 'show', 'nothing')
        score.check('an unknown name is refused with the known ones', code == 1 and 'file/archive' in err, err)

        score.check('a destination is paused', command(data, 'destinations', 'pause', 'archive')[0] == 0)
        peer.send(range(101, 201))
        wait(lambda: peer.status('source', 'syslog/firewalls')['rows'] >= 200)
        time.sleep(2.5)
        score.check('a paused destination sends nothing', len(archived(root)) == 100, len(archived(root)))
        service.kill()
        service.start()
        peer = Peer(service)
        time.sleep(2)
        score.check('it stays paused over a restart', peer.status('destination', 'file/archive')['state'] == 'paused' and len(archived(root)) == 100,
                    peer.status('destination', 'file/archive'))
        score.check('it is resumed', command(data, 'destinations', 'resume', 'archive')[0] == 0)
        rows = wait(lambda: len(archived(root)) >= 200 and archived(root)) or archived(root)
        score.check('what came meanwhile is sent', sorted(row['SourcePort'] for row in rows) == list(range(1, 201)), len(rows))

        # Kills while rows arrive and are sent on: each row at least once, repetitions have the key of their piece.
        sent = 200
        for _ in range(4):
            peer.send(range(sent + 1, sent + 2001))
            sent += 2000
            wait(lambda: peer.status('source', 'syslog/firewalls')['rows'] > 0, 10)
            time.sleep(0.4)
            service.kill()
            service.start()
            peer = Peer(service)
        stored = query(data, 'CommonSecurityLog | summarize by SourcePort')
        stored = sorted(row['SourcePort'] for row in stored) if isinstance(stored, list) else stored
        rows = wait(lambda: set(row['SourcePort'] for row in archived(root)) >= set(stored) and archived(root)) or archived(root)
        score.check('after four kills every stored row was sent on', set(row['SourcePort'] for row in rows) == set(stored), (len(rows), len(stored)))
        once = {(row['_Key'], row['SourcePort']) for row in rows}
        score.check('repetitions can be recognised by their key', len(once) == len(stored), (len(once), len(stored), len(rows)))

        before = len(archived(root))
        score.check('a destination is rewound', command(data, 'destinations', 'rewind', 'archive')[0] == 0)
        rows = wait(lambda: len(archived(root)) >= before + len(stored) and archived(root)) or archived(root)
        score.check('all rows are sent again from the beginning', len(rows) == before + len(stored), (before, len(rows), len(stored)))

        reply = peer.post('/api/v1/sources/syslog/none', {'action': 'pause'})
        score.check('the API refuses an unknown source', reply.status_code == 404 and 'syslog/firewalls' in reply.text, reply.text)
        reply = peer.post('/api/v1/sources/syslog/firewalls', {'action': 'explode'})
        score.check('the API refuses an unknown action', reply.status_code == 400, reply.text)

        # A full or read-only folder: rows wait, the health register names the destination, and they go on when it is healed.
        os.chmod(root / 'firewalls' / 'CommonSecurityLog', 0o500)
        blocked = root / 'firewalls' / 'CommonSecurityLog'
        blocked.rename(root / 'aside')
        blocked.write_text('a file where the folder was')
        peer.send([9001])
        failing = wait(lambda: peer.status('destination', 'file/archive')['state'] == 'failing' and peer.status('destination', 'file/archive'))
        score.check('a destination that cannot write is failing and says why', failing and 'cannot write' in failing['last_error'], failing)
        health = requests.get(peer.connect['base_url'] + '/healthz', verify=peer.connect['ca_cert'], timeout=10).text
        score.check('the health register names it', 'destination-failing 1' in health, health)
        blocked.unlink()
        (root / 'aside').rename(blocked)
        os.chmod(blocked, 0o700)
        found = wait(lambda: any(row['SourcePort'] == 9001 for row in archived(root)))
        score.check('it goes on when the folder is there again', found)
        wait(lambda: peer.status('destination', 'file/archive')['state'] == 'running')
        score.check('and is running again', peer.status('destination', 'file/archive')['state'] == 'running')
        code = service.stop()
        score.check('the service stops cleanly', code == 0, code)
    finally:
        if service.process.poll() is None:
            service.kill()

    refusals = [
        ('a transform that is wrong', CONFIG.replace('DeviceAction != "allow"', 'NoSuchColumn == 1'), 'NoSuchColumn'),
        ('a stream that the source does not have', CONFIG.replace('Microsoft-CommonSecurityLog:', 'Microsoft-SigninLogs:'), 'Microsoft-SigninLogs'),
        ('a field that does not exist', CONFIG.replace('follow:', 'follows:'), 'follow'),
        ('a relative path', CONFIG.replace('path: {root}', 'path: here'), 'absolute'),
    ]
    for what, text, named in refusals:
        config.write_text(text.format(root=root))
        ended = subprocess.run([BINARY, 'up', '--data-dir', str(folder / 'other'), '--listen', '127.0.0.1:0', '--config', str(config)],
                               capture_output=True, text=True, timeout=60)
        score.check(f'{what} is refused at the start', ended.returncode == 2 and named in ended.stderr, ended.stderr[-400:])


with tempfile.TemporaryDirectory() as folder:
    run(pathlib.Path(folder))
sys.exit(score.end())
