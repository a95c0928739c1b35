#!/usr/bin/env python3
"""Hostile input against a real server over loopback; TABLE.md says what each case must give.

    test/hostile/run.py [REGEX...]     only the cases whose names match; PARLEY=path takes another binary

While a case runs, a client in a process of its own reads and writes; its worst gap is printed with the case, and a gap over 5 s or a
lost connection fails it. After each case the server must take a new session, answer /readyz, hold no more memory than its bound and
have written few log lines. The build with ASan is used when there is one.
"""

import os
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import case_bytes  # noqa: E402
import case_ports  # noqa: E402
import case_sessions  # noqa: E402
import stage  # noqa: E402


TOGETHER = [[case_bytes.silent_connections, case_ports.http_slow_headers, case_ports.silent_peers],
            [case_bytes.connect_request_byte_by_byte, case_bytes.half_a_word, case_bytes.connect_request_then_nothing,
             case_sessions.never_reads]]  # each waits for a time-out
ALONE = case_bytes.ALONE + case_sessions.ALONE + case_ports.ALONE


def main():
    began = time.monotonic()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with stage.Server(["--max-connections", str(stage.CONNECTIONS_MAX)]) as server:
        print("%s%s" % (server.binary, " (ASan)" if server.asan else ""), flush=True)
        for cases in TOGETHER + [[case] for case in ALONE]:
            stage.run(server, *cases)
        stage.ended("server_ends_in_good_order", server.end)
    stage.ended("no_descriptors", case_ports.no_descriptors)
    stage.ended("bad_settings", case_ports.bad_settings)
    stage.ended("table", lambda: stage.table([*TOGETHER[0], *TOGETHER[1], *ALONE, case_ports.no_descriptors, case_ports.bad_settings]))
    print("took %.0f s" % (time.monotonic() - began))
    print("hostile: %(passed)d passed, %(failed)d failed, %(skipped)d skipped" % stage.totals)
    sys.exit(1 if stage.totals["failed"] or not stage.totals["passed"] else 0)


if __name__ == "__main__":
    main()
