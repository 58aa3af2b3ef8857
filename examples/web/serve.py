#!/usr/bin/env python3
"""Serves the page for trying out: this folder, and the package as ./lib.

    serve.py --gateway http://127.0.0.1:8080 [--listen 127.0.0.1:8090]
             [--person NAME VARIABLE]...

It prints its address: another free port if that one is taken. A person, whose
token is in the environment variable, is offered on the page's first screen
without a password, so serve that to yourself only. The gateway needs
--cors-origins with this address.
"""
import argparse
import functools
import http.server
import json
import os
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent / 'clients' / 'js' / 'src'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--gateway', required=True)
    parser.add_argument('--listen', default='127.0.0.1:8090')
    parser.add_argument('--person', nargs=2, action='append', default=[],
                        metavar=('NAME', 'VARIABLE'))
    given = parser.parse_args()
    config = json.dumps({
        'gateway': given.gateway,
        'people': [{'name': name, 'token': os.environ[variable]}
                   for name, variable in given.person],
    }).encode()

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = {
            **http.server.SimpleHTTPRequestHandler.extensions_map,
            '.js': 'text/javascript',
            '.webmanifest': 'application/manifest+json',
        }

        def translate_path(self, path):
            path = path.split('?', 1)[0].split('#', 1)[0]
            if path.startswith('/lib/'):
                return str(PACKAGE / pathlib.PurePosixPath(path).name)
            return super().translate_path(path)

        def do_GET(self):
            if self.path.split('?', 1)[0] != '/config.json':
                return super().do_GET()
            self.send_response(200)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(config)))
            self.end_headers()
            self.wfile.write(config)

        def end_headers(self):
            self.send_header('Cache-Control', 'no-cache')
            super().end_headers()

        def log_message(self, *_):
            pass

    host, port = given.listen.rsplit(':', 1)
    serving = functools.partial(Handler, directory=str(HERE))
    try:
        server = http.server.ThreadingHTTPServer((host, int(port)), serving)
    except OSError:
        server = http.server.ThreadingHTTPServer((host, 0), serving)
    print(f'http://{host}:{server.server_address[1]}/', flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


main()
