// One node as a process: loops on their threads, listeners, TLS, signals, and what a person reads at start.
#pragma once
#include "server/config.h"

// Exit codes of every command of `parley`.
#define EXIT_FATAL 1   // could not do it, or the node could not go on; standard error says why
#define EXIT_USAGE 2   // a bad flag, setting or argument
#define EXIT_DAMAGED 3 // data on disk is damaged: a person must look, a restart does not help
#define EXIT_DISK 4    // a write or fsync of the journal failed: reboot the machine before the next start

// Runs until SIGTERM or SIGINT (SIGHUP: the TLS files are read again). Gives the exit code.
int server_run(struct config *config);
