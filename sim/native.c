// Native clients: locks over HTTP, in the seeds that have them. Each is a process on a host of its own with two
// connections, one for keepalives and one for what may wait. What must hold, whatever fails:
//
//   nobody is told that he lives, or that he holds a lock, once another was told that he holds it (unless both share
//   it) a grant's token is larger than every token that was known when it was asked for a token is not valid any more
//   once a newer one of the lock was told an error says what happened: nothing but the operations' own errors comes
#include "base/prng.h"
#include "model/lock/lock.h"
#include "sim/sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_US 20000u
#define LOCKS 3u
#define ANSWER_US 4000000u // a request that waits for nothing
#define TTL_MS_MIN 2000u

enum asked { ASKED_NOTHING, ASKED_CREATE, ASKED_KEEPALIVE, ASKED_ACQUIRE, ASKED_RELEASE, ASKED_VERIFY };
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
    struct line keep, work;
    char session[64];
    uint64_t told_us, kept_us, next_us, silent_until_us; // kept_us: when the newest keepalive was sent
    struct {
        bool held, releasing; // releasing: asked for, and not known to be done
        uint64_t token, until_us;
        size_t at;
    } locks[LOCKS];
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
};

static const struct io_ops *ops(const struct native *native) {
    return native->loop->io.ops;
}
static uint64_t now_us(const struct native *native) {
    return native->sim->world.now_us;
}
static uint64_t draw(struct native *native, uint64_t bound) {
    return prng_below(&native->prng, bound);
}

// ---- what it believes

static void session_over(struct native *native) {
    native->session[0] = 0;
    native->work.stale = native->keep.stale = true;
    for (size_t i = 0; i < LOCKS; i++) native->locks[i].held = native->locks[i].releasing = false;
}

static bool both_may(const struct grant *a, const struct grant *b) {
    return a->shared && b->shared;
}

// An answer says that its session lives.
static void heard(struct native *native, uint64_t sent_us) {
    struct sim *sim = native->sim;
    for (uint32_t i = 0; i < LOCKS; i++) {
        if (!native->locks[i].held) continue;
        struct grant *mine = &sim->natives->locks[i].grants[native->locks[i].at];
        if (sent_us <= mine->last_us) continue;
        mine->last_us = sent_us;
        for (size_t k = native->locks[i].at + 1; k < sim->natives->locks[i].count; k++) {
            const struct grant *other = &sim->natives->locks[i].grants[k];
            if (other->token > mine->token && other->first_us <= sent_us && !both_may(mine, other))
                world_fail(&sim->world,
                           "native lock %u is held twice: h%u (token %llu) was told at %llu us that it lives, h%u got "
                           "token %llu at %llu us",
                           i, native->number, (unsigned long long)mine->token, (unsigned long long)sent_us,
                           other->native, (unsigned long long)other->token, (unsigned long long)other->first_us);
        }
    }
}

static void hold(struct native *native, uint32_t lock, uint64_t token, size_t at) {
    native->locks[lock].held = true;
    native->locks[lock].token = token;
    native->locks[lock].until_us = now_us(native) + draw(native, 2000000);
    native->locks[lock].at = at;
}

static void granted(struct native *native, const struct line *line, uint64_t token) {
    struct sim *sim = native->sim;
    uint64_t sent_us = net_read_sent_us(line->conn);
    struct grant grant = {token, sent_us, sent_us, native->number, line->shared};
    struct grant **grants = &sim->natives->locks[line->lock].grants;
    size_t *count = &sim->natives->locks[line->lock].count;
    for (size_t k = 0; k < *count; k++) {
        if ((*grants)[k].token != token) continue;
        if ((*grants)[k].native != native->number)
            world_fail(&sim->world, "native lock %u: h%u got token %llu, which h%u was told before", line->lock,
                       native->number, (unsigned long long)token, (*grants)[k].native);
        hold(native, line->lock, token, k); // its release was lost: one more hold
        heard(native, sent_us);
        return;
    }
    if (token < line->floor && !line->shared)
        world_fail(&sim->world, "native lock %u: h%u got token %llu, and %llu was known when it asked", line->lock,
                   native->number, (unsigned long long)token, (unsigned long long)line->floor);
    for (size_t k = 0; k < *count; k++) {
        const struct grant *other = &(*grants)[k];
        if (other->token < token && other->last_us >= sent_us && !both_may(other, &grant))
            world_fail(
                &sim->world,
                "native lock %u is held twice: h%u (token %llu) was still told at %llu us that it lives; h%u got "
                "token %llu at %llu us",
                line->lock, other->native, (unsigned long long)other->token, (unsigned long long)other->last_us,
                native->number, (unsigned long long)token, (unsigned long long)sent_us);
    }
    size_t *capacity = &sim->natives->locks[line->lock].capacity;
    if (*count == *capacity) {
        *capacity = *capacity == 0 ? 64 : *capacity * 2;
        *grants = mem_realloc(*grants, *capacity * sizeof **grants);
    }
    hold(native, line->lock, token, *count);
    (*grants)[(*count)++] = grant;
    if (token > sim->natives->locks[line->lock].newest) sim->natives->locks[line->lock].newest = token;
    native->grants++;
}

// ---- answers

static uint64_t number_in(const char *body, const char *key) {
    const char *at = strstr(body, key);
    return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10);
}

static void drop(struct line *line) {
    if (line->connecting != NULL) ops(line->native)->connect_cancel(&line->native->loop->io, line->connecting);
    if (line->conn != NULL) ops(line->native)->conn_close(line->conn, false);
    if (line->asked != ASKED_NOTHING) line->native->sim->unknown_operations++;
    line->connecting = NULL;
    line->conn = NULL;
    line->asked = ASKED_NOTHING;
    writer_clear(&line->in);
    writer_clear(&line->out);
}

static void move(struct native *native) {
    drop(&native->keep);
    drop(&native->work);
    native->server = (uint32_t)draw(native, native->sim->node_count);
    native->next_us = now_us(native) + draw(native, 300000);
}

static void good(struct native *native, struct line *line, enum asked asked, const char *body) {
    struct sim *sim = native->sim;
    uint64_t sent_us = net_read_sent_us(line->conn), token = number_in(body, "\"token\":");
    world_trace_line(&sim->world, "h%u is told: %s", native->number, body);
    sim->operations++;
    native->calm_done++;
    if (line->stale) return; // it has gone on without that session
    if (asked == ASKED_CREATE) {
        const char *at = strstr(body, "\"session\":\"");
        if (at == NULL) world_fail(&sim->world, "h%u: a session without a name: %s", native->number, body);
        if (at != NULL) snprintf(native->session, sizeof native->session, "%.*s", (int)strcspn(at + 11, "\""), at + 11);
        sim->sessions_opened++;
    }
    if (asked == ASKED_CREATE || asked == ASKED_KEEPALIVE) native->told_us = line->asked_us;
    struct history_session *session = history_session(&sim->history, strtoull(native->session, NULL, 10));
    if (asked != ASKED_VERIFY && session != NULL && sent_us > session->told_us) session->told_us = sent_us;
    if (asked == ASKED_KEEPALIVE || asked == ASKED_ACQUIRE) heard(native, sent_us);
    if (asked == ASKED_ACQUIRE) granted(native, line, token);
    if (asked == ASKED_RELEASE) native->locks[line->lock].releasing = false;
    if (asked == ASKED_VERIFY && strstr(body, "\"valid\":true") != NULL && line->floor != 0)
        world_fail(&sim->world, "native lock %u: token %llu is valid, and %llu was known when it was asked", line->lock,
                   (unsigned long long)line->token, (unsigned long long)line->floor);
    world_note(&sim->world, NOTE_OPERATION, native->number + 1000, token + asked);
}

static bool names(const char *body, const char *error) {
    char type[64];
    snprintf(type, sizeof type, "\"type\":\"/errors/%s\"", error);
    return strstr(body, type) != NULL;
}

static void refused(struct native *native, enum asked asked, const char *body) {
    struct sim *sim = native->sim;
    sim->failed_operations++;
    world_trace_line(&sim->world, "h%u refused: %.60s", native->number, body);
    if (names(body, "session-expired")) {
        struct history_session *session = history_session(&sim->history, strtoull(native->session, NULL, 10));
        if (native->session[0] != 0 && (session == NULL || session->ended_index == 0))
            world_fail(&sim->world, "h%u was told that session %s has expired, but it lives", native->number,
                       native->session);
        session_over(native);
    } else if (names(body, "busy") || names(body, "timed-out") || names(body, "level") || names(body, "not-held") ||
               names(body, "deadlock") || (names(body, "superseded") && asked == ASKED_ACQUIRE)) {
        native->calm_done++;
        if (asked == ASKED_RELEASE) native->locks[native->work.lock].releasing = false; // not held any more
    } else if (names(body, "not-applied") || names(body, "unknown") || names(body, "disk-full")) {
        move(native);
    } else if (!names(body, "session-moved") && !(names(body, "kind") && asked == ASKED_ACQUIRE)) {
        world_fail(&sim->world, "h%u: an answer that none expects: %s", native->number, body);
    }
}

// One answer a time: head, length, body.
static void on_read(struct io_conn *conn, const uint8_t *data, size_t len) {
    struct line *line = io_conn_context(conn);
    struct native *native = line->native;
    if (line->conn != conn || native->sim->world.failed) return;
    write_span(&line->in, bytes_of(data, len));
    write_u8(&line->in, 0); // for the searches below
    line->in.len--;
    const char *text = (const char *)line->in.data, *body = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "Content-Length: ");
    if (body == NULL || length == NULL) return;
    body += 4;
    size_t wanted = strtoul(length + 16, NULL, 10);
    if (strlen(body) < wanted) return;
    enum asked asked = line->asked;
    int status = atoi(text + 9);
    line->asked = ASKED_NOTHING;
    char *copy = mem_alloc(wanted + 1);
    memcpy(copy, body, wanted);
    copy[wanted] = 0;
    writer_clear(&line->in);
    if (status == 200)
        good(native, line, asked, copy);
    else if (!line->stale)
        refused(native, asked, copy);
    mem_free(copy);
}

static void on_closed(struct io_conn *conn, int error) {
    struct line *line = io_conn_context(conn);
    if (line->conn == conn) move(line->native);
}

static const struct io_conn_handler handler = {.read = on_read, .closed = on_closed};

static void on_connected(struct io_conn *conn, int error, void *context) {
    struct line *line = context;
    line->connecting = NULL;
    if (conn == NULL) {
        move(line->native);
        return;
    }
    line->conn = conn;
    ops(line->native)->conn_start(conn, &handler, line, 65536);
    ops(line->native)->conn_write(conn, line->out.data, line->out.len);
    writer_clear(&line->out);
}

// ---- requests

__attribute__((format(printf, 5, 6))) static void ask(struct line *line, enum asked asked, uint64_t wait_us,
                                                      const char *operation, const char *format, ...) {
    struct native *native = line->native;
    char body[512], head[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    snprintf(head, sizeof head, "POST /v1/%s HTTP/1.1\r\nHost: sim\r\nContent-Length: %zu\r\n\r\n", operation,
             strlen(body));
    world_trace_line(&native->sim->world, "h%u asks n%u: %s %s", native->number, native->server + 1, operation, body);
    line->asked = asked;
    line->stale = false;
    line->asked_us = now_us(native);
    line->until_us = line->asked_us + ANSWER_US + wait_us;
    writer_clear(&line->out);
    write_span(&line->out, bytes_of_text(head));
    write_span(&line->out, bytes_of_text(body));
    if (line->conn != NULL) {
        ops(native)->conn_write(line->conn, line->out.data, line->out.len);
        writer_clear(&line->out);
    } else if (line->connecting == NULL) {
        int e = ops(native)->connect(&native->loop->io, native->sim->nodes[native->server].http, NULL, 1000000,
                                     on_connected, line, &line->connecting);
        ENSURE(e == 0);
    }
}

static void release(struct native *native, uint32_t lock) {
    native->locks[lock].held = false; // from now on it does not rely on it
    native->locks[lock].releasing = true;
    native->work.lock = lock;
    ask(&native->work, ASKED_RELEASE, 0, "lock/release",
        "{\"name\":\"l%u\",\"session\":\"%s\",\"token\":%llu,\"all\":true}", lock, native->session,
        (unsigned long long)native->locks[lock].token);
}

static void acquire(struct native *native, uint32_t lock) {
    static const unsigned waits[] = {0, 300, 3000};
    unsigned wait_ms = waits[draw(native, 3)];
    native->work.lock = lock;
    native->work.shared = draw(native, 4) == 0;
    native->work.floor = native->sim->natives->locks[lock].newest;
    ask(&native->work, ASKED_ACQUIRE, wait_ms * 1000ull, "lock/acquire",
        "{\"name\":\"l%u\",\"session\":\"%s\",\"mode\":\"%s\",\"wait_ms\":%u}", lock, native->session,
        native->work.shared ? "shared" : "exclusive", wait_ms);
}

// An exclusive grant of somebody's: is it still valid?
static void verify(struct native *native, uint32_t lock) {
    const size_t count = native->sim->natives->locks[lock].count;
    if (count == 0) return;
    const struct grant *grant = &native->sim->natives->locks[lock].grants[draw(native, count)];
    uint64_t newer = 0;
    for (size_t k = 0; k < count; k++) {
        const struct grant *other = &native->sim->natives->locks[lock].grants[k];
        if (other->token > grant->token && !both_may(other, grant)) newer = other->token;
    }
    native->work.lock = lock;
    ask(&native->work, ASKED_VERIFY, 0, "lock/verify", "{\"name\":\"l%u\",\"token\":%llu}", lock,
        (unsigned long long)grant->token);
    native->work.floor = newer;
    native->work.token = grant->token;
}

static void work(struct native *native) {
    uint32_t lock = (uint32_t)draw(native, LOCKS);
    for (uint32_t i = 0; i < LOCKS; i++) {
        // A release of unknown end is repeated until it is answered: else it could still come when the lock was asked
        // for again, and end what that was told it holds. Once it is answered, a new grant has another token.
        bool over = native->locks[i].held && now_us(native) >= native->locks[i].until_us;
        if (!over && !native->locks[i].releasing) continue;
        release(native, i);
        return;
    }
    native->next_us = now_us(native) + draw(native, 400000);
    if (draw(native, 6) == 0)
        verify(native, lock);
    else if (!native->locks[lock].held)
        acquire(native, lock);
}

static void on_tick(struct io_timer *timer) {
    struct native *native = timer->context;
    uint64_t now = now_us(native), ttl_us = native->ttl_ms * 1000ull;
    ops(native)->timer_start(&native->loop->io, timer, TICK_US);
    if (native->session[0] != 0 && now - native->told_us > ttl_us) session_over(native); // nobody says that it lives
    struct line *lines[] = {&native->keep, &native->work};
    for (size_t i = 0; i < 2; i++) {
        bool late = lines[i]->asked != ASKED_NOTHING && now > lines[i]->until_us;
        bool leaves = lines[i]->asked == ASKED_ACQUIRE && draw(native, 400) == 0;
        if (leaves) drop(lines[i]); // it waits no longer
        if (late && !leaves) move(native);
    }
    if (native->stopped || now < native->next_us) return;
    // Silent for longer than its session lives, now and then; when the faults have ended each must get on.
    if (now < native->silent_until_us && !native->sim->calming) return;
    if (draw(native, 3000) == 0) native->silent_until_us = now + draw(native, 2 * ttl_us);
    if (draw(native, 3000) == 0 && native->sim->faults_on) host_pause(native->host, now + draw(native, 2 * ttl_us));
    if (native->keep.asked == ASKED_NOTHING && native->session[0] == 0 && native->work.asked == ASKED_NOTHING) {
        ask(&native->keep, ASKED_CREATE, 0, "session/create", "{\"ttl_ms\":%u}", native->ttl_ms);
    } else if (native->keep.asked == ASKED_NOTHING && native->session[0] != 0 && now - native->kept_us > ttl_us / 4) {
        native->kept_us = now;
        ask(&native->keep, ASKED_KEEPALIVE, 0, "session/keepalive", "{\"session\":\"%s\"}", native->session);
    }
    if (native->work.asked == ASKED_NOTHING && native->session[0] != 0) work(native);
}

// ---- life

// Not drawn from the world's: what seeds were found for stays as it was, unless they have native clients.
static size_t count_of(const struct sim *sim) {
    uint64_t hash = hash_u64(sim->world.options.seed + 0x6e617469u);
    return hash % 2 == 0 ? 0 : 2 + hash / 2 % (SIM_NATIVES_MAX - 1);
}

bool natives_wanted(const struct sim *sim) {
    return count_of(sim) > 0;
}

void natives_make(struct sim *sim) {
    sim->natives = mem_zalloc(sizeof *sim->natives);
    sim->native_count = count_of(sim);
    for (size_t i = 0; i < sim->native_count; i++) {
        struct native *native = &sim->natives->natives[i];
        char name[32];
        native->sim = sim;
        native->number = (uint32_t)i + 1;
        native->ttl_ms = sim->swarm.session_ms < TTL_MS_MIN ? TTL_MS_MIN : sim->swarm.session_ms;
        native->keep.native = native->work.native = native;
        snprintf(name, sizeof name, "10.0.2.%u", native->number);
        native->host = host_new(&sim->world, name);
        prng_seed(&native->prng, hash_u64(sim->world.seed * 128 + native->number));
        native->server = (uint32_t)draw(native, sim->node_count);
        host_process_begin(native->host);
        native->loop = host_start_loop(native->host);
        native->timer = (struct io_timer){.fire = on_tick, .context = native};
        ops(native)->timer_start(&native->loop->io, &native->timer, 1000 + draw(native, 100000));
    }
}

void natives_free(struct sim *sim) {
    for (size_t i = 0; i < sim->native_count; i++) {
        struct native *native = &sim->natives->natives[i];
        host_kill(native->host, false);
        drop(&native->keep);
        drop(&native->work);
        ops(native)->timer_stop(&native->loop->io, &native->timer);
        host_process_freed(native->host);
        writer_free(&native->keep.in);
        writer_free(&native->keep.out);
        writer_free(&native->work.in);
        writer_free(&native->work.out);
    }
    for (size_t i = 0; i < LOCKS; i++) mem_free(sim->natives->locks[i].grants);
    mem_free(sim->natives);
}

void natives_calm(struct sim *sim) {
    for (size_t i = 0; i < sim->native_count; i++) {
        sim->natives->natives[i].calm_done = 0;
        host_go_on(sim->natives->natives[i].host);
    }
}

size_t natives_waiting(const struct sim *sim) {
    size_t count = 0;
    for (size_t i = 0; i < sim->native_count; i++) count += sim->natives->natives[i].calm_done < 3;
    return count;
}

void natives_stop(struct sim *sim) {
    for (size_t i = 0; i < sim->native_count; i++) {
        struct native *native = &sim->natives->natives[i];
        native->stopped = true;
        drop(&native->keep);
        drop(&native->work);
        session_over(native);
    }
}

// Nothing of an ended session is held or waited for.
static void check_claim(void *context, const struct lock_claim_info *claim) {
    struct sim *sim = context;
    struct history_session *session = history_session(&sim->history, claim->session);
    if (session == NULL || session->ended_index != 0)
        world_fail(&sim->world, "session %llu has ended, and a claim of it (ticket %llu) is left",
                   (unsigned long long)claim->session, (unsigned long long)claim->ticket);
}

void natives_check(struct sim *sim) {
    if (sim->native_count == 0) return;
    for (uint32_t i = 0; i < LOCKS; i++) {
        char name[8];
        snprintf(name, sizeof name, "l%u", i);
        struct lock_query query = {.name = bytes_of_text(name), .claim = check_claim, .context = sim};
        struct result result;
        machine_query(sim->history.machine, MODEL_LOCK, &query, &result);
    }
}
