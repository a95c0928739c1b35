"""Locks by a real kazoo client, for run.py: one line in, one line out.

  lock PATH | read PATH | write PATH   contends in the background        -> "asked"
  held                                                                   -> how many are held
  release                              all that are held or waited for   -> "released"
"""

import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import CancelledError, ConnectionClosedError

client = KazooClient(hosts=sys.argv[1], timeout=20)
client.start(20)
locks = []


def contend(lock):
    try:
        lock.acquire()
    except (CancelledError, ConnectionClosedError):  # released while it waited, or the client ends
        pass


print(client.client_id[0], flush=True)
for line in sys.stdin:
    verb, *path = line.split()
    if verb == "held":
        print(sum(lock.is_acquired for lock in locks), flush=True)
    elif verb == "release":
        for lock in locks:
            lock.cancel()
            lock.release()
        locks.clear()
        print("released", flush=True)
    else:
        made = {"lock": client.Lock, "read": client.ReadLock, "write": client.WriteLock}[verb](path[0], "contender")
        locks.append(made)
        threading.Thread(target=contend, args=(made,), daemon=True).start()
        print("asked", flush=True)
client.stop()
