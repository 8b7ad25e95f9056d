#!/usr/bin/env python3
"""Disk faults at run time (full, no inodes, EIO, read-only) and recovery from them; and a start on a full disk.

    disk_faults.py [--long]

The data directory is on a tmpfs of its own (`size=`, `nr_inodes=`); errors of the disk are injected into the running service with
`strace -e inject`. While a fault lasts, uploads and changes of state must be refused with 429 or 503 and `Retry-After`, queries answered, and
health must report it; after the fault is cleared both must be accepted within 10 s. At the end every acknowledged row is stored exactly once. Needs
root for the mounts and ptrace for the injections: checks that cannot run are skipped with a message.
"""
import argparse
import datetime as dt
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
import requests  # noqa: E402
from score import wait  # noqa: E402
from service import Service, ask, bearer, define, incident_path, ingest  # noqa: E402

TABLE, HEALED_WITHIN = 'Faults_CL', 10.0
FULL = ('full', 'no inodes', 'restart on a full disk')


class Trial:
    """A service on a small file system, with a client that uploads and one that changes state continuously."""

    def __init__(self, folder):
        self.mount = pathlib.Path(folder)
        self.service = Service(self.mount / 'data')
        self.acknowledged, self.refusals, self.wrong = set(), [], []
        self.last_upload = self.last_change = 0.0
        self.going = True

    def begin(self):
        self.service.data_dir.mkdir()
        self.service.start()
        connect = self.connect = self.service.connect
        self.rule = define(connect, TABLE, [('TimeGenerated', 'datetime'), ('Batch', 'string'), ('N', 'long'), ('Text', 'string')])
        self.threads = [threading.Thread(target=self.loop, args=(each,), daemon=True) for each in (self.upload, self.change)]
        for thread in self.threads:
            thread.start()
        self.until(lambda: len(self.acknowledged) > 3 and self.last_change, 'the first uploads')
        wait(lambda: len(list((self.mount / 'data/reserve').glob('*'))) == 16, 'the reserve')

    def loop(self, step):
        while self.going:
            try:
                step()
            except requests.RequestException:
                time.sleep(0.1)  # between a stop and a start

    def upload(self):
        name = uuid.uuid4().hex
        rows = [{'TimeGenerated': dt.datetime.now(dt.timezone.utc).isoformat(), 'Batch': name, 'N': n, 'Text': uuid.uuid4().hex * 8} for n in range(40)]
        while self.going:  # retry with the same key until acknowledged
            try:
                reply = ingest(self.connect, self.rule, TABLE, rows, 20, **{'x-ms-client-request-id': name})
            except requests.RequestException:
                time.sleep(0.1)
                continue
            if reply.status_code == 204:
                self.acknowledged.add(name)
                self.last_upload = time.monotonic()
                time.sleep(0.03)
                return
            self.refused('upload', reply)

    def change(self):
        path = incident_path(self.connect, uuid.uuid4())
        reply = requests.put(self.connect['arm_endpoint'] + path, params={'api-version': '2024-09-01'}, timeout=20, verify=self.connect['ca_cert'],
                             json={'properties': {'title': 'x', 'severity': 'Low', 'status': 'New'}},
                             headers=bearer(self.connect, 'https://management.azure.com'))
        if reply.status_code in (200, 201):
            self.last_change = time.monotonic()
        else:
            self.refused('change', reply)
        time.sleep(0.05)

    def refused(self, what, reply):
        self.refusals.append(what)
        if reply.status_code not in (429, 503) or 'Retry-After' not in reply.headers:
            self.wrong.append(f'{what}: {reply.status_code} {reply.text[:200]}')
        if str(self.mount) in reply.text:
            self.wrong.append(f'{what}: a path of the server is shown: {reply.text[:200]}')
        time.sleep(0.1)

    def until(self, level, what, seconds=30):
        wait(level, what, seconds)

    def query(self, kql):
        return ask(self.connect, kql, 30)

    def health(self):
        return requests.get(self.connect['base_url'] + '/healthz', verify=self.connect['ca_cert'], timeout=10).text

    def fault(self, name, begin, end, expect=('upload', 'change')):
        """One fault, from its start to 10 s after its end."""
        self.refusals.clear()
        began = time.monotonic()
        begin()
        try:
            self.until(lambda: all(what in self.refusals for what in expect), f'refusals during "{name}"', 60)
            self.until(lambda: self.health().startswith('failing'), f'health that says "{name}"', 10)
            self.query(f'{TABLE} | count')
        finally:
            end()
        healed = time.monotonic()
        self.until(lambda: self.last_upload > healed and self.last_change > healed, f'uploads and changes after "{name}"', HEALED_WITHIN)
        took = time.monotonic() - healed
        self.until(lambda: not self.health().startswith('failing'), f'health after "{name}"', 10)
        print(f'{name}: {len(self.refusals)} refusals in {healed - began:.1f} s, taken again after {took:.1f} s', flush=True)

    def restart_on_full(self):
        filler = Filler(self.mount)
        self.refusals.clear()
        filler.fill()
        self.until(lambda: 'upload' in self.refusals and 'change' in self.refusals, 'refusals before the restart', 60)
        for kill in (False, True):
            self.service.kill() if kill else self.service.stop()
            filler.fill()  # the space freed by the stop
            took = self.service.start()
            self.connect = self.service.connect
            count = self.query(f'{TABLE} | distinct Batch | count')[0][0]
            if count < len(self.acknowledged):
                self.wrong.append(f'{len(self.acknowledged)} batches were acknowledged, {count} are served from the full disk')
            filler.fill()
            self.refusals.clear()
            self.until(lambda: 'upload' in self.refusals, 'refusals after the restart', 60)
            print(f'restart on a full disk after {"kill -9" if kill else "a stop"}: ready after {took:.1f} s, {count} batches served', flush=True)
        filler.empty()
        healed = time.monotonic()
        self.until(lambda: self.last_upload > healed and self.last_change > healed, 'uploads after the full disk was cleared', HEALED_WITHIN)
        print(f'taken again after {time.monotonic() - healed:.1f} s', flush=True)

    def end(self):
        self.going = False
        for thread in self.threads:
            thread.join(30)
        for kill in (True, False):
            self.service.kill() if kill else self.service.stop()
            self.service.start()
            self.connect = self.service.connect
            stored = {row[0]: (row[1], row[2]) for row in self.query(f'{TABLE} | summarize n = count(), d = count_distinct(N) by Batch')}
            lost = [name for name in self.acknowledged if stored.get(name) != (40, 40)]
            twice = [name for name, (n, d) in stored.items() if n != d]
            if lost or twice:
                self.wrong.append(f'lost {len(lost)}, stored twice {len(twice)} of {len(self.acknowledged)}')
        self.service.stop()
        print(f'{len(self.acknowledged)} batches acknowledged, all stored once' if not self.wrong else f'wrong: {self.wrong[:5]}')


class Filler:
    """Fills a file system, and frees it again."""

    def __init__(self, mount):
        self.folder = mount / 'filler'
        self.folder.mkdir(exist_ok=True)
        self.number = 0

    def fill(self):
        for size in (1 << 20, 4096):
            while True:
                self.number += 1
                try:
                    with open(self.folder / str(self.number), 'wb', buffering=0) as file:
                        if file.write(b'x' * size) < size:
                            break
                except OSError:
                    break

    def empty(self):
        shutil.rmtree(self.folder)
        self.folder.mkdir()


class Inodes(Filler):
    def fill(self):
        try:
            while True:
                self.number += 1
                (self.folder / str(self.number)).touch()
        except OSError:
            pass


class Injection:
    """strace, attached for as long as the fault lasts."""

    def __init__(self, service, calls, error):
        self.service, self.calls, self.error, self.process = service, calls, error, None

    def begin(self):
        self.process = subprocess.Popen(['strace', '-f', '-qq', '-o', '/dev/null', '-e', f'trace={self.calls}', '-e',
                                         f'inject={self.calls}:error={self.error}', '-p', str(self.service.process.pid)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)


def mounted(folder, options):
    done = subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'bartizan-trial', folder], capture_output=True, text=True)
    return done.returncode == 0, done.stderr.strip()


def can_trace():
    if not shutil.which('strace'):
        return 'there is no strace'
    child = subprocess.Popen(['sleep', '5'])
    try:
        done = subprocess.run(['timeout', '-s', 'INT', '1', 'strace', '-qq', '-p', str(child.pid)], capture_output=True, text=True)
        return 'ptrace is not allowed here' if 'ttach' in done.stderr else None
    finally:
        child.kill()
        child.wait()


def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--long', action='store_true', help='each fault three times')
    a = ap.parse_args()
    folder = tempfile.mkdtemp()
    ok, why = mounted(folder, 'size=72m,nr_inodes=700,mode=0700')
    if not ok:
        print(f'skipped: trials of a full disk need a tmpfs of their own, and it cannot be mounted here: {why}')
        os.rmdir(folder)
        return
    trial = Trial(folder)
    try:
        trial.begin()
        for _ in range(3 if a.long else 1):
            filler, inodes = Filler(trial.mount), Inodes(trial.mount)
            trial.fault('full', filler.fill, filler.empty)
            if a.long:
                trial.fault('no inodes', inodes.fill, inodes.empty, expect=('upload',))
            why = can_trace()
            if why:
                print(f'skipped: errors of the disk are injected with strace: {why}')
            else:
                faults = [('EIO', 'fsync,fdatasync')] + ([('EROFS', 'fsync,fdatasync,pwrite64,ftruncate,rename,mkdir')] if a.long else [])
                for error, calls in faults:
                    injection = Injection(trial.service, calls, error)
                    trial.fault(f'{error} of {calls}', injection.begin, injection.end)
            trial.restart_on_full()
        trial.end()
    except (TimeoutError, RuntimeError) as error:
        trial.wrong.append(str(error))
        print(f'FAIL {error}; last refusals {trial.refusals[-3:]}, wrong {trial.wrong[:3]}')
        try:
            print(trial.health())
        except requests.RequestException:
            pass
        print((trial.mount / 'data.log').read_text()[-3000:])
    finally:
        trial.going = False
        if trial.service.process and trial.service.process.poll() is None:
            trial.service.kill()
        subprocess.run(['umount', '-l', folder], check=False)
        os.rmdir(folder)
    sys.exit(1 if trial.wrong else 0)


if __name__ == '__main__':
    main()
