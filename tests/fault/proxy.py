"""A proxy between an agent and etcd that loses answers and counts requests.

    proxy.py PORT_FILE ETCD_PORT PATH PERCENT HOW [SEED]

Of the requests for PATH (such as /v3/kv/txn), PERCENT in a hundred, or the first -PERCENT of them, suffer HOW:
    lost      carried out, and the connection ends without an answer
    late      carried out, and answered three seconds later
    never     carried out, and never answered
    delayed   carried out half a second later than it came, with no answer
    dropped   not carried out
GET /stats is answered by the proxy itself: a line "PATH COUNT" for each path, and "hurt COUNT".
"""

import collections
import os
import random
import socket
import sys
import threading
import time

LOCK = threading.Lock()
COUNTS = collections.Counter()


class Reader:
    """HTTP messages from a socket, as the bytes that they are."""

    def __init__(self, sock):
        self.sock = sock
        self.data = b""

    def more(self):
        got = self.sock.recv(65536)
        if not got:
            raise EOFError
        self.data += got

    def until(self, mark):
        while mark not in self.data:
            self.more()
        at = self.data.index(mark) + len(mark)
        taken, self.data = self.data[:at], self.data[at:]
        return taken

    def exactly(self, n):
        while len(self.data) < n:
            self.more()
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def head(self):
        head = self.until(b"\r\n\r\n")
        fields = {}
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip().lower()
        return head, fields

    def message(self):
        head, fields = self.head()
        body = b""
        if fields.get(b"transfer-encoding") == b"chunked":
            while True:
                line = self.until(b"\r\n")
                chunk = self.exactly(int(line, 16) + 2)
                body += line + chunk
                if int(line, 16) == 0:
                    break
        else:
            body = self.exactly(int(fields.get(b"content-length", b"0")))
        return head, body


class Proxy:
    def __init__(self, port, path, percent, how, seed):
        self.port = port
        self.path = path
        self.percent = percent
        self.how = how
        self.random = random.Random(seed)

    def hurts(self, path):
        with LOCK:
            COUNTS[path] += 1
            if path != self.path:
                return False
            if self.percent < 0:
                hurt = COUNTS[path] <= -self.percent
            else:
                hurt = self.random.random() * 100 < self.percent
            COUNTS["hurt"] += hurt
            return hurt

    def connect(self):
        server = socket.create_connection(("127.0.0.1", self.port))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    def relay_watch(self, client, server):
        """Until either of them ends it."""

        def client_ends():
            try:
                client.recv(1)
                server.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

        threading.Thread(target=client_ends, daemon=True).start()
        while True:
            data = server.recv(65536)
            if not data:
                return
            client.sendall(data)

    def serve(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        requests = Reader(client)
        server = self.connect()
        answers = Reader(server)
        while True:
            head, body = requests.message()
            path = head.split()[1].decode()
            if path == "/stats":
                with LOCK:
                    text = "".join(f"{name} {count}\n" for name, count in sorted(COUNTS.items()))
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text.encode()))
                continue
            hurt = self.hurts(path)
            if hurt and self.how == "dropped":
                return
            if hurt and self.how == "delayed":
                threading.Timer(0.5, self.carry_out, [head + body]).start()
                return
            server.sendall(head + body)
            if path == "/v3/watch":
                self.relay_watch(client, server)
                return
            answer = b"".join(answers.message())
            if hurt and self.how == "lost":
                return
            if hurt and self.how == "late":
                time.sleep(3)
            if hurt and self.how == "never":
                time.sleep(60)
                return
            client.sendall(answer)

    def carry_out(self, request):
        with self.connect() as server:
            server.sendall(request)
            Reader(server).message()

    def handle(self, client):
        try:
            self.serve(client)
        except (OSError, EOFError):
            pass
        client.close()


def main():
    port_file, port, path, percent, how, *seed = sys.argv[1:]
    proxy = Proxy(int(port), path, float(percent), how, int(seed[0]) if seed else 1)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    with open(port_file + ".new", "w", encoding="ascii") as file:
        print(listener.getsockname()[1], file=file)
    os.rename(file.name, port_file)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=proxy.handle, args=[client], daemon=True).start()


if __name__ == "__main__":
    main()
