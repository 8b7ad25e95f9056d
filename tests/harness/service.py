"""Starts, kills and connects to a service under test. Loopback only; everything ends with the process that started it."""
import http.client
import json
import os
import pathlib
import signal
import ssl
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = str(pathlib.Path(os.environ.get('BARTIZAN', ROOT / 'target/debug/bartizan')).resolve())


class Service:
    """A `bartizan up` over a data directory of its own, on a port that the kernel chooses and that stays the same over restarts."""

    def __init__(self, data_dir, binary=BINARY, extra=(), host='127.0.0.1', prepare=None):
        """`prepare` is called in the new process before the program starts."""
        self.data_dir, self.binary, self.extra, self.host, self.prepare = pathlib.Path(data_dir), binary, list(extra), host, prepare
        self.process = None
        self.port = 0

    def start(self, seconds=60):
        """Starts and waits until /healthz answers 200; returns the seconds it took."""
        began = time.monotonic()
        log = open(self.data_dir.parent / (self.data_dir.name + '.log'), 'ab')
        self.process = subprocess.Popen([self.binary, 'up', '--data-dir', str(self.data_dir), '--listen', f'{self.host}:{self.port}', *self.extra],
                                        stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=self.prepare)
        while time.monotonic() - began < seconds:
            if self.process.poll() is not None:
                raise RuntimeError(f'the service ended with {self.process.returncode}; see {log.name}')
            if self.healthy():
                return time.monotonic() - began
            time.sleep(0.02)
        raise RuntimeError(f'not ready within {seconds} s; see {log.name}')

    def healthy(self):
        """Whether `/healthz` answers 200. With the standard library alone, so that scripts without the SDKs can start a service."""
        try:
            connect = json.loads((self.data_dir / 'connect.json').read_text())
            # A file left by an earlier start names a port that nobody answers on, or ours.
            tls = ssl.create_default_context(cafile=connect['ca_cert'])
            urllib.request.urlopen(connect['base_url'] + '/healthz', context=tls, timeout=2).close()
            # Read again: the file may have been one of the start before, with other ports of listeners.
            self.connect = connect = json.loads((self.data_dir / 'connect.json').read_text())
            self.port = int(connect['base_url'].rsplit(':', 1)[1].strip('/'))
            return True
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return False

    def kill(self):
        """kill -9: no flush and no clean shutdown."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=30):
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(seconds)

    def __enter__(self):
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.kill()


def credential(connect):
    os.environ['REQUESTS_CA_BUNDLE'] = os.environ['SSL_CERT_FILE'] = connect['ca_cert']
    from azure.identity import ClientSecretCredential
    return ClientSecretCredential(connect['tenant_id'], connect['client_id'], connect['client_secret'], authority=connect['authority'],
                                  disable_instance_discovery=True)


TOKENS = {}


def bearer(connect, resource):
    """The header with a token for `https://monitor.azure.com` or another resource; tokens are kept for half an hour, over restarts, too."""
    key = (connect['authority'], connect['client_id'], resource)
    token, until = TOKENS.get(key, ('', 0))
    if until < time.monotonic():
        token, until = TOKENS[key] = credential(connect).get_token(resource.rstrip('/') + '/.default').token, time.monotonic() + 1800
    return {'Authorization': f'Bearer {token}'}


def ingest(connect, rule, table, rows, timeout=60, **headers):
    """Uploads rows to the stream of a table made by `define`; returns the reply."""
    import requests
    return requests.post(f"{connect['logs_ingestion_endpoint']}/dataCollectionRules/{rule}/streams/Custom-{table}", params={'api-version': '2023-01-01'},
                         json=rows, headers={**bearer(connect, 'https://monitor.azure.com'), **headers}, verify=connect['ca_cert'], timeout=timeout)


def query(connect, kql, timeout=60):
    """The reply of the query API."""
    import requests
    return requests.post(f"{connect['log_analytics_endpoint']}/v1/workspaces/{connect['workspace_id']}/query", json={'query': kql},
                         headers=bearer(connect, 'https://api.loganalytics.io'), verify=connect['ca_cert'], timeout=timeout)


def ask(connect, kql, timeout=60):
    """The rows of an answer, each a list."""
    reply = query(connect, kql, timeout)
    if reply.status_code != 200:
        raise RuntimeError(f'`{kql[:200]}`: {reply.status_code} {reply.text[:500]}')
    return reply.json()['tables'][0]['rows']


def command(*args, given=None, timeout=120, **named):
    """Runs `bartizan ARGS`; returns the exit code and what it printed."""
    done = subprocess.run([BINARY, *map(str, args)], input=given, capture_output=True, text=True, timeout=timeout, **named)
    return done.returncode, done.stdout, done.stderr


def incident_path(connect, name):
    """The resource id of an incident."""
    return f'{scope(connect)[1]}/providers/Microsoft.SecurityInsights/incidents/{name}'


def put(connect, path, version, body):
    """Creates a resource through the resource manager."""
    import requests
    reply = requests.put(connect['arm_endpoint'].rstrip('/') + path, params={'api-version': version}, json=body,
                         headers=bearer(connect, 'https://management.azure.com'), verify=connect['ca_cert'], timeout=60)
    if reply.status_code not in (200, 201, 202):
        sys.exit(f'PUT {path}: {reply.status_code} {reply.text[:300]}')
    return reply.json()


def scope(connect):
    """`/subscriptions/…/providers` and the workspace's resource id."""
    providers = f"/subscriptions/{connect['subscription_id']}/resourceGroups/{connect['resource_group']}/providers"
    return providers, f"{providers}/Microsoft.OperationalInsights/workspaces/{connect['workspace_name']}"


def define(connect, table, columns):
    """A table, and a rule whose stream has the same columns; returns the rule's immutable id."""
    providers, workspace = scope(connect)
    columns = [{'name': name, 'type': kind} for name, kind in columns]
    put(connect, f'{workspace}/tables/{table}', '2022-10-01', {'properties': {'schema': {'name': table, 'columns': columns}}})
    rule = put(connect, f'{providers}/Microsoft.Insights/dataCollectionRules/{table}', '2023-03-11', {
        'location': 'local', 'kind': 'Direct', 'properties': {
            'streamDeclarations': {f'Custom-{table}': {'columns': columns}},
            'destinations': {'logAnalytics': [{'workspaceResourceId': workspace, 'name': 'w'}]},
            'dataFlows': [{'streams': [f'Custom-{table}'], 'destinations': ['w'], 'transformKql': 'source', 'outputStream': f'Custom-{table}'}]}})
    return rule['properties']['immutableId']
