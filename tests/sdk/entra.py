#!/usr/bin/env python3
"""Applications and people get tokens through unmodified `msal` and `azure-identity`: every kind of credential and every flow.

    entra.py [FOLDER]

With a folder in which npm installed `@azure/identity`, that library is driven too, by entra.mjs.
Certificates are made and registered with the command line (S1-56 ... S1-59). Pages are driven as a browser without script would: the form is
read, filled in and sent. Source of the formats: Microsoft's libraries themselves, and learn.microsoft.com/entra/identity-platform.
"""
import base64
import html.parser
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import urllib.parse

import requests
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from service import BINARY, Service, credential, scope  # noqa: E402

ARM = 'https://management.azure.com/.default'
REPLY = 'https://app.example.org/cb'


class Page(html.parser.HTMLParser):
    """The form of a page: where it goes, and its hidden fields."""

    def __init__(self, text):
        super().__init__()
        self.action, self.hidden, self.scripts = None, {}, 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == 'form':
            self.action = attributes['action']
        elif tag == 'input' and attributes['type'] == 'hidden':
            self.hidden[attributes['name']] = attributes['value']
        elif tag == 'script':
            self.scripts += 1


class Browser:
    def __init__(self, connect):
        self.session = requests.Session()
        self.session.verify = connect['ca_cert']
        self.session.headers['Accept'] = 'text/html'

    def open(self, url):
        return self.session.get(url, allow_redirects=False, timeout=30)

    def submit(self, reply, **fields):
        page = Page(reply.text)
        assert page.scripts == 0 and page.action, reply.text[:500]
        origin = '/'.join(page.action.split('/')[:3])
        return self.session.post(page.action, data={**page.hidden, **fields}, headers={'Origin': origin}, allow_redirects=False, timeout=30)

    def sign_in(self, connect, url, **more):
        page = self.open(url)
        assert page.status_code == 200, page.text
        return self.submit(page, username=connect['admin_user'], password=connect['admin_password'], action='sign-in', **more)


def claims(token):
    payload = token.split('.')[1]
    return json.loads(base64.urlsafe_b64decode(payload + '=' * (-len(payload) % 4)))


def redirected(reply):
    assert reply.status_code == 303 and reply.headers['Location'].startswith(REPLY), f'{reply.status_code} {reply.text[:500]}'
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(reply.headers['Location']).query))


def main():
    with tempfile.TemporaryDirectory() as folder, Service(os.path.join(folder, 'data')) as service:
        connect = service.connect
        os.environ['REQUESTS_CA_BUNDLE'] = os.environ['SSL_CERT_FILE'] = connect['ca_cert']
        run = Run(connect, service.data_dir, folder)
        run.discovery()
        run.secret()
        run.certificates()
        run.environment()
        run.authorization_code()
        run.adfs_code()
        run.device_code()
        run.azure_identity_code_and_device()
        if len(sys.argv) > 1:
            run.javascript(sys.argv[1])
        run.refused()
    print('secret, certificates, authorization code, refresh, device code and adfs: msal and azure-identity got their tokens')


class Run:
    def __init__(self, connect, data_dir, folder):
        self.connect, self.data_dir, self.folder = connect, data_dir, folder
        self.authority = f"{connect['authority'].rstrip('/')}/{connect['tenant_id']}"
        self.daemon = self.add('Daemon')
        self.web = self.add('Web', '--reply-url', REPLY)
        self.tool = self.add('Tool', '--public-client', '--public-url', 'http://localhost')
        self.web_secret = self.command('apps', 'add-secret', 'Web', '--valid', '90d').strip()

    def command(self, *words, env=None, expect=0):
        done = subprocess.run([BINARY, *words, *([] if words[0] == 'cert' else ['--data-dir', str(self.data_dir)])], capture_output=True, text=True,
                              env={**os.environ, **(env or {})}, timeout=120)
        assert done.returncode == expect, f'{words}: {done.returncode} {done.stderr}'
        return done.stdout

    def add(self, name, *more):
        return json.loads(self.command('apps', 'add', name, *more, '--format', 'json'))['appId']

    def discovery(self):
        """The documents announce what is served and nothing else; the keys verify a token."""
        import jwt
        for tenant in [self.connect['tenant_id'], 'common', 'organizations', 'adfs']:
            for version in ['', '/v2.0']:
                document = requests.get(f"{self.connect['authority']}/{tenant}{version}/.well-known/openid-configuration", timeout=30).json()
                for name in ['authorization_endpoint', 'token_endpoint', 'device_authorization_endpoint', 'jwks_uri']:
                    assert requests.get(document[name], timeout=30).status_code != 404, document[name]
                assert document['code_challenge_methods_supported'] == ['S256'], document
        token = credential(self.connect).get_token(ARM).token
        keys = jwt.PyJWKClient(document['jwks_uri'])
        try:
            key = keys.get_signing_key_from_jwt(token).key
        except jwt.exceptions.PyJWKClientConnectionError:
            # PyJWT uses urllib, which takes the authority from SSL_CERT_FILE only at the first import.
            found = requests.get(document['jwks_uri'], timeout=30).json()['keys']
            key = jwt.PyJWK(next(each for each in found if each['kid'] == jwt.get_unverified_header(token)['kid'])).key
        found = jwt.decode(token, key, algorithms=['RS256'], audience='https://management.azure.com')
        assert found['tid'] == self.connect['tenant_id'] and found['ver'] == '1.0' and found['idtyp'] == 'app', found

    def secret(self):
        import msal
        secret = self.command('apps', 'add-secret', 'Daemon', '--name', 'first').strip()
        app = msal.ConfidentialClientApplication(self.daemon, client_credential=secret, authority=self.authority, instance_discovery=False)
        result = app.acquire_token_for_client(scopes=[ARM])
        assert claims(result['access_token'])['appid'] == self.daemon, result
        shown = json.loads(self.command('apps', 'show', 'Daemon', '--format', 'json'))
        assert secret not in json.dumps(shown) and shown['passwordCredentials'][0]['endDateTime'], shown

    def certificates(self):
        """S1-56 ... S1-59: one command makes the files, one registers them; SHA-1 and SHA-256 thumbprint, RS256 and PS256, .pem and .pfx."""
        import msal
        from azure.identity import CertificateCredential
        self.command('cert', 'new', 'x', '--bits', '1024', '--out', os.path.join(self.folder, 'short'), expect=1)
        stem = os.path.join(self.folder, 'daemon')
        manifest = json.loads(self.command('cert', 'new', 'MyCompanyName MyAppName Cert', '--out', stem, '--passphrase', 'env:PFX', env={'PFX': 'correct horse'}))
        entry = manifest['keyCredentials'][0]
        assert sorted(entry) == ['customKeyIdentifier', 'keyId', 'type', 'usage', 'value'] and entry['type'] == 'AsymmetricX509Cert', entry
        thumbprint = base64.b64decode(entry['customKeyIdentifier']).hex().upper()
        assert all(os.stat(f'{stem}.{end}').st_mode & 0o077 == 0 for end in ['key', 'pem', 'pfx'])
        # What OpenSSL reads back is the same key.
        told = subprocess.run(['openssl', 'pkcs12', '-in', f'{stem}.pfx', '-passin', 'pass:correct horse', '-nodes'], capture_output=True, text=True, timeout=60)
        assert told.returncode == 0 and 'BEGIN CERTIFICATE' in told.stdout and 'PRIVATE KEY' in told.stdout, told.stderr
        self.command('apps', 'add-cert', 'Daemon', f'{stem}.pfx', expect=1)
        self.command('apps', 'add-cert', 'Daemon', f'{stem}.pfx', '--passphrase', 'env:PFX', env={'PFX': 'correct horse'})
        # A second certificate, as for a roll-over, from the .cer.
        other = os.path.join(self.folder, 'other')
        self.command('cert', 'new', 'Other', '--out', other)
        self.command('apps', 'add-cert', 'Daemon', f'{other}.cer')
        key, public = open(f'{stem}.key').read(), open(f'{stem}.cer').read()
        for what in [
            {'private_key': key, 'thumbprint': thumbprint},  # RS256, x5t
            {'private_key': key, 'public_certificate': public},  # PS256, x5t#S256, x5c
            {'private_key_pfx_path': f'{stem}.pfx', 'passphrase': 'correct horse'},
            {'private_key_pfx_path': f'{stem}.pfx', 'passphrase': 'correct horse', 'public_certificate': True},
            {'private_key': open(f'{other}.key').read(), 'public_certificate': open(f'{other}.cer').read()},
        ]:
            app = msal.ConfidentialClientApplication(self.daemon, client_credential=what, authority=self.authority, instance_discovery=False)
            # Twice: msal uses one assertion for both.
            for scope in [ARM, 'https://monitor.azure.com/.default']:
                result = app.acquire_token_for_client(scopes=[scope])
                assert claims(result.get('access_token') or str(result))['appidacr'] == '2', result
        for more in [{}, {'send_certificate_chain': True}]:
            theirs = CertificateCredential(self.connect['tenant_id'], self.daemon, f'{stem}.pem', authority=self.connect['authority'],
                                           disable_instance_discovery=True, **more)
            assert claims(theirs.get_token(ARM).token)['appid'] == self.daemon
        with_passphrase = CertificateCredential(self.connect['tenant_id'], self.daemon, f'{stem}.pfx', password='correct horse',
                                                authority=self.connect['authority'], disable_instance_discovery=True)
        assert claims(with_passphrase.get_token(ARM).token)['appid'] == self.daemon
        # A withdrawn certificate is refused at once; the other one goes on (S1-59).
        shown = json.loads(self.command('apps', 'show', 'Daemon', '--format', 'json'))
        gone = next(each for each in shown['keyCredentials'] if each['customKeyIdentifier'] == thumbprint)
        self.command('apps', 'remove-cert', 'Daemon', gone['keyId'])
        app = msal.ConfidentialClientApplication(self.daemon, client_credential={'private_key': key, 'thumbprint': thumbprint},
                                                 authority=self.authority, instance_discovery=False)
        assert 700027 in app.acquire_token_for_client(scopes=[ARM])['error_codes']
        self.pem = f'{other}.pem'

    def environment(self):
        """Environment variables only: `adfs` needs no flag in the program (WIRE §1)."""
        from azure.identity import DefaultAzureCredential, EnvironmentCredential
        kept = dict(os.environ)
        common = {'AZURE_AUTHORITY_HOST': self.connect['authority'], 'AZURE_TENANT_ID': 'adfs'}
        try:
            os.environ.update({**common, 'AZURE_CLIENT_ID': self.connect['client_id'], 'AZURE_CLIENT_SECRET': self.connect['client_secret']})
            assert claims(DefaultAzureCredential().get_token(ARM).token)['tid'] == self.connect['tenant_id']
            del os.environ['AZURE_CLIENT_SECRET']
            os.environ.update({'AZURE_CLIENT_ID': self.daemon, 'AZURE_CLIENT_CERTIFICATE_PATH': self.pem})
            assert claims(EnvironmentCredential().get_token(ARM).token)['appidacr'] == '2'
        finally:
            os.environ.clear()
            os.environ.update(kept)

    def authorization_code(self):
        import msal
        app = msal.ConfidentialClientApplication(self.web, client_credential=self.web_secret, authority=self.authority, instance_discovery=False)
        flow = app.initiate_auth_code_flow(['https://management.azure.com/user_impersonation'], redirect_uri=REPLY)
        assert 'code_challenge_method=S256' in flow['auth_uri'], flow
        browser = Browser(self.connect)
        page = browser.sign_in(self.connect, flow['auth_uri'])
        assert 'Permissions requested' in page.text, page.text
        answer = redirected(browser.submit(page, action='accept'))
        result = app.acquire_token_by_auth_code_flow(flow, answer)
        found = claims(result['access_token'])
        assert found['scp'] == 'user_impersonation' and found['upn'].startswith('admin@'), result
        assert result['id_token_claims']['aud'] == self.web and result['refresh_token'], result
        reply = requests.get(self.connect['arm_endpoint'].rstrip('/') + scope(self.connect)[1], params={'api-version': '2022-10-01'},
                             headers={'Authorization': 'Bearer ' + result['access_token']}, timeout=30)
        assert reply.status_code == 200, reply.text
        # The refresh token serves another resource only with consent, and the same one silently.
        account = app.get_accounts()[0]
        again = app.acquire_token_silent(['https://management.azure.com/user_impersonation'], account, force_refresh=True)
        assert again and again['access_token'] != result['access_token'], again
        replayed = app.acquire_token_by_auth_code_flow({**flow}, answer)
        assert 54005 in replayed['error_codes'], replayed
        # The code used twice revoked the family; msal reports the refusal by finding no token.
        assert not app.acquire_token_silent(['https://management.azure.com/user_impersonation'], account, force_refresh=True)

    def adfs_code(self):
        import msal
        authority = f"{self.connect['authority'].rstrip('/')}/adfs"
        app = msal.ConfidentialClientApplication(self.web, client_credential=self.web_secret, authority=authority)
        flow = app.initiate_auth_code_flow(['https://management.azure.com/user_impersonation'], redirect_uri=REPLY)
        answer = redirected(Browser(self.connect).sign_in(self.connect, flow['auth_uri']))
        result = app.acquire_token_by_auth_code_flow(flow, answer)
        assert claims(result.get('access_token') or str(result))['tid'] == self.connect['tenant_id']

    def approve(self, url, code):
        browser = Browser(self.connect)
        page = browser.sign_in(self.connect, url, user_code=code)
        assert 'Are you signing in to Tool?' in page.text, page.text
        done = browser.submit(page, action='accept')
        assert 'You are signed in on your device' in done.text, done.text

    def device_code(self):
        import msal
        app = msal.PublicClientApplication(self.tool, authority=self.authority, instance_discovery=False)
        flow = app.initiate_device_flow(['https://management.azure.com/user_impersonation'])
        assert flow['user_code'] in flow['message'], flow
        threading.Timer(1, self.approve, [flow['verification_uri'], flow['user_code'].lower()]).start()
        result = app.acquire_token_by_device_flow(flow)
        assert claims(result['access_token'])['appidacr'] == '0', result
        account = app.get_accounts()[0]
        assert app.acquire_token_silent(['https://management.azure.com/user_impersonation'], account, force_refresh=True)

    def azure_identity_code_and_device(self):
        from azure.identity import AuthorizationCodeCredential, DeviceCodeCredential
        query = urllib.parse.urlencode({'client_id': self.web, 'response_type': 'code', 'redirect_uri': REPLY, 'scope': ARM + ' offline_access'})
        answer = redirected(Browser(self.connect).sign_in(self.connect, f'{self.authority}/oauth2/v2.0/authorize?{query}'))
        theirs = AuthorizationCodeCredential(self.connect['tenant_id'], self.web, answer['code'], REPLY, client_secret=self.web_secret,
                                             authority=self.connect['authority'], disable_instance_discovery=True)
        assert claims(theirs.get_token(ARM).token)['scp'] == 'user_impersonation'
        # azure-identity asks for `.default` with device codes; the page is opened as soon as it tells the code.
        prompt = lambda url, code, _: threading.Timer(1, self.approve, [url, code]).start()
        theirs = DeviceCodeCredential(client_id=self.tool, tenant_id=self.connect['tenant_id'], authority=self.connect['authority'],
                                      disable_instance_discovery=True, prompt_callback=prompt, timeout=60)
        assert claims(theirs.get_token(ARM).token)['scp'] == 'user_impersonation'

    def javascript(self, folder):
        settings = {'authority': self.connect['authority'].rstrip('/'), 'tenant': self.connect['tenant_id'], 'scope': ARM,
                    'secret': {'id': self.connect['client_id'], 'secret': self.connect['client_secret']},
                    'certificate': {'id': self.daemon, 'pem': self.pem}}
        done = subprocess.run(['node', str(pathlib.Path(__file__).with_name('entra.mjs')), folder], input=json.dumps(settings),
                              capture_output=True, text=True, timeout=120, env={**os.environ, 'NODE_EXTRA_CA_CERTS': self.connect['ca_cert']})
        assert done.returncode == 0, done.stderr

    def refused(self):
        """The libraries raise with Entra's own number and text."""
        import msal
        from azure.core.exceptions import ClientAuthenticationError
        from azure.identity import ClientSecretCredential
        try:
            ClientSecretCredential(self.connect['tenant_id'], self.daemon, 'wrong', authority=self.connect['authority'],
                                   disable_instance_discovery=True).get_token(ARM)
            raise AssertionError('a wrong secret was accepted')
        except ClientAuthenticationError as error:
            assert 'AADSTS7000215' in str(error), error
        app = msal.PublicClientApplication(self.daemon, authority=self.authority, instance_discovery=False)
        flow = app.initiate_device_flow(['https://management.azure.com/user_impersonation'])
        assert 'AADSTS7000218' in flow.get('error_description', ''), flow
        self.command('apps', 'remove', 'Daemon')
        self.command('apps', 'show', 'Daemon', expect=1)


if __name__ == '__main__':
    sys.exit(main())
