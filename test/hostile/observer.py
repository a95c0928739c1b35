"""A well-behaved client in a process of its own: reads and writes one after the other, for ever.

Each line on stdin ("mark") is answered by one on stdout: worst gap in ms since the last one, answers since, connections lost since.
A gap is the time from a request to its answer, one that is still awaited included.
"""

import os
import select
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire  # noqa: E402


def main():
    port = int(sys.argv[1])
    worst, answers, lost, client, number = 0.0, 0, 0, None, 0
    path = b"/observed-%d" % os.getpid()
    begun = time.monotonic()
    while True:
        began = time.monotonic()
        try:
            if client is None:
                client = wire.Client(port, 20000, wait=5.0)
                if client.call(wire.CREATE, wire.create(path, b"0"))[0] not in (0, -110):
                    raise ConnectionError("create refused")
                client.socket.settimeout(20)
            number += 1
            if number % 4:
                xid = client.send(wire.GET, wire.watch(path, False))
            else:
                xid = client.send(wire.SET, wire.blob(path) + wire.blob(b"%d" % number) + b"\xff\xff\xff\xff")
            begun = time.monotonic()
            while True:
                ready = select.select([client.socket, sys.stdin], [], [], 20)[0]
                if sys.stdin in ready:
                    if not sys.stdin.readline():
                        return
                    worst = max(worst, time.monotonic() - begun)
                    print("%d %d %d" % (worst * 1000, answers, lost), flush=True)
                    worst, answers, lost = 0.0, 0, 0
                elif client.socket in ready:
                    break
                else:
                    raise ConnectionError("no answer in 20 s")
            if client.answer(xid)[0] != 0:
                raise ConnectionError("refused")
            worst = max(worst, time.monotonic() - begun)
            answers += 1
            time.sleep(0.005)  # its rate, not a wait for anything
        except (OSError, AssertionError) as error:
            print("observer: %s" % error, file=sys.stderr, flush=True)
            lost += 1
            client = None
            worst = max(worst, time.monotonic() - began)
            time.sleep(0.1)


main()
