"""A proxy between an agent and etcd that counts what passes: requests by what they do to locks, and watch events."""
import base64
import json
import socket
import threading
from collections import Counter

ROOT_OF_AGENTS = "/etcdflock/"  # their own keys, by the default of the option `root`


def text(encoded):
    return base64.b64decode(encoded).decode(errors="replace")


def kind_of(path, body):
    """write, read, watch; or upkeep, which no lock is the cause of."""
    if path == "/v3/watch":
        return "watch"
    if path != "/v3/kv/txn":
        return "upkeep"
    for operation in json.loads(body).get("success", []):
        for name in ("request_put", "request_delete_range"):
            if name in operation:
                return "upkeep" if text(operation[name]["key"]).startswith(ROOT_OF_AGENTS + "session/") else "write"
    return "read"


class CountingProxy:
    def __init__(self, endpoint):
        address = endpoint.split("//")[1].split(":")
        self.server = (address[0], int(address[1]))
        self.counts = Counter()
        self.mutex = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def take(self):
        """The counts since the last call."""
        with self.mutex:
            counts, self.counts = self.counts, Counter()
        return counts

    def add(self, kind):
        with self.mutex:
            self.counts[kind] += 1

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.server)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.relay, args=(client, server, self.requests()), daemon=True).start()
            threading.Thread(target=self.relay, args=(server, client, self.answers()), daemon=True).start()

    @staticmethod
    def relay(source, target, observer):
        next(observer)
        try:
            while data := source.recv(65536):
                observer.send(data)
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def requests(self):
        """Takes the bytes of a client, counts its requests."""
        data = b""
        while True:
            data += yield
            while b"\r\n\r\n" in data:
                head, _, rest = data.partition(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
                if len(rest) < length:
                    break
                self.add(kind_of(lines[0].split()[1], rest[:length]))
                data = rest[length:]

    def answers(self):
        """Takes the bytes of the server, counts the events of locks. A message of a watch is one line."""
        data = b""
        while True:
            data += yield
            *lines, data = data.split(b"\n")
            for line in lines:
                if b'"events"' in line:
                    for event in json.loads(line)["result"]["events"]:
                        if not text(event["kv"]["key"]).startswith(ROOT_OF_AGENTS):
                            self.add("event")
