// A production loop for tests that read from top to bottom: run_until turns it until a condition holds, and fails the
// test if it does not hold within 20 s. Connections record what happened to them.
#pragma once
#include "base/bytes.h"
#include "io/io.h"

struct io_fixture {
    struct io *io;
    struct io_timer watchdog;
    bool (*condition)(void *context);
    void *context;
    bool late, done;
};
extern bool io_fixture_shared_turns; // loops are opened with shared_turns
void io_fixture_open(struct io_fixture *f, const char *journal_thread_name);
void io_fixture_close(struct io_fixture *f);
bool run_until(struct io_fixture *f, bool (*condition)(void *context), void *context); // false: 20 s went by
bool run_until_count(struct io_fixture *f, const int *count, int at_least);
bool run_until_set(struct io_fixture *f, const bool *flag);
void run_turns(struct io_fixture *f, int turns); // each is forced by a timer without delay

// One end of a connection. echo: sends back what comes.
struct peer {
    struct io_fixture *f;
    struct io_conn *conn;
    struct writer got;
    bool echo, stop_after_read, close_on_end;
    bool open, failed, closed;
    int error; // of connected or closed
    int reads, drained, closings;
    size_t wanted; // run_until_got
    void *pending;
};
void peer_take(struct peer *p, struct io_fixture *f, struct io_conn *conn, size_t low_water); // starts it
int peer_connect(struct peer *p, struct io_fixture *f, const char *address, struct io_tls *tls, uint64_t timeout_us);
bool run_until_got(struct peer *p, size_t bytes);
void peer_close(struct peer *p, bool flush);
void peer_free(struct peer *p); // closes what is open

// A listener that keeps what it accepts.
struct acceptor {
    struct io_fixture *f;
    struct io_listener *listener;
    char address[ADDRESS_TEXT_MAX];
    struct peer *peers;
    int count, max;
    size_t low_water;
    bool echo;
};
int acceptor_open(struct acceptor *a, struct io_fixture *f, const char *address,
                  const struct io_listen_options *options, int max);
void acceptor_close(struct acceptor *a); // with its connections
