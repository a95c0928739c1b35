// Locks of other systems behind one interface: the recipe of each, on its own client library. For programs that move
// from one system to another, and for comparing them. What each one guarantees, and which failure breaks it:
// docs/locks.md.
//
//     struct parley_via *via;
//     if (parley_via_open("redis://localhost", "orders", NULL, &via, &problem) == PARLEY_OK &&
//         parley_via_acquire(via, 5000, &problem) == PARLEY_OK) {
//         ...
//         parley_via_release(via, NULL);
//     }
//     parley_via_close(via);
//
// URLs: parley://a:7450,b:7450   redis://[:password@]host[:6379][/database]   redlock://[:password@]a,b,c
//       zookeeper://a,b,c[/base] etcd://a,b,c[/prefix]                        memcached://host
//       postgres://user:password@host/database[?recipe=table|advisory]        mysql:// likewise
//
// Each system's part is a module that is loaded when it is first named (via/NAME.so beside the program,
// parley/via/NAME.so beside the library, or in the folder that PARLEY_VIA_PATH names), so that programs need only the
// client libraries that they use.
//
// The rules of parley.h hold, but for this: a handle is one lock and one connection (or session) of its own; its calls
// wait for each other, parley_via_lost, _why, _token and _fd excepted. One thread keeps the lock alive in the
// background.
#pragma once
#include "parley.h"

#ifdef __cplusplus
extern "C" {
#endif

struct parley_via;
struct parley_via_options { // 0 or NULL anywhere: the default
    uint32_t ttl_ms;        // 15000 (1000 to 86400000): another gets the lock so long after its holder is gone
    uint32_t call_ms;       // 5000: an answer that waits for nothing; at most a quarter of ttl_ms counts
    const char
        *owner; // recipes that know owners (postgres and mysql, recipe=table): handles with one owner share one hold
};

// Checks the URL and loads the module; the system is asked by the first acquire. PARLEY_OK: *via is to be closed. Else
// PARLEY_BAD_ARGUMENTS (the URL, the name, an option), or PARLEY_SYSTEM: this installation has no such module. *via is
// NULL then.
PARLEY_API enum parley_error parley_via_open(const char *url, const char *name,
                                             const struct parley_via_options *options, struct parley_via **via,
                                             struct parley_problem *problem);

// Takes the lock. wait_ms as of parley_lock: 0 as long as it takes, PARLEY_TRY not at all. Held already: taken once
// more if the recipe is reentrant, to be released as often; else PARLEY_DEADLOCK (it would wait for itself), or
// PARLEY_BUSY (PARLEY_TRY). Other errors: PARLEY_BUSY, TIMED_OUT, NOT_APPLIED (PARLEY_TRY: no server could be asked),
// LOST (release it first), BAD_ARGUMENTS, REFUSED (the system's own error, in `problem`).
PARLEY_API enum parley_error parley_via_acquire(struct parley_via *via, uint64_t wait_ms,
                                                struct parley_problem *problem);

// PARLEY_OK, PARLEY_LOST (it had been lost), PARLEY_NOT_HELD, PARLEY_UNKNOWN (nobody acknowledged it: it ends with its
// time).
PARLEY_API enum parley_error parley_via_release(struct parley_via *via, struct parley_problem *problem);

// Whether the lock is not surely held any more: the system said so, or three quarters of its time have passed since the
// last renewal that was acknowledged had been sent.
PARLEY_API bool parley_via_lost(struct parley_via *via);
PARLEY_API void parley_via_lost_why(struct parley_via *via, char *text, size_t size);
PARLEY_API int parley_via_fd(struct parley_via *via); // readable when the lock is lost; the handle's own

// For so many more milliseconds nobody else gets it, of a lock that is held, or was lost because nobody answered: the
// time to stop what runs under it.
PARLEY_API uint64_t parley_via_left_ms(struct parley_via *via);

// The fencing token of the grant, for systems that have one: larger than that of every grant of this lock before. 0:
// none.
PARLEY_API uint64_t parley_via_token(struct parley_via *via);

// Gives back what is held. NULL is allowed.
PARLEY_API void parley_via_close(struct parley_via *via);

#ifdef __cplusplus
}
#endif
