// redis:// and redlock:// on hiredis.
//
// redis:// is SET key nonce NX PX ttl, and for renewal and release a script that compares the nonce first. redlock://
// asks N independent masters the same and holds the lock when a majority said yes, for the time less what asking took
// and less the drift of their clocks. One server is the case N = 1, without drift.
#include "via/kit.h"
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_PREFIX "parley:lock:"
#define RETRY_MS 1000u // a master that was not there is left alone so long, when there are others

static const char extend_script[] =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end";
static const char delete_script[] =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";

struct master {
    const struct via_host *host;
    redisContext *context; // NULL: not connected
    uint64_t retry_ms;
    bool doubtful; // it may have set our key without our knowing
};
struct redis {
    const struct via_setup *setup;
    char key[800], ttl[24];
    uint64_t drift_ms, master_ms; // how long one master is waited for
    size_t quorum;
    char trouble[600];
    struct master masters[VIA_HOSTS_MAX];
    struct kit_pause pause;
};
struct votes {
    size_t yes, no; // the rest did not answer
};

// ---- connections

static void disconnect(struct redis *redis, struct master *master) {
    const char *why = master->context != NULL && master->context->err != 0 ? master->context->errstr : "not connected";
    snprintf(redis->trouble, sizeof redis->trouble, "%s: %.100s", master->host->host, why);
    if (master->context != NULL) redisFree(master->context);
    master->context = NULL;
    master->retry_ms = kit_now_ms() + RETRY_MS;
}

static bool succeeds(struct redis *redis, struct master *master, redisReply *reply) {
    bool ok = reply != NULL && reply->type != REDIS_REPLY_ERROR;
    if (reply != NULL && !ok)
        snprintf(redis->trouble, sizeof redis->trouble, "%s: %.200s", master->host->host, reply->str);
    if (reply != NULL) freeReplyObject(reply);
    return ok;
}

static bool greet(struct redis *redis, struct master *master) {
    const struct via_url *url = &redis->setup->url;
    bool ok = true;
    if (url->user[0] != 0)
        ok = succeeds(redis, master, redisCommand(master->context, "AUTH %s %s", url->user, url->password));
    else if (url->password[0] != 0)
        ok = succeeds(redis, master, redisCommand(master->context, "AUTH %s", url->password));
    if (ok && url->path[0] != 0) ok = succeeds(redis, master, redisCommand(master->context, "SELECT %s", url->path));
    return ok;
}

static bool connected(struct redis *redis, struct master *master) {
    struct timeval limit = {.tv_sec = (time_t)(redis->master_ms / 1000),
                            .tv_usec = (long)(redis->master_ms % 1000) * 1000};
    if (master->context != NULL) return true;
    if (redis->setup->url.count > 1 && kit_now_ms() < master->retry_ms) return false;
    master->context =
        redisConnectWithTimeout(master->host->host, master->host->port != 0 ? master->host->port : 6379, limit);
    if (master->context == NULL || master->context->err != 0) {
        disconnect(redis, master);
        return false;
    }
    fcntl(master->context->fd, F_SETFD, FD_CLOEXEC);
    redisSetTimeout(master->context, limit);
    if (greet(redis, master)) return true;
    redisFree(master->context);
    master->context = NULL;
    return false;
}

// ---- one command to all, then all the answers

static bool send_one(struct master *master, int argc, const char **argv) {
    int done = 0;
    if (redisAppendCommandArgv(master->context, argc, argv, NULL) != REDIS_OK) return false;
    while (done == 0) {
        if (redisBufferWrite(master->context, &done) != REDIS_OK) return false;
    }
    return true;
}

static void hear(struct redis *redis, struct master *master, struct votes *votes) {
    void *got = NULL;
    if (redisGetReply(master->context, &got) != REDIS_OK || got == NULL) {
        disconnect(redis, master);
        master->doubtful = true;
        return;
    }
    redisReply *reply = got;
    bool yes = reply->type == REDIS_REPLY_STATUS || (reply->type == REDIS_REPLY_INTEGER && reply->integer == 1);
    if (reply->type == REDIS_REPLY_ERROR) {
        snprintf(redis->trouble, sizeof redis->trouble, "%s: %.200s", master->host->host, reply->str);
    } else {
        votes->yes += yes;
        votes->no += !yes;
        master->doubtful = false;
    }
    freeReplyObject(reply);
}

static struct votes ask_all(struct redis *redis, bool doubtful_only, int argc, const char **argv) {
    struct votes votes = {0};
    bool sent[VIA_HOSTS_MAX] = {false};
    for (size_t i = 0; i < redis->setup->url.count; i++) {
        struct master *master = &redis->masters[i];
        if ((doubtful_only && !master->doubtful) || !connected(redis, master)) continue;
        sent[i] = send_one(master, argc, argv);
        if (!sent[i]) {
            disconnect(redis, master);
            master->doubtful = true;
        }
    }
    for (size_t i = 0; i < redis->setup->url.count; i++) {
        if (sent[i]) hear(redis, &redis->masters[i], &votes);
    }
    return votes;
}

static struct votes run_delete(struct redis *redis, bool doubtful_only) {
    const char *argv[] = {"EVAL", delete_script, "1", redis->key, redis->setup->nonce};
    return ask_all(redis, doubtful_only, 5, argv);
}

// ---- the recipe

static bool redis_open(const struct via_setup *setup, void **state, struct parley_problem *problem) {
    bool several = strcmp(setup->url.scheme, "redlock") == 0;
    if (!kit_parameters_known(&setup->url, "", problem)) return false;
    if (several != (setup->url.count > 1)) {
        kit_problem(problem, PARLEY_BAD_ARGUMENTS,
                    several ? "redlock:// is of several masters" : "redis:// is of one server");
        return false;
    }
    struct redis *redis = calloc(1, sizeof *redis);
    if (redis == NULL) abort();
    redis->setup = setup;
    redis->quorum = setup->url.count / 2 + 1;
    redis->drift_ms = several ? setup->ttl_ms / 100 + 2 : 0;
    redis->master_ms = several ? setup->answer_ms / setup->url.count : setup->answer_ms;
    if (redis->master_ms < 50) redis->master_ms = 50;
    snprintf(redis->key, sizeof redis->key, KEY_PREFIX "%s", setup->name);
    snprintf(redis->ttl, sizeof redis->ttl, "%llu", (unsigned long long)setup->ttl_ms);
    for (size_t i = 0; i < setup->url.count; i++) redis->masters[i].host = &setup->url.hosts[i];
    *state = redis;
    return true;
}

static bool take(struct redis *redis, struct via_grant *grant, struct votes *votes) {
    const char *argv[] = {"SET", redis->key, redis->setup->nonce, "NX", "PX", redis->ttl};
    run_delete(redis, true); // what a broken connection may have left
    *grant = (struct via_grant){.sent_ms = kit_now_ms(), .valid_ms = redis->setup->ttl_ms - redis->drift_ms};
    *votes = ask_all(redis, false, 6, argv);
    return votes->yes >= redis->quorum && kit_now_ms() < grant->sent_ms + grant->valid_ms / 4 * 3;
}

static enum parley_error redis_acquire(void *state, uint64_t until_ms, struct via_grant *grant,
                                       struct parley_problem *problem) {
    struct redis *redis = state;
    struct votes votes;
    redis->pause.length_ms = 0;
    do {
        if (take(redis, grant, &votes)) return PARLEY_OK;
        if (votes.yes > 0) run_delete(redis, false); // a minority: given back, so that another gets a majority
    } while (kit_pause(&redis->pause, until_ms));
    if (votes.yes + votes.no >= redis->quorum) return kit_problem(problem, PARLEY_BUSY, "held by another");
    return kit_problem(problem, until_ms == 0 ? PARLEY_NOT_APPLIED : PARLEY_BUSY, "%s", redis->trouble);
}

static enum via_kept redis_keep(void *state, struct parley_problem *problem) {
    struct redis *redis = state;
    const char *argv[] = {"EVAL", extend_script, "1", redis->key, redis->setup->nonce, redis->ttl};
    struct votes votes = ask_all(redis, false, 6, argv);
    if (votes.yes >= redis->quorum) return VIA_KEPT;
    bool gone = votes.no > redis->setup->url.count - redis->quorum;
    kit_problem(problem, PARLEY_LOST, "%s", gone ? "the key is gone, or another's" : redis->trouble);
    return gone ? VIA_GONE : VIA_UNSURE;
}

static enum parley_error redis_release(void *state, struct parley_problem *problem) {
    struct redis *redis = state;
    struct votes votes = run_delete(redis, false);
    if (votes.yes >= redis->quorum) return PARLEY_OK;
    if (votes.no > redis->setup->url.count - redis->quorum)
        return kit_problem(problem, PARLEY_LOST, "the key was gone, or another's");
    return kit_problem(problem, PARLEY_UNKNOWN, "%s", redis->trouble);
}

static void redis_close(void *state) {
    struct redis *redis = state;
    for (size_t i = 0; i < redis->setup->url.count; i++) {
        if (redis->masters[i].context != NULL) redisFree(redis->masters[i].context);
    }
    free(redis);
}

PARLEY_API extern const struct via_module parley_via_module;
const struct via_module parley_via_module = {.version = VIA_VERSION,
                                             .schemes = "redis redlock",
                                             .open = redis_open,
                                             .acquire = redis_acquire,
                                             .keep = redis_keep,
                                             .release = redis_release,
                                             .close = redis_close};
