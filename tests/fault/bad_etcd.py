"""Servers that are no etcd, or a broken one.

    bad_etcd.py DIR KIND...     one server for each kind; writes its port to DIR/KIND.port

Runs until it is killed.
"""

import os
import socket
import sys
import threading
import time

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
HUGE = 64 << 20


def read_request(connection):
    """The head and the body of one HTTP request; None at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += connection.recv(65536)
    return head


def body(text, head=OK):
    data = text if isinstance(text, bytes) else text.encode()
    return head + b"Content-Length: %d\r\n\r\n" % len(data) + data


def status(number, text):
    return body(text, b"HTTP/1.1 %d Whatever\r\nContent-Type: text/plain\r\n" % number)


# What is answered to every request, on a connection that stays open.
ANSWERS = {
    "bytes": bytes(range(256)) * 16,
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "html": body("<html><body>It works!</body></html>"),
    "empty": body(""),
    "text": body("hello\n"),
    "null": body("null"),
    "array": body("[]"),
    "object": body("{}"),
    "ttltext": body('{"header":{"revision":"1"},"ID":"7","TTL":"many"}'),
    "ttlobject": body('{"header":{"revision":"1"},"ID":"7","TTL":{}}'),
    "header": body('{"header":5,"ID":"7","TTL":"5"}'),
    "responses": body('{"header":{"revision":"1"},"ID":"7","TTL":"5","succeeded":true,"responses":{"a":1}}'),
    "nosession": body('{"header":{"revision":"1"},"ID":"7","TTL":"5","responses":[{"response_range":{"kvs":[{"key":"!!"}]}}]}'),
    "deep": body("[" * 200000),
    "deepobject": body('{"a":' * 200000),
    "nul": body(b'{"header":{}\0,"TTL":"5"}'),
    "error": body('{"error":"etcdserver: mean","message":"etcdserver: mean","code":14}'),
    "streamerror": body('{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}}'),
    "s404": status(404, "404 page not found\n"),
    "s500": status(500, "internal error\n"),
    "s503": status(503, '{"error":"etcdserver: too slow","message":"etcdserver: too slow","code":14}'),
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "lengths": OK + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\n{}{}{}{}",
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\nzzzz\r\n{}\r\n",
}


def serve_one(kind, connection):
    while True:
        if kind == "closes":
            return
        if kind == "silent":
            time.sleep(3600)
        if read_request(connection) is None:
            return
        if kind == "half":
            connection.sendall(OK + b'Content-Length: 500\r\n\r\n{"header":{"cluster_id":"1","mem')
            return
        if kind == "halfhead":
            connection.sendall(b"HTTP/1.1 200 O")
            return
        if kind == "huge":
            connection.sendall(OK + b"Content-Length: %d\r\n\r\n" % HUGE)
            for _ in range(HUGE >> 20):
                connection.sendall(b" " * (1 << 20))
        elif kind == "slow":
            connection.sendall(OK + b"Content-Length: 500\r\n\r\n")
            for _ in range(500):
                connection.sendall(b" ")
                time.sleep(0.1)
        else:
            connection.sendall(ANSWERS[kind])


def handle(kind, connection):
    try:
        serve_one(kind, connection)
    except OSError:
        pass
    connection.close()


def serve(kind, listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=handle, args=(kind, connection), daemon=True).start()


def main():
    directory, *kinds = sys.argv[1:]
    for kind in kinds:
        listener = socket.create_server(("127.0.0.1", 0))
        with open(os.path.join(directory, kind + ".new"), "w", encoding="ascii") as file:
            print(listener.getsockname()[1], file=file)
        os.rename(file.name, os.path.join(directory, kind + ".port"))
        threading.Thread(target=serve, args=(kind, listener), daemon=True).start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
