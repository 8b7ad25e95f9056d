"""What trials with outside peers share: the peer's process, a free port, the test binary that holds our side, and a certificate."""
import datetime as dt
import glob
import ipaddress
import os
import pathlib
import socket
import subprocess

from score import until
from service import BINARY


def binary(test):
    """The newest built test binary that has this test."""
    for path in sorted(glob.glob(str(pathlib.Path(BINARY).parent / 'deps' / 'it-*')), key=os.path.getmtime, reverse=True):
        if path.endswith('.d') or not os.access(path, os.X_OK):
            continue
        listed = subprocess.run([path, '--list'], capture_output=True, text=True, timeout=60)
        if f'{test}: test' in listed.stdout:
            return path
    raise SystemExit(f'no built test binary has `{test}`; run `cargo test --workspace --no-run` first')


class Ours:
    """One of our tests as a process: it prints `listening ADDRESS`, runs until its input ends, and prints what it received."""

    def __init__(self, test, env):
        self.process = subprocess.Popen([binary(test), test, '--exact', '--nocapture'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **env})
        self.address = self.line('listening ')

    def line(self, start):
        for line in self.process.stdout:
            if line.startswith(start):
                return line[len(start):].strip()
        raise SystemExit(f'ours ended with {self.process.wait()} before it said `{start}`')

    def end(self):
        """Closes its input; returns the lines it prints then."""
        out, _ = self.process.communicate(timeout=30)
        if self.process.returncode:
            raise SystemExit(f'ours ended with {self.process.returncode}:\n{out}')
        return out.splitlines()


def certificate(folder, name='authority'):
    """A key and a self-signed certificate for `localhost` and 127.0.0.1, in one PEM file each and together."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.timezone.utc)
    names = x509.SubjectAlternativeName([x509.DNSName('localhost'), x509.IPAddress(ipaddress.ip_address('127.0.0.1'))])
    built = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
             .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=30)).add_extension(names, False)
             .add_extension(x509.BasicConstraints(ca=False, path_length=None), True).sign(key, hashes.SHA256()))
    folder = pathlib.Path(folder)
    crt, both = folder / f'{name}.crt', folder / f'{name}.pem'
    pem = built.public_bytes(serialization.Encoding.PEM)
    crt.write_bytes(pem)
    both.write_bytes(pem + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    both.chmod(0o600)
    return str(crt), str(both)


def free_port(kind=socket.SOCK_STREAM):
    """A loopback port that was free a moment ago, for peers that must be told one."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def accepts(port):
    """Whether a TCP connection to this loopback port succeeds."""
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
        return True
    except OSError:
        return False


class PeerFailed(Exception):
    """A peer ended, or was not ready in time; the text is the end of what it printed."""


class Peer:
    """An outside peer as a process of its own, started in a scratch folder and ended by its process id. Used as a context.

    `ready` is asked until it holds. What the peer prints goes to `FOLDER/stderr`."""

    def __init__(self, command, folder, ready, env=None, seconds=15):
        self.command, self.folder, self.ready, self.seconds = [str(part) for part in command], pathlib.Path(folder), ready, seconds
        self.env = {**os.environ, 'HOME': str(folder), **(env or {})}
        self.process = None

    def __enter__(self):
        with open(self.folder / 'stderr', 'wb') as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until(lambda: self.process.poll() is not None or self.ready(), self.seconds, 0.02)
        if self.process.poll() is not None or not self.ready():
            self.__exit__()
            raise PeerFailed((self.folder / 'stderr').read_text(errors='replace')[-500:] or f'{self.command[0]}: not ready within {self.seconds} s')
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
