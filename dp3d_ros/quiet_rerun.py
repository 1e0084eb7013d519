"""rerun reports its use to its makers: not from here, neither this process and its window nor the page in a browser."""

import os
import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; connect-src 'self' blob: data: http://*:{data_port}"
)
"""Content-Security-Policy of the page: it talks to this node and to nobody else."""


def disable_analytics(program, folder):
    """What `rerun analytics disable` does, for this process and its children only: `folder` has their settings.

    rerun has no other way to say so, and by itself the command would change the user's own settings.
    """
    os.environ["XDG_CONFIG_HOME"] = folder
    os.environ.pop("FORCE_RERUN_ANALYTICS", None)
    done = subprocess.run(
        [program, "analytics", "disable"], env=os.environ | {"XDG_DATA_HOME": folder}, capture_output=True, text=True
    )
    if done.returncode:
        raise OSError(f"viewer: could not keep rerun from reporting its use: {done.stderr.strip()}")


class QuietPage:
    """Serves on `port` the page that rerun serves on `rerun_port`, with the policy, which rerun cannot be told."""

    def __init__(self, port, rerun_port, data_port):
        straight = build_opener(ProxyHandler({}))  # whatever http_proxy says: it is this process

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                try:
                    with straight.open(f"http://127.0.0.1:{rerun_port}{self.path}") as answer:
                        status, kind, body = answer.status, answer.headers["Content-Type"], answer.read()
                except HTTPError as error:
                    status, kind, body = error.code, "text/plain", b""
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", POLICY.format(data_port=data_port))
                with suppress(ConnectionError):  # the browser went elsewhere in the meantime
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *args):
                """Not a line for each file."""

        self._server = ThreadingHTTPServer(("", port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
