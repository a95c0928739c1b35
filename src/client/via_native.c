// parley:// as a recipe, so that programs, tests and the bench see it like the others. libparley keeps the session by
// itself.
#include "base/alloc.h"
#include "client/internal.h"
#include "client/via.h"
#include <stdio.h>
#include <string.h>

#define NATIVE_VALID_MS (365ull * 86400000) // not by a clock of via.c: parley_lock_lost knows

struct native {
    const struct via_setup *setup;
    char nodes[VIA_HOSTS_MAX * 264];
    struct parley_client *client;
    pthread_mutex_t mutex;      // of what follows: native_lost comes from any thread
    struct parley_lock **locks; // a handle for each time it is held
    size_t count, room;
};

static bool native_open(const struct via_setup *setup, void **state, struct parley_problem *problem) {
    struct native *native = mem_alloc(sizeof *native);
    struct parley_options options = {.session_ttl_ms = (uint32_t)setup->ttl_ms,
                                     .attempt_ms = (uint32_t)setup->answer_ms};
    size_t used = 0;
    *native = (struct native){.setup = setup};
    for (size_t i = 0; i < setup->url.count; i++) {
        const struct via_host *host = &setup->url.hosts[i];
        bool six = strchr(host->host, ':') != NULL;
        used += (size_t)snprintf(native->nodes + used, sizeof native->nodes - used, "%s%s%s%s:%u", i > 0 ? "," : "",
                                 six ? "[" : "", host->host, six ? "]" : "", host->port != 0 ? host->port : 7450u);
    }
    pthread_mutex_init(&native->mutex, NULL);
    if (parley_open(native->nodes, &options, &native->client, problem) != PARLEY_OK) {
        mem_free(native);
        return false;
    }
    *state = native;
    return true;
}

static enum parley_error native_acquire(void *state, uint64_t until_ms, struct via_grant *grant,
                                        struct parley_problem *problem) {
    struct native *native = state;
    struct parley_lock *lock;
    uint64_t now_ms = boot_now_ms();
    struct parley_lock_options options = {.owner = native->setup->owner};
    options.wait_ms = until_ms == NEVER ? 0 : until_ms > now_ms ? until_ms - now_ms : PARLEY_TRY;
    enum parley_error error = parley_lock(native->client, native->setup->name, &options, &lock, problem);
    if (error != PARLEY_OK) return error == PARLEY_TIMED_OUT ? PARLEY_BUSY : error;
    pthread_mutex_lock(&native->mutex);
    if (native->count == native->room) {
        native->room = native->room * 2 + 4;
        native->locks = mem_realloc(native->locks, native->room * sizeof(struct parley_lock *));
    }
    native->locks[native->count++] = lock;
    pthread_mutex_unlock(&native->mutex);
    *grant = (struct via_grant){.token = parley_lock_token(lock), .sent_ms = now_ms, .valid_ms = NATIVE_VALID_MS};
    return PARLEY_OK;
}

static bool native_lost(void *state) {
    struct native *native = state;
    pthread_mutex_lock(&native->mutex);
    bool lost = native->count > 0 && parley_lock_lost(native->locks[0]);
    pthread_mutex_unlock(&native->mutex);
    return lost;
}

static enum via_kept native_keep(void *state, struct parley_problem *problem) {
    struct native *native = state;
    if (!native_lost(native)) return VIA_KEPT;
    parley_lock_lost_why(native->locks[0], problem->text, sizeof problem->text);
    return VIA_GONE;
}

static enum parley_error native_release(void *state, struct parley_problem *problem) {
    struct native *native = state;
    pthread_mutex_lock(&native->mutex);
    struct parley_lock *lock = native->locks[--native->count];
    pthread_mutex_unlock(&native->mutex);
    return parley_unlock(lock, problem);
}

static int native_fd(void *state) {
    struct native *native = state;
    return native->count > 0 ? parley_lock_fd(native->locks[0]) : -1;
}

static void native_close(void *state) {
    struct native *native = state;
    parley_close(native->client);
    mem_free(native->locks);
    mem_free(native);
}

const struct via_module via_native = {.version = VIA_VERSION,
                                      .schemes = "parley",
                                      .open = native_open,
                                      .acquire = native_acquire,
                                      .keep = native_keep,
                                      .release = native_release,
                                      .fd = native_fd,
                                      .lost = native_lost,
                                      .close = native_close};
