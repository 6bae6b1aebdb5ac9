"""An HTTP proxy that leads the hosts of an emulated account to its port, and all others to themselves."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.deploy.harness.easel import HOSTS

CONNECT_SECONDS = 10
BLOCK = 65_536


@contextmanager
def proxy(account_port: int) -> Iterator[str]:
    """Serve on a free port of loopback. Return the proxy's URL. TLS passes through it unread."""

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            host, _, port = self.path.rpartition(":")
            emulated = host.endswith(HOSTS)
            try:
                target = ("127.0.0.1", account_port) if emulated else (host, int(port))
                server = socket.create_connection(target, CONNECT_SECONDS)
            except (OSError, ValueError) as error:
                self.send_error(HTTPStatus.BAD_GATEWAY, str(error))
                return
            server.settimeout(None)
            self.send_response(HTTPStatus.OK)
            self.end_headers()
            back = threading.Thread(target=copy, args=(server, self.connection), daemon=True)
            back.start()
            copy(self.connection, server)
            back.join()
            server.close()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def copy(source: socket.socket, target: socket.socket) -> None:
    """Send on what arrives, until either side closes."""
    with suppress(OSError):
        while data := source.recv(BLOCK):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
