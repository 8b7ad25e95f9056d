#!/usr/bin/env python3
"""Kills the service between planning, sending and recording a page, and checks what the provider received.

    kills.py [--kills 10] [--seed N] [--faults 0.5]

Incidents keep opening through Sentinel's API; each reaches two people, one step after the other, by a webhook whose receiver honours
`Idempotency-Key` and by a text message API without keys. kill -9 at random times; the provider is slow, rejects requests, and loses responses.

Invariants: every step arrived; the receiver with keys saw one key for each step and person, however often it was sent; without keys a
second message exists only if the page is marked doubtful, or if the process was killed between sending and recording.
"""
import argparse
import collections
import pathlib
import random
import re
import sys
import tempfile
import threading
import time
import uuid

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
import requests  # noqa: E402
from provider import Provider, configuration  # noqa: E402
from score import until  # noqa: E402
from service import Service, bearer, incident_path  # noqa: E402

PEOPLE = {'ann': '+4790000001', 'bo': '+4790000002'}
DIRECTORY = '''
users:
  ann: {{ name: Ann Berg, contacts: {{ hook: {{ webhook: "file:{folder}/ann.hook" }}, mobile: {{ sms: "+4790000001" }} }} }}
  bo: {{ name: Bo Dahl, contacts: {{ hook: {{ webhook: "file:{folder}/bo.hook" }}, mobile: {{ sms: "+4790000002" }} }} }}
escalation_policies:
  night:
    steps:
      - {{ targets: ["user:ann"] }}
      - {{ after: 1s, targets: ["user:bo"] }}
alert_policies:
  everything: {{ escalation_policy: night }}
'''


class Opener:
    """Opens incidents continuously; those acknowledged by the service are counted."""

    def __init__(self, service):
        self.service, self.opened, self.going = service, {}, True
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        while self.going:
            self.open(str(uuid.uuid4()))
            time.sleep(0.15)

    def open(self, name):
        while self.going:
            try:
                url, headers, verify = incident_url(self.service.connect, name)
                body = {'properties': {'title': f'Trial {name[:8]}', 'severity': 'High', 'status': 'New'}}
                reply = requests.put(url, json=body, headers=headers, verify=verify, timeout=10)
                if reply.status_code in (200, 201):
                    self.opened[name] = reply.json()['properties']['incidentNumber']
                    return
                if reply.status_code == 409:  # the response was lost, but the incident exists
                    reply = requests.get(url, headers=headers, verify=verify, timeout=10)
                    self.opened[name] = reply.json()['properties']['incidentNumber']
                    return
            except (requests.RequestException, OSError, ValueError, KeyError):
                pass
            except Exception as error:  # no token while the service was down
                if 'azure' not in type(error).__module__:
                    raise
            time.sleep(0.05)


def incident_url(connect, name):
    url = connect['arm_endpoint'].rstrip('/') + incident_path(connect, name) + '?api-version=2025-09-01'
    return url, bearer(connect, 'https://management.azure.com'), connect['ca_cert']


def pages(connect, incident):
    reply = requests.get(connect['base_url'].rstrip('/') + '/api/v1/oncall/pages', params={'incident': incident},
                         headers=bearer(connect, connect['base_url'].rstrip('/')), verify=connect['ca_cert'], timeout=30)
    assert reply.status_code == 200, reply.text
    return reply.json()['value']


def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--kills', type=int, default=10)
    ap.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 32))
    ap.add_argument('--faults', type=float, default=0.5)
    a = ap.parse_args()
    print(f'seed {a.seed}', flush=True)
    dice = random.Random(a.seed)
    provider = Provider(a.seed, a.faults)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = configuration(folder, provider, DIRECTORY.format(folder=folder))
        with Service(folder / 'data', extra=('--config', str(config))) as service:
            opener = Opener(service)
            opener.thread.start()
            for kill in range(a.kills):
                time.sleep(0.2 + dice.random() * 1.5)
                service.kill()
                service.start()
            time.sleep(2)
            opener.going = False
            opener.thread.join(30)
            ok = judge(service, provider, opener.opened, a)
    sys.exit(0 if ok else 1)


def arrived(provider):
    """For each incident number: the keys by person, and how many texts by person."""
    keys, texts = collections.defaultdict(lambda: collections.defaultdict(set)), collections.Counter()
    with provider.lock:
        for _, key, body in provider.hooks:
            facts = body['bartizan']
            if facts['event'] == 'page':
                keys[facts['incident']['number']][facts['user']['name']].add(key)
        for _, to, body in provider.texts:
            number = re.search(r'Incident (\d+)', body)
            assert number, f'a text does not name its incident: {body}'
            texts[int(number.group(1)), to] += 1
    return keys, texts


def judge(service, provider, opened, a):
    wanted = {number for number in opened.values()}

    def missed():
        keys, texts = arrived(provider)
        return [(number, person) for number in wanted for person, phone in PEOPLE.items() if not keys[number][person] or not texts[number, phone]]

    until(lambda: not missed(), 120, 0.2)
    missing = missed()
    time.sleep(3)  # whatever would come twice has time to come
    keys, texts = arrived(provider)
    doubled_keys = [(number, person, len(found)) for number in wanted for person, found in keys[number].items() if len(found) > 1]
    unflagged, flagged = [], 0
    by_number = {number: name for name, number in opened.items()}
    for (number, phone), count in texts.items():
        if count > 1 and number in by_number:
            mine = [page for page in pages(service.connect, by_number[number]) if page['address'] == phone and page['kind'] == 'page']
            doubts = sum(sum(bool(trouble.get('doubtful')) for trouble in page.get('troubles', [])) for page in mine)
            if doubts >= count - 1:
                flagged += count - 1
            else:
                unflagged.append((number, phone, count, doubts))
    print(f'{a.kills} kills, {len(wanted)} incidents, {len(provider.hooks)} webhooks and {len(provider.texts)} texts taken, '
          f'{provider.refused} refused')
    print(f'steps missed: {len(missing)}; with keys: doubled {len(doubled_keys)}; without keys: doubled and flagged {flagged}, '
          f'doubled and not flagged {len(unflagged)}')
    for what in (missing[:5], doubled_keys[:5], unflagged[:5]):
        if what:
            print('  ', what)
    return bool(wanted) and not missing and not doubled_keys and not unflagged


if __name__ == '__main__':
    main()
