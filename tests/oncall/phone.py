#!/usr/bin/env python3
"""Validates the simulated telephone provider of the demo and the tests with the vendor's own client library (PyPI `twilio`): it must accept the
library's requests, reject as the API does, and sign its callbacks so that the library's validator accepts them."""
import http.server
import pathlib
import sys
import threading
import urllib.parse

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from peers import Ours  # noqa: E402
from score import Score  # noqa: E402

ACCOUNT, TOKEN = 'AC00000000000000000000000000000001', '12345'
score = Score()


class ToHere(TwilioHttpClient):
    """Redirects the library's requests to another host."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def request(self, method, url, *args, **kwargs):
        return super().request(method, url.replace('https://api.twilio.com', self.base), *args, **kwargs)


class Posted(http.server.BaseHTTPRequestHandler):
    seen = []
    arrived = threading.Condition()

    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers['Content-Length'])).decode(), keep_blank_values=True)
        form = {name: values[0] for name, values in form.items()}
        url = f'http://127.0.0.1:{self.server.server_port}{self.path}'
        with self.arrived:
            self.seen.append((self.path, form, RequestValidator(TOKEN).validate(url, form, self.headers['X-Twilio-Signature'])))
            self.arrived.notify_all()
        body = b'<?xml version="1.0" encoding="UTF-8"?><Response><Message>done</Message></Response>'
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Posted)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f'http://127.0.0.1:{server.server_port}'
    ours = Ours('a_phone_for_outside_clients', {'BARTIZAN_PHONE': f'{ACCOUNT}:{TOKEN}', 'BARTIZAN_PHONE_REPLY': f'{here}/reply?x=1'})
    client = Client(ACCOUNT, TOKEN, http_client=ToHere(ours.address))
    sent = client.messages.create(to='+4790000001', from_='+4759440000', body='blåbær & co', status_callback=f'{here}/status?page=1')
    score.check('a message', sent.sid.startswith('SM') and sent.status == 'queued' and sent.to == '+4790000001', vars(sent))
    called = client.calls.create(to='+4790000001', from_='+4759440000', twiml='<Response><Say>x</Say></Response>')
    score.check('a call', called.sid.startswith('CA'), vars(called))
    for what, code, call in [
        ('a wrong number', 21211, lambda: client.messages.create(to='90000001', from_='+4759440000', body='x')),
        ('no text', 21602, lambda: client.messages.create(to='+4790000001', from_='+4759440000', body='')),
        ('too much text', 21617, lambda: client.messages.create(to='+4790000001', from_='+4759440000', body='x' * 1601)),
        ('a wrong token', 20003, lambda: Client(ACCOUNT, 'no', http_client=ToHere(ours.address)).messages.create(to='+4790000001', from_='+1', body='x')),
    ]:
        try:
            call()
            score.check(what, False, 'it was taken')
        except TwilioRestException as error:
            score.check(what, error.code == code, error)
    ours.process.stdin.write('4821 t\n')
    ours.process.stdin.flush()
    score.check('an answer is posted, and its reply read', 'done' in ours.line('said '))
    with Posted.arrived:
        Posted.arrived.wait_for(lambda: len(Posted.seen) >= 2, 10)
    status = next((seen for seen in Posted.seen if seen[0] == '/status?page=1'), None)
    score.check('delivery news are signed', status and status[2] and status[1]['MessageStatus'] == 'delivered' and status[1]['MessageSid'] == sent.sid, status)
    reply = next((seen for seen in Posted.seen if seen[0] == '/reply?x=1'), None)
    score.check('answers are signed', reply and reply[2] and (reply[1]['Body'], reply[1]['From']) == ('4821 t', '+4790000001'), reply)
    kept = [line for line in ours.end() if line.startswith('sent ')]
    score.check('what was sent is kept', len(kept) == 2 and kept[0].endswith('blåbær & co'), kept)
    server.shutdown()
    score.end()


if __name__ == '__main__':
    main()
