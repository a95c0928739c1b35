"""kazoo against the servers in ZK_HOSTS: every operation, sessions, every recipe."""

import logging
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import kit  # noqa: E402

import operations  # noqa: E402,F401
import recipes  # noqa: E402,F401
import sessions  # noqa: E402,F401

logging.disable(logging.CRITICAL)
kit.main()
