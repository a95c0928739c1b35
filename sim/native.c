// The process of a native client: its connections, its session, requests and answers, its life.
#include "sim/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_US 20000u
#define ANSWER_US 4000000u // a request that waits for nothing
#define TTL_MS_MIN 2000u
#define FIRST_WORKLOADS 10u   // the others came later: native_is_newer
#define NEWER_SALT 2430467ull // so that no seed of sim/seeds.txt is newer

struct native_checks {
    struct native natives[SIM_NATIVES_MAX];
    const struct native_workload *workloads[NATIVE_LINES_MAX]; // of this seed
    void *shared[NATIVE_LINES_MAX];
    size_t workload_count;
};

static const struct io_ops *ops(const struct native *native) {
    return native->loop->io.ops;
}

uint64_t native_sent_us(const struct native_line *line) {
    return net_read_sent_us(line->conn);
}

// ---- what it believes

static void lost(struct native_line *line, unsigned asked, bool done) {
    if (line->workload != NULL && line->workload->lost != NULL) line->workload->lost(line, asked, done);
}

static void session_over(struct native *native) {
    native->session[0] = 0;
    native->keep.stale = true;
    for (size_t i = 0; i < native->line_count; i++) {
        struct native_line *line = &native->lines[i];
        line->stale = true;
        if (line->workload->session_over != NULL) line->workload->session_over(line);
    }
}

static void heard(struct native *native, uint64_t sent_us) {
    for (size_t i = 0; i < native->line_count; i++)
        if (native->lines[i].workload->heard != NULL) native->lines[i].workload->heard(&native->lines[i], sent_us);
}

// ---- answers

static const char *member_value(const char *body, const char *member) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", member);
    const char *at = strstr(body, key);
    return at == NULL ? NULL : at + strlen(key);
}

uint64_t native_number_of(const char *body, const char *member) {
    const char *at = member_value(body, member);
    return at == NULL ? 0 : strtoull(at, NULL, 10);
}

size_t native_numbers(const char *body, const char *member, uint64_t *out, size_t max) {
    const char *at = member_value(body, member);
    size_t count = 0;
    for (; at != NULL && *at != ']' && *at != 0 && count < max; count++) {
        char *end;
        at += at[1] == '"' ? 2 : 1; // large ones are texts
        out[count] = strtoull(at, &end, 10);
        if (end == at) break;
        at = end + (*end == '"');
    }
    return count;
}

bool native_object(const char **at, char *out, size_t size) {
    const char *begin = *at + strcspn(*at, "{]"), *end = strchr(begin, '}');
    if (*begin != '{' || end == NULL) return false;
    snprintf(out, size, "%.*s", (int)(end - begin + 1), begin);
    *at = end + 1;
    return true;
}

void native_text_of(const char *body, const char *member, char *out, size_t size) {
    const char *at = member_value(body, member);
    out[0] = 0;
    if (at != NULL && *at == '"') snprintf(out, size, "%.*s", (int)strcspn(at + 1, "\""), at + 1);
}

bool native_says(const char *body, const char *member) {
    const char *at = member_value(body, member);
    return at != NULL && strncmp(at, "true", 4) == 0;
}

bool native_is_error(const char *body, const char *error) {
    char type[64];
    snprintf(type, sizeof type, "\"type\":\"/errors/%s\"", error);
    return strstr(body, type) != NULL;
}

static void drop(struct native_line *line) {
    unsigned asked = line->asked;
    if (line->connecting != NULL) ops(line->native)->connect_cancel(&line->native->loop->io, line->connecting);
    if (line->conn != NULL) ops(line->native)->conn_close(line->conn, false);
    line->connecting = NULL;
    line->conn = NULL;
    line->asked = NATIVE_IDLE;
    writer_clear(&line->in);
    writer_clear(&line->out);
    if (asked == NATIVE_IDLE) return;
    line->native->sim->unknown_operations++;
    lost(line, asked, true);
}

static void drop_all(struct native *native) {
    drop(&native->keep);
    for (size_t i = 0; i < native->line_count; i++) drop(&native->lines[i]);
}

static void move(struct native *native) {
    drop_all(native);
    native->server = (uint32_t)native_draw(native, native->sim->node_count);
    native->next_us = native_now_us(native) + native_draw(native, 300000);
}

static void created(struct native *native, const char *body) {
    native_text_of(body, "session", native->session, sizeof native->session);
    if (native->session[0] == 0)
        world_fail(&native->sim->world, "h%u: a session without a name: %s", native->number, body);
    native->sim->sessions_opened++;
}

static void good(struct native_line *line, unsigned asked, const char *body) {
    struct native *native = line->native;
    struct sim *sim = native->sim;
    uint64_t sent_us = native_sent_us(line);
    world_trace_line(&sim->world, "h%u is told: %s", native->number, body);
    sim->operations++;
    native->calm_done++;
    if (line->stale && !line->unbound) { // it has gone on without that session
        lost(line, asked, true);
        return;
    }
    if (asked == NATIVE_CREATE) created(native, body);
    if (line == &native->keep) native->told_us = line->asked_us;
    struct history_session *session = history_session(&sim->history, strtoull(native->session, NULL, 10));
    if (!line->unbound && session != NULL && sent_us > session->told_us) session->told_us = sent_us;
    if (asked == NATIVE_KEEPALIVE) heard(native, sent_us);
    if (line->workload != NULL) line->workload->answer(line, asked, body);
    world_note(&sim->world, NOTE_OPERATION, native->number + 1000, native_number_of(body, "token") + asked);
}

static void refused(struct native_line *line, unsigned asked, const char *body) {
    struct native *native = line->native;
    struct sim *sim = native->sim;
    sim->failed_operations++;
    world_trace_line(&sim->world, "h%u refused: %.60s", native->number, body);
    if (native_is_error(body, "session-expired")) {
        struct history_session *session = history_session(&sim->history, strtoull(native->session, NULL, 10));
        if (native->session[0] != 0 && (session == NULL || session->ended_index == 0))
            world_fail(&sim->world, "h%u was told that session %s has expired, but it lives", native->number,
                       native->session);
        lost(line, asked, false);
        session_over(native);
    } else if (native_is_error(body, "not-applied") || native_is_error(body, "unknown") ||
               native_is_error(body, "disk-full")) {
        lost(line, asked, native_is_error(body, "unknown"));
        move(native);
    } else if (native_is_error(body, "session-moved") || native_is_error(body, "level")) {
        if (native_is_error(body, "level")) native->calm_done++;
        lost(line, asked, false);
    } else if (line->workload != NULL && line->workload->refused != NULL &&
               line->workload->refused(line, asked, body)) {
        native->calm_done++;
    } else {
        world_fail(&sim->world, "h%u: an answer that none expects: %s", native->number, body);
    }
}

// One answer a time: head, length, body.
static void on_read(struct io_conn *conn, const uint8_t *data, size_t len) {
    struct native_line *line = io_conn_context(conn);
    if (line->conn != conn || line->native->sim->world.failed) return;
    write_span(&line->in, bytes_of(data, len));
    write_u8(&line->in, 0); // for the searches below
    line->in.len--;
    const char *text = (const char *)line->in.data, *body = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "Content-Length: ");
    if (body == NULL || length == NULL) return;
    body += 4;
    size_t wanted = strtoul(length + 16, NULL, 10);
    if (strlen(body) < wanted) return;
    unsigned asked = line->asked;
    int status = atoi(text + 9);
    line->asked = NATIVE_IDLE;
    char *copy = mem_alloc(wanted + 1);
    memcpy(copy, body, wanted);
    copy[wanted] = 0;
    writer_clear(&line->in);
    if (status == 200)
        good(line, asked, copy);
    else if (!line->stale || line->unbound)
        refused(line, asked, copy);
    else
        lost(line, asked, true);
    mem_free(copy);
}

static void on_closed(struct io_conn *conn, int error) {
    struct native_line *line = io_conn_context(conn);
    if (line->conn == conn) move(line->native);
}

static const struct io_conn_handler handler = {.read = on_read, .closed = on_closed};

static void on_connected(struct io_conn *conn, int error, void *context) {
    struct native_line *line = context;
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

void *native_grow(void *array, size_t *capacity, size_t count, size_t size) {
    if (count < *capacity) return array;
    size_t before = *capacity;
    while (count >= *capacity) *capacity = *capacity == 0 ? 64 : *capacity * 2;
    array = mem_realloc(array, *capacity * size);
    memset((char *)array + before * size, 0, (*capacity - before) * size);
    return array;
}

// ---- requests

void native_request(struct native_line *line, unsigned asked, uint64_t wait_us, const char *operation,
                    const char *format, ...) {
    struct native *native = line->native;
    char body[1024], head[256], once[64] = "";
    va_list arguments;
    va_start(arguments, format);
    size_t len = (size_t)vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    ENSURE(len < sizeof body);
    if (line->once[0] != 0) snprintf(once, sizeof once, "Idempotency-Key: \"%s\"\r\n", line->once);
    line->once[0] = 0;
    snprintf(head, sizeof head, "POST /v1/%s HTTP/1.1\r\nHost: sim\r\n%sContent-Length: %zu\r\n\r\n", operation, once,
             len);
    world_trace_line(&native->sim->world, "h%u asks n%u: %s %s", native->number, native->server + 1, operation, body);
    line->asked = asked;
    line->leaves = line->unbound = line->stale = false;
    line->asked_us = native_now_us(native);
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

void native_owner(struct native *native, char *out, size_t size) {
    snprintf(out, size, "h%u-%u", native->number, ++native->owners);
}

static void give_up(struct native_line *line) {
    bool late = line->asked != NATIVE_IDLE && native_now_us(line->native) > line->until_us;
    bool leaves = line->asked != NATIVE_IDLE && line->leaves && native_draw(line->native, 400) == 0;
    if (leaves) drop(line); // it waits no longer
    if (late && !leaves) move(line->native);
}

// Its process ends, without a word; another begins a while later. The cluster has to find out by itself.
static void die(struct native *native) {
    world_trace_line(&native->sim->world, "h%u dies", native->number);
    drop_all(native);
    session_over(native);
    for (size_t i = 0; i < native->line_count; i++)
        if (native->lines[i].workload->died != NULL) native->lines[i].workload->died(&native->lines[i]);
    native->server = (uint32_t)native_draw(native, native->sim->node_count);
    native->next_us = native_now_us(native) + native_draw(native, 2000ull * native->ttl_ms);
}

static bool idle(const struct native *native) {
    for (size_t i = 0; i < native->line_count; i++)
        if (native->lines[i].asked != NATIVE_IDLE) return false;
    return native->keep.asked == NATIVE_IDLE;
}

static void on_tick(struct io_timer *timer) {
    struct native *native = timer->context;
    uint64_t now = native_now_us(native), ttl_us = native->ttl_ms * 1000ull;
    ops(native)->timer_start(&native->loop->io, timer, TICK_US);
    if (native->session[0] != 0 && now - native->told_us > ttl_us) session_over(native); // nobody says that it lives
    give_up(&native->keep);
    for (size_t i = 0; i < native->line_count; i++) give_up(&native->lines[i]);
    if (native->stopped || now < native->next_us) return;
    // Silent for longer than its session lives, now and then; when the faults have ended each must get on.
    if (now < native->silent_until_us && !native->sim->calming) return;
    if (native_draw(native, 3000) == 0) native->silent_until_us = now + native_draw(native, 2 * ttl_us);
    if (native_draw(native, 3000) == 0 && native->sim->faults_on)
        host_pause(native->host, now + native_draw(native, 2 * ttl_us));
    if (native_draw(native, 3000) == 0 && native->sim->faults_on) {
        die(native);
        return;
    }
    if (native->session[0] == 0 && idle(native)) {
        native_request(&native->keep, NATIVE_CREATE, 0, "session/create", "{\"ttl_ms\":%u}", native->ttl_ms);
    } else if (native->keep.asked == NATIVE_IDLE && native->session[0] != 0 && now - native->kept_us > ttl_us / 4) {
        native->kept_us = now;
        native_request(&native->keep, NATIVE_KEEPALIVE, 0, "session/keepalive", "{\"session\":\"%s\"}",
                       native->session);
    }
    for (size_t i = 0; i < native->line_count; i++)
        if (native->lines[i].asked == NATIVE_IDLE && native->session[0] != 0)
            native->lines[i].workload->step(&native->lines[i]);
}

// ---- life

// Not drawn from the world's: what seeds were found for stays as it was, unless they have native clients.
static uint64_t hash_of(const struct sim *sim) {
    return hash_u64(sim->world.options.seed + 0x6e617469u);
}

static size_t count_of(const struct sim *sim) {
    uint64_t hash = hash_of(sim);
    return hash % 2 == 0 ? 0 : 2 + hash / 2 % (SIM_NATIVES_MAX - 1);
}

bool natives_wanted(const struct sim *sim) {
    return count_of(sim) > 0;
}

bool native_is_newer(const struct sim *sim) {
    return hash_u64(hash_of(sim) ^ NEWER_SALT) % 4 != 0;
}

// Some of the workloads, one at least: with few of them in a seed, its clients meet at each.
static bool is_chosen(const struct sim *sim, uint64_t hash, size_t workload) {
    if (workload < FIRST_WORKLOADS) return hash % FIRST_WORKLOADS == workload || (hash >> (8 + 3 * workload)) % 4 == 0;
    return native_is_newer(sim) && hash_u64(hash + workload) % 3 == 0;
}

static void choose_workloads(struct sim *sim) {
    struct native_checks *all = sim->natives;
    uint64_t hash = hash_u64(hash_of(sim));
    size_t count = 0;
    while (native_workloads[count] != NULL) count++;
    ENSURE(count <= NATIVE_LINES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!is_chosen(sim, hash, i)) continue;
        const struct native_workload *workload = native_workloads[i];
        all->shared[all->workload_count] = workload->open == NULL ? NULL : workload->open(sim);
        all->workloads[all->workload_count++] = workload;
    }
}

static void begin(struct sim *sim, struct native *native) {
    native->keep.native = native;
    native->line_count = sim->natives->workload_count;
    for (size_t i = 0; i < native->line_count; i++) {
        struct native_line *line = &native->lines[i];
        line->native = native;
        line->workload = sim->natives->workloads[i];
        line->shared = sim->natives->shared[i];
        if (line->workload->begin != NULL) line->workload->begin(line);
    }
    ops(native)->timer_start(&native->loop->io, &native->timer, 1000 + native_draw(native, 100000));
}

void natives_make(struct sim *sim) {
    sim->natives = mem_zalloc(sizeof *sim->natives);
    sim->native_count = count_of(sim);
    if (sim->native_count > 0) choose_workloads(sim);
    for (size_t i = 0; i < sim->native_count; i++) {
        struct native *native = &sim->natives->natives[i];
        char name[32];
        native->sim = sim;
        native->number = (uint32_t)i + 1;
        native->ttl_ms = sim->swarm.session_ms < TTL_MS_MIN ? TTL_MS_MIN : sim->swarm.session_ms;
        snprintf(name, sizeof name, "10.0.2.%u", native->number);
        native->host = host_new(&sim->world, name);
        prng_seed(&native->prng, hash_u64(sim->world.seed * 128 + native->number));
        native->server = (uint32_t)native_draw(native, sim->node_count);
        host_process_begin(native->host);
        native->loop = host_start_loop(native->host);
        native->timer = (struct io_timer){.fire = on_tick, .context = native};
        begin(sim, native);
    }
}

static void free_line(struct native_line *line) {
    if (line->workload != NULL && line->workload->end != NULL) line->workload->end(line);
    writer_free(&line->in);
    writer_free(&line->out);
}

void natives_free(struct sim *sim) {
    struct native_checks *all = sim->natives;
    for (size_t i = 0; i < sim->native_count; i++) {
        struct native *native = &all->natives[i];
        host_kill(native->host, false);
        drop_all(native);
        ops(native)->timer_stop(&native->loop->io, &native->timer);
        host_process_freed(native->host);
        free_line(&native->keep);
        for (size_t k = 0; k < native->line_count; k++) free_line(&native->lines[k]);
    }
    for (size_t i = 0; i < all->workload_count; i++)
        if (all->workloads[i]->close != NULL) all->workloads[i]->close(all->shared[i]);
    mem_free(all);
}

void natives_calm(struct sim *sim) {
    for (size_t i = 0; i < sim->native_count; i++) {
        struct native *native = &sim->natives->natives[i];
        native->calm_done = 0;
        if (native->next_us > sim->world.now_us) native->next_us = sim->world.now_us; // the next process begins now
        host_go_on(native->host);
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
        drop_all(native);
        session_over(native);
    }
}

void natives_check(struct sim *sim) {
    const struct native_checks *all = sim->natives;
    for (size_t i = 0; i < all->workload_count; i++)
        if (all->workloads[i]->check != NULL) all->workloads[i]->check(sim, all->shared[i]);
}
