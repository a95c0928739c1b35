// What the files of native clients share: native.c (sessions, locks, connections), native_naming.c.
#pragma once
#include "base/prng.h"
#include "sim/sim.h"

#define LOCKS 3u

enum asked {
    ASKED_NOTHING,
    ASKED_CREATE,
    ASKED_KEEPALIVE,
    ASKED_ACQUIRE,
    ASKED_RELEASE,
    ASKED_VERIFY,
    ASKED_REGISTER,
    ASKED_SHOW,
    ASKED_WATCH,
    ASKED_DEREGISTER
};            // naming
struct line { // a connection
    struct native *native;
    struct io_conn *conn;
    void *connecting;
    struct writer in, out;
    enum asked asked;
    uint64_t asked_us, until_us;
    uint64_t floor, token; // floor: the largest token that anybody knew. VERIFY: the token, and a newer one or 0
    uint32_t lock;
    bool shared, stale; // stale: its session is over for the one who asked
};
struct grant {
    uint64_t token, first_us, last_us; // as lock_told of sim/client.h
    uint32_t native;
    bool shared;
};
struct native {
    struct sim *sim;
    struct host *host;
    struct sim_loop *loop;
    struct io_timer timer;
    struct prng prng;
    uint32_t number, server, ttl_ms;
    struct line keep, work, naming;
    char session[64];
    uint64_t told_us, kept_us, next_us, silent_until_us; // kept_us: when the newest keepalive was sent
    struct {
        bool held, releasing; // releasing: asked for, and not known to be done
        uint64_t token, until_us;
        size_t at;
    } locks[LOCKS];
    struct {              // native_naming.c
        struct prng prng; // its own: what seeds were found for stays as it was
        bool wanted, there;
        uint64_t registration, asked; // asked: the registration that an answer must show; 0: none
        uint64_t version, next_us;    // version: that it knows
    } name;
    uint64_t calm_done, grants;
    bool stopped;
};
struct native_checks {
    struct native natives[SIM_NATIVES_MAX];
    struct {
        struct grant *grants;
        size_t count, capacity;
        uint64_t newest; // token
    } locks[LOCKS];
    uint64_t version, registration; // the largest of the service that anybody was told
};

// native.c
__attribute__((format(printf, 5, 6))) void native_ask(struct line *line, enum asked asked, uint64_t wait_us,
                                                      const char *operation, const char *format, ...);
uint64_t native_number_in(const char *body, const char *key); // 0: it is not there
// native_naming.c
void naming_make(struct native *native);
void naming_work(struct native *native);
void naming_told(struct native *native, const struct line *line, enum asked asked, const char *body);
void naming_check(struct sim *sim);
