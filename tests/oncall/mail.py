#!/usr/bin/env python3
"""Mail with third-party servers and clients, in both directions.

Out: our channel sends to aiosmtpd with STARTTLS, TLS and a password; Python's `email` parses the result.
In: smtplib and swaks send answers to our receiver, with and without STARTTLS.
Round trip: a real Postfix (Debian's, a separate instance) accepts our page with STARTTLS and SASL and delivers it; the reply
goes through Postfix to our receiver. Needs root and the packages postfix and libsasl2-modules; skipped without.

Servers listen on loopback only. Our side is the tests `outside::*` of the crate `oncall`.
"""
import base64
import email
import email.policy
import hmac
import html.parser
import json
import os
import pathlib
import pwd
import queue
import shutil
import smtplib
import ssl
import subprocess
import sys
import tempfile
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from peers import Ours, binary, certificate, free_port  # noqa: E402
from score import Score, until  # noqa: E402

PAGE = '123456789abcdef0123456789abcdef0'
# As described in docs/guide/oncall.md: the page's id and the first 80 bits of an HMAC over it and the recipient.
MAC = hmac.digest(b'\x07' * 32, b'bartizan/oncall/reply/1\0' + bytes.fromhex(PAGE) + b'ann@example.org', 'sha256')[:10]
TOKEN = base64.b32encode(bytes.fromhex(PAGE) + MAC).decode().lower().rstrip('=')
REPLY_TO = f'oncall+{TOKEN}@soc.example.org'
score = Score()


class Taken:
    """Stores mails received by aiosmtpd; rejects the recipient `nobody`."""

    def __init__(self):
        self.mails = queue.Queue()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith('nobody@'):
            return '550 5.1.1 no such user'
        if address.startswith('full@'):
            return '452 4.2.2 mailbox full'
        envelope.rcpt_tos.append(address)
        return '250 OK'

    async def handle_DATA(self, server, session, envelope):
        self.mails.put((envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content or envelope.content, bool(session.ssl)))
        return '250 OK'


def authenticator(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b'bartizan', b'geheim')
    # `handled` would mean that the client has got its reply already.
    return AuthResult(success=good, handled=False)


def smtpd(handler, **options):
    port = free_port()
    controller = Controller(handler, hostname='127.0.0.1', port=port, **options)
    controller.start()
    return controller, port


def send(port, to='ann@example.org', **settings):
    settings = {'host': 'localhost', 'port': port, 'from': 'On call <oncall@example.org>', 'reply_to': 'oncall@soc.example.org', 'user': 'bartizan',
                'password': 'env:geheim', 'timeout': 'PT10S', **settings}
    test = 'outside::mail_goes_out'
    done = subprocess.run([binary(test), test, '--exact', '--nocapture'], capture_output=True, text=True, timeout=60,
                          env={**os.environ, 'BARTIZAN_MAIL_OUT': json.dumps(settings), 'BARTIZAN_MAIL_TO': to})
    return next((line[8:] for line in done.stdout.splitlines() if line.startswith('outcome ')), done.stdout + done.stderr)


def out(folder):
    crt, pem = certificate(folder)
    stranger, _ = certificate(folder, 'stranger')
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    handler = Taken()
    signed_in = dict(authenticator=authenticator, auth_required=True)
    controller, port = smtpd(handler, tls_context=context, require_starttls=True, auth_require_tls=True, **signed_in)
    try:
        outcome = send(port, ca_file=crt)
        score.check('STARTTLS and a password', outcome == f'taken <page.{PAGE}@example.org>', outcome)
        look_at(handler.mails.get(timeout=5))
        outcome = send(port, ca_file=crt, password='env:wrong')
        score.check('a wrong password is refused', outcome.startswith('Refused'), outcome)
        outcome = send(port, ca_file=stranger)
        score.check('a server that nobody vouches for is not spoken to', outcome.startswith('Later'), outcome)
        outcome = send(port)
        score.check('nor is one whom the system does not know', outcome.startswith('Later'), outcome)
        outcome = send(port, to='nobody@example.org', ca_file=crt)
        score.check('an unknown recipient is refused', outcome.startswith('Refused') and 'nobody@' not in outcome, outcome)
        outcome = send(port, to='full@example.org', ca_file=crt)
        score.check('a full mailbox is tried later', outcome.startswith('Later'), outcome)
        score.check('nothing else was taken', handler.mails.empty())
    finally:
        controller.stop()
    handler = Taken()
    controller, port = smtpd(handler, ssl_context=context, auth_require_tls=False, **signed_in)
    try:
        outcome = send(port, ca_file=crt, security='tls')
        score.check('TLS from the first byte', outcome.startswith('taken'), outcome)
        score.check('the mail came over TLS', handler.mails.get(timeout=5)[2] is not None)
    finally:
        controller.stop()


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.links, self.unclosed = [], set(), [], []

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        if tag == 'a':
            self.links.append(dict(attributes)['href'])
        if tag not in ('meta', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unclosed.append(tag)


def look_at(taken):
    sender, recipients, content, tls = taken
    mail = email.message_from_bytes(content, policy=email.policy.default)
    score.check('over TLS, from and to whom', tls and (sender, recipients) == ('oncall@example.org', ['ann@example.org']), (tls, sender, recipients))
    score.check('no defects, as Python reads it', not mail.defects and not any(part.defects for part in mail.walk()), mail.defects)
    expected = {'Subject': '[High] #12 A password was leaked – æøå', 'Message-ID': f'<page.{TOKEN}@example.org>', 'Reply-To': REPLY_TO,
                'In-Reply-To': '<incident.00000000000000000000000000000007@example.org>', 'References': '<incident.00000000000000000000000000000007@example.org>',
                'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'OOF, AutoReply', 'Importance': 'high'}
    for name, value in expected.items():
        score.check(name, mail[name] == value, mail[name])
    score.check('To', mail['To'].addresses[0].display_name == 'Ann Bjørk', mail['To'])
    text = mail.get_body(('plain',)).get_content()
    score.check('text', '\n.a line that begins with a dot\nblåbær\n' in text.replace('\r\n', '\n') and 'Reply code 4821' in text, text)
    markup = mail.get_body(('html',)).get_content()
    tags = Tags()
    tags.feed(markup)
    score.check('HTML is closed', not tags.unclosed and not tags.open, (tags.unclosed, tags.open))
    score.check('HTML has the link, the evidence as a table, and nothing active', tags.links == ['https://soc.example.org/oncall/answer/abc']
                and 'table' in tags.seen and not tags.seen & {'script', 'img', 'link', 'iframe', 'form'}, (tags.links, tags.seen))
    score.check('what was found stays text', 'leaked &lt;b&gt;' in markup, markup)


def outlook(body):
    """A reply as written by Outlook for Windows: HTML and text, the original mail below its header block."""
    mail = EmailMessage()
    mail['From'], mail['To'], mail['Subject'] = 'Ann Bjørk <ann@example.org>', REPLY_TO, 'SV: [High] #12 A password was leaked'
    mail['In-Reply-To'] = mail['References'] = f'<page.{TOKEN}@example.org>'
    head = 'Fra: On call <oncall@example.org>\nSendt: fredag 20. november 2026 09:00\nTil: Ann\nEmne: [High] #12\n\nclose tp\n'
    mail.set_content(f'{body}\n\n________________________________\n{head}')
    mail.add_alternative(f'<p>{body}</p><div id="divRplyFwdMsg">{head}</div>', subtype='html')
    return mail


def incoming(folder):
    crt, pem = certificate(folder, 'receiver')
    ours = Ours('outside::mail_comes_in', {'BARTIZAN_MAIL_IN': pem})
    port = int(ours.address)
    with smtplib.SMTP('127.0.0.1', port, local_hostname='client.example.org', timeout=10) as client:
        client.starttls(context=ssl.create_default_context(cafile=crt))
        client.send_message(outlook('take'), 'ann@example.org', [REPLY_TO])
        client.send_message(outlook('escalate 2'), 'ann@example.org', [REPLY_TO])
        client.send_message(outlook('4821 T'), 'ann@example.org', [REPLY_TO])
        score.check('smtplib, after STARTTLS', True)
        try:
            client.sendmail('ann@example.org', ['ann@example.net'], 'Subject: x\r\n\r\nack')
            score.check('no relay', False, 'a foreign domain was taken')
        except smtplib.SMTPRecipientsRefused as refused:
            score.check('no relay', refused.recipients['ann@example.net'][0] == 550, refused)
        try:
            client.sendmail('ann@example.org', [REPLY_TO], b'Subject: x\r\n\r\n' + b'x' * 990 * 120)
            score.check('too large is refused', False, 'it was taken')
        except smtplib.SMTPResponseException as refused:
            score.check('too large is refused', refused.smtp_code == 552, refused)
        except smtplib.SMTPException as refused:
            score.check('too large is refused', '552' in str(refused), refused)
    swaks = shutil.which('swaks')
    if swaks and '=== TLS supported' not in subprocess.run([swaks, '--support'], capture_output=True, text=True).stdout:
        swaks = None
    if swaks:
        done = subprocess.run([swaks, '--server', f'127.0.0.1:{port}', '--tls', '--from', 'ann@example.org', '--to', REPLY_TO, '--h-From', 'ann@example.org',
                               '--body', 'ack\n\nOn Fri, Nov 20, 2026 at 9:00 AM On call <oncall@example.org> wrote:\n\n> close tp\n'],
                              capture_output=True, text=True, timeout=60)
        score.check('swaks, with TLS', done.returncode == 0, (done.stdout + done.stderr)[-800:])
    else:
        score.skip('swaks', 'the packages swaks and libnet-ssleay-perl are not installed')
    answers = [json.loads(line[7:]) for line in ours.end() if line.startswith('answer ')]
    expected = ['take', {'escalate': {'step': 2}}, 'take'] + (['acknowledge'] if swaks else [])
    score.check('what was answered', [answer[1] for answer in answers] == expected, answers)
    score.check('about the page, by its person', all(answer[0] == {'page': '12345678-9abc-def0-1234-56789abcdef0'} and answer[2] == 'ann' for answer in answers), answers)


def postfix(folder):
    if not shutil.which('postfix') or not shutil.which('saslpasswd2'):
        return score.skip('Postfix', 'the packages postfix, libsasl2-modules and sasl2-bin are not installed')
    if os.geteuid() != 0:
        return score.skip('Postfix', 'it is started by root only')
    crt, pem = certificate(folder, 'postfix')
    ours = Ours('outside::mail_comes_in', {'BARTIZAN_MAIL_IN': pem})
    handler = Taken()
    mailbox, boxes = smtpd(handler)
    port = free_port()
    base = pathlib.Path(folder) / 'postfix'
    for name in ('etc/sasl', 'queue', 'data'):
        (base / name).mkdir(parents=True)
    shutil.chown(base / 'data', 'postfix')
    for above in (pathlib.Path(folder), base):
        above.chmod(0o755)
    # Debian's Postfix reads its SASL settings from its configuration folder.
    secrets = base / 'etc' / 'sasl' / 'sasldb2'
    subprocess.run(['saslpasswd2', '-p', '-c', '-f', str(secrets), '-u', 'localhost', 'bartizan'], input='geheim', text=True, check=True)
    os.chown(secrets, pwd.getpwnam('postfix').pw_uid, -1)
    (base / 'etc' / 'sasl' / 'smtpd.conf').write_text(f'pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: {secrets}\n')
    (base / 'etc' / 'main.cf').write_text(f'''compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = localhost
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
recipient_delimiter = +
smtpd_tls_cert_file = {pem}
smtpd_tls_key_file = {pem}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = localhost
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtp_tls_security_level = may
smtp_host_lookup = native
disable_dns_lookups = yes
transport_maps = inline:{{ example.org=smtp:[127.0.0.1]:{boxes}, soc.example.org=smtp:[127.0.0.1]:{ours.address} }}
''')
    (base / 'etc' / 'master.cf').write_text(f'''127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
''')
    control = ['postfix', '-c', str(base / 'etc')]
    log = lambda: pathlib.Path(folder, 'maillog').read_text()[-3000:] if pathlib.Path(folder, 'maillog').exists() else 'no log'
    started = subprocess.run([*control, 'start'], capture_output=True, text=True, timeout=60)
    try:
        if started.returncode:
            return score.check('Postfix starts', False, started.stderr + log())
        outcome = send(port, ca_file=crt)
        score.check('our page through Postfix, with STARTTLS and SASL', outcome.startswith('taken'), outcome + log())
        outcome = send(port, ca_file=crt, password='env:wrong')
        score.check('Postfix refuses a wrong password', outcome.startswith('Refused'), outcome)
        try:
            content = handler.mails.get(timeout=20)[2]
        except queue.Empty:
            return score.check('Postfix delivers it', False, log())
        page = email.message_from_bytes(content, policy=email.policy.default)
        reply = EmailMessage()
        reply['From'], reply['To'], reply['Subject'] = 'Ann Bjørk <ann@example.org>', str(page['Reply-To']), 'Re: ' + page['Subject']
        reply['In-Reply-To'], reply['References'] = page['Message-ID'], f"{page['References']} {page['Message-ID']}"
        quoted = ''.join(f'> {line}\n' for line in page.get_body(('plain',)).get_content().splitlines())
        reply.set_content(f'Den 20.11.2026 09:00, skrev On call:\n{quoted}\nclose fp\nblåbær\n\n-- \nAnn\n')
        with smtplib.SMTP('localhost', port, local_hostname='client.example.org', timeout=10) as client:
            client.starttls(context=ssl.create_default_context(cafile=crt))
            client.login('bartizan', 'geheim')
            client.send_message(reply, 'ann@example.org')
        sent = until(lambda: 'status=sent (250 2.0.0 Acknowledged' in log(), 20)
        score.check('the answer through Postfix, over TLS to us', sent, log())
    finally:
        subprocess.run([*control, 'stop'], capture_output=True, timeout=60)
        mailbox.stop()
        answers = [json.loads(line[7:]) for line in ours.end() if line.startswith('answer ')]
    expected = [[{'page': '12345678-9abc-def0-1234-56789abcdef0'}, {'close': {'classification': 'FalsePositive', 'comment': 'blåbær'}}, 'ann', 'ann@example.org']]
    score.check('is what was typed below the quote', answers == expected, answers)


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        out(folder)
    with tempfile.TemporaryDirectory() as folder:
        incoming(folder)
    with tempfile.TemporaryDirectory() as folder:
        postfix(folder)
    score.end()
