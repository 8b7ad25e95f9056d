#!/usr/bin/env python3
"""Validates the requests of our channels with the libraries of the receivers.

The test `web::requests_for_the_judges_outside` of the crate `oncall` writes the requests to a file, for each channel and kind of message, once
with plain content and once with worst-case content. Here they are validated:

- webhook: the reference verifier of Standard Webhooks; our own signature, computed anew; the published schema; Apprise. Apprise has no
  reader of its JSON in the package, so the reference is what its `json://` sends for the same notification: ours must have each of those fields,
  with the same value, and an Apprise object must accept ours.
- Slack: Slack's SDK parses the blocks and validates them. Teams: Microsoft's renderer (npm `adaptivecards`) parses the card; skipped without npm.
- PagerDuty: the fields of PagerDuty's published description (api-schema, events-v2), as a schema that PagerDuty's own Python client passes first.
- ntfy: the documented fields; topic, title and message as Apprise's `ntfy://` has them (it puts the rest into headers). Opsgenie: the documented fields, which Apprise's `opsgenie://` passes first.
- Web Push: http_ece decrypts as a browser does (its key is that of RFC 8291 §5); py-vapid verifies the sender.
"""
import base64
import collections
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest.mock

import apprise
import http_ece
import jsonschema
import pagerduty
import py_vapid
import requests
import slack_sdk.models.blocks as slack
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks.webhooks import WebhookVerificationError

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from peers import binary  # noqa: E402
from score import Score  # noqa: E402

score = Score()
Sent = collections.namedtuple('Sent', 'channel content kind url headers body')
HERE = pathlib.Path(__file__).parent


def b64(text):
    return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


def ours():
    test = 'web::requests_for_the_judges_outside'
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'wire.jsonl'
        subprocess.run([binary(test), test, '--exact'], env={**os.environ, 'BARTIZAN_WIRE': str(path)}, check=True, capture_output=True)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    schema = lines.pop()['schema']
    sent = collections.defaultdict(list)
    for line in lines:
        line['body'] = bytes.fromhex(line['body'])
        sent[line['channel']].append(Sent(**line))
    return sent, schema


def complaint(judge, *arguments):
    """The error of a validator, or nothing."""
    try:
        judge(*arguments)
        return None
    except Exception as error:  # any exception is a validation error
        return f'{type(error).__name__}: {str(error)[:300]}'


def each(what, sents, judge):
    complaints = [f'{sent.content} {sent.kind}: {said}' for sent in sents if (said := complaint(judge, sent))]
    score.check(f'{what} ({len(sents)} requests)', sents and not complaints, complaints[:3])


class Catcher(http.server.BaseHTTPRequestHandler):
    """Accepts and stores any POST."""
    caught = []

    def do_POST(self):
        self.caught.append((self.path, json.loads(self.rfile.read(int(self.headers['content-length'])))))
        self.send_response(202 if self.path == '/v2/enqueue' else 200)
        self.send_header('content-length', '2')
        self.end_headers()
        self.wfile.write(b'{}')

    def log_message(self, *_):
        pass


def reference(send):
    """The request posted by a third-party client: `send` gets the port."""
    server = http.server.HTTPServer(('127.0.0.1', 0), Catcher)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Catcher.caught.clear()
    send(server.server_port)
    server.shutdown()
    server.server_close()
    return Catcher.caught[-1][1]


def webhook(sents, schema):
    secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
    verifier = standardwebhooks.Webhook(secret)
    each('webhook: the verifier of Standard Webhooks accepts', sents, lambda sent: verifier.verify(sent.body, sent.headers))

    def tampered(sent):
        try:
            verifier.verify(sent.body[:-1] + b' ', sent.headers)
        except WebhookVerificationError:
            return
        raise ValueError('a changed body passes')
    each('webhook: a changed body is noticed', sents, tampered)

    def own(sent):
        seconds, signature = re.fullmatch('t=([0-9]+),v1=([0-9a-f]{64})', sent.headers['bartizan-signature']).groups()
        key = base64.b64decode(secret.removeprefix('whsec_'))
        assert hmac.compare_digest(hmac.new(key, seconds.encode() + b'.' + sent.body, hashlib.sha256).hexdigest(), signature)
        assert abs(int(seconds) - time.time()) < 300
        assert sent.headers['idempotency-key'] == sent.headers['webhook-id'] == json.loads(sent.body)['bartizan']['key']
    each('webhook: our own signature is HMAC-SHA256 over time and body', sents, own)
    jsonschema.Draft202012Validator.check_schema(schema)
    each('webhook: the body obeys the published schema', sents, lambda sent: jsonschema.validate(json.loads(sent.body), schema))

    def as_apprise(sent):
        body = json.loads(sent.body)
        def send(port):
            target = apprise.Apprise()
            assert target.add(f'json://127.0.0.1:{port}/')
            # Unknown types and empty texts are rejected here.
            assert target.notify(body=body['message'], title=body['title'], notify_type=apprise.NotifyType(body['type']))
        theirs = reference(send)
        assert set(theirs) <= set(body), set(theirs) - set(body)
        assert all(type(theirs[field]) is type(body[field]) for field in theirs)
        # Apprise truncates texts to its own limits, so only texts that it leaves unchanged are compared.
        assert all(theirs[field] == body[field] for field in theirs if field != 'message' or theirs[field] == body[field].strip()), theirs
    each('webhook: Apprise takes it, and sends the same fields with the same values', [s for s in sents if s.content == 'plain'], as_apprise)


def slack_blocks(sents):
    def judge(sent):
        body = json.loads(sent.body)
        assert len(body['blocks']) <= 50
        for block in body['blocks']:
            parsed = slack.Block.parse(block)
            assert parsed is not None, block['type']
            parsed.validate_json()
            if block['type'] == 'header':
                assert 1 <= len(block['text']['text']) <= 150
            # The SDK drops unknown fields, so all of ours must come back.
            assert parsed.to_dict() == block, (parsed.to_dict(), block)
    each("Slack: Slack's SDK parses and validates the blocks, and drops nothing", sents, judge)

    def inert(sent):
        body = json.loads(sent.body)
        texts = [body['text']] + [t['text'] for block in body['blocks'] for t in [block.get('text', {}), *block.get('fields', [])] if t.get('type') == 'mrkdwn']
        assert texts and not any(c in text for text in texts for c in '<>'), 'a mention or a link of the alert is alive'
        assert all(re.fullmatch('(?:[^&]|&(?:amp|lt|gt);)*', text, re.S) for text in texts), 'an entity is cut'
        assert body['unfurl_links'] is False and body['unfurl_media'] is False
    each('Slack: nothing in an alert can mention or link', sents, inert)


def teams_card(sents):
    def envelope(sent):
        assert len(sent.body) <= 28 * 1024
        body = json.loads(sent.body)
        [attachment] = body['attachments']
        assert (body['type'], attachment['contentType']) == ('message', 'application/vnd.microsoft.card.adaptive')
        # Text blocks render Markdown, so an alert could inject a link.
        assert '"TextBlock"' not in json.dumps(attachment['content'])
    each("Teams: one card in a message within Teams' limit, without Markdown", sents, envelope)
    modules = pathlib.Path('target/node')
    if not shutil.which('npm'):
        return score.skip("Teams: Microsoft's renderer parses the cards", 'there is no npm here')
    installed = subprocess.run(['npm', 'install', '--silent', '--no-audit', '--no-fund', '--prefix', str(modules), 'adaptivecards@3.0.6'], capture_output=True, text=True)
    if installed.returncode:
        return score.skip("Teams: Microsoft's renderer parses the cards", 'the npm package adaptivecards cannot be installed here')
    cards = '\n'.join(json.dumps(json.loads(sent.body)['attachments'][0]['content']) for sent in sents)
    bad = json.dumps({'type': 'AdaptiveCard', 'version': '1.5', 'body': [{'type': 'RichTextBlok'}], 'actions': [{'type': 'Action.OpenUrl'}]})
    run = subprocess.run(['node', str(HERE / 'cards.cjs'), str(modules)], input=cards + '\n' + bad, capture_output=True, text=True)
    said = [json.loads(line) for line in run.stdout.splitlines()]
    score.check("Teams: Microsoft's renderer parses the cards without a remark", len(said) == len(sents) + 1 and not any(said[:-1]), (run.stderr[-300:], said[:2]))
    score.check('Teams: and it does remark on a wrong one', bool(said and said[-1]))


# reference/events-v2/openapiv3.json of PagerDuty/api-schema, without additional properties; lengths from the documentation.
TEXT = {'type': 'string'}
EVENT = {
    'type': 'object', 'additionalProperties': False, 'required': ['routing_key', 'event_action'],
    'properties': {
        'routing_key': TEXT, 'dedup_key': {'type': 'string', 'minLength': 1, 'maxLength': 255}, 'client': TEXT, 'client_url': {'type': 'string', 'format': 'uri'},
        'event_action': {'enum': ['trigger', 'acknowledge', 'resolve']},
        'payload': {
            'type': 'object', 'additionalProperties': False, 'required': ['summary', 'severity', 'source'],
            'properties': {'summary': {'type': 'string', 'minLength': 1, 'maxLength': 1024}, 'source': {'type': 'string', 'minLength': 1}, 'timestamp': {'type': 'string', 'format': 'date-time'},
                           'severity': {'enum': ['critical', 'error', 'warning', 'info']}, 'component': TEXT, 'group': TEXT, 'class': TEXT,
                           'custom_details': {'type': 'object'}}},
        'links': {'type': 'array', 'items': {'type': 'object', 'required': ['href'], 'properties': {'href': TEXT, 'text': TEXT}, 'additionalProperties': False}},
        'images': {'type': 'array', 'items': {'type': 'object', 'required': ['src']}},
    },
    'if': {'properties': {'event_action': {'const': 'trigger'}}}, 'then': {'required': ['payload']}, 'else': {'required': ['dedup_key']},
}


def pagerduty_events(sents):
    def theirs(port):
        session = pagerduty.EventsApiV2Client('R0123456789ABCDEF0123456789ABCDE')
        session._url = f'http://127.0.0.1:{port}'  # the setter accepts https only
        try:
            session.trigger('disk full', 'host', dedup_key='a', severity='error', custom_details={'a': 1}, links=[{'href': 'https://a.example', 'text': 'a'}])
        except Exception:  # the fake response has no key; only the request matters
            pass
    event = reference(theirs)
    score.check("PagerDuty: the schema takes what PagerDuty's client sends", complaint(jsonschema.validate, event, EVENT) is None, complaint(jsonschema.validate, event, EVENT))

    def judge(sent):
        assert len(sent.body) <= 512 * 1024
        jsonschema.Draft202012Validator(EVENT, format_checker=jsonschema.FormatChecker()).validate(json.loads(sent.body))
    each('PagerDuty: events obey the published description', sents, judge)


def ntfy(sents):
    def theirs(port):
        target = apprise.Apprise()
        assert target.add(f'ntfy://127.0.0.1:{port}/soc?priority=high&click=https%3A%2F%2Fa.example')
        assert target.notify(body='b', title='t')
    fields = reference(theirs)
    documented = {'topic', 'message', 'title', 'tags', 'priority', 'actions', 'click', 'attach', 'markdown', 'icon', 'filename', 'delay', 'email', 'call'}

    def judge(sent):
        body = json.loads(sent.body)
        assert set(body) <= documented, set(body) - documented
        for field in ('topic', 'message', 'title'):
            assert field in fields, f'Apprise sends no {field}'
            assert type(fields[field]) is type(body[field]), field
        assert isinstance(body['tags'], list) and body['priority'] in range(1, 6) and len(body['message'].encode()) <= 4096
        assert len(body['actions']) <= 3 and all(a['action'] == 'view' and a['label'] and a['url'].startswith('https:') for a in body['actions'])
    each('ntfy: the fields that are documented, as Apprise sends them', sents, judge)


def opsgenie(sents):
    limits = {'message': 130, 'alias': 512, 'description': 15000, 'entity': 512, 'source': 100}
    documented = {*limits, 'responders', 'visibleTo', 'actions', 'tags', 'details', 'priority', 'user', 'note'}
    posted = []

    def post(url, data=None, **_):
        posted.append((url, json.loads(data)))
        answer = requests.Response()
        answer.status_code, answer._content = 202, b'{"requestId": "1"}'
        return answer
    with unittest.mock.patch('requests.post', post):
        target = apprise.Apprise()
        assert target.add('opsgenie://8b799edf-6f98-4d3a-9be7-2862fb4e5752/#team?priority=high')
        target.notify(body='b', title='t', notify_type='failure')
    url, fields = posted[0]
    score.check("Opsgenie: the documented fields hold what Apprise sends", set(fields) <= documented and url.endswith('/v2/alerts'), (url, fields))

    def judge(sent):
        body = json.loads(sent.body)
        assert sent.headers['authorization'].startswith('GenieKey ')
        if sent.kind in ('acknowledged', 'closed'):
            verb = {'acknowledged': 'acknowledge', 'closed': 'close'}[sent.kind]
            assert re.fullmatch(f'https://api.opsgenie.com/v2/alerts/[^/?]+/{verb}\\?identifierType=alias', sent.url), sent.url
            assert set(body) <= {'user', 'source', 'note'}
            return
        assert sent.url == url, sent.url
        assert set(body) <= documented and body['message'] and re.fullmatch('P[1-5]', body['priority'])
        assert all(len(body.get(field, '')) <= most for field, most in limits.items())
        assert len(body['tags']) <= 20 and all(len(tag) <= 50 for tag in body['tags'])
        assert all(type(value) is str for value in body['details'].values())
        assert body['responders'] == [{'type': 'team', 'name': 'Night SOC'}]
    each('Opsgenie: documented fields within their limits', sents, judge)


def web_push(sents):
    # RFC 8291 §5: the browser's private key and the secret it shares.
    key = ec.derive_private_key(int.from_bytes(b64('q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94'), 'big'), ec.SECP256R1())
    secret = b64('BTBZMqHH6r4Tts7J_aSIgg')
    salts = set()

    def decrypt(sent):
        assert len(sent.body) <= 4096 and sent.headers['content-encoding'] == 'aes128gcm'
        plain = json.loads(http_ece.decrypt(sent.body, private_key=key, auth_secret=secret, version='aes128gcm'))
        assert plain['tag'] == '00000000-0000-0000-0000-000000000007' and plain['title'], plain
        if sent.content == 'plain':
            assert plain['kind'] == sent.kind and {a['action'] for a in plain['actions']} >= {'acknowledge', 'close'}
        salts.add(sent.body[:16])
    each("Web Push: a browser's half decrypts it", sents, decrypt)
    score.check('Web Push: each message has a salt of its own', len(salts) == len(sents))

    def vapid(sent):
        assert py_vapid.Vapid02.verify(sent.headers['authorization']), 'the signature is wrong'
        token, public = re.fullmatch('vapid t=([^,]+), ?k=(.+)', sent.headers['authorization']).groups()
        assert public == 'BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8', 'RFC 8291 §5 has another public key'
        head, claims = [json.loads(b64(part)) for part in token.split('.')[:2]]
        assert head == {'typ': 'JWT', 'alg': 'ES256'}, head
        assert claims['aud'] == 'https://push.example.net:8443' and claims['sub'] == 'mailto:soc@example.org'
        assert time.time() < claims['exp'] <= time.time() + 24 * 3600
    each('Web Push: py-vapid verifies who sends', sents, vapid)

    def headers(sent):
        assert 0 < int(sent.headers['ttl']) <= 28 * 24 * 3600
        assert sent.headers['urgency'] in ('very-low', 'low', 'normal', 'high')
        assert re.fullmatch('[A-Za-z0-9_-]{1,32}', sent.headers['topic'])
    each('Web Push: headers as RFC 8030 has them', sents, headers)


if __name__ == '__main__':
    sent, schema = ours()
    webhook(sent['webhook'], schema)
    slack_blocks(sent['slack'])
    teams_card(sent['teams'])
    pagerduty_events(sent['pagerduty'])
    ntfy(sent['ntfy'])
    opsgenie(sent['opsgenie'])
    web_push(sent['web_push'])
    score.end()
