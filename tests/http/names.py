#!/usr/bin/env python3
"""Access from another host: by name and address, with an operator's certificate that is renewed at run time.

    names.py [SDK_LOOP]

Needs root and `ip netns`: the client has its own network namespace with an address and a hosts file; otherwise skipped with the reason. The
last part runs the demo in a namespace with a loopback interface only.
"""
import datetime as dt
import ipaddress
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'harness')]
from score import until
from service import BINARY, Service, command

NAME = 'soc.bartizan.test'
TAG = f'bz{os.getpid() % 100000}'
NET = f'10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}'
SERVER, CLIENT = f'{NET}.1', f'{NET}.2'
passed = failed = 0


def check(name, good, said=''):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(f"{'ok   ' if good else 'FAIL '} {name} {said}", flush=True)


def run(*command, **named):
    return subprocess.run(command, check=True, capture_output=True, text=True, **named)


class Namespace:
    """A network namespace, connected to ours by a pair of interfaces, or with loopback only."""

    def __init__(self, name, connected):
        self.name, self.connected = name, connected

    def __enter__(self):
        run('ip', 'netns', 'add', self.name)
        run('ip', '-n', self.name, 'link', 'set', 'lo', 'up')
        if self.connected:
            here, there = f'{self.name}h', f'{self.name}c'
            run('ip', 'link', 'add', here, 'type', 'veth', 'peer', 'name', there, 'netns', self.name)
            run('ip', 'addr', 'add', f'{SERVER}/24', 'dev', here)
            run('ip', 'link', 'set', here, 'up')
            run('ip', '-n', self.name, 'addr', 'add', f'{CLIENT}/24', 'dev', there)
            run('ip', '-n', self.name, 'link', 'set', there, 'up')
            folder = pathlib.Path('/etc/netns') / self.name
            folder.mkdir(parents=True)
            (folder / 'hosts').write_text(f'127.0.0.1 localhost\n{SERVER} {NAME}\n')
        return self

    def __exit__(self, *_):
        if self.connected:
            subprocess.run(['ip', 'link', 'del', f'{self.name}h'], capture_output=True)
            shutil.rmtree(f'/etc/netns/{self.name}', ignore_errors=True)
        subprocess.run(['ip', 'netns', 'del', self.name], capture_output=True)

    def run(self, *command, **named):
        return subprocess.run(['ip', 'netns', 'exec', self.name, *command], capture_output=True, text=True, **named)


class Authority:
    """A certificate authority that is not ours."""

    def __init__(self):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        self.x509, self.hashes, self.serialization, self.ec = x509, hashes, serialization, ec
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'Example Corp Root')])
        self.certificate = self.sign(self.name, self.key.public_key(), [], True)

    def sign(self, subject, public, names, is_ca=False):
        x509 = self.x509
        now = dt.datetime.now(dt.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=1))
                   .not_valid_after(now + dt.timedelta(days=30))
                   .add_extension(x509.BasicConstraints(is_ca, None), True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False))
        if is_ca:
            builder = builder.add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(self.key, self.hashes.SHA256())

    def issue(self, folder):
        """A new certificate and key into `folder`, as certbot does: written to a temporary file and renamed. Returns its serial number."""
        x509, serialization = self.x509, self.serialization
        key = self.ec.generate_private_key(self.ec.SECP256R1())
        names = [x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address(SERVER))]
        leaf = self.sign(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)]), key.public_key(), names)
        pem = lambda certificate: certificate.public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        for name, content in (('privkey.pem', private), ('fullchain.pem', pem(leaf) + pem(self.certificate))):
            new = folder / (name + '.new')
            new.write_bytes(content)
            new.rename(folder / name)
        return leaf.serial_number


CLIENT_SCRIPT = '''
import json, ssl, socket, sys
import requests
connect = json.load(open(sys.argv[1]))
ca = connect['ca_cert']
out = {}
for name in sys.argv[2:]:
    out[name] = requests.get(f"https://{name}:{connect['listen'].rsplit(':', 1)[1]}/healthz", verify=ca, timeout=10).status_code
base, tenant = connect['base_url'], connect['tenant_id']
form = {'grant_type': 'client_credentials', 'client_id': connect['client_id'], 'client_secret': connect['client_secret']}
def token(scope):
    return requests.post(f'{base}/{tenant}/oauth2/v2.0/token', data={**form, 'scope': scope + '/.default'}, verify=ca, timeout=10).json()['access_token']
out['openid'] = requests.get(f'{base}/{tenant}/v2.0/.well-known/openid-configuration', verify=ca, timeout=10).json()
arm = {'Authorization': 'Bearer ' + token('https://management.azure.com')}
path = f"/subscriptions/{connect['subscription_id']}/providers/Microsoft.Authorization/roleDefinitions"
out['nextLink'] = requests.get(base + path, params={'api-version': '2022-04-01', '$top': 1}, headers=arm, verify=ca, timeout=10).json()['nextLink']
evil = requests.get(base + path, params={'api-version': '2022-04-01', '$top': 1}, headers={**arm, 'Host': 'evil.example'}, verify=ca, timeout=10)
out['evil'] = evil.json()['nextLink']
print(json.dumps(out))
'''


def serial(port):
    """The serial number of the certificate served for the name to a client in this namespace."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((SERVER, port), 10) as stream, context.wrap_socket(stream, server_hostname=NAME) as tls:
        from cryptography import x509
        return x509.load_der_x509_certificate(tls.getpeercert(True)).serial_number


def from_outside(folder, loop):
    authority, tls = Authority(), folder / 'tls'
    tls.mkdir()
    first = authority.issue(tls)
    config = folder / 'bartizan.yaml'
    config.write_text(f'version: 1\nnames: [{NAME}, {SERVER}]\ntls:\n  cert: {tls}/fullchain.pem\n  key: {tls}/privkey.pem\n')

    class Outside(Service):
        def healthy(self):
            """Whether it speaks TLS: its name is unknown on this host, so `/healthz` cannot be asked."""
            try:
                self.connect = json.loads((self.data_dir / 'connect.json').read_text())
                self.port = int(self.connect['listen'].rsplit(':', 1)[1])
                return bool(serial(self.port))
            except (OSError, ValueError, KeyError):
                return False

    with Namespace(TAG, True) as other, Outside(folder / 'data', extra=['--config', str(config)], host='0.0.0.0') as service:
        connect, base = service.connect, f'https://{NAME}:{service.port}'
        urls = {key: value for key, value in connect.items() if isinstance(value, str) and value.startswith('https://')}
        check('every address in connect.json has the first name', set(urls.values()) == {base}, urls)
        script = folder / 'client.py'
        script.write_text(CLIENT_SCRIPT)
        ran = other.run(sys.executable, str(script), str(service.data_dir / 'connect.json'), NAME, SERVER, timeout=60)
        check('a client on another host reaches it by name and by address', ran.returncode == 0, ran.stderr[-300:])
        if ran.returncode == 0:
            said = json.loads(ran.stdout)
            check('both are served', said[NAME] == said[SERVER] == 200)
            links = [said['openid']['token_endpoint'], said['openid']['issuer'], said['nextLink'], said['evil']]
            check('links have the name, also where the Host header does not', all(link.startswith(base + '/') for link in links), links)
        # Our own tools on this machine, where the name does not resolve.
        code, _, err = command('query', 'print 1', '--data-dir', service.data_dir)
        check('the command line reaches it though the name is unknown here', code == 0, err[-200:])
        if loop and os.path.exists(loop):
            ran = other.run(sys.executable, loop, str(service.data_dir / 'connect.json'), timeout=180)
            check('the loop, driven by unmodified SDKs on another host', ran.returncode == 0, (ran.stdout.splitlines() or [''])[-1])
        else:
            print('skipped: the SDK loop: there is no script for it', flush=True)
        check('the certificate is the operator\'s', serial(service.port) == first)
        second = authority.issue(tls)
        service.process.send_signal(signal.SIGHUP)
        check('renewed and told by SIGHUP', until(lambda: serial(service.port) == second, 5))
        third = authority.issue(tls)
        check('renewed without a word', until(lambda: serial(service.port) == third, 30))
        (tls / 'privkey.pem').write_text('half a ke')
        service.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        check('a broken renewal keeps the old one', serial(service.port) == third and service.process.poll() is None)
        check('the operator\'s files are as they were', (tls / 'privkey.pem').read_text() == 'half a ke')
        check('it stops cleanly', service.stop() == 0)


def loopback_only(folder, loop):
    with Namespace(TAG + 'l', False) as alone:
        data = folder / 'alone'
        ran = alone.run(BINARY, 'demo', '--once', '--data-dir', str(data), '--listen', '127.0.0.1:0', timeout=120)
        check('the demo closes its loop with loopback only', ran.returncode == 0, ran.stderr[-300:])
        if loop and os.path.exists(loop):
            ran = alone.run('scripts/sdk-loop', sys.executable, loop, timeout=180)
            check('the SDK loop passes with loopback only', ran.returncode == 0, (ran.stdout.splitlines() or [''])[-1])


def main():
    probe = f'{TAG}p'
    tried = subprocess.run(['ip', 'netns', 'add', probe], capture_output=True, text=True) if shutil.which('ip') else None
    if os.geteuid() != 0 or not tried or tried.returncode != 0:
        why = 'there is no `ip` here' if not tried and os.geteuid() == 0 else 'network namespaces need root' if os.geteuid() != 0 else tried.stderr.strip()
        print(f'skipped: another host: {why}')
        print('0 passed, 0 failed, 1 skipped')
        return
    subprocess.run(['ip', 'netns', 'del', probe], capture_output=True)
    loop = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        from_outside(pathlib.Path(folder), loop)
        loopback_only(pathlib.Path(folder), loop)
    print(f'{passed} passed, {failed} failed')
    sys.exit(1 if failed else 0)


main()
