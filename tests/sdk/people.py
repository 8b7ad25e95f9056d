#!/usr/bin/env python3
"""People, end to end: sign-in, throttling, a second factor, sessions, rights, and the command line.

    people.py

Codes of the authenticator app are computed here from RFC 6238 with hmac; cookies are judged by the flags in Set-Cookie (RFC 6265bis);
the client is requests.
"""
import base64
import hashlib
import hmac
import json
import os
import pathlib
import stat
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid

import requests
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from service import BINARY, Service, define, put, scope

PASSWORD = 'correct horse battery'
READER = 'acdd72a7-3385-48ef-bd42-f606fba81ae7'
COOKIE = '__Host-bartizan'


class Browser:
    """A client with its own cookies."""

    def __init__(self, connect):
        self.connect, self.base = connect, connect['base_url'].rstrip('/')
        self.http = requests.Session()
        self.http.verify = connect['ca_cert']
        self.token = ''

    def call(self, method, path, body=None, expect=200, headers=None):
        reply = self.http.request(method, self.base + path, json=body, headers={'X-CSRF-Token': self.token, **(headers or {})}, timeout=60)
        assert reply.status_code == expect, f'{method} {path}: {reply.status_code} instead of {expect}: {reply.text[:300]}'
        found = reply.json() if reply.content else {}
        self.token = found.get('csrf_token', self.token)
        self.reply = reply
        return found

    def sign_in(self, user, password, code=None, expect=200):
        return self.call('POST', '/api/v1/session', {'user': user, 'password': password, 'code': code}, expect)


def totp(uri, at=None):
    """RFC 6238, appendix A, in Python."""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(uri).query)
    assert (query['digits'], query['period'], query['algorithm']) == (['6'], ['30'], ['SHA1']), uri
    secret = query['secret'][0]
    key = base64.b32decode(secret + '=' * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack('>Q', int(at or time.time()) // 30), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset:offset + 4])[0] & 0x7fffffff) % 10 ** 6:06}"


def error(found):
    return found['error']['code']


def sign_in(connect):
    browser = Browser(connect)
    assert error(browser.sign_in('admin', 'wrong', expect=401)) == 'InvalidCredentials'
    session = browser.sign_in('admin', connect['admin_password'])
    assert session['user']['name'] == 'admin' and session['cloud']['workspace_id'] == connect['workspace_id'], session
    flags = [part.strip() for part in browser.reply.headers['Set-Cookie'].split(';')]
    assert flags[0].startswith(COOKIE + '=') and {'Secure', 'HttpOnly', 'SameSite=Lax', 'Path=/'} <= set(flags), flags
    assert not any(flag.lower().startswith('domain') for flag in flags), flags
    return browser


def add(admin, name):
    """A person who has chosen PASSWORD."""
    made = admin.call('POST', '/api/v1/users', {'name': name}, 201)
    browser = Browser(admin.connect)
    assert browser.sign_in(name, made['initial_password'])['user']['must_change_password']
    assert error(browser.call('GET', '/api/v1/tables', expect=403)) == 'PasswordChangeRequired'
    browser.call('POST', '/api/v1/session/password', {'password': made['initial_password'], 'new_password': PASSWORD})
    return made['user']['object_id'], browser


def cross_site(admin):
    body = {'name': 'mallory'}
    assert error(admin.call('POST', '/api/v1/users', body, 403, {'X-CSRF-Token': ''})) == 'CsrfTokenInvalid'
    assert error(admin.call('POST', '/api/v1/users', body, 403, {'Origin': 'https://evil.example'})) == 'CrossSiteRequest'
    names = [user['name'] for user in admin.call('GET', '/api/v1/users')['users']]
    assert 'mallory' not in names, names


def throttled(admin):
    add(admin, 'victim')
    spellings = ['victim', 'VICTIM', ' Victim', 'victim@bartizan.local', 'v\u0131ctim'.replace('\u0131', 'i'), '\uff56ictim', 'vicTim']
    answers = []
    for name in spellings:
        reply = requests.post(admin.base + '/api/v1/session', json={'user': name, 'password': 'wrong'}, verify=admin.connect['ca_cert'], timeout=60)
        answers.append(reply.status_code)
    assert answers[:5] == [401] * 5 and 429 in answers[5:], answers
    assert int(reply.headers.get('Retry-After', 1)) >= 1
    time.sleep(6)
    Browser(admin.connect).sign_in('victim', PASSWORD)


def second_factor(admin):
    _, browser = add(admin, 'ann')
    uri = browser.call('POST', '/api/v1/session/totp', {'password': PASSWORD})['uri']
    codes = browser.call('POST', '/api/v1/session/totp/confirm', {'code': totp(uri)})['recovery_codes']
    other = Browser(admin.connect)
    assert error(other.sign_in('ann', PASSWORD, expect=401)) == 'SecondFactorRequired'
    # A code of the next step is valid already, and not used yet.
    code = totp(uri, time.time() + 30)
    other.sign_in('ann', PASSWORD, code)
    assert error(Browser(admin.connect).sign_in('ann', PASSWORD, code, 401)) == 'InvalidSecondFactor'
    Browser(admin.connect).sign_in('ann', PASSWORD, codes[0])
    assert error(Browser(admin.connect).sign_in('ann', PASSWORD, codes[0], 401)) == 'InvalidSecondFactor'
    return browser, other, codes


def sessions(admin, one, other, codes):
    listed = one.call('GET', '/api/v1/sessions')['sessions']
    assert len(listed) == 3 and [each['current'] for each in listed].count(True) == 1, listed
    mine = other.call('GET', '/api/v1/session')['id']
    one.call('DELETE', f'/api/v1/sessions/{mine}', expect=204)
    other.call('GET', '/api/v1/session', expect=401)
    other.sign_in('ann', PASSWORD, codes[1])
    one.call('POST', '/api/v1/session/password', {'password': PASSWORD, 'new_password': PASSWORD + ' staple'})
    other.call('GET', '/api/v1/session', expect=401)
    one.call('GET', '/api/v1/session')


def rights(admin, reader_id, reader):
    connect = admin.connect
    _, workspace = scope(connect)
    query = f"/v1/workspaces/{connect['workspace_id']}/query"
    reader.call('POST', query, {'query': 'print x = 1'}, 403)
    put(connect, f'{workspace}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}', '2022-04-01',
        {'properties': {'roleDefinitionId': READER, 'principalId': reader_id, 'principalType': 'User'}})
    answer = reader.call('POST', query, {'query': 'print x = 1'})
    assert answer['tables'][0]['rows'] == [[1]], answer
    reader.call('PUT', f'{workspace}/tables/Theirs_CL?api-version=2022-10-01', {'properties': {}}, 403)
    reader.call('GET', '/api/v1/users', expect=403)
    admin.call('POST', f'/api/v1/users/{reader_id}/disable')
    reader.call('POST', query, {'query': 'print x = 1'}, 401)
    assert error(Browser(connect).sign_in('rita', PASSWORD, expect=403)) == 'AccountDisabled'


def command_line(service, folder):
    connect = service.connect
    state = folder / 'state'
    env = {**os.environ, 'XDG_STATE_HOME': str(state), 'XDG_DATA_HOME': str(folder / 'nothing')}

    def run(*args, given=None, expect=0):
        done = subprocess.run([BINARY, *args], input=given, capture_output=True, text=True, env=env, timeout=120)
        assert done.returncode == expect, (args, done.returncode, done.stdout, done.stderr)
        return done.stdout

    data = ['--data-dir', str(service.data_dir)]
    made = json.loads(run('users', 'add', 'carl', '--display-name', 'Carl C', '--format', 'json', *data))
    run('groups', 'add', 'analysts', *data)
    run('groups', 'add-member', 'analysts', 'carl', *data)
    assert 'carl' in run('groups', 'list', *data) and 'analysts' in run('users', 'show', 'carl', *data)
    run('users', 'add', 'CARL', expect=1, *data)
    # Another person on this machine, who cannot read connect.json: logs in and changes the initial password.
    login = ['login', '--url', connect['base_url'], '--ca-cert', connect['ca_cert']]
    run(*login, given='carl\nwrong\n', expect=1)
    run(*login, given=f"carl\n{made['initial_password']}\n{PASSWORD}\n")
    file = state / 'bartizan' / 'session.json'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.stat()
    assert PASSWORD not in file.read_text()
    run('tables', 'list', expect=2)
    providers, workspace = scope(connect)
    put(connect, f'{workspace}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}', '2022-04-01',
        {'properties': {'roleDefinitionId': READER, 'principalId': made['user']['object_id']}})
    assert 'total' in run('tables', 'list', '--all')
    assert 'Count' in run('query', 'People_CL | count')
    run('users', 'list', expect=2)
    secret = json.loads(file.read_text())['secret']
    run('logout')
    assert not file.exists()
    gone = requests.get(connect['base_url'].rstrip('/') + '/api/v1/session', cookies={COOKIE: secret}, verify=connect['ca_cert'], timeout=60)
    assert gone.status_code == 401, gone.text
    again = run('users', 'reset-password', 'carl', *data)
    assert again.startswith('initial password: '), again
    run('users', 'disable', 'carl', *data)
    assert 'disabled' in run('users', 'list', *data)
    run('users', 'remove', 'carl', *data)
    run('users', 'show', 'carl', expect=1, *data)


def restart(service, reader):
    """Sessions survive a restart; no secret is in the state database or the log."""
    browser = sign_in(service.connect)
    service.stop()
    service.start()
    browser.connect = service.connect
    browser.call('GET', '/api/v1/users')
    cookie = browser.http.cookies[COOKIE]
    files = [service.data_dir / 'state.db', service.data_dir / 'state.db-wal', service.data_dir.parent / (service.data_dir.name + '.log')]
    for file in files:
        content = file.read_bytes() if file.exists() else b''
        for planted in (PASSWORD, service.connect['admin_password'], cookie):
            assert planted.encode() not in content, f'{planted[:6]}… is in {file}'


def main():
    with tempfile.TemporaryDirectory() as folder, Service(os.path.join(folder, 'data')) as service:
        connect = service.connect
        define(connect, 'People_CL', [('TimeGenerated', 'datetime'), ('Name', 'string')])
        admin = sign_in(connect)
        cross_site(admin)
        one, other, codes = second_factor(admin)
        sessions(admin, one, other, codes)
        reader_id, reader = add(admin, 'rita')
        rights(admin, reader_id, reader)
        command_line(service, pathlib.Path(folder))
        throttled(admin)
        restart(service, reader)
    print('people signed in with and without a second factor, had their rights and no more, and were signed out')


if __name__ == '__main__':
    sys.exit(main())
