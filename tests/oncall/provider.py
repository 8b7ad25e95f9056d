"""A fake provider: a webhook receiver that honours `Idempotency-Key`, and a text message API without keys.

Loopback only. Requests are recorded before the response, as a provider does; slow, lost and error responses are
random. Written from the documentation of Twilio's Messages resource and of the `Idempotency-Key` header; shares no code with the sender.
"""
import http.server
import json
import random
import threading
import time
import urllib.parse

ACCOUNT = 'AC00000000000000000000000000000000'


class Provider:
    """Serves on a free port until closed. `faults` from 0 (none) to 1."""

    def __init__(self, seed=0, faults=0.0):
        self.random, self.faults = random.Random(seed), faults
        self.lock = threading.Lock()
        self.hooks = []   # (time, key, body): every accepted request
        self.texts = []   # (time, to, body)
        self.refused = 0
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def log_message(self, *_):
                pass

            def do_POST(self):
                at = time.monotonic()
                body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
                provider.take(self, at, body)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass  # the sender was killed in the middle of a request

        self.server = Server(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_address[1]}'
        self.host = self.url.removeprefix('http://')
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, handler, at, body):
        with self.lock:
            dice = self.random.random()
            wait = self.random.random() * 0.15
        if dice < self.faults * 0.2:
            # Rejected: certainly not delivered.
            with self.lock:
                self.refused += 1
            return self.answer(handler, 503, {'message': 'try again'}, {'Retry-After': '1'})
        is_text = handler.path.endswith('/Messages.json')
        with self.lock:
            if is_text:
                form = dict(urllib.parse.parse_qsl(body.decode()))
                self.texts.append((at, form.get('To', ''), form.get('Body', '')))
                number = len(self.texts)
            else:
                self.hooks.append((at, handler.headers.get('Idempotency-Key'), json.loads(body)))
        if dice > 1 - self.faults * 0.4:
            time.sleep(wait)
        if dice > 1 - self.faults * 0.15:
            # Accepted, but the response is lost: the sender cannot know.
            handler.close_connection = True
            handler.connection.close()
            return
        if is_text:
            self.answer(handler, 201, {'sid': f'SM{number:032x}', 'status': 'queued', 'to': form.get('To')})
        else:
            self.answer(handler, 200, {'ok': True})

    @staticmethod
    def answer(handler, status, body, headers=None):
        data = json.dumps(body).encode()
        try:
            handler.send_response(status)
            handler.send_header('Content-Type', 'application/json')
            handler.send_header('Content-Length', str(len(data)))
            for name, value in (headers or {}).items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(data)
        except OSError:
            pass  # the sender was killed

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def configuration(folder, provider, directory, keys=True):
    """Writes a configuration with channels to `provider`, and the directory of users and schedules; returns its path."""
    (folder / 'team.yaml').write_text(directory)
    (folder / 'hook.secret').write_text('a secret of thirty-two characters\n')
    (folder / 'phone.secret').write_text('0123456789abcdef0123456789abcdef\n')
    for person in ('ann', 'bo'):  # a webhook's address is a secret, so it is given by reference
        (folder / f'{person}.hook').write_text(f'{provider.url}/hook/{person}\n')
    path = folder / 'bartizan.yaml'
    path.write_text(f'''version: 1
oncall:
  apply: [{folder / 'team.yaml'}]
  channels:
    webhook:
      secret: file:{folder / 'hook.secret'}
      honours_idempotency_key: {str(keys).lower()}
      internal_hosts: ["{provider.host}"]
    sms:
      account_sid: {ACCOUNT}
      auth_token: file:{folder / 'phone.secret'}
      from: "+4759440000"
      base_url: {provider.url}
      internal: true
''')
    return path
