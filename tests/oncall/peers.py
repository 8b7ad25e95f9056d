"""Shared by tests with third-party peers: the test binary with our side, and a certificate."""
import datetime as dt
import glob
import ipaddress
import os
import pathlib
import subprocess


def binary(test):
    """The newest test binary that contains this test."""
    for path in sorted(glob.glob('target/debug/deps/it-*'), key=os.path.getmtime, reverse=True):
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


class Score:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def check(self, what, holds, detail=''):
        if holds:
            self.passed += 1
            print(f'ok    {what}', flush=True)
        else:
            self.failed += 1
            print(f'FAIL  {what}: {detail}', flush=True)

    def skip(self, what, why):
        self.skipped += 1
        print(f'skipped: {what}: {why}', flush=True)

    def end(self):
        print(f'{self.passed} passed, {self.failed} failed, {self.skipped} skipped')
        raise SystemExit(1 if self.failed else 0)
