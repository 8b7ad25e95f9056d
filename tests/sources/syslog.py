#!/usr/bin/env python3
"""Syslog with third-party senders: every message is stored exactly once.

    syslog.py

Peers: util-linux' `logger` over UDP and TCP, with and without octet counting, RFC 3164 and RFC 5424; Debian's rsyslog over TLS, a separate instance
that trusts the service's authority; rsyslog and syslog-ng as relays of CEF, LEEF and Cisco's lines, through each of their templates; sockets that send Sophos'
lines, CEF and malformed messages. rsyslog and syslog-ng are installed if missing and the script runs as root, and skipped otherwise.
Everything listens on loopback, on ports the kernel chose, read from `connect.json`.

UDP has no back-pressure, and a socket's buffer on Linux holds some 270 small datagrams: the script passes 50 lines at a time to `logger`, waits until
the listener's socket is empty (`/proc/net/udp`), and checks there at the end that nothing was dropped.
"""
import collections
import datetime as dt
import glob
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'harness')]
import peers
from score import Score, until
from service import Service, command

MESSAGES = 10_000
HOST = socket.gethostname()
UTC = dt.timezone.utc
score = Score()

CONFIG = '''version: 1
sources:
  syslog:
    - { name: all, udp: 0, tcp: 0, tls: 0 }
    - { name: structured, tcp: 0, keep_structured_data: true }
    - { name: filtered, tcp: 0, facilities: [local0, DAEMON], min_severity: WARNING }
    - { name: firewalls, udp: 0, tcp: 0, format: sophos, time_zone: Europe/Berlin }
    - { name: mail, tcp: 0, format: sophos, log_types: [Anti-Spam], keep_raw: false }
    - { name: strict, tcp: 0, format: rfc5424, max_message: 1KiB }
    - { name: impatient, tcp: 0, idle_timeout: 1s }
    - { name: small, tcp: 0, max_connections: 2 }
'''


class Peer:
    """The service from the view of a sender and an analyst."""

    def __init__(self, service):
        self.data_dir, self.connect = service.data_dir, service.connect
        self.places = {(each['name'], each['protocol']): split(each['address']) for each in self.connect['syslog']}

    def ask(self, kql):
        code, out, err = command('query', '--data-dir', self.data_dir, '--format', 'ndjson', kql)
        assert code == 0, err[:500]
        return [json.loads(line) for line in out.splitlines()]

    def count(self, kql):
        return self.ask(kql + ' | count')[0]['Count']

    def wait(self, kql, rows, seconds=30):
        """Waits for so many rows; gives how many there are then."""
        until(lambda: self.count(kql) >= rows, seconds, 0.1)
        return self.count(kql)

    def tcp(self, name):
        return socket.create_connection(self.places[name, 'tcp'], timeout=90)

    def send(self, name, data):
        """Sends over TCP, and waits until the listener closes: it does so once everything read is synced. Returns the seconds."""
        began = time.monotonic()
        with self.tcp(name) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b'', 'the listener answered'
        return time.monotonic() - began

    def metric(self, name, **labels):
        import requests
        text = requests.get(self.connect['base_url'] + '/metrics', verify=self.connect['ca_cert'], timeout=10).text
        return sum(float(line.rsplit(' ', 1)[1]) for line in text.splitlines()
                   if line.startswith(name + '{') and all(f'{key}="{value}"' in line for key, value in labels.items()))


def split(address):
    host, port = address.rsplit(':', 1)
    return host.strip('[]'), int(port)


def lines(mark, rows=MESSAGES):
    """Numbered lines; what follows the number is text that is difficult to parse."""
    return ''.join(f'{mark} {n:06} a: b[7]: "c" = <d> blåbær\n' for n in range(rows))


def whole(peer, what, mark, expected, began, rows=MESSAGES, seconds=60, told=''):
    """Every number once, every column right in every row."""
    kql = f'Syslog | where SyslogMessage has "{mark}"'
    peer.wait(kql, rows, seconds)
    found = peer.ask(kql + ' | project Computer, HostName, HostIP, Facility, SeverityLevel, ProcessName, ProcessID, SyslogMessage, CollectorHostName,'
                           ' SourceSystem, Type, EventTime, TimeGenerated')
    numbers = collections.Counter(row['SyslogMessage'].split(mark + ' ', 1)[1][:6] for row in found)
    lost, twice = rows - len(numbers), [number for number, times in numbers.items() if times > 1]
    score.check(f'{what}: {rows} sent, all stored, none twice{told}', not lost and not twice and len(found) == rows, f'{lost} lost, {len(twice)} twice')
    texts = {f'{n:06} a: b[7]: "c" = <d> blåbær' for n in range(rows)}
    wrong = [row['SyslogMessage'] for row in found if row['SyslogMessage'].split(mark + ' ', 1)[1] not in texts]
    score.check(f'{what}: the texts are whole', found and not wrong, wrong[:2])
    expected = {'Computer': HOST, 'HostName': HOST, 'HostIP': '127.0.0.1', 'CollectorHostName': HOST, 'SourceSystem': 'Linux', 'Type': 'Syslog', **expected}
    seen = {column: {row[column] for row in found} for column in expected}
    wrong = {column: sorted(map(str, values))[:3] for column, values in seen.items() if values != {expected[column]}}
    score.check(f'{what}: {", ".join(expected)}', not wrong, wrong)
    # RFC 3164 has whole seconds; sender and listener share a clock here.
    span = [instant(row[column]) for row in found for column in ('EventTime', 'TimeGenerated')]
    late = began.replace(microsecond=0), dt.datetime.now(UTC)
    score.check(f'{what}: EventTime and TimeGenerated are of now', span and late[0] <= min(span) and max(span) <= late[1], (span and (min(span), max(span)), late))
    return found


def instant(text):
    return dt.datetime.fromisoformat(text[:26].rstrip('Z').split('+')[0]).replace(tzinfo=UTC)


def logger(mark, place, *options, zone='UTC', paced=False):
    """Ten processes of `logger` after one another, each with a tenth of the lines."""
    host, port = place
    text = lines(mark).splitlines(keepends=True)
    command = ['logger', '-n', host, '-P', str(port), '-t', 'app', '--id=4711', '-p', 'local3.warning', *options]
    tenth = len(text) // 10
    for n in range(0, len(text), tenth):
        with subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, 'TZ': zone}) as process:
            for at in range(n, n + tenth, 50 if paced else tenth):
                process.stdin.write(''.join(text[at:min(at + (50 if paced else tenth), n + tenth)]).encode())
                process.stdin.flush()
                if paced:
                    settle(port)
            process.stdin.close()
        if process.returncode:
            return score.check(f'logger {" ".join(options)}', False, f'exit code {process.returncode}')


def udp_socket(port):
    """Bytes queued in the socket of this port, and datagrams dropped by the kernel because it was full."""
    for line in pathlib.Path('/proc/net/udp').read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rsplit(':', 1)[1], 16) == port:
            return int(fields[4].split(':')[1], 16), int(fields[-1])
    raise LookupError(f'no UDP socket has port {port}')


def settle(port):
    time.sleep(0.002)
    while udp_socket(port)[0]:
        time.sleep(0.001)


def loggers(peer):
    if not shutil.which('logger'):
        return score.skip('logger', 'util-linux is not installed')
    columns = {'Facility': 'local3', 'SeverityLevel': 'warning', 'ProcessName': 'app', 'ProcessID': 4711}
    udp, tcp = peer.places['all', 'udp'], peer.places['all', 'tcp']
    began = dt.datetime.now(UTC)
    logger('markudp', udp, '-d', '--rfc3164', paced=True)
    score.check('logger, UDP: the kernel dropped nothing', udp_socket(udp[1])[1] == 0, udp_socket(udp[1]))
    whole(peer, 'logger, UDP, RFC 3164', 'markudp', columns, began, told=', paced by the socket')
    began = dt.datetime.now(UTC)
    logger('marktcp', tcp, '-T', '--rfc3164')
    whole(peer, 'logger, TCP, RFC 3164', 'marktcp', columns, began)
    began = dt.datetime.now(UTC)
    logger('markcounted', tcp, '-T', '--octet-count', zone='Asia/Kolkata')
    whole(peer, 'logger, TCP, --octet-count, its clock in India', 'markcounted', columns, began)
    began = dt.datetime.now(UTC)
    sd = ['--rfc5424', '--msgid', 'ID47', '--sd-id', 'trial@32473', '--sd-param', r'run="one \] two"']
    logger('markplain', tcp, '-T', *sd)
    found = whole(peer, 'logger, TCP, RFC 5424, --sd-id', 'markplain', columns, began)
    score.check('logger, --sd-id: the text is the text alone', found and all(row['SyslogMessage'].startswith('markplain ') for row in found), found[:1])
    began = dt.datetime.now(UTC)
    logger('markkept', peer.places['structured', 'tcp'], '-T', *sd)
    found = whole(peer, 'logger, --sd-id, where it is kept', 'markkept', columns, began)
    heads = {row['SyslogMessage'].split('markkept', 1)[0] for row in found}
    score.check('logger, --sd-id: message id and structured data stand before the text',
                heads and all(head.startswith('ID47 [') and r'trial@32473 run="one \] two"' in head and head.endswith('] ') for head in heads), list(heads)[:2])


def rsyslog(peer, folder):
    driver = '/usr/lib/*/rsyslog/lmnsd_gtls.so'
    if not (shutil.which('rsyslogd', path=os.environ['PATH'] + ':/usr/sbin') and glob.glob(driver)) and os.geteuid() == 0 and shutil.which('apt-get'):
        # RUNLEVEL=1: the package starts no daemon of its own.
        subprocess.run(['apt-get', 'install', '-y', '-qq', 'rsyslog', 'rsyslog-gnutls'], capture_output=True, timeout=300,
                       env={**os.environ, 'DEBIAN_FRONTEND': 'noninteractive', 'RUNLEVEL': '1'})
    rsyslogd = shutil.which('rsyslogd', path=os.environ['PATH'] + ':/usr/sbin')
    if not rsyslogd or not glob.glob(driver):
        return score.skip('rsyslog over TLS', 'the packages rsyslog and rsyslog-gnutls are not installed')
    if not shutil.which('logger'):
        return score.skip('rsyslog over TLS', 'util-linux is not installed')
    forms = [('RFC 5424, counted', 'RSYSLOG_SyslogProtocol23Format', 'octet-counted'), ('RFC 3164, lines', 'RSYSLOG_TraditionalForwardFormat', 'traditional')]
    for what, template, framing in forms:
        one_rsyslog(peer, folder / framing, rsyslogd, f'rsyslog, TLS, {what}', template, framing)


def one_rsyslog(peer, work, rsyslogd, what, template, framing):
    work.mkdir()
    port, mark = peer.places['all', 'tls'][1], 'mark' + framing.replace('-', '')
    (work / 'rsyslog.conf').write_text(f'''global(workDirectory="{work}" defaultNetstreamDriverCAFile="{peer.connect['ca_cert']}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{work}/log" RateLimit.Interval="0")
*.* action(type="omfwd" target="localhost" port="{port}" protocol="tcp" TCP_Framing="{framing}" template="{template}"
           StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="localhost"
           queue.type="LinkedList" queue.size="50000" action.resumeRetryCount="-1")
''')
    began = dt.datetime.now(UTC)
    command_line = [rsyslogd, '-n', '-f', work / 'rsyslog.conf', '-i', work / 'pid']
    try:
        with peers.Peer(command_line, work, (work / 'log').exists, env={'TZ': 'UTC'}):
            (work / 'lines').write_text(lines(mark))
            subprocess.run(['logger', '-u', str(work / 'log'), '-t', 'app', '--id=4711', '-p', 'local3.warning', '-f', str(work / 'lines')], check=True, timeout=60)
            whole(peer, what, mark, {'Facility': 'local3', 'SeverityLevel': 'warning', 'ProcessName': 'app', 'ProcessID': 4711}, began)
    except peers.PeerFailed as error:
        score.check(f'{what}: it starts', False, error)


# Device messages sent to a relay, and the expected rows for every forwarding template. `{}` is the number of the template.
RELAYED_EVENTS = [
    (r'<134>Nov 30 10:00:00 gw-1 CEF:0|Vendor|Product|1.0|relay-cef-{}|a name|9|src=10.0.0.1 duser=BLAH\robert msg=two words',
     'CommonSecurityLog', 'relay-cef-{}', {'Computer': 'gw-1', 'DeviceVendor': 'Vendor', 'SourceIP': '10.0.0.1', 'DestinationUserName': r'BLAH\robert', 'Message': 'two words'}),
    ('<134>Nov 30 10:00:00 gw-2 LEEF:1.0|Vendor|Product|1.0|relay-leef-{}|src=10.0.0.2\tusrName=ann\tdstPort=443',
     'CommonSecurityLog', 'relay-leef-{}', {'Computer': 'gw-2', 'SourceIP': '10.0.0.2', 'SourceUserName': 'ann', 'DestinationPort': 443}),
    ('<30>Nov 30 10:00:00 gw-3 named[16548]: relayed {} to it',
     'Syslog', 'relayed {} to it', {'Computer': 'gw-3', 'ProcessName': 'named', 'ProcessID': 16548, 'SyslogMessage': 'relayed {} to it'}),
    ('<189>83: *Nov 30 10:00:00.123: %SYS-5-CONFIG_I: relayed switch {}',
     'Syslog', '%SYS-5-CONFIG_I: relayed switch {}', {'ProcessName': '%SYS-5-CONFIG_I'}),
]


def relays(peer, folder):
    path = os.environ['PATH'] + ':/usr/sbin'
    found = {'rsyslog': (shutil.which('rsyslogd', path=path), {}), 'syslog-ng': syslog_ng(folder, path)}
    for name, (binary, environment) in found.items():
        if not binary:
            score.skip(f'CEF through {name}', 'it is not installed and cannot be here')
            continue
        for number, (what, config) in enumerate(RELAYS[name]):
            one_relay(peer, folder / f'{name}-{number}', binary, environment, name, what, config, f'{name}-{number}')


def syslog_ng(folder, path):
    """syslog-ng as it is installed, or unpacked into a folder: its package conflicts with rsyslog's."""
    if binary := shutil.which('syslog-ng', path=path):
        return binary, {}
    if os.geteuid() or not shutil.which('apt-get'):
        return None, {}
    quiet = {'capture_output': True, 'timeout': 300, 'env': {**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'}}
    libraries = ['libivykis0', 'libwrap0', 'libpcre3', 'libnet1', 'libjson-c5', 'libglib2.0-0']
    subprocess.run(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', *libraries], **quiet)
    subprocess.run(['apt-get', 'download', 'syslog-ng-core'], cwd=folder, **quiet)
    for package in folder.glob('syslog-ng-core*.deb'):
        subprocess.run(['dpkg', '-x', str(package), str(folder / 'syslog-ng')], **quiet)
    modules = next((folder / 'syslog-ng').glob('usr/lib/syslog-ng/[0-9]*'), None)
    if modules is None:
        return None, {}
    return str(folder / 'syslog-ng/usr/sbin/syslog-ng'), {'LD_LIBRARY_PATH': str(modules.parent), 'MODULES': str(modules)}


def one_relay(peer, work, binary, environment, name, what, config, number):
    work.mkdir()
    port, to = peers.free_port(socket.SOCK_DGRAM), peer.places['all', 'tcp'][1]
    conf = work / 'relay.conf'
    conf.write_text(config.replace('@IN@', str(port)).replace('@OUT@', str(to)).replace('@WORK@', str(work)))
    command_line = {'rsyslog': [binary, '-n', '-f', str(conf), '-i', str(work / 'pid')],
               'syslog-ng': [binary, '-F', '-f', str(conf), '-R', str(work / 'persist'), '-p', str(work / 'pid'), '-c', str(work / 'ctl'), '--no-caps']}[name]
    if modules := environment.get('MODULES'):
        command_line += ['--module-path', modules]
    try:
        with peers.Peer(command_line, work, lambda: listens(port), env={**environment, 'TZ': 'UTC'}):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                for line, *_ in RELAYED_EVENTS:
                    client.sendto(line.replace('{}', number).encode(), ('127.0.0.1', port))
            for _, table, key, expected in RELAYED_EVENTS:
                key = key.replace('{}', number)
                kql = f'{table} | where {"DeviceEventClassID" if table == "CommonSecurityLog" else "SyslogMessage"} == "{key}"'
                peer.wait(kql, 1)
                expected = {column: value.replace('{}', number) if isinstance(value, str) else value for column, value in expected.items()}
                right(f'{name}, {what}: {key}', peer.ask(kql), expected)
    except peers.PeerFailed as error:
        score.check(f'{name}, {what}: it starts', False, error)


def listens(port):
    try:
        udp_socket(port)
        return True
    except LookupError:
        return False


RSYSLOG = '''global(workDirectory="@WORK@")
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="@IN@")
*.* action(type="omfwd" target="127.0.0.1" port="@OUT@" protocol="tcp" TCP_Framing="%s" template="%s" queue.type="LinkedList" action.resumeRetryCount="-1")
'''
SYSLOG_NG = '''@version: 3.27
options { keep-hostname(yes); chain-hostnames(no); use-dns(no); dns-cache(no); };
source s { network(ip("127.0.0.1") port(@IN@) transport("udp")); };
destination d { %s };
log { source(s); destination(d); };
'''
RELAYS = {
    'rsyslog': [(template, RSYSLOG % (framing, template)) for template, framing in (
        ('RSYSLOG_SyslogProtocol23Format', 'octet-counted'), ('RSYSLOG_TraditionalForwardFormat', 'traditional'), ('RSYSLOG_ForwardFormat', 'traditional'))],
    'syslog-ng': [('network()', SYSLOG_NG % 'network("127.0.0.1" port(@OUT@) transport("tcp"));'), ('syslog()', SYSLOG_NG % 'syslog("127.0.0.1" port(@OUT@) transport("tcp"));')],
}


def stranger(peer, what):
    try:
        with socket.create_connection(peer.places['all', 'tls'], timeout=10) as plain, \
                ssl.create_default_context().wrap_socket(plain, server_hostname='localhost') as client:
            score.check(what, False, client.version())
    except ssl.SSLCertVerificationError as error:
        score.check(what, True, error)


# Irregularities: unquoted values with spaces, an empty value, doubled spaces, upper-case keys, an ambiguous zone, a truncated last value.
FIREWALL = ('<30>device="SFW" date=2026-11-20 time=13:38:48 timezone="IST" device_name="XG230" device_id=C44313350024- P29PUA log_id=010101600001 '
            'log_type="Firewall" log_component="Firewall Rule" log_subtype="Allowed" status="Allow" priority=Information duration=30 fw_rule_id=7 policy_type=1 '
            'user_name="ann@example.org" user_gp="Office" ether_type=Unknown (0x0000) in_interface="Port1" out_interface="Port2" src_mac=00: 0:5e: 0:53: 1 '
            'src_ip=10.1.2.3 src_country_code=R1  dst_ip=203.0.113.9 dst_country_code=NO protocol="TCP" src_port=50123 dst_port=443 sent_pkts=9  sent_bytes=812 '
            'recv_bytes=5000000000 tran_src_ip=198.51.100.1 tran_src_port=0 tran_dst_ip= tran_dst_port=0 FTP_url="" SysLog_SERVER_NAME="fw-1" '
            'appresolvedby="Signature')
# Quotes, `=` and `<` inside quotes.
SPAM = ('<28>device="SFW" date=2026-07-20 time=14:38:48 timezone="BST" device_name="XG230" device_id=C44-P29 log_id=041101618035 log_type="Anti-Spam" '
        'log_component="SMTP" log_subtype="Allowed" priority=Information user_name="" mailid="<c0-1=x@mail.example>" from_email_address="eve@example.net" '
        'to_email_address="ann@example.org" subject="he said "a=b", <c@d> "ok"" mailsize=1200 src_ip=203.0.113.4 dst_ip=10.1.2.25 protocol="TCP" src_port=52102 '
        'dst_port=25 sent_bytes=0 recv_bytes=0')
MAIL = ('<30>device="SFW" date=2026-11-20 time=14:38:50 timezone="CET" device_name="XG230" log_id=041107413001 log_type="Anti-Spam" log_component="SMTPS" '
        'log_subtype="Denied" priority=Warning sender="eve@example.net" recipient="bo@example.org" email_subject="Invoice = now" reason="Mail is <spam>"')
# Advanced threat protection has its own field names for addresses.
THREAT = ('<33>device="SFW" date=2026-11-20 time=14:40:00 timezone="CET" device_name="XG230" log_id=086304418010 log_type="ATP" log_component="Firewall" '
          'log_subtype="Drop" priority=Notice user_name="carla" protocol="TCP" src_port=51000 dst_port=8080 sourceip=10.1.2.4 destinationip=203.0.113.66 '
          'url="203.0.113.66" threatname="C2/Generic-A" eventid="00C0FFEE" execution_path=""')
# Since SFOS 18, for central reporting.
CENTRAL = ('<14>device_name="SFW" timestamp="2026-11-20T18:25:00-0600" device_model="XGS136" device_serial_id="X1310ABC" log_id="050901616001" '
           'log_type="Content Filtering" log_component="HTTP" log_subtype="Denied" log_version=1 severity="Information" fw_rule_id="3" fw_rule_name="out a=b" '
           'user="deniz" user_group="Guests" http_user_agent="Mozilla/5.0 (X11; Linux)" url="https://shop.example.com/?q=1&r=2" category="Shopping" '
           'src_ip="10.1.2.5" dst_ip="203.0.113.77" src_trans_ip="198.51.100.1" src_trans_port="0" protocol="TCP" src_port="51001" dst_port="443" '
           'bytes_sent="420" bytes_received="9000" domain="shop.example.com"')
RELAYED = '<30>Nov 20 14:41:00 xg-oslo device="SFW" date=2026-11-20 time=14:41:01 timezone="CET" log_id=010102600002 log_type="Firewall" log_subtype="Denied" src_ip=10.9.9.9'
UTM = '<30>device="SFW" date=2026:11:06 time=00:08:03 log_id=010102600003 log_type="Firewall" log_subtype="Denied" src_ip=10.9.9.10'

# Computed by hand from the vendor's description of the fields and Microsoft's of the columns; Berlin is +01:00 in November and +02:00 in July.
SOPHOS = [
    (FIREWALL, {'Activity': 'Firewall Rule', 'Computer': '127.0.0.1', 'DeviceAddress': '127.0.0.1', 'DeviceAction': 'Allowed', 'DeviceName': 'XG230',
                'DeviceTimeZone': 'IST', 'DeviceExternalID': 'C44313350024- P29PUA', 'DeviceEventCategory': 'Firewall', 'EventOutcome': 'Allow',
                'LogSeverity': 'Information', 'SourceUserName': 'ann@example.org', 'SourceUserPrivileges': 'Office', 'DeviceInboundInterface': 'Port1',
                'DeviceOutboundInterface': 'Port2', 'SourceMACAddress': '00: 0:5e: 0:53: 1', 'SourceIP': '10.1.2.3', 'DestinationIP': '203.0.113.9',
                'Protocol': 'TCP', 'SourcePort': 50123, 'DestinationPort': 443, 'SentBytes': 812, 'ReceivedBytes': 5_000_000_000,
                'SourceTranslatedAddress': '198.51.100.1', 'SourceTranslatedPort': 0, 'DestinationTranslatedAddress': '', 'DestinationTranslatedPort': 0,
                'DeviceCustomString1': '7', 'DeviceCustomString1Label': 'FirewallRuleId', 'StartTime': '2026-11-20T12:38:48',
                'ReceiptTime': '2026-11-20T12:38:48.000Z', 'CollectorHostName': HOST,
                'AdditionalExtensions': 'duration=30;policy_type=1;ether_type=Unknown (0x0000);src_country_code=R1;dst_country_code=NO;sent_pkts=9;'
                                        'SysLog_SERVER_NAME=fw-1;appresolvedby=Signature'}),
    (SPAM, {'Activity': 'SMTP', 'DeviceEventCategory': 'Anti-Spam', 'SourceUserName': 'eve@example.net', 'DestinationUserName': 'ann@example.org',
            'DeviceCustomString5': 'he said "a=b", <c@d> "ok"', 'DeviceCustomString5Label': 'Subject', 'SourceIP': '203.0.113.4', 'DestinationPort': 25,
            'StartTime': '2026-07-20T12:38:48', 'AdditionalExtensions': 'mailid=<c0-1=x@mail.example>;mailsize=1200'}),
    (MAIL, {'DeviceAction': 'Denied', 'LogSeverity': 'Warning', 'SourceUserName': 'eve@example.net', 'DestinationUserName': 'bo@example.org',
            'DeviceCustomString5': 'Invoice = now', 'Reason': 'Mail is <spam>', 'StartTime': '2026-11-20T13:38:50', 'AdditionalExtensions': ''}),
    (THREAT, {'DeviceEventCategory': 'ATP', 'DeviceAction': 'Drop', 'SourceIP': '10.1.2.4', 'DestinationIP': '203.0.113.66', 'RequestURL': '203.0.113.66',
              'DeviceCustomString2': 'C2/Generic-A', 'DeviceCustomString2Label': 'ThreatName', 'SourceUserName': 'carla', 'DestinationPort': 8080,
              'LogSeverity': 'Notice', 'AdditionalExtensions': 'eventid=00C0FFEE'}),
    (CENTRAL, {'DeviceEventCategory': 'Content Filtering', 'DeviceExternalID': 'X1310ABC', 'LogSeverity': 'Information', 'SourceUserName': 'deniz',
               'SourceUserPrivileges': 'Guests', 'RequestURL': 'https://shop.example.com/?q=1&r=2', 'RequestClientApplication': 'Mozilla/5.0 (X11; Linux)',
               'DeviceCustomString1': '3', 'DeviceCustomString3': 'Shopping', 'DeviceCustomString3Label': 'Category', 'DeviceCustomString4': 'out a=b',
               'DeviceCustomString4Label': 'FirewallRuleName', 'SentBytes': 420, 'ReceivedBytes': 9000, 'SourceTranslatedAddress': '198.51.100.1',
               'DestinationHostName': 'shop.example.com', 'StartTime': '2026-11-21T00:25:00', 'AdditionalExtensions': 'device_model=XGS136;log_version=1'}),
    (RELAYED, {'Computer': 'xg-oslo', 'DeviceAddress': '127.0.0.1', 'SourceIP': '10.9.9.9', 'StartTime': '2026-11-20T13:41:01'}),
    (UTM, {'SourceIP': '10.9.9.10', 'StartTime': '2026-11-05T23:08:03'}),
]
SOPHOS_COMMON = {'DeviceVendor': 'Sophos', 'DeviceProduct': 'Sophos Firewall', 'SourceSystem': 'Linux', 'Type': 'CommonSecurityLog'}


def sophos(peer):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for line, _ in SOPHOS:
            client.sendto(line.encode(), peer.places['firewalls', 'udp'])
    over('Sophos, UDP', peer, SOPHOS)
    # TCP without delimiters between messages, in chunks, and nothing after the last one while the connection stays open.
    glued = [each for each in SOPHOS if each[0] is not RELAYED]
    data = ''.join(line for line, _ in glued).encode()
    with peer.tcp('firewalls') as client:
        for at in range(0, len(data), 100):
            client.sendall(data[at:at + 100])
        score.check('Sophos, TCP: the last line is stored though nothing ends it', peer.wait('CommonSecurityLog', len(SOPHOS) + len(glued)) == len(SOPHOS) + len(glued))
    over('Sophos, TCP, nothing between the lines', peer, glued, each=2)
    raw = peer.ask('Syslog | where Facility == "daemon" and SyslogMessage startswith "device=" and SyslogMessage has "SysLog_SERVER_NAME" | project SyslogMessage, SeverityLevel')
    score.check('Sophos: the line as it came is in Syslog, too', {row['SyslogMessage'] for row in raw} == {FIREWALL[4:]} and len(raw) == 2, raw)
    before = peer.count('CommonSecurityLog'), peer.count('Syslog')
    peer.send('mail', ''.join(line + '\n' for line, _ in SOPHOS).encode())
    after = peer.count('CommonSecurityLog'), peer.count('Syslog')
    score.check('Sophos: of log_types only those named, and no raw line where none is kept', after == (before[0] + 2, before[1]), (before, after))
    dropped = peer.metric('bartizan_source_dropped_total', listener='mail', reason='log_type')
    score.check('Sophos: what log_types leave out is counted', dropped == len(SOPHOS) - 2, dropped)


def over(what, peer, cases, each=1):
    """The rows of these cases, found by their `log_id`."""
    for line, expected in cases:
        expected = {**SOPHOS_COMMON, **expected}
        number = line.split('log_id=', 1)[1].split()[0].strip('"')
        kql = f'CommonSecurityLog | where DeviceEventClassID == "{number}"'
        peer.wait(kql, each)
        right(f'{what}: log_id {number}', peer.ask(kql), expected, each)


def right(what, rows, expected, each=1):
    text = lambda column, value: value[:19] if column in ('StartTime', 'EndTime') and isinstance(value, str) else value
    wrong = {column: (row.get(column), value) for row in rows for column, value in expected.items() if text(column, row.get(column)) != value}
    score.check(f'{what}: {len(expected)} columns', len(rows) == each and not wrong, f'{len(rows)} rows; found, expected: {wrong}')


def cef(peer):
    """ArcSight's escapes: `|` in the header, `=` in values; values contain spaces. IBM's LEEF with a custom delimiter."""
    message = (r'<134>Nov 20 13:00:00 gw-1 CEF:0|Ven\|dor|Pro\\duct|1.0|cef-100|a name|9|src=10.0.0.1 spt=1232 dst=203.0.113.7 dpt=443 proto=TCP act=blocked '
               r'suser=ann duser=bo request=http://a.example/?b\=c msg=two words \= one\nline cn1=42 cn1Label=Tries cs1=x y cs1Label=Rule start=1732096800000 '
               r'end=Nov 20 2024 10:00:05 deviceDirection=1 in=5 out=6 cnt=3 weird=kept as it is dvchost=gw shost=pc-1 dpt=many')
    leef = '<134>1 2026-11-20T13:00:00Z gw-2 - - - - LEEF:2.0|Vendor|Product|2|leef-7|^|src=10.0.0.2^dst=203.0.113.8^usrName=a=b^srcPort=99^proto=UDP^mine=x'
    peer.send('all', f'{message}\n{leef}\n'.encode())
    common = {'SourceSystem': 'Linux', 'CollectorHostName': HOST, 'Type': 'CommonSecurityLog'}
    right('CEF', peer.ask('CommonSecurityLog | where DeviceEventClassID == "cef-100"'), {
        **common, 'DeviceVendor': 'Ven|dor', 'DeviceProduct': 'Pro\\duct', 'DeviceVersion': '1.0', 'Activity': 'a name', 'LogSeverity': '9', 'SourceIP': '10.0.0.1',
        'SourcePort': 1232, 'DestinationIP': '203.0.113.7', 'DestinationPort': 443, 'Protocol': 'TCP', 'DeviceAction': 'blocked', 'SourceUserName': 'ann',
        'DestinationUserName': 'bo', 'RequestURL': 'http://a.example/?b=c', 'Message': 'two words = one\nline', 'FieldDeviceCustomNumber1': 42,
        'DeviceCustomNumber1Label': 'Tries', 'DeviceCustomString1': 'x y', 'DeviceCustomString1Label': 'Rule', 'StartTime': '2024-11-20T10:00:00',
        'EndTime': '2024-11-20T10:00:05', 'CommunicationDirection': 'Outbound', 'ReceivedBytes': 5, 'SentBytes': 6, 'EventCount': 3, 'DeviceName': 'gw',
        'SourceHostName': 'pc-1', 'Computer': 'gw-1', 'AdditionalExtensions': 'weird=kept as it is;dpt=many'})
    right('LEEF', peer.ask('CommonSecurityLog | where DeviceEventClassID == "leef-7"'), {
        **common, 'DeviceVendor': 'Vendor', 'DeviceProduct': 'Product', 'DeviceVersion': '2', 'SourceIP': '10.0.0.2', 'DestinationIP': '203.0.113.8',
        'SourceUserName': 'a=b', 'SourcePort': 99, 'Protocol': 'UDP', 'Computer': 'gw-2', 'AdditionalExtensions': 'mine=x'})


def filters(peer):
    """All 192 PRIs; RFC 5424 §6.2.1 has the numbers: daemon is 3, local0 16, warning 4."""
    peer.send('filtered', ''.join(f'<{pri}>Nov 20 13:00:00 h filtered: markpri {pri}\n' for pri in range(192)).encode())
    found = peer.ask('Syslog | where SyslogMessage has "markpri" | project Facility, SeverityLevel, SyslogMessage')
    names = ['emerg', 'alert', 'crit', 'err', 'warning']
    expected = sorted((facility, name, f'markpri {8 * number + n}') for facility, number in (('daemon', 3), ('local0', 16)) for n, name in enumerate(names))
    score.check('of 192 PRIs those of the facilities and at least so bad', sorted(tuple(row.values()) for row in found) == expected, found)
    dropped = [peer.metric('bartizan_source_dropped_total', listener='filtered', reason=reason) for reason in ('facility', 'severity')]
    score.check('the others are counted', dropped == [22 * 8, 2 * 3], dropped)
    peer.send('all', ''.join(f'<{pri}>Nov 20 13:00:00 h unfiltered: markall {pri}\n' for pri in range(192)).encode())
    score.check('a listener without filters takes all 24 × 8', peer.count('Syslog | where SyslogMessage has "markall" | distinct Facility, SeverityLevel') == 192)


class Dead:
    """Clients that misuse a connection."""

    def __init__(self, peer):
        self.peer, self.going = peer, True
        self.half, self.counted = peer.tcp('all'), peer.tcp('all')
        self.half.sendall(b'<13>Nov 20 13:00:00 h dead: half a line, then sil')
        self.counted.sendall(b'500 <13>Nov 20 13:00:00 h dead: half a count')
        self.closed = {}
        self.waiting = [threading.Thread(target=self.wait, args=each, daemon=True) for each in (('line', self.half), ('count', self.counted))]
        for each in self.waiting:
            each.start()
        tls = peer.places['all', 'tls']
        # One that never starts its handshake, and one that neither reads nor writes after it.
        self.mute = socket.create_connection(tls)
        context = ssl.create_default_context(cafile=peer.connect['ca_cert'])
        self.deaf = context.wrap_socket(socket.create_connection(tls), server_hostname='localhost')
        self.crowd = [peer.tcp('all') for _ in range(200)]
        self.sent = 0
        self.endless = peer.tcp('all')
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.thread.start()

    def wait(self, name, client):
        began = time.monotonic()
        try:
            if client.recv(1) == b'':
                self.closed[name] = time.monotonic() - began
        except OSError as error:
            self.closed[name] = error
        client.close()

    def write(self):
        """An endless line, about 10 MB per second."""
        self.endless.sendall(b'<13>Nov 20 13:00:00 h endless: markendless ')
        while self.going:
            self.endless.sendall(b'x' * 65_536)
            self.sent += 65_536
            time.sleep(0.005)
        self.endless.sendall(b'\n<13>Nov 20 13:00:00 h endless: markafter it\n')
        self.endless.shutdown(socket.SHUT_WR)
        self.endless.recv(1)
        self.endless.close()

    def end(self):
        self.going = False
        self.thread.join(30)
        for each in [self.mute, self.deaf, *self.crowd]:
            each.close()


def others(peer):
    data = lambda mark: ''.join(f'<13>Nov 20 13:00:00 {HOST} app[1]: {line}\n' for line in lines(mark).splitlines()).encode()
    alone = min(peer.send('all', data(f'markalone{n}')) for n in range(3))
    dead = Dead(peer)
    time.sleep(0.5)
    mark = 'markbeside'
    taken = [peer.send('all', data(f'{mark}{n}')) for n in range(3)]
    counts = [peer.count(f'Syslog | where SyslogMessage has "{mark}{n}"') for n in range(3)]
    what = (f'beside half a frame, half a count, a silent handshake, a deaf client, 200 idle ones and an endless line: {MESSAGES / min(taken):,.0f} messages/s, '
            f'alone {MESSAGES / alone:,.0f}')
    # An endless line uses CPU, but does not block others.
    score.check(what, counts == [MESSAGES] * 3 and min(taken) <= max(3 * alone, 1), (counts, taken))
    dead.end()
    peer.wait('Syslog | where SyslogMessage has "markafter"', 1)
    cut = peer.ask('Syslog | where SyslogMessage has "markendless" | extend Length = strlen(SyslogMessage) | project Length')
    score.check(f'of an endless line ({dead.sent / 1e6:.0f} MB) the first 64 KiB are stored, once', [row['Length'] for row in cut if 65_000 < row['Length'] <= 65_536] and len(cut) == 1, cut)
    score.check('and the line after it', peer.count('Syslog | where SyslogMessage has "markafter"') == 1)
    note = 'DCRLogErrors | where OperationName == "Note" and Message has "max_message"'
    score.check('a note says that it was cut', peer.wait(note, 1, 5) == 1, peer.ask('DCRLogErrors'))
    return dead


def silent(peer, dead):
    """A connection that stalls within a message is closed after a minute, and the partial message becomes a dead letter."""
    for each in dead.waiting:
        each.join(90)
    score.check('half a message is waited for for a minute, then its connection is closed',
                len(dead.closed) == 2 and all(isinstance(each, float) and 58 < each < 70 for each in dead.closed.values()), dead.closed)
    kql = 'DCRLogErrors | where Message == "the sender fell silent within a message"'
    peer.wait(kql, 2, 5)
    letters = sorted(row['Record_CF'] for row in peer.ask(kql))
    score.check('and is set aside with its bytes', letters == ['500 <13>Nov 20 13:00:00 h dead: half a count', '<13>Nov 20 13:00:00 h dead: half a line, then sil'], letters)
    with peer.tcp('impatient') as client:
        began = time.monotonic()
        client.sendall(b'<13>Nov 20 13:00:00 h app: markidle\n')
        score.check('a connection that says nothing for `idle_timeout` is closed', client.recv(1) == b'' and 0.9 < time.monotonic() - began < 5, time.monotonic() - began)
    score.check('what it said before is stored', peer.count('Syslog | where SyslogMessage has "markidle"') == 1)


def crowded(peer):
    with peer.tcp('small') as first, peer.tcp('small') as second, peer.tcp('small') as third:
        score.check('a connection beyond `max_connections` is closed at once', third.recv(1) == b'')
        first.sendall(b'<13>Nov 20 13:00:00 h app: markcrowd\n')
        second.sendall(b'<13>Nov 20 13:00:00 h app: markcrowd\n')
        score.check('the others are served', peer.wait('Syslog | where SyslogMessage == "markcrowd"', 2, 10) == 2)
    refused = peer.metric('bartizan_source_dropped_total', listener='small', reason='too_many_connections')
    score.check('and it is counted', refused == 1, refused)


def bad(peer):
    """Each bad message with its bytes, the reason, the listener and the sender."""
    good = b'<13>1 2026-11-20T13:00:00Z h app 1 - - markgood\n'
    cases = [('strict', b'<13>Nov 20 13:00:00 h app: not it\n', 'the message does not follow RFC 5424', r'<13>Nov 20 13:00:00 h app: not it'),
             ('firewalls', b'<13>caf\xe9 is no firewall\n', "the message is not in Sophos' format", r'<13>caf\xe9 is no firewall'),
             ('structured', b'90 <13>half', 'the connection ended within a counted message', '90 <13>half'),
             ('structured', b'\x16\x03\x01\x02\x00\x01\x00\x01', 'the sender speaks TLS to a listener without it', r'\x16\x03\x01\x02\x00\x01\x00\x01')]
    for name, data, reason, record in cases:
        began = dt.datetime.now(UTC)
        neighbours = good * 2 if name == 'strict' else b''
        peer.send(name, good * bool(neighbours) + data + good * bool(neighbours))
        kql = f'DCRLogErrors | where InputStreamId == "syslog/{name}" and Message == ' + json.dumps(reason)
        peer.wait(kql, 1, 5)
        rows = peer.ask(kql)
        expected = {'Record_CF': record, 'OperationName': 'Ingest', 'ClientRequestId': '127.0.0.1'}
        wrong = {column: (row[column], value) for row in rows for column, value in expected.items() if row[column] != value}
        fresh = rows and instant(rows[0]['TimeGenerated']) >= began.replace(microsecond=0)
        score.check(f'DCRLogErrors: {reason}', len(rows) == 1 and not wrong and fresh, wrong or rows)
    score.check('the good ones around a bad one are stored', peer.count('Syslog | where SyslogMessage == "markgood"') == 2)
    unknown = peer.metric('bartizan_source_dropped_total', listener='strict', reason='unreadable')
    score.check('and the bad one is counted', unknown == 1, unknown)
    # Invalid UTF-8 costs a character, not the message.
    peer.send('all', b'<13>Nov 20 13:00:00 h app: marklatin caf\xe9 au lait\n')
    texts = [row['SyslogMessage'] for row in peer.ask('Syslog | where SyslogMessage has "marklatin" | project SyslogMessage')]
    score.check('bytes that are no UTF-8', texts == ['marklatin caf\ufffd au lait'], texts)
    peer.send('strict', b'<13>1 - h app - - - marklong ' + b'y' * 5000 + b'\n' + b'<13>1 - h app - - - marknext\n')
    lengths = [row['L'] for row in peer.ask('Syslog | where SyslogMessage has "marklong" or SyslogMessage == "marknext" | project L = strlen(SyslogMessage) | sort by L')]
    score.check('`max_message` cuts a message and no other', lengths == [1024 - len('<13>1 - h app - - - '), len('marknext')], lengths)


def throughput(peer, rows=200_000):
    data = ''.join(f'<134>Nov 20 13:00:00 fw-{n % 50:02} app[{n % 1000}]: markfast {n:07} connection from 10.1.{n % 250}.7 to 203.0.113.9 was allowed by rule {n % 90}\n'
                   for n in range(rows)).encode()
    seconds = peer.send('all', data)
    found = peer.ask('Syslog | where SyslogMessage has "markfast" | summarize Rows = count(), Different = count_distinct(SyslogMessage)')[0]
    score.check(f'one TCP connection: {rows / seconds:,.0f} messages/s ({len(data) / seconds / 1e6:.0f} MB/s) until all {rows} were synced',
                found == {'Rows': rows, 'Different': rows}, found)


def again(service):
    # The file of the previous start has closed ports.
    (service.data_dir / 'connect.json').unlink()
    service.start()
    return Peer(service)


def killed(service):
    """Guarantee for senders: once the listener closes after the sender has, everything is on disk."""
    peer = Peer(service)
    before = peer.count('Syslog')
    peer.send('all', ''.join(f'<13>Nov 20 13:00:00 h app: {line}\n' for line in lines('markkill').splitlines()).encode())
    service.kill()
    found = again(service).ask('Syslog | summarize All = count(), Last = countif(SyslogMessage has "markkill")')
    score.check(f'kill -9 after the listener has closed: {MESSAGES} sent before are there, once', found == [{'All': before + MESSAGES, 'Last': MESSAGES}], found)


def stopped(service):
    """A stopping service stores everything it has read from open connections."""
    peer = Peer(service)
    before = peer.count('Syslog')
    with peer.tcp('all') as client:
        client.sendall(b''.join(b'<13>Nov 20 13:00:00 h app: markstop %d\n' % n for n in range(1000)))
        received = lambda: peer.metric('bartizan_source_received_total', listener='all')
        until(lambda: received() >= 1000, 10, 0.01)
        began = time.monotonic()
        code = service.stop()
        seconds = time.monotonic() - began
    found = again(service).count('Syslog')
    score.check(f'it ends when told to, in {seconds:.1f} s, and has stored what it read', (code, found) == (0, before + 1000), (code, found, before))


def listeners(peer):
    expected = {('all', 'udp'), ('all', 'tcp'), ('all', 'tls'), ('structured', 'tcp'), ('filtered', 'tcp'), ('firewalls', 'udp'), ('firewalls', 'tcp'), ('mail', 'tcp'),
                ('strict', 'tcp'), ('impatient', 'tcp'), ('small', 'tcp')}
    score.check('connect.json names every listener with its protocols', set(peer.places) == expected, peer.connect['syslog'])
    score.check('they listen on loopback alone, on ports of their own', {host for host, _ in peer.places.values()} == {'127.0.0.1'} and all(port for _, port in peer.places.values()))
    peer.wait('Heartbeat | distinct Resource', 8, 10)
    beats = {row['Resource'] for row in peer.ask('Heartbeat | where Category == "syslog" | distinct Resource')}
    score.check('each has a row in Heartbeat', beats == {name for name, _ in expected}, beats)


def reference():
    """docs/reference/syslog.md lists every key with its column, as in the source."""
    root = HERE.parent.parent
    text = ''.join((root / 'crates/connectors/src/sources/syslog' / name).read_text() for name in ('cef.rs', 'sophos.rs')) \
        if (root / 'crates').is_dir() else None
    if text is None:
        return score.skip('the reference', 'the source is not beside this script')
    rows = {line.split('|')[1].strip(): line for line in (root / 'docs/reference/syslog.md').read_text().splitlines() if line.startswith('| ')}
    pairs = re.findall(r'^    \("([^"]+)", Security::(\w+)', text, re.M)
    missing = [(key, column) for key, column in pairs if f'`{key}`' not in rows.get(column, '')]
    score.check(f'the reference has all {len(pairs)} keys beside their columns', len(pairs) > 150 and not missing, missing)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / 'bartizan.yaml').write_text(CONFIG)
        with Service(folder / 'data', extra=['--config', str(folder / 'bartizan.yaml')]) as service:
            peer = Peer(service)
            listeners(peer)
            sophos(peer)
            cef(peer)
            filters(peer)
            dead = others(peer)
            loggers(peer)
            rsyslog(peer, folder)
            relays(peer, folder)
            stranger(peer, 'a client that does not trust the authority refuses the listener')
            crowded(peer)
            bad(peer)
            throughput(peer)
            silent(peer, dead)
            stopped(service)
            killed(service)
            stopped(service)  # after a kill the workspace may be busy replaying the log
    reference()
    score.end()


if __name__ == '__main__':
    main()
