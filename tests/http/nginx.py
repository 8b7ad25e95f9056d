#!/usr/bin/env python3
"""Runs the cases of refusals.py against nginx, as the reference for "as nginx does".

    nginx.py [--requests N]

Prints which responses arrived. Skipped if nginx is not installed (`apt-get install nginx-light`).
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'harness')]
from peers import Peer, accepts, free_port
CONFIG = '''
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s; client_max_body_size 0;
  server {{
    listen 127.0.0.1:{port} ssl http2; server_name localhost; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    location = / {{ return 200 "ok"; }}
    location = /refused {{ return 401; }}
    location = /small {{ client_max_body_size 1m; proxy_pass http://127.0.0.1:9; }}
    location / {{ return 404; }}
  }}
}}
'''


def main():
    if not shutil.which('nginx') or not shutil.which('openssl'):
        print('skipped: nginx: it is not installed here')
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj',
                        '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', f'{folder}/key.pem', '-out', f'{folder}/cert.pem'],
                       check=True, capture_output=True)
        config = pathlib.Path(folder) / 'nginx.conf'
        config.write_text(CONFIG.format(folder=folder, port=port))
        # Its worker writes bodies of late rejections to these folders.
        os.chmod(folder, 0o777)
        with Peer(['nginx', '-c', config, '-p', folder], folder, lambda: accepts(port)):
            subprocess.run([sys.executable, str(HERE / 'refusals.py'), *sys.argv[1:], '--against', f'https://localhost:{port}', '--ca',
                            f'{folder}/cert.pem'], check=True)


main()
