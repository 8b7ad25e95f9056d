"""Starts, kills and connects to a service under test. Loopback only; everything stops with the parent process."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

BINARY = os.environ.get('BARTIZAN', 'target/debug/bartizan')


class Service:
    """A `bartizan up` with its own data directory."""

    def __init__(self, data_dir, binary=BINARY, extra=()):
        self.data_dir, self.binary, self.extra = pathlib.Path(data_dir), binary, list(extra)
        self.process = None
        self.port = 0

    def start(self, seconds=60):
        """Starts and waits until /healthz answers 200; returns the seconds it took."""
        began = time.monotonic()
        log = open(self.data_dir.parent / (self.data_dir.name + '.log'), 'ab')
        self.process = subprocess.Popen([self.binary, 'up', '--data-dir', str(self.data_dir), '--listen', f'127.0.0.1:{self.port}', *self.extra],
                                        stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        while time.monotonic() - began < seconds:
            if self.process.poll() is not None:
                raise RuntimeError(f'the service ended with {self.process.returncode}; see {log.name}')
            if self.healthy():
                return time.monotonic() - began
            time.sleep(0.02)
        raise RuntimeError(f'not ready within {seconds} s; see {log.name}')

    def healthy(self):
        import requests
        path = self.data_dir / 'connect.json'
        try:
            connect = json.loads(path.read_text())
            # A file left by an earlier start has a closed port, or ours.
            if requests.get(connect['base_url'] + '/healthz', verify=connect['ca_cert'], timeout=2).status_code != 200:
                return False
            # Read again: the file may have been one of the start before, with other ports of listeners.
            self.connect = connect = json.loads(path.read_text())
            self.port = int(connect['base_url'].rsplit(':', 1)[1].strip('/'))
            return True
        except (OSError, ValueError, KeyError, requests.RequestException):
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


def put(connect, path, version, body):
    """Creates a resource through the resource manager."""
    import requests
    token = credential(connect).get_token('https://management.azure.com/.default').token
    reply = requests.put(connect['arm_endpoint'].rstrip('/') + path, params={'api-version': version}, json=body,
                         headers={'Authorization': f'Bearer {token}'}, verify=connect['ca_cert'], timeout=60)
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
