"""A competitor for the lock of Debian's python3-etcd3: etcd3_lock.py ENDPOINT NAME START SECONDS"""
import sys
import time

import etcd3
import tenacity

plain_retry = tenacity.retry


def retry(wait, **more):
    """etcd3's Lock calls tenacity as its version 5 was called; with Debian's version 8 every lock that has to wait
    ends in a TypeError. Translates, so that the lock itself can be measured."""
    return plain_retry(wait=lambda state: wait(state.attempt_number, state.seconds_since_start), **more)


def main():
    endpoint, name, start, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    host, port = endpoint.split("//")[1].split(":")
    tenacity.retry = retry
    client = etcd3.client(host=host, port=int(port))
    client.status()  # the connection is there before the race begins
    end = start + int(seconds * 1e9)
    time.sleep(max(0, (start - time.monotonic_ns()) / 1e9))
    turns = 0
    while time.monotonic_ns() < end:
        lock = client.lock(name, ttl=10)
        if lock.acquire(timeout=10):
            turns += time.monotonic_ns() < end
            lock.release()
    print(turns, 0)


main()
