// memcached:// on libmemcached: add takes it, a compare-and-set with the value's number renews and gives back.
// memcached keeps it in memory alone, counts whole seconds, and throws out what it has no room for.
#include "via/kit.h"
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_PREFIX "parley:lock:"
#define KEY_BYTES_MAX 250u
#define EXPIRED 2592001 // a date in 1970: gone at once. Up to 30 days it would be a duration

struct mc {
    const struct via_setup *setup;
    char key[KEY_BYTES_MAX + 1];
    time_t ttl_s;
    memcached_st *client; // NULL: not made yet, or to be made anew
    bool doubtful;        // it may be ours without our knowing
    struct kit_pause pause;
};

static void mc_drop(struct mc *mc) {
    if (mc->client != NULL) memcached_free(mc->client);
    mc->client = NULL;
}

static memcached_return_t mc_connect(struct mc *mc) {
    const struct via_host *host = &mc->setup->url.hosts[0];
    if (mc->client != NULL) return MEMCACHED_SUCCESS;
    mc->client = memcached_create(NULL);
    if (mc->client == NULL) abort();
    memcached_behavior_set(mc->client, MEMCACHED_BEHAVIOR_SUPPORT_CAS, 1);
    memcached_behavior_set(mc->client, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
    memcached_behavior_set(mc->client, MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT, mc->setup->answer_ms);
    memcached_behavior_set(mc->client, MEMCACHED_BEHAVIOR_POLL_TIMEOUT, mc->setup->answer_ms);
    return memcached_server_add(mc->client, host->host, host->port != 0 ? host->port : 11211);
}

static bool answered(memcached_return_t rc) {
    return rc == MEMCACHED_SUCCESS || rc == MEMCACHED_NOTSTORED || rc == MEMCACHED_DATA_EXISTS ||
           rc == MEMCACHED_NOTFOUND;
}

static memcached_return_t mc_failed(struct mc *mc, memcached_return_t rc, struct parley_problem *problem) {
    const char *why = mc->client != NULL ? memcached_last_error_message(mc->client) : NULL;
    kit_problem(problem, PARLEY_NOT_APPLIED, "%.300s", why != NULL ? why : memcached_strerror(NULL, rc));
    mc_drop(mc);
    return rc;
}

// Sets its time anew if the value is ours. NOTFOUND, or DATA_EXISTS: it is not.
static memcached_return_t put_time(struct mc *mc, time_t expires, struct parley_problem *problem) {
    const char *keys[] = {mc->key};
    size_t lengths[] = {strlen(mc->key)};
    memcached_result_st result;
    memcached_return_t rc = mc_connect(mc);
    if (rc == MEMCACHED_SUCCESS) rc = memcached_mget(mc->client, keys, lengths, 1);
    if (rc != MEMCACHED_SUCCESS) return mc_failed(mc, rc, problem);
    memcached_result_create(mc->client, &result);
    bool found = false, ours = false;
    uint64_t number = 0;
    while (memcached_fetch_result(mc->client, &result, &rc) != NULL) {
        size_t len = memcached_result_length(&result);
        found = true;
        ours = len == strlen(mc->setup->nonce) && memcmp(memcached_result_value(&result), mc->setup->nonce, len) == 0;
        number = memcached_result_cas(&result);
    }
    memcached_result_free(&result);
    if (rc != MEMCACHED_END && rc != MEMCACHED_NOTFOUND && rc != MEMCACHED_SUCCESS) return mc_failed(mc, rc, problem);
    if (!ours) return found ? MEMCACHED_DATA_EXISTS : MEMCACHED_NOTFOUND;
    rc = memcached_cas(mc->client, mc->key, lengths[0], mc->setup->nonce, strlen(mc->setup->nonce), expires, 0, number);
    return answered(rc) ? rc : mc_failed(mc, rc, problem);
}

static bool mc_open(const struct via_setup *setup, void **state, struct parley_problem *problem) {
    char name[780], key[800];
    if (!kit_parameters_known(&setup->url, "", problem)) return false;
    if (setup->url.count != 1) {
        kit_problem(problem, PARLEY_BAD_ARGUMENTS, "memcached:// is of one server");
        return false;
    }
    kit_escape(name, sizeof name, setup->name);
    snprintf(key, sizeof key, KEY_PREFIX "%s", name);
    if (strlen(key) > KEY_BYTES_MAX) {
        kit_problem(problem, PARLEY_BAD_ARGUMENTS, "memcached takes keys of at most %u bytes", KEY_BYTES_MAX);
        return false;
    }
    struct mc *mc = calloc(1, sizeof *mc);
    if (mc == NULL) abort();
    mc->setup = setup;
    snprintf(mc->key, sizeof mc->key, "%.250s", key);
    mc->ttl_s = (time_t)((setup->ttl_ms + 999) / 1000) + 1; // its clock ticks once a second: N may end after N - 1
    *state = mc;
    return true;
}

static enum parley_error mc_take(struct mc *mc, struct via_grant *grant, struct parley_problem *problem) {
    memcached_return_t rc = MEMCACHED_SUCCESS;
    if (mc->doubtful) rc = put_time(mc, EXPIRED, problem);
    if (!answered(rc)) return PARLEY_NOT_APPLIED;
    mc->doubtful = false;
    *grant = (struct via_grant){.sent_ms = kit_now_ms(), .valid_ms = mc->setup->ttl_ms};
    rc = mc_connect(mc);
    if (rc == MEMCACHED_SUCCESS)
        rc = memcached_add(mc->client, mc->key, strlen(mc->key), mc->setup->nonce, strlen(mc->setup->nonce), mc->ttl_s,
                           0);
    if (rc == MEMCACHED_SUCCESS) return PARLEY_OK;
    if (rc == MEMCACHED_NOTSTORED || rc == MEMCACHED_DATA_EXISTS)
        return kit_problem(problem, PARLEY_BUSY, "held by another");
    mc->doubtful = true;
    mc_failed(mc, rc, problem);
    return PARLEY_NOT_APPLIED;
}

static enum parley_error mc_acquire(void *state, uint64_t until_ms, struct via_grant *grant,
                                    struct parley_problem *problem) {
    struct mc *mc = state;
    enum parley_error error;
    mc->pause.length_ms = 0;
    do {
        error = mc_take(mc, grant, problem);
        if (error == PARLEY_OK) return error;
    } while (kit_pause(&mc->pause, until_ms));
    return until_ms != 0 ? PARLEY_BUSY : error;
}

static enum via_kept mc_keep(void *state, struct parley_problem *problem) {
    struct mc *mc = state;
    memcached_return_t rc = put_time(mc, mc->ttl_s, problem);
    if (rc == MEMCACHED_SUCCESS) return VIA_KEPT;
    if (!answered(rc)) return VIA_UNSURE;
    kit_problem(problem, PARLEY_LOST, "the key is gone, or another's");
    return VIA_GONE;
}

static enum parley_error mc_release(void *state, struct parley_problem *problem) {
    struct mc *mc = state;
    memcached_return_t rc = put_time(mc, EXPIRED, problem);
    if (rc == MEMCACHED_SUCCESS) return PARLEY_OK;
    return answered(rc) ? kit_problem(problem, PARLEY_LOST, "the key was gone, or another's") : PARLEY_UNKNOWN;
}

static void mc_close(void *state) {
    struct mc *mc = state;
    mc_drop(mc);
    free(mc);
}

PARLEY_API extern const struct via_module parley_via_module;
const struct via_module parley_via_module = {.version = VIA_VERSION,
                                             .schemes = "memcached",
                                             .open = mc_open,
                                             .acquire = mc_acquire,
                                             .keep = mc_keep,
                                             .release = mc_release,
                                             .close = mc_close};
