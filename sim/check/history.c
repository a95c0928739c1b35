#include "sim/check/history.h"

#include <stdio.h>
#include <string.h>

#include "model/lease/lease.h"
#include "model/tree/tree.h"

#define PROBE_EVERY 300u // batches

void mark_write(char out[MARK_BYTES + 1], uint64_t number) {
    snprintf(out, MARK_BYTES + 1, "=#%013llx;", (unsigned long long)number);
}

bool mark_read(struct bytes data, uint64_t *number) {
    if (data.len < MARK_BYTES || data.data[0] != '=' || data.data[1] != '#' || data.data[MARK_BYTES - 1] != ';')
        return false;
    uint64_t value = 0;
    for (size_t i = 2; i < MARK_BYTES - 1; i++) {
        uint8_t c = data.data[i];
        if (c >= '0' && c <= '9')
            value = value * 16 + (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *number = value;
    return true;
}

static void *grow_to(void *array, size_t *capacity, size_t need, size_t element) {
    if (need <= *capacity) return array;
    size_t more = *capacity == 0 ? 256 : *capacity;
    while (more < need) more *= 2;
    array = mem_realloc(array, more * element);
    memset((char *)array + *capacity * element, 0, (more - *capacity) * element);
    *capacity = more;
    return array;
}

// ---- events of our own machine

static void on_tree(struct history *h, const struct tree_event *event) {
    if (event->type != TREE_EVENT_CREATED && event->type != TREE_EVENT_DATA) return;
    // The machine is in the middle of an entry, and the tree shows it: what was written is what stands there now.
    static const uint8_t super[] = {1, 5, 's', 'u', 'p', 'e', 'r', 0};
    struct tree_query query = {.op = TREE_GET, .path = event->path, .identities = {bytes_of(super, sizeof super)}};
    struct result result;
    uint64_t number = 0;
    machine_query(h->machine, MODEL_TREE, &query, &result);
    if (result.error != 0) return; // gone again in the same multi
    const struct tree_answer *answer = result.value;
    if (!mark_read(answer->data, &number)) return;
    h->writes++;
    h->marks = grow_to(h->marks, &h->mark_capacity, number + 1, sizeof *h->marks);
    uint64_t before = h->marks[number].index;
    if (before != 0 && before != event->zxid)
        world_fail(h->world, "write %llu of a client was applied twice: at index %llu and at %llu (%.*s)",
                   (unsigned long long)number, (unsigned long long)before, (unsigned long long)event->zxid,
                   (int)event->path.len, (const char *)event->path.data);
    h->marks[number].index = event->zxid;
}

// Bytes that a node sent at told_us prove activity that the leader knew at most T/3 + G/2 before; it expires at T + G
// behind that (replication.md "Keep-alive"), so not within 2T/3 of them. Five in a hundred are left for clocks that
// drift.
bool session_early(const struct history_session *session) {
    if (session->ended_index == 0 || session->reason != LEASE_EXPIRE || session->told_us == 0) return false;
    return session->ended_us < session->told_us + session->timeout_ms * 1000 * 2 / 3 * 95 / 100;
}

static void on_lease(struct history *h, const struct lease_event *event) {
    struct history_session *known = history_session(h, event->lease.session);
    bool created = known == NULL;
    if (event->type == LEASE_EVENT_ATTACHED && created) {
        h->sessions = grow_to(h->sessions, &h->session_capacity, h->session_count + 1, sizeof *h->sessions);
        known = &h->sessions[h->session_count++];
        *known = (struct history_session){.session = event->lease.session, .timeout_ms = event->lease.timeout_ms};
    }
    if (known == NULL) return;
    if (event->type == LEASE_EVENT_ATTACHED) {
        known->timeout_ms = event->lease.timeout_ms;
        if (known->ended_index != 0)
            world_fail(h->world, "session %llx came back to life", (unsigned long long)known->session);
        if (!created && h->session != NULL) h->session(h->session_context, known);
        return;
    }
    known->ended_index = h->last;
    known->ended_us = h->world->now_us;
    known->reason = event->reason;
    if (event->reason == LEASE_EXPIRE) h->expired++;
    if (h->session != NULL) h->session(h->session_context, known);
    if (session_early(known))
        world_fail(h->world,
                   "session %llx (%llu ms) expired at %llu us, though a node let bytes go to its client at %llu us",
                   (unsigned long long)known->session, (unsigned long long)known->timeout_ms,
                   (unsigned long long)known->ended_us, (unsigned long long)known->told_us);
}

static void on_event(void *context, uint8_t model, const void *event) {
    struct history *h = context;
    if (model == MODEL_TREE) on_tree(h, event);
    if (model == MODEL_LEASE) on_lease(h, event);
}

// ---- life

void history_init(struct history *h, struct world *world) {
    *h = (struct history){.world = world};
    oracle_init(&h->oracle, world);
}

void history_free(struct history *h) {
    machine_free(h->machine);
    mem_free(h->batches);
    mem_free(h->marks);
    mem_free(h->sessions);
    mem_free(h->term_leaders);
    oracle_free(&h->oracle);
}

struct machine *history_copy(struct history *h, const struct machine *from, const struct machine_sink *sink) {
    struct machine_cursor cursor = {0};
    size_t capacity = 1u << 20;
    uint8_t *chunk = mem_alloc(capacity), model;
    struct machine *copy = machine_new(0, 0, sink);
    machine_limit_apply_level(copy, SIM_APPLY_LEVEL);
    int error = 0;
    while (error == 0) {
        size_t len = machine_save(from, &cursor, &model, chunk, capacity);
        if (len == 0) break;
        error = machine_load(copy, model, chunk, len);
    }
    mem_free(chunk);
    struct writer membership;
    writer_init(&membership);
    membership_encode(machine_membership(from), &membership);
    if (error == 0)
        error = machine_load_finish(copy, machine_applied(from), machine_applied_term(from), machine_log_time_ms(from),
                                    bytes_of(membership.data, membership.len), machine_digest(from));
    writer_free(&membership);
    if (error == 0) return copy;
    world_fail(h->world, "a machine's own save at index %llu cannot be loaded",
               (unsigned long long)machine_applied(from));
    machine_free(copy);
    return NULL;
}

void history_begin(struct history *h, const struct machine *formed) {
    ENSURE(h->machine == NULL);
    struct machine_sink sink = {.event = on_event, .context = h};
    h->machine = history_copy(h, formed, &sink);
    h->base = h->last = machine_applied(formed);
    if (h->machine != NULL) oracle_begin(&h->oracle, h->machine);
}

// ---- the log

static const struct history_batch *find(const struct history *h, uint64_t index) {
    size_t low = 0, high = h->batch_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (h->batches[middle].last < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low < h->batch_count && h->batches[low].first <= index ? &h->batches[low] : NULL;
}

void history_commit(struct history *h, uint32_t node, const struct batch_ref *batch) {
    uint32_t crc = get_u32_le(batch->buf->data);
    if (h->machine == NULL) return;
    if (batch->last <= h->last) {
        if (batch->last <= h->base) return;
        const struct history_batch *known = find(h, batch->first);
        if (known == NULL || known->first != batch->first || known->last != batch->last || known->term != batch->term ||
            known->crc != crc)
            world_fail(h->world,
                       "node %u has another committed batch %llu..%llu term %llu crc %08x: known is %llu..%llu term "
                       "%llu crc %08x",
                       node, (unsigned long long)batch->first, (unsigned long long)batch->last,
                       (unsigned long long)batch->term, crc, known == NULL ? 0ull : (unsigned long long)known->first,
                       known == NULL ? 0ull : (unsigned long long)known->last,
                       known == NULL ? 0ull : (unsigned long long)known->term, known == NULL ? 0 : known->crc);
        return;
    }
    if (batch->first != h->last + 1) {
        world_fail(h->world, "node %u commits %llu..%llu, but the last known committed index is %llu", node,
                   (unsigned long long)batch->first, (unsigned long long)batch->last, (unsigned long long)h->last);
        return;
    }
    h->last = batch->last;
    char error[256];
    oracle_apply(&h->oracle, batch, h->machine);
    if (machine_apply(h->machine, batch, error) != 0) {
        world_fail(h->world, "batch %llu..%llu cannot be applied: %s", (unsigned long long)batch->first,
                   (unsigned long long)batch->last, error);
        return;
    }
    oracle_compare(&h->oracle, batch, h->machine);
    h->batches = grow_to(h->batches, &h->batch_capacity, h->batch_count + 1, sizeof *h->batches);
    h->batches[h->batch_count++] = (struct history_batch){.first = batch->first,
                                                          .last = batch->last,
                                                          .term = batch->term,
                                                          .crc = crc,
                                                          .digest = machine_digest(h->machine)};
    world_note(h->world, NOTE_COMMIT, batch->last, crc);
    if (h->batch_count < h->probe_at) return;
    h->probe_at = h->batch_count + PROBE_EVERY;
    history_probe(h, batch);
}

void history_digest(struct history *h, uint32_t node, uint64_t index, struct digest digest, bool recounted) {
    if (h->machine == NULL || index <= h->base) return;
    if (index > h->last) {
        world_fail(h->world, "node %u applied index %llu, which nobody has committed (last %llu)", node,
                   (unsigned long long)index, (unsigned long long)h->last);
        return;
    }
    const struct history_batch *known = find(h, index);
    if (known == NULL || known->last != index) {
        world_fail(h->world, "node %u stands at index %llu, inside a batch", node, (unsigned long long)index);
        return;
    }
    if (!digest_equal(known->digest, digest))
        world_fail(h->world, "node %u has another state at index %llu%s", node, (unsigned long long)index,
                   recounted ? " (recounted)" : "");
}

void history_leader(struct history *h, uint32_t node, uint64_t term) {
    h->term_leaders = grow_to(h->term_leaders, &h->term_capacity, term + 1, sizeof *h->term_leaders);
    if (h->term_leaders[term] == 0) {
        h->term_leaders[term] = node;
        h->leaders++;
    } else if (h->term_leaders[term] != node) {
        world_fail(h->world, "two leaders in term %llu: nodes %u and %u", (unsigned long long)term,
                   h->term_leaders[term], node);
    }
}

struct history_session *history_session(struct history *h, uint64_t session) {
    size_t low = 0, high = h->session_count; // created in the order of their numbers
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (h->sessions[middle].session < session)
            low = middle + 1;
        else
            high = middle;
    }
    return low < h->session_count && h->sessions[low].session == session ? &h->sessions[low] : NULL;
}

uint64_t history_mark_index(const struct history *h, uint64_t number) {
    return number < h->mark_capacity ? h->marks[number].index : 0;
}
