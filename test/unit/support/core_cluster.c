#include "test/unit/support/core_cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/ring.h"
#include "model/tree/tree.h"

struct fake_persist {
    uint64_t number, due_ms;
    bool hard_changed, installed;
    uint64_t term, truncate_from, start_index, start_term;
    uint32_t voted_for;
    struct batch_ref *append;
    size_t append_count;
};
struct fake_apply {
    struct batch_ref batch;
    uint64_t epoch;
};
struct fake_frame {
    uint32_t from, to;
    enum core_channel channel;
    uint64_t due_ms;
    struct buf *bytes;
};

// ---- ops

static void op_persist(void *context, const struct raft_update *u, uint64_t number) {
    struct cluster_node *n = context;
    struct fake_persist *p = ring_push(&n->persists);
    *p = (struct fake_persist){.number = number,
                               .due_ms = n->cluster->now_ms + n->cluster->disk_ms,
                               .hard_changed = u->hard_changed,
                               .installed = u->installed,
                               .term = u->term,
                               .voted_for = u->voted_for,
                               .truncate_from = u->truncate_from,
                               .start_index = u->start_index,
                               .start_term = u->start_term,
                               .append_count = u->append_count};
    p->append = mem_alloc((u->append_count + 1) * sizeof *p->append);
    for (size_t i = 0; i < u->append_count; i++) {
        p->append[i] = u->append[i];
        buf_ref(p->append[i].buf);
    }
}

static void op_send(void *context, uint32_t to, enum core_channel channel, struct bytes head, struct buf *const *bufs,
                    size_t count) {
    struct cluster_node *n = context;
    struct cluster *c = n->cluster;
    const struct member *receiver = n->alone ? membership_find(core_membership(n->core), to) : NULL;
    ENSURE(receiver == NULL || receiver->role == MEMBER_LEARNER); // core_ops.alone: false before such a message
    if (to < 1 || to > c->count || !c->linked[n->id][to]) return;
    size_t len = head.len;
    for (size_t i = 0; i < count; i++) len += bufs[i]->len;
    struct buf *bytes = buf_new(len);
    memcpy(bytes->data, head.data, head.len);
    size_t at = head.len;
    for (size_t i = 0; i < count; i++) {
        if (bufs[i]->len > 0) memcpy(bytes->data + at, bufs[i]->data, bufs[i]->len);
        at += bufs[i]->len;
    }
    bool pass = c->filter == NULL || c->filter(c, n->id, to, bytes->data[0], bytes_of(bytes->data, bytes->len));
    if (!pass || prng_below(&c->prng, 100) < c->loss_percent) {
        buf_unref(bytes);
        return;
    }
    int copies = prng_below(&c->prng, 100) < c->repeat_percent ? 2 : 1;
    for (int i = 0; i < copies; i++) {
        struct fake_frame *f = ring_push(&c->frames);
        uint64_t delay = 1;
        if (prng_below(&c->prng, 100) < c->disorder_percent) delay += prng_below(&c->prng, 30);
        *f = (struct fake_frame){n->id, to, channel, c->now_ms + delay, i == 0 ? bytes : buf_ref(bytes)};
    }
}

static void op_apply(void *context, const struct batch_ref *batches, size_t count, uint64_t epoch) {
    struct cluster_node *n = context;
    for (size_t i = 0; i < count; i++) {
        struct fake_apply *a = ring_push(&n->applies);
        a->batch = batches[i];
        buf_ref(a->batch.buf);
        a->epoch = epoch;
    }
}

static void op_refused(void *context, uint64_t first_tag, uint64_t count, int error) {
    struct cluster_node *n = context;
    for (uint64_t tag = first_tag; tag < first_tag + count; tag++) {
        ENSURE(n->outcomes[tag] == OUTCOME_OPEN || n->outcomes[tag] == OUTCOME_UNKNOWN);
        if (n->outcomes[tag] == OUTCOME_OPEN) n->outcomes[tag] = OUTCOME_REFUSED;
        n->errors[tag] = error;
        for (size_t i = 0; i < n->tags.count; i++) {
            if (*(uint64_t *)ring_at(&n->tags, i) != tag) continue;
            for (size_t k = i; k + 1 < n->tags.count; k++)
                *(uint64_t *)ring_at(&n->tags, k) = *(uint64_t *)ring_at(&n->tags, k + 1);
            ring_pop_back(&n->tags);
            break;
        }
    }
}

static void op_read_ready(void *context, uint64_t round, uint64_t index, int error) {
    struct cluster_node *n = context;
    if (round != n->read_round) return;
    n->read_done = true;
    n->read_index = index;
    if (error != 0)
        n->read_errors++;
    else
        ENSURE(index >= n->read_required); // linearizable
}

void cluster_ask(struct cluster *c, uint32_t id) {
    struct cluster_node *n = &c->nodes[id];
    n->read_done = false;
    n->read_required = 0;
    for (uint32_t other = 1; other <= c->count; other++) {
        const struct cluster_node *o = &c->nodes[other];
        if (o->up && machine_applied(o->machine) > n->read_required) n->read_required = machine_applied(o->machine);
    }
    n->read_round++;
    core_read(n->core, c->now_ms, n->read_round);
}

// Nobody is told that he is alive after another could have been given what he held: an expiry is at least T + G behind
// whatever activity was, or will yet be, acknowledged.
static void check_expiry(const struct cluster *c, const struct cluster_session *s, uint64_t acked_ms) {
    uint64_t grace = s->timeout_ms / 3 < 2000 ? s->timeout_ms / 3 : 2000;
    for (size_t i = 0; i < c->expired_count; i++)
        if (c->expired[i].session == s->session) ENSURE(c->expired[i].at_ms >= acked_ms + s->timeout_ms + grace);
}

static void op_keepalive_acked(void *context, uint64_t round, const struct core_keepalive *unknown, size_t count) {
    struct cluster_node *n = context;
    for (size_t i = 0; i < n->session_count; i++) {
        struct cluster_session *s = &n->sessions[i];
        bool known = s->activity_ms != 0 && s->activity_ms <= round;
        for (size_t k = 0; k < count; k++)
            if (unknown[k].session == s->session && unknown[k].attach == s->attach) known = false;
        if (!known) continue;
        s->acked_ms = s->activity_ms;
        check_expiry(n->cluster, s, s->acked_ms);
    }
}

static void op_status(void *context, const struct core_status *status) {
    ((struct cluster_node *)context)->status = *status;
}
static void op_clock(void *context, uint64_t log_time_ms) {
    ((struct cluster_node *)context)->log_time_ms = log_time_ms;
}

static void op_install(void *context, uint64_t index, uint64_t term, uint64_t epoch) {
    struct cluster_node *n = context;
    ENSURE(n->snapshot.index == index && n->snapshot.term == term);
    for (size_t i = 0; i < n->tags.count; i++) n->outcomes[*(uint64_t *)ring_at(&n->tags, i)] = OUTCOME_UNKNOWN;
    ring_clear(&n->tags);
    n->installing = true;
    n->install_index = index;
    n->install_term = term;
    n->install_epoch = epoch;
}

static void op_want_snapshot(void *context) {
    ((struct cluster_node *)context)->snapshots_wanted++;
}

static void op_admin_done(void *context, uint64_t request, int error, const char *text) {
    struct cluster_node *n = context;
    if (request == 0) {
        n->stopped = true;
        return;
    }
    n->admin_done = true;
    n->admin_request = request;
    n->admin_error = error;
    snprintf(n->admin_text, sizeof n->admin_text, "%s", text);
}

static void op_read_log(void *context, const struct raft_need *need) {
    struct cluster_node *n = context;
    struct batch_ref batches[64];
    size_t count = 0;
    for (size_t i = 0; i < n->log.count && count < 64 && (need->peer == 0 || need->first > n->unreadable_upto); i++) {
        const struct batch_ref *b = ring_at(&n->log, i);
        if (b->last < need->first || b->first > need->last) continue;
        batches[count] = *b;
        buf_ref(batches[count++].buf);
    }
    if (count > 0 && batches[0].first > need->first) {
        for (size_t i = 0; i < count; i++) batch_ref_release(&batches[i]);
        count = 0;
    }
    core_entries(n->core, n->cluster->now_ms, need, batches, count);
}

static int64_t op_snapshot_read(void *context, uint64_t index, uint64_t term, uint64_t offset, void *data, size_t len) {
    const struct cluster_node *n = context;
    if (n->snapshot.index != index || n->snapshot.term != term || offset > n->snapshot.bytes.len) return -ENOENT;
    if (n->snapshot_unreadable) return -EIO;
    if (len > n->snapshot.bytes.len - offset) len = n->snapshot.bytes.len - offset;
    memcpy(data, n->snapshot.bytes.data + offset, len);
    if (n->snapshot_rotten && len > 0) ((uint8_t *)data)[len / 2] ^= 1;
    return (int64_t)len;
}

// head: index, term, log time, digest, membership blob; then model u8, length u32, bytes ...
static void save(struct cluster_node *n) {
    struct cluster_snapshot *s = &n->snapshot;
    writer_clear(&s->bytes);
    n->snapshot_unreadable = n->snapshot_rotten = false;
    s->index = machine_applied(n->machine);
    s->term = machine_applied_term(n->machine);
    struct digest digest = machine_digest(n->machine);
    write_u64_le(&s->bytes, s->index);
    write_u64_le(&s->bytes, s->term);
    write_u64_le(&s->bytes, machine_log_time_ms(n->machine));
    write_u64_le(&s->bytes, digest.lo);
    write_u64_le(&s->bytes, digest.hi);
    struct writer m;
    writer_init(&m);
    membership_encode(machine_membership(n->machine), &m);
    write_blob(&s->bytes, bytes_of(m.data, m.len));
    writer_free(&m);
    struct machine_cursor cursor = {0};
    uint8_t *chunk = mem_alloc(256u << 10);
    for (;;) {
        uint8_t model = 0;
        size_t len = machine_save(n->machine, &cursor, &model, chunk, 256u << 10);
        if (len == 0) break;
        write_u8(&s->bytes, model);
        write_u32_le(&s->bytes, (uint32_t)len);
        write_span(&s->bytes, bytes_of(chunk, len));
    }
    mem_free(chunk);
    while (s->bytes.len < (1u << 20) && n->cluster->check_raft) write_u8(&s->bytes, 0xff); // padding: several chunks
}

static void sink_own(void *context, uint64_t seq, const struct result *result) {
    struct cluster_node *n = context;
    if (seq == 1) return; // the stream's opening
    ENSURE(n->tags.count > 0);
    uint64_t tag = *(uint64_t *)ring_front(&n->tags);
    ring_pop(&n->tags);
    ENSURE(n->outcomes[tag] == OUTCOME_OPEN);
    n->outcomes[tag] = OUTCOME_APPLIED;
    n->errors[tag] = result->error;
    if (result->model != MODEL_LEASE || result->op != LEASE_ATTACH || result->error != 0) return;
    const struct lease_result *lease = result->value;
    for (size_t i = 0; i < n->session_count; i++) {
        if (n->sessions[i].attach_tag != tag) continue;
        n->sessions[i].session = lease->session;
        n->sessions[i].attach = lease->attach;
    }
}

static void sink_event(void *context, uint8_t model, const void *event) {
    struct cluster_node *n = context;
    if (model == MODEL_LEASE) {
        const struct lease_event *e = event;
        *(struct lease_event *)ring_push(&n->lease_events) = *e;
        if (e->type == LEASE_EVENT_ENDED) {
            struct cluster *c = n->cluster;
            bool first = e->reason == LEASE_EXPIRE;
            for (size_t i = 0; i < c->expired_count; i++)
                if (c->expired[i].session == e->lease.session) first = false;
            if (first) {
                ENSURE(c->expired_count < sizeof c->expired / sizeof c->expired[0]);
                c->expired[c->expired_count].session = e->lease.session;
                c->expired[c->expired_count++].at_ms = c->now_ms;
                for (uint32_t id = 1; id <= c->count; id++)
                    for (size_t i = 0; i < c->nodes[id].session_count; i++)
                        check_expiry(c, &c->nodes[id].sessions[i], c->nodes[id].sessions[i].acked_ms);
            }
            n->ended_session = e->lease.session;
            n->ended_count++;
        }
        return;
    }
    const struct tree_event *e = event;
    if (model != MODEL_TREE || e->type != TREE_EVENT_CREATED) return;
    write_span(&n->history, e->path);
    write_u8(&n->history, '\n');
}

// As the service loop does it: what is under way ends as unknown, and core is told before it gets any other command.
static void sink_stream_gone(void *context, uint32_t member, uint64_t boot) {
    struct cluster_node *n = context;
    if (member != n->id || boot != n->boot) return;
    for (size_t i = 0; i < n->tags.count; i++) n->outcomes[*(uint64_t *)ring_at(&n->tags, i)] = OUTCOME_UNKNOWN;
    ring_clear(&n->tags);
    n->own_gone = boot;
}

static struct machine *limited(const struct cluster_node *n, struct machine *machine) {
    if (n->apply_level_max != 0) machine_limit_apply_level(machine, n->apply_level_max);
    return machine;
}

static struct machine *machine_of(struct cluster_node *n) {
    struct machine_sink sink = {.own = sink_own, .event = sink_event, .stream_gone = sink_stream_gone, .context = n};
    return limited(n, machine_new(n->id, n->boot, &sink));
}

static int load(struct cluster_node *n, const struct cluster_snapshot *s, struct machine *machine,
                struct raft_membership *membership) {
    struct reader r = reader_of(s->bytes.data, s->bytes.len);
    uint64_t index = read_u64_le(&r), term = read_u64_le(&r), log_time = read_u64_le(&r);
    struct digest digest = {.lo = read_u64_le(&r), .hi = read_u64_le(&r)};
    struct bytes m = read_blob(&r);
    while (reader_left(&r) > 0 && r.data[r.at] != 0xff) {
        uint8_t model = read_u8(&r);
        struct bytes chunk = read_span(&r, read_u32_le(&r));
        if (r.failed || machine_load(machine, model, chunk.data, chunk.len) != 0) return -EBADMSG;
    }
    if (r.failed || machine_load_finish(machine, index, term, log_time, m, digest) != 0) return -EBADMSG;
    if (membership != NULL && !membership_decode(membership, m)) return -EBADMSG;
    return 0;
}

static int op_snapshot_write(void *context, uint64_t index, uint64_t term, uint64_t offset, const void *data,
                             size_t len, bool last, struct raft_membership *membership) {
    struct cluster_node *n = context;
    struct cluster_snapshot *s = &n->receiving;
    if (s->index != index || s->term != term) writer_clear(&s->bytes);
    s->index = index;
    s->term = term;
    if (offset != s->bytes.len) return -EINVAL;
    write_span(&s->bytes, bytes_of(data, len));
    n->snapshot_writes++;
    if (!last) return 0;
    struct machine *check = limited(n, machine_new(n->id, 0, NULL));
    int error = load(n, s, check, membership);
    machine_free(check);
    if (error == 0) {
        struct writer old = n->snapshot.bytes;
        n->snapshot = *s;
        s->bytes = old;
    }
    writer_clear(&s->bytes);
    s->index = s->term = 0;
    return error;
}

static int64_t op_snapshot_received(void *context, uint64_t index, uint64_t term) {
    const struct cluster_node *n = context;
    return n->receiving.index == index && n->receiving.term == term ? (int64_t)n->receiving.bytes.len : 0;
}

static bool op_snapshot_newest(void *context, uint64_t *index, uint64_t *term, uint64_t *bytes) {
    const struct cluster_node *n = context;
    *index = n->snapshot.index;
    *term = n->snapshot.term;
    *bytes = n->snapshot.bytes.len;
    return n->snapshot.index != 0;
}

static uint64_t op_raise_boot(void *context) {
    struct cluster_node *n = context;
    machine_set_boot(n->machine, ++n->boot);
    return n->boot;
}

static void op_set_cluster(void *context, const uint8_t cluster_id[16]) {
    struct cluster_node *n = context;
    memcpy(n->cluster_id, cluster_id, 16);
    n->formed = true;
}

static void op_form(void *context, const struct raft_membership *m, const uint8_t cluster_id[16], uint64_t index,
                    uint64_t term) {
    struct cluster_node *n = context;
    struct machine *machine = limited(n, machine_new(n->id, n->boot, NULL)), *own = n->machine;
    machine_genesis(machine, index, term, 0, 0, m);
    n->machine = machine;
    save(n);
    n->machine = own;
    machine_free(machine);
}

static int64_t op_unix_ms(void *context) {
    const struct cluster_node *n = context;
    return 1000000 + (int64_t)n->cluster->now_ms + n->clock_ahead_ms;
}
static uint64_t op_service_turn_ms(void *context) {
    return ((struct cluster_node *)context)->turn_ms;
}
static void op_alone(void *context, bool alone) {
    ((struct cluster_node *)context)->alone = alone;
}

// ---- life

static void prepare(struct cluster *c, uint32_t id) {
    struct cluster_node *n = &c->nodes[id];
    n->cluster = c;
    n->id = id;
    n->next_tag = 1;
    for (size_t i = 0; i < INCARNATION_BYTES; i += 8) put_u64_le(n->incarnation + i, prng_next(&c->prng));
    ring_init(&n->log, sizeof(struct batch_ref));
    ring_init(&n->persists, sizeof(struct fake_persist));
    ring_init(&n->applies, sizeof(struct fake_apply));
    ring_init(&n->tags, sizeof(uint64_t));
    ring_init(&n->lease_events, sizeof(struct lease_event));
    n->ops = (struct core_ops){.persist = op_persist,
                               .send = op_send,
                               .apply = op_apply,
                               .refused = op_refused,
                               .read_ready = op_read_ready,
                               .keepalive_acked = op_keepalive_acked,
                               .status = op_status,
                               .clock = op_clock,
                               .install = op_install,
                               .want_snapshot = op_want_snapshot,
                               .admin_done = op_admin_done,
                               .read_log = op_read_log,
                               .snapshot_read = op_snapshot_read,
                               .snapshot_write = op_snapshot_write,
                               .snapshot_received = op_snapshot_received,
                               .snapshot_newest = op_snapshot_newest,
                               .raise_boot = op_raise_boot,
                               .set_cluster = op_set_cluster,
                               .form = op_form,
                               .unix_ms = op_unix_ms,
                               .service_turn_ms = op_service_turn_ms,
                               .alone = op_alone,
                               .context = n};
}

struct cluster *cluster_new(uint32_t count, uint64_t seed) {
    struct cluster *c = mem_zalloc(sizeof *c);
    ENSURE(count >= 1 && count <= CLUSTER_NODES_MAX);
    c->count = count;
    c->now_ms = 10000;
    c->disk_ms = 2;
    prng_seed(&c->prng, seed);
    ring_init(&c->frames, sizeof(struct fake_frame));
    c->log = getenv("CORE_LOG") != NULL ? log_new(LOG_LEVEL_DEBUG, NULL, NULL) : NULL;
    for (uint32_t id = 1; id <= count; id++) {
        c->listed[id - 1].id = id;
        snprintf(c->listed[id - 1].address, ADDRESS_TEXT_MAX, "node%u:1", id);
        prepare(c, id);
    }
    for (uint32_t id = 1; id <= count; id++) cluster_start(c, id);
    return c;
}

static void add_lease(void *context, const struct lease *lease) {
    struct cluster_node *n = context;
    *(struct lease_event *)ring_push(&n->lease_events) =
        (struct lease_event){.type = LEASE_EVENT_ATTACHED, .lease = *lease};
}

static void report(struct cluster_node *n, uint64_t bytes) {
    size_t count = n->lease_events.count;
    struct lease_event *events = mem_alloc((count + 1) * sizeof *events);
    for (size_t i = 0; i < count; i++) events[i] = *(struct lease_event *)ring_at(&n->lease_events, i);
    ring_clear(&n->lease_events);
    struct machine_stream streams[16];
    struct core_applied applied = {.epoch = n->epoch,
                                   .index = machine_applied(n->machine),
                                   .term = machine_applied_term(n->machine),
                                   .bytes = bytes,
                                   .log_time_ms = machine_log_time_ms(n->machine),
                                   .next_deadline_ms = machine_next_deadline_ms(n->machine),
                                   .unix_offset_ms = machine_unix_offset_ms(n->machine),
                                   .leases = events,
                                   .lease_count = count,
                                   .streams = streams,
                                   .own_gone = n->own_gone};
    n->own_gone = 0;
    applied.apply_level = machine_apply_level(n->machine);
    machine_settings(n->machine, applied.settings);
    applied.stream_count = machine_streams(n->machine, streams, 16);
    if (machine_newest_sample(n->machine) != NULL) applied.sample = *machine_newest_sample(n->machine);
    core_applied(n->core, n->cluster->now_ms, &applied);
    mem_free(events);
}

void cluster_start(struct cluster *c, uint32_t id) {
    struct cluster_node *n = &c->nodes[id];
    ENSURE(!n->up);
    n->boot++;
    n->up = true;
    n->paused = n->service_paused = n->installing = n->stopped = false;
    n->turn_ms = n->round_ms = c->now_ms;
    n->epoch = 1;
    n->session_count = 0;
    n->own_gone = 0;
    n->machine = machine_of(n);
    writer_clear(&n->history);
    if (n->snapshot.index != 0) {
        int error = load(n, &n->snapshot, n->machine, NULL);
        ENSURE(error == 0);
    }
    uint64_t base = machine_applied(n->machine), term = machine_applied_term(n->machine);
    struct batch_ref *batches = mem_alloc((n->log.count + 1) * sizeof *batches);
    size_t count = 0;
    uint64_t log_time = machine_log_time_ms(n->machine);
    for (size_t i = 0; i < n->log.count; i++) {
        const struct batch_ref *b = ring_at(&n->log, i);
        if (b->first <= base) continue;
        batches[count++] = *b;
        uint64_t t = get_u64_le(b->buf->data + 40);
        if (t > log_time) log_time = t;
    }
    struct raft_restored restored = {.term = n->hard_term > term ? n->hard_term : term,
                                     .voted_for = n->voted_for,
                                     .start_index = base,
                                     .start_term = term,
                                     .membership = *machine_membership(n->machine),
                                     .batches = batches,
                                     .batch_count = count,
                                     .commit = base};
    struct core_options options = {.id = id,
                                   .boot = n->boot,
                                   .listed = c->listed,
                                   .listed_count = c->count,
                                   .seed = prng_next(&c->prng),
                                   .apply_level_max = n->apply_level_max,
                                   .log_tail_bytes_max = c->log_tail_bytes,
                                   .ops = &n->ops,
                                   .log = c->log};
    memcpy(options.incarnation, n->incarnation, INCARNATION_BYTES);
    memcpy(options.cluster_id, n->cluster_id, 16);
    snprintf(options.advertised[ADVERTISED_PEER], ADDRESS_TEXT_MAX, "node%u:1", id);
    n->core = core_new(&options, &restored, n->formed, log_time, base, c->now_ms);
    mem_free(batches);
    lease_each(machine_leases(n->machine), add_lease, n);
    report(n, 0);
}

static void drop_volatile(struct cluster_node *n) {
    while (n->persists.count > 0) {
        struct fake_persist *p = ring_front(&n->persists);
        for (size_t i = 0; i < p->append_count; i++) batch_ref_release(&p->append[i]);
        mem_free(p->append);
        ring_pop(&n->persists);
    }
    while (n->applies.count > 0) {
        batch_ref_release(&((struct fake_apply *)ring_front(&n->applies))->batch);
        ring_pop(&n->applies);
    }
    for (size_t i = 0; i < n->tags.count; i++) n->outcomes[*(uint64_t *)ring_at(&n->tags, i)] = OUTCOME_UNKNOWN;
    ring_clear(&n->tags);
    ring_clear(&n->lease_events);
}

static void unlink_pair(struct cluster *c, uint32_t a, uint32_t b) {
    if (!c->linked[a][b]) return;
    c->linked[a][b] = c->linked[b][a] = false;
    for (size_t i = 0; i < c->frames.count; i++) { // what was under way is lost
        struct fake_frame *f = ring_at(&c->frames, i);
        if ((f->from == a && f->to == b) || (f->from == b && f->to == a)) f->to = 0;
    }
    uint32_t ends[2][2] = {{a, b}, {b, a}};
    for (int i = 0; i < 2; i++) {
        struct cluster_node *n = &c->nodes[ends[i][0]];
        if (!n->up) continue;
        core_peer_down(n->core, c->now_ms, ends[i][1], CORE_CONTROL);
        core_peer_down(n->core, c->now_ms, ends[i][1], CORE_BULK);
    }
}

void cluster_crash(struct cluster *c, uint32_t id) {
    struct cluster_node *n = &c->nodes[id];
    ENSURE(n->up);
    n->up = false;
    for (uint32_t other = 1; other <= c->count; other++) unlink_pair(c, id, other);
    drop_volatile(n);
    core_free(n->core);
    machine_free(n->machine);
    n->core = NULL;
    n->machine = NULL;
    memset(&n->status, 0, sizeof n->status);
    n->alone = false;
}

void cluster_wipe(struct cluster *c, uint32_t id) {
    struct cluster_node *n = &c->nodes[id];
    ENSURE(!n->up);
    while (n->log.count > 0) {
        batch_ref_release(ring_front(&n->log));
        ring_pop(&n->log);
    }
    writer_clear(&n->snapshot.bytes);
    writer_clear(&n->receiving.bytes);
    n->snapshot.index = n->receiving.index = 0;
    n->formed = false;
    n->boot = prng_next(&c->prng) >> 24; // as storage/folder.c: boots of different incarnations never meet
    n->hard_term = n->start_index = n->start_term = 0;
    n->voted_for = 0;
    memset(n->cluster_id, 0, 16);
    for (size_t i = 0; i < INCARNATION_BYTES; i += 8) put_u64_le(n->incarnation + i, prng_next(&c->prng));
}

void cluster_free(struct cluster *c) {
    for (uint32_t id = 1; id <= c->count; id++) {
        struct cluster_node *n = &c->nodes[id];
        if (n->up) cluster_crash(c, id);
        drop_volatile(n);
        while (n->log.count > 0) {
            batch_ref_release(ring_front(&n->log));
            ring_pop(&n->log);
        }
        ring_free(&n->log);
        ring_free(&n->persists);
        ring_free(&n->applies);
        ring_free(&n->tags);
        ring_free(&n->lease_events);
        writer_free(&n->snapshot.bytes);
        writer_free(&n->receiving.bytes);
        writer_free(&n->history);
    }
    for (size_t i = 0; i < c->frames.count; i++) buf_unref(((struct fake_frame *)ring_at(&c->frames, i))->bytes);
    ring_free(&c->frames);
    if (c->log != NULL) log_free(c->log);
    mem_free(c);
}

// ---- links

static void link_pairs(struct cluster *c) {
    for (uint32_t a = 1; a <= c->count; a++) {
        for (uint32_t b = a + 1; b <= c->count; b++) {
            struct cluster_node *x = &c->nodes[a], *y = &c->nodes[b];
            if (c->linked[a][b] || c->cut[a][b] || !x->up || !y->up || x->paused || y->paused) continue;
            struct core_hello hx, hy;
            const char *why;
            core_own_hello(x->core, &hx);
            core_own_hello(y->core, &hy);
            if (!core_hello(x->core, c->now_ms, &hy, &why) || !core_hello(y->core, c->now_ms, &hx, &why)) continue;
            c->linked[a][b] = c->linked[b][a] = true;
            for (int channel = 0; channel < 2; channel++) {
                core_peer_up(x->core, c->now_ms, b, y->incarnation, (enum core_channel)channel);
                core_peer_up(y->core, c->now_ms, a, x->incarnation, (enum core_channel)channel);
            }
        }
    }
}

void cluster_cut(struct cluster *c, uint32_t a, uint32_t b) {
    c->cut[a][b] = c->cut[b][a] = true;
    unlink_pair(c, a, b);
}

void cluster_isolate(struct cluster *c, uint32_t id) {
    for (uint32_t other = 1; other <= c->count; other++)
        if (other != id) cluster_cut(c, id, other);
}

void cluster_heal(struct cluster *c) {
    memset(c->cut, 0, sizeof c->cut);
}

static void deliver(struct cluster *c) {
    struct ring now = c->frames, keep;
    ring_init(&c->frames, sizeof(struct fake_frame));
    ring_init(&keep, sizeof(struct fake_frame));
    for (size_t i = 0; i < now.count; i++) {
        struct fake_frame f = *(struct fake_frame *)ring_at(&now, i);
        struct cluster_node *n = &c->nodes[f.to];
        if (f.to != 0 && (f.due_ms > c->now_ms || n->paused)) {
            *(struct fake_frame *)ring_push(&keep) = f;
            continue;
        }
        if (f.to != 0 && n->up)
            core_peer_frame(n->core, c->now_ms, f.from, f.channel, bytes_of(f.bytes->data, f.bytes->len));
        buf_unref(f.bytes);
    }
    for (size_t i = 0; i < c->frames.count; i++) // answers come behind what still waits: links keep their order
        *(struct fake_frame *)ring_push(&keep) = *(struct fake_frame *)ring_at(&c->frames, i);
    ring_free(&now);
    ring_free(&c->frames);
    c->frames = keep;
}

// ---- disk

static void disk(struct cluster_node *n) {
    struct cluster *c = n->cluster;
    while (n->persists.count > 0 && ((struct fake_persist *)ring_front(&n->persists))->due_ms <= c->now_ms) {
        struct fake_persist p = *(struct fake_persist *)ring_front(&n->persists);
        ring_pop(&n->persists);
        if (n->disk_full) {
            for (size_t i = 0; i < p.append_count; i++) batch_ref_release(&p.append[i]);
            mem_free(p.append);
            core_persisted(n->core, c->now_ms, p.number, -ENOSPC);
            continue;
        }
        if (p.hard_changed) {
            n->hard_term = p.term;
            n->voted_for = p.voted_for;
        }
        if (p.installed) {
            while (n->log.count > 0) {
                batch_ref_release(ring_front(&n->log));
                ring_pop(&n->log);
            }
            n->start_index = p.start_index;
            n->start_term = p.start_term;
        }
        while (p.truncate_from != 0 && n->log.count > 0 &&
               ((struct batch_ref *)ring_back(&n->log))->last >= p.truncate_from) {
            batch_ref_release(ring_back(&n->log));
            ring_pop_back(&n->log);
        }
        for (size_t i = 0; i < p.append_count; i++) {
            const struct batch_ref *back = ring_back(&n->log);
            ENSURE(back == NULL || back->last + 1 == p.append[i].first);
            *(struct batch_ref *)ring_push(&n->log) = p.append[i];
        }
        mem_free(p.append);
        core_persisted(n->core, c->now_ms, p.number, 0);
    }
}

// ---- the service loop

static void service(struct cluster_node *n) {
    struct cluster *c = n->cluster;
    if (n->service_paused) return;
    n->turn_ms = c->now_ms;
    if (n->installing) {
        n->installing = false;
        machine_free(n->machine);
        n->machine = machine_of(n);
        writer_clear(&n->history);
        int error = load(n, &n->snapshot, n->machine, NULL);
        ENSURE(error == 0 && machine_applied(n->machine) == n->install_index);
        n->epoch = n->install_epoch;
        n->session_count = 0;
        core_installed(n->core, c->now_ms, n->install_epoch, n->install_index);
        ring_clear(&n->lease_events);
        lease_each(machine_leases(n->machine), add_lease, n);
        report(n, 0);
    }
    uint64_t bytes = 0;
    bool any = false;
    while (n->applies.count > 0) {
        struct fake_apply a = *(struct fake_apply *)ring_front(&n->applies);
        ring_pop(&n->applies);
        if (a.epoch == n->epoch) {
            char error[256];
            int stop = machine_apply(n->machine, &a.batch, error);
            ENSURE(stop == 0);
            bytes += a.batch.buf->len;
            any = true;
        }
        batch_ref_release(&a.batch);
    }
    if (any) report(n, bytes);
    if (c->now_ms < n->round_ms + 100 || n->loop_stands) return;
    n->round_ms = c->now_ms;
    struct core_keepalive active[16];
    size_t count = 0;
    for (size_t i = 0; i < n->session_count; i++) {
        struct cluster_session *s = &n->sessions[i];
        if (s->active && s->session != 0) s->activity_ms = c->now_ms;
        if (s->activity_ms > s->acked_ms && s->session != 0)
            active[count++] = (struct core_keepalive){s->session, s->attach};
    }
    core_keepalive(n->core, c->now_ms, c->now_ms, active, count);
}

static void step(struct cluster *c) {
    c->now_ms++;
    link_pairs(c);
    deliver(c);
    for (uint32_t id = 1; id <= c->count; id++) {
        struct cluster_node *n = &c->nodes[id];
        if (!n->up || n->paused) continue;
        disk(n);
        service(n);
        core_tick(n->core, c->now_ms);
        raft_check(core_raft(n->core));
    }
}

void cluster_run(struct cluster *c, uint64_t ms) {
    for (uint64_t i = 0; i < ms; i++) step(c);
}

bool cluster_run_until(struct cluster *c, bool (*done)(struct cluster *c), uint64_t ms) {
    for (uint64_t i = 0; i < ms; i++) {
        if (done(c)) return true;
        step(c);
    }
    return done(c);
}

uint32_t cluster_leader(struct cluster *c) {
    uint32_t leader = 0;
    uint64_t term = 0;
    for (uint32_t id = 1; id <= c->count; id++) {
        if (!c->nodes[id].up) continue;
        struct core_status status;
        core_get_status(c->nodes[id].core, &status);
        if (status.role == RAFT_LEADER && status.ready && status.term > term) {
            leader = id;
            term = status.term;
        }
    }
    return leader;
}

bool cluster_ready(struct cluster *c) {
    return cluster_leader(c) != 0;
}

bool cluster_settled(struct cluster *c) {
    uint32_t leader = cluster_leader(c);
    if (leader == 0) return false;
    struct core_status status;
    core_get_status(c->nodes[leader].core, &status);
    if (status.commit != status.last_index) return false;
    for (uint32_t id = 1; id <= c->count; id++) {
        const struct cluster_node *n = &c->nodes[id];
        if (n->up && (machine_applied(n->machine) != status.last_index || n->tags.count > 0)) return false;
    }
    return true;
}

void cluster_form(struct cluster *c) {
    bool formed = cluster_run_until(c, cluster_settled, 10000);
    ENSURE(formed);
}

void cluster_command(struct cluster *c, uint32_t id, struct bytes command, uint64_t *tag) {
    struct cluster_node *n = &c->nodes[id];
    ENSURE(n->up && n->next_tag < CLUSTER_TAGS_MAX);
    *tag = n->next_tag++;
    *(uint64_t *)ring_push(&n->tags) = *tag;
    struct writer w;
    writer_init(&w);
    write_u32_le(&w, (uint32_t)command.len);
    write_span(&w, command);
    core_commands(n->core, c->now_ms, *tag, 1, bytes_of(w.data, w.len));
    writer_free(&w);
}

uint64_t cluster_create(struct cluster *c, uint32_t id) {
    struct writer w;
    writer_init(&w);
    char path[64];
    snprintf(path, sizeof path, "/%u-%05llu-", id, (unsigned long long)c->nodes[id].next_tag);
    command_write_head(&w, MODEL_TREE, TREE_OP_CREATE, 0, 0);
    write_blob(&w, bytes_of(NULL, 0)); // no identities
    struct tree_acl_entry open = {TREE_ALL, bytes_of_text("world"), bytes_of_text("anyone")};
    tree_write_create(&w, bytes_of_text(path), NULL, &open, 1, TREE_SEQUENTIAL, 0);
    uint64_t tag;
    cluster_command(c, id, bytes_of(w.data, w.len), &tag);
    writer_free(&w);
    return tag;
}

uint64_t cluster_attach(struct cluster *c, uint32_t id, uint32_t timeout_ms) {
    struct cluster_node *n = &c->nodes[id];
    uint8_t password[LEASE_PASSWORD_BYTES] = {1, 2, 3};
    struct writer w;
    writer_init(&w);
    lease_write_attach(&w, 0, password, timeout_ms, LEASE_KIND_NATIVE, id, n->boot);
    size_t at = n->session_count++;
    uint64_t tag;
    n->sessions[at] = (struct cluster_session){.active = true, .timeout_ms = timeout_ms};
    cluster_command(c, id, bytes_of(w.data, w.len), &tag);
    n->sessions[at].attach_tag = tag;
    writer_free(&w);
    for (int i = 0; i < 5000 && n->sessions[at].session == 0; i++) step(c);
    ENSURE(n->sessions[at].session != 0);
    n->sessions[at].activity_ms = n->sessions[at].acked_ms = c->now_ms;
    return at;
}

void cluster_snapshot(struct cluster *c, uint32_t id) {
    struct cluster_node *n = &c->nodes[id];
    save(n);
    while (n->log.count > 0 && ((struct batch_ref *)ring_front(&n->log))->last <= n->snapshot.index) {
        batch_ref_release(ring_front(&n->log));
        ring_pop(&n->log);
    }
    core_snapshot_made(n->core, c->now_ms, n->snapshot.index, n->snapshot.term);
}

size_t cluster_times(const struct cluster_node *n, const char *path_start) {
    size_t count = 0, len = strlen(path_start);
    for (size_t at = 0; at < n->history.len;) {
        const char *line = (const char *)n->history.data + at;
        size_t line_len = (size_t)((const char *)memchr(line, '\n', n->history.len - at) - line);
        if (line_len >= len && memcmp(line, path_start, len) == 0) count++;
        at += line_len + 1;
    }
    return count;
}

void cluster_check(struct cluster *c) {
    const struct cluster_node *first = NULL;
    for (uint32_t id = 1; id <= c->count; id++) {
        const struct cluster_node *n = &c->nodes[id];
        if (!n->up) continue;
        if (first == NULL) first = n;
        struct digest a = machine_digest(first->machine), b = machine_digest(n->machine);
        ENSURE(machine_applied(first->machine) == machine_applied(n->machine));
        ENSURE(digest_equal(a, b));
        // A history that began with a snapshot is a tail only; one that is whole must hold each command as its outcome
        // says.
        if (n->snapshot.index > 1) continue;
        for (uint32_t origin = 1; origin <= c->count; origin++) {
            const struct cluster_node *o = &c->nodes[origin];
            for (uint64_t tag = 1; tag < o->next_tag; tag++) {
                char path[64];
                snprintf(path, sizeof path, "/%u-%05llu-", origin, (unsigned long long)tag);
                size_t times = cluster_times(n, path);
                ENSURE(times <= 1);
                if (o->outcomes[tag] == OUTCOME_REFUSED) ENSURE(times == 0);
            }
        }
        // Order of each origin: paths ascend with the tags.
        uint64_t newest[CLUSTER_NODES_MAX + 1] = {0};
        for (size_t at = 0; at < n->history.len;) {
            const char *line = (const char *)n->history.data + at;
            size_t line_len = (size_t)((const char *)memchr(line, '\n', n->history.len - at) - line);
            unsigned origin = 0;
            unsigned long long tag = 0;
            if (sscanf(line, "/%u-%llu-", &origin, &tag) == 2) {
                ENSURE(origin <= c->count && tag > newest[origin]);
                newest[origin] = tag;
            }
            at += line_len + 1;
        }
    }
}
