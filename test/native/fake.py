"""Servers of tests' own: what clients do when answers are lost, late or refused."""
import re
import socket
import threading


def request(connection):
    """A request with its body, or what came of it."""
    asked = b""
    while True:
        more = connection.recv(65536)
        asked += more
        head, end, body = asked.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if not more or end and len(body) >= (int(length[1]) if length else 0):
            return asked


class Fake:
    """A server that takes each request and does as `behave` says; counts them."""

    def __init__(self, behave):
        self.behave, self.requests = behave, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            with connection:
                asked = request(connection)
                if asked:
                    self.requests += 1
                    self.behave(connection, asked)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


def answers(status, name):
    body = '{"type": "/errors/%s", "title": "made up", "status": %d}' % (name, status)
    head = "HTTP/1.1 %d Made Up\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    return lambda connection, asked: connection.sendall((head + body).encode())


def passes_on(port, swallows):
    """To the real server and back, but for answers that `swallows` keeps: the server knows nothing of it."""
    def behave(connection, asked):
        with socket.create_connection(("127.0.0.1", port)) as server:
            server.sendall(asked)
            answer = server.recv(65536)
            if not swallows(asked, connection):
                connection.sendall(answer.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
    return behave
