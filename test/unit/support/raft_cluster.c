#include "test/unit/support/raft_cluster.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "consensus/raft_internal.h"

#define GROW(array, count, capacity)                                                                                   \
    do {                                                                                                               \
        if ((count) == (capacity)) {                                                                                   \
            (capacity) = (capacity) == 0 ? 16 : (capacity)*2;                                                          \
            (array) = mem_realloc((array), (capacity) * sizeof *(array));                                              \
        }                                                                                                              \
    } while (0)

static struct batch_ref ref(const struct batch_ref *b) {
    struct batch_ref copy = *b;
    buf_ref(copy.buf);
    return copy;
}

uint64_t rafts_commit_max(const struct rafts *c) {
    return c->commit_count == 0 ? 0 : c->commits[c->commit_count - 1].last;
}

// ---- the network ----

static void send_message(struct rafts *c, const struct rafts_node *node, struct raft_message *m) {
    c->sent[m->type]++;
    if (c->cut[m->from][m->to]) {
        raft_message_release(m);
        return;
    }
    GROW(c->flight, c->flight_count, c->flight_capacity);
    struct rafts_message *flying = &c->flight[c->flight_count++];
    flying->m = *m;
    memcpy(flying->from_incarnation, node->incarnation, INCARNATION_BYTES);
    m->batches = NULL;
    m->batch_count = 0;
}

static struct raft_message copy_message(const struct raft_message *m) {
    struct raft_message copy = *m;
    copy.batches = mem_alloc(m->batch_count * sizeof *copy.batches);
    for (size_t i = 0; i < m->batch_count; i++) copy.batches[i] = ref(&m->batches[i]);
    return copy;
}

static struct rafts_message take_flight(struct rafts *c, size_t place) {
    ENSURE(place < c->flight_count);
    struct rafts_message taken = c->flight[place];
    c->flight_count--;
    memmove(&c->flight[place], &c->flight[place + 1], (c->flight_count - place) * sizeof *c->flight);
    return taken;
}

void rafts_drop(struct rafts *c, size_t place) {
    struct rafts_message taken = take_flight(c, place);
    raft_message_release(&taken.m);
}

void rafts_duplicate(struct rafts *c, size_t place) {
    GROW(c->flight, c->flight_count, c->flight_capacity);
    c->flight[c->flight_count] = c->flight[place];
    c->flight[c->flight_count++].m = copy_message(&c->flight[place].m);
}

static void through_codec(struct raft_message *m) { // what arrives is what was sent
    struct writer w;
    struct raft_message back;
    size_t tail = 0;
    writer_init(&w);
    raft_message_encode(m, &w, &tail);
    size_t head = w.len;
    for (size_t i = 0; i < m->batch_count; i++)
        write_span(&w, bytes_of(m->batches[i].buf->data, m->batches[i].buf->len));
    ENSURE(w.len == head + tail);
    bool good = raft_message_decode(&back, bytes_of(w.data, w.len));
    ENSURE(good);
    writer_free(&w);
    raft_message_release(m);
    *m = back;
}

void rafts_deliver(struct rafts *c, size_t place) {
    struct rafts_message taken = take_flight(c, place);
    struct rafts_node *to = &c->nodes[taken.m.to];
    if ((c->steps & 3) == 0) through_codec(&taken.m);
    if (to->raft != NULL && !c->cut[taken.m.from][taken.m.to]) {
        struct raft_event e = rafts_no_event(RAFT_EVENT_MESSAGE);
        e.message = &taken.m;
        e.from_incarnation = taken.from_incarnation;
        rafts_step(c, taken.m.to, &e);
    }
    raft_message_release(&taken.m);
}

// ---- disks ----

static void disk_free(struct rafts_disk *d) {
    for (size_t i = 0; i < d->count; i++) batch_ref_release(&d->batches[i]);
    mem_free(d->batches);
    membership_free(&d->start_membership);
    membership_free(&d->snapshot_membership);
    memset(d, 0, sizeof *d);
}

static uint64_t disk_last(const struct rafts_disk *d) {
    return d->count == 0 ? d->start_index : d->batches[d->count - 1].last;
}

static const struct batch_ref *disk_find(const struct rafts_disk *d, uint64_t index) {
    size_t low = 0, high = d->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (d->batches[middle].last < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low < d->count && d->batches[low].first <= index ? &d->batches[low] : NULL;
}

static bool disk_has(const struct rafts_disk *d, uint64_t index, uint64_t term) {
    if (index <= d->start_index) return true;
    const struct batch_ref *b = disk_find(d, index);
    return b != NULL && b->term == term;
}

static void disk_apply(struct rafts_disk *d, const struct rafts_write *w) {
    if (w->hard) d->term = w->term, d->voted_for = w->voted_for;
    if (w->installed) {
        for (size_t i = 0; i < d->count; i++) batch_ref_release(&d->batches[i]);
        d->count = 0;
        d->start_index = w->start_index;
        d->start_term = w->start_term;
        membership_free(&d->start_membership);
        membership_copy(&d->start_membership, &w->membership);
    }
    if (w->truncate_from != 0) {
        while (d->count > 0 && d->batches[d->count - 1].first >= w->truncate_from)
            batch_ref_release(&d->batches[--d->count]);
        ENSURE(disk_last(d) == w->truncate_from - 1);
    }
    for (size_t i = 0; i < w->append_count; i++) {
        ENSURE(w->append[i].first == disk_last(d) + 1);
        GROW(d->batches, d->count, d->capacity);
        d->batches[d->count++] = ref(&w->append[i]);
    }
}

static void write_free(struct rafts_write *w) {
    for (size_t i = 0; i < w->append_count; i++) batch_ref_release(&w->append[i]);
    for (size_t i = 0; i < w->after_count; i++) raft_message_release(&w->after[i]);
    mem_free(w->append);
    mem_free(w->after);
    membership_free(&w->membership);
}

bool rafts_persist(struct rafts *c, uint32_t id) {
    struct rafts_node *node = &c->nodes[id];
    if (node->raft == NULL || node->write_count == 0) return false;
    struct rafts_write w = node->writes[0];
    node->write_count--;
    memmove(node->writes, node->writes + 1, node->write_count * sizeof *node->writes);
    disk_apply(&node->disk, &w);
    bool tell_first = (c->steps & 1) == 0; // either order must do
    struct raft_event e = rafts_no_event(RAFT_EVENT_PERSISTED);
    e.number = w.number;
    if (w.number != 0 && tell_first) rafts_step(c, id, &e);
    for (size_t i = 0; i < w.after_count; i++) send_message(c, node, &w.after[i]);
    if (w.number != 0 && !tell_first) rafts_step(c, id, &e);
    write_free(&w);
    return true;
}

// ---- observers ----

static bool durable_on(const struct rafts *c, const struct member *member, uint64_t index, uint64_t term) {
    const struct rafts_node *node = &c->nodes[member->id];
    if (memcmp(node->incarnation, member->incarnation, INCARNATION_BYTES) != 0) return true; // wiped since
    return disk_has(&node->disk, index, term);
}

static void check_durable(const struct rafts *c, const struct rafts_node *node, uint64_t index, uint64_t term) {
    const struct raft_membership *m = raft_membership(node->raft);
    uint32_t old_size = 0, old_has = 0, new_size = 0, new_has = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct member *member = &m->members[i];
        if (member->role == MEMBER_LEARNER) continue;
        bool has = durable_on(c, member, index, term);
        if (member->role != MEMBER_INCOMING) old_size++, old_has += has;
        if (member->role != MEMBER_OUTGOING) new_size++, new_has += has;
    }
    ENSURE(old_has > old_size / 2);
    ENSURE(new_has > new_size / 2);
}

static const struct rafts_commit *commit_at(const struct rafts *c, uint64_t index) {
    size_t low = 0, high = c->commit_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c->commits[middle].last < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->commit_count && c->commits[low].first <= index ? &c->commits[low] : NULL;
}

static void apply_one(struct rafts *c, struct rafts_node *node, const struct batch_ref *b) {
    ENSURE(b->first == node->applied + 1);
    const struct rafts_commit *known = commit_at(c, b->first);
    if (known == NULL) {
        ENSURE(b->first == rafts_commit_max(c) + 1);
        GROW(c->commits, c->commit_count, c->commit_capacity);
        c->commits[c->commit_count++] = (struct rafts_commit){b->first, b->last, b->term, buf_ref(b->buf)};
    } else { // State Machine Safety
        ENSURE(known->first == b->first && known->last == b->last && known->term == b->term);
        ENSURE(known->buf->len == b->buf->len && memcmp(known->buf->data, b->buf->data, b->buf->len) == 0);
    }
    node->applied = b->last;
    node->applied_term = b->term;
    struct raft_membership m;
    if (raft_membership_of_batch(b, &m)) {
        membership_free(&node->applied_membership);
        node->applied_membership = m;
        c->changes++;
    }
}

static void apply(struct rafts *c, struct rafts_node *node) {
    uint64_t commit = raft_commit(node->raft);
    while (node->applied < commit) {
        struct batch_ref out[4];
        size_t count = raft_committed(node->raft, node->applied + 1, 300, out, 4);
        for (size_t i = 0; i < count; i++) apply_one(c, node, &out[i]);
        if (count > 0) continue;
        const struct batch_ref *b = disk_find(&node->disk, node->applied + 1); // the tail let it go: storage has it
        ENSURE(b != NULL);
        apply_one(c, node, b);
    }
}

static void check_leader(struct rafts *c, const struct rafts_node *node, bool fresh) {
    uint64_t term = raft_term(node->raft), own = 0;
    while (c->leaders_count <= term) {
        c->leaders = mem_realloc(c->leaders, (c->leaders_count + 1) * sizeof *c->leaders);
        c->leaders[c->leaders_count++] = 0;
    }
    ENSURE(c->leaders[term] == 0 || c->leaders[term] == node->id); // Election Safety
    c->leaders[term] = node->id;
    if (!fresh || c->commit_count == 0) return;
    c->elections++;
    const struct rafts_commit *newest = &c->commits[c->commit_count - 1]; // Leader Completeness
    ENSURE(raft_last_index(node->raft) >= newest->last);
    ENSURE(!raft_term_at(node->raft, newest->last, &own) || own == newest->term);
}

static void check_reads(struct rafts *c, const struct rafts_node *node, const struct raft_update *u) {
    for (size_t i = 0; i < c->read_count;) {
        struct rafts_read *r = &c->reads[i];
        bool gone = r->node == node->id && (raft_role(node->raft) != RAFT_LEADER || raft_term(node->raft) != r->term);
        for (size_t k = 0; k < u->reads_ready_count && r->node == node->id && !gone; k++) {
            if (r->round > u->reads_ready[k].round) continue;
            ENSURE(u->reads_ready[k].index >= r->floor); // linearizable
            ENSURE(u->reads_ready[k].index <= raft_commit(node->raft));
            c->reads_done++;
            gone = true;
        }
        if (gone)
            c->reads[i] = c->reads[--c->read_count];
        else
            i++;
    }
}

void rafts_check_logs(struct rafts *c) {
    for (uint32_t a = 1; a < CLUSTER_NODES; a++) {
        for (uint32_t b = a + 1; b < CLUSTER_NODES; b++) {
            const struct raft *x = c->nodes[a].raft, *y = c->nodes[b].raft;
            if (x == NULL || y == NULL) continue;
            uint64_t index = x->log.last < y->log.last ? x->log.last : y->log.last;
            uint64_t low = x->log.start_index > y->log.start_index ? x->log.start_index : y->log.start_index;
            bool agree = false;
            for (; index >= low && index > 0; index--) {
                uint64_t term_x = 0, term_y = 0;
                if (!raft_term_at(x, index, &term_x) || !raft_term_at(y, index, &term_y)) break;
                ENSURE(!agree || term_x == term_y); // Log Matching
                agree |= term_x == term_y;
                size_t i = raft_log_find(&x->log, index), k = raft_log_find(&y->log, index);
                if (term_x != term_y || i == SIZE_MAX || k == SIZE_MAX) continue;
                const struct batch_ref *p = raft_log_slot(&x->log, i), *q = raft_log_slot(&y->log, k);
                ENSURE(p->first == q->first && p->last == q->last);
                ENSURE(p->buf == q->buf ||
                       (p->buf->len == q->buf->len && memcmp(p->buf->data, q->buf->data, p->buf->len) == 0));
            }
        }
    }
}

// ---- steps ----

struct raft_event rafts_no_event(enum raft_event_type type) {
    struct raft_event e = {0};
    e.type = type;
    return e;
}

static void queue_write(struct rafts_node *node, const struct raft_update *u) {
    if (u->persist_number == 0 && u->send_after_count == 0) return;
    struct rafts_write w = {0};
    w.number = u->persist_number;
    w.hard = u->hard_changed;
    w.term = u->term;
    w.voted_for = u->voted_for;
    w.installed = u->installed;
    w.start_index = u->start_index;
    w.start_term = u->start_term;
    if (u->installed) membership_copy(&w.membership, &node->installing);
    w.truncate_from = u->truncate_from;
    w.append = mem_alloc(u->append_count * sizeof *w.append);
    w.append_count = u->append_count;
    for (size_t i = 0; i < u->append_count; i++) w.append[i] = ref(&u->append[i]);
    w.after = mem_alloc(u->send_after_count * sizeof *w.after);
    w.after_count = u->send_after_count;
    for (size_t i = 0; i < u->send_after_count; i++) w.after[i] = copy_message(&u->send_after[i]);
    GROW(node->writes, node->write_count, node->write_capacity);
    node->writes[node->write_count++] = w;
}

const struct raft_update *rafts_step(struct rafts *c, uint32_t id, struct raft_event *event) {
    struct rafts_node *node = &c->nodes[id];
    ENSURE(node->raft != NULL);
    bool led = raft_role(node->raft) == RAFT_LEADER;
    uint64_t term_before = raft_term(node->raft), commit_before = raft_commit(node->raft);
    event->now_ms = c->now_ms;
    const struct raft_update *u = raft_step(node->raft, event);
    c->steps++;
    raft_check(node->raft);
    ENSURE(u->term >= term_before && u->commit >= commit_before);
    bool leads = raft_role(node->raft) == RAFT_LEADER;
    if (leads) check_leader(c, node, !led || raft_term(node->raft) != term_before);
    if (u->installed) {
        node->applied = u->start_index;
        node->applied_term = u->start_term;
        membership_free(&node->applied_membership);
        membership_copy(&node->applied_membership, &node->installing);
        c->installs++;
    }
    if (u->commit_changed && leads && u->commit > rafts_commit_max(c)) {
        uint64_t term = 0;
        ENSURE(raft_term_at(node->raft, u->commit, &term) && term == raft_term(node->raft));
        check_durable(c, node, u->commit, term);
    }
    apply(c, node);
    check_reads(c, node, u);
    for (size_t i = 0; i < u->need_count; i++) {
        GROW(node->needs, node->need_count, node->need_capacity);
        node->needs[node->need_count++] = u->needs[i];
    }
    for (size_t i = 0; i < u->snapshot_count; i++) {
        bool queued = false;
        for (size_t k = 0; k < node->snapshot_count; k++) queued |= node->snapshots[k] == u->snapshots[i].peer;
        if (!queued) node->snapshots[node->snapshot_count++] = u->snapshots[i].peer;
    }
    queue_write(node, u);
    for (size_t i = 0; i < u->send_count; i++) {
        struct raft_message copy = copy_message(&u->send[i]);
        send_message(c, node, &copy);
        raft_message_release(&copy);
    }
    return u;
}

const struct raft_update *rafts_event(struct rafts *c, uint32_t id, enum raft_event_type type) {
    struct raft_event e = rafts_no_event(type);
    return rafts_step(c, id, &e);
}

void rafts_tick(struct rafts *c, uint32_t id) {
    rafts_event(c, id, RAFT_EVENT_TICK);
}

struct batch_ref rafts_batch(const struct batch_header *header, struct bytes bytes) {
    struct writer commands = {0}, body = {0};
    for (uint32_t i = 1; i < header->count; i++) write_u32_le(&commands, 0);
    write_u32_le(&commands, (uint32_t)bytes.len);
    write_span(&commands, bytes);
    struct section section = {.count = header->count, .commands = bytes_of(commands.data, commands.len)};
    section_write(&body, &section);
    struct batch_ref batch = batch_make(header, bytes_of(body.data, body.len));
    writer_free(&commands);
    writer_free(&body);
    return batch;
}

int rafts_propose(struct rafts *c, uint32_t id, uint32_t count, size_t bytes) {
    const struct raft *raft = c->nodes[id].raft;
    uint8_t body[4096];
    ENSURE(bytes <= sizeof body);
    for (size_t i = 0; i < bytes; i++) body[i] = (uint8_t)prng_next(&c->prng);
    struct batch_header h = {
        .kind = BATCH_COMMANDS, .count = count, .first_index = raft_next_index(raft), .term = raft_term(raft)};
    if (raft_role(raft) != RAFT_LEADER) h.term = 1;
    struct batch_ref batch = rafts_batch(&h, bytes_of(body, bytes));
    struct raft_event e = rafts_no_event(RAFT_EVENT_PROPOSE);
    e.batches = &batch;
    e.batch_count = 1;
    return rafts_step(c, id, &e)->refused;
}

uint64_t rafts_read_ask(struct rafts *c, uint32_t id) {
    uint64_t floor = rafts_commit_max(c), term = raft_term(c->nodes[id].raft);
    uint64_t done = c->reads_done;
    GROW(c->reads, c->read_count, c->read_capacity);
    // Entered before the step with a round that no ready can reach, as a node alone answers within the step.
    c->reads[c->read_count++] = (struct rafts_read){id, term, UINT64_MAX, floor};
    const struct raft_update *u = rafts_event(c, id, RAFT_EVENT_READ);
    ENSURE(c->reads_done == done || u->reads_ready_count > 0);
    for (size_t i = 0; i < c->read_count; i++) {
        if (c->reads[i].round != UINT64_MAX) continue;
        c->reads[i].round = u->read_round;
        for (size_t k = 0; k < u->reads_ready_count; k++)
            ENSURE(u->reads_ready[k].index >= floor || u->reads_ready[k].round < u->read_round);
        if (u->read_round == 0 ||
            (u->reads_ready_count > 0 && u->reads_ready[u->reads_ready_count - 1].round >= u->read_round)) {
            c->reads_done += u->read_round != 0;
            c->reads[i] = c->reads[--c->read_count];
        }
        break;
    }
    return u->read_round;
}

int rafts_change(struct rafts *c, uint32_t id, const struct raft_membership *next) {
    struct raft_event e = rafts_no_event(RAFT_EVENT_MEMBERSHIP);
    e.membership = next;
    return rafts_step(c, id, &e)->refused;
}

bool rafts_answer_need(struct rafts *c, uint32_t id) {
    struct rafts_node *node = &c->nodes[id];
    if (node->raft == NULL || node->need_count == 0) return false;
    struct raft_need need = node->needs[0];
    node->need_count--;
    memmove(node->needs, node->needs + 1, node->need_count * sizeof *node->needs);
    struct batch_ref found[16];
    size_t count = 0, bytes = 0;
    for (uint64_t at = need.first; at <= need.last && count < 16; at = found[count - 1].last + 1) {
        const struct batch_ref *b = disk_find(&node->disk, at);
        if (b == NULL || (count > 0 && bytes + b->buf->len > need.bytes_max)) break;
        bytes += b->buf->len;
        found[count++] = ref(b);
    }
    struct raft_event e = rafts_no_event(RAFT_EVENT_ENTRIES);
    e.peer = need.peer;
    e.batches = found;
    e.batch_count = count;
    rafts_step(c, id, &e);
    return true;
}

void rafts_snapshot(struct rafts *c, uint32_t id, bool cut) {
    struct rafts_node *node = &c->nodes[id];
    struct rafts_disk *d = &node->disk;
    if (node->raft == NULL || node->applied <= d->start_index || node->applied <= d->snapshot_index) return;
    if (!disk_has(d, node->applied, node->applied_term)) return; // applied before its own disk has it
    d->snapshot_index = node->applied;
    d->snapshot_term = node->applied_term;
    membership_free(&d->snapshot_membership);
    membership_copy(&d->snapshot_membership, &node->applied_membership);
    if (cut) {
        size_t drop = 0;
        while (drop < d->count && d->batches[drop].last <= node->applied) batch_ref_release(&d->batches[drop++]);
        d->count -= drop;
        memmove(d->batches, d->batches + drop, d->count * sizeof *d->batches);
        d->start_index = d->snapshot_index;
        d->start_term = d->snapshot_term;
        membership_free(&d->start_membership);
        membership_copy(&d->start_membership, &d->snapshot_membership);
    }
    struct raft_event e = rafts_no_event(RAFT_EVENT_SNAPSHOT_MADE);
    e.index = d->snapshot_index;
    e.term = d->snapshot_term;
    rafts_step(c, id, &e);
}

bool rafts_send_snapshot(struct rafts *c, uint32_t id, bool arrives) {
    struct rafts_node *node = &c->nodes[id];
    if (node->raft == NULL || node->snapshot_count == 0) return false;
    uint32_t peer = node->snapshots[0];
    node->snapshot_count--;
    memmove(node->snapshots, node->snapshots + 1, node->snapshot_count * sizeof *node->snapshots);
    struct rafts_node *to = &c->nodes[peer];
    const struct member *named = membership_find(raft_membership(node->raft), peer);
    struct rafts_disk *from = &node->disk;
    bool ok = arrives && to->raft != NULL && from->snapshot_index > 0 && !c->cut[id][peer] && !c->cut[peer][id] &&
              named != NULL && memcmp(named->incarnation, to->incarnation, INCARNATION_BYTES) == 0 &&
              from->snapshot_index > to->disk.snapshot_index;
    if (ok) {
        to->disk.snapshot_index = from->snapshot_index; // complete on disk before Raft hears of it
        to->disk.snapshot_term = from->snapshot_term;
        membership_free(&to->disk.snapshot_membership);
        membership_copy(&to->disk.snapshot_membership, &from->snapshot_membership);
        membership_free(&to->installing);
        membership_copy(&to->installing, &from->snapshot_membership);
        struct raft_event e = rafts_no_event(RAFT_EVENT_INSTALL);
        e.index = from->snapshot_index;
        e.term = from->snapshot_term;
        e.membership = &to->installing;
        rafts_step(c, peer, &e);
    }
    struct raft_event e = rafts_no_event(RAFT_EVENT_SNAPSHOT_SENT);
    e.peer = peer;
    e.ok = ok;
    e.index = from->snapshot_index;
    e.term = from->snapshot_term;
    rafts_step(c, id, &e);
    return true;
}

// ---- life ----

void rafts_start(struct rafts *c, uint32_t id) {
    struct rafts_node *node = &c->nodes[id];
    struct rafts_disk *d = &node->disk;
    ENSURE(node->raft == NULL);
    if (d->snapshot_index > d->start_index && !(disk_has(d, d->snapshot_index, d->snapshot_term))) {
        // A snapshot was complete, its new start of the log was not: the log cannot hold what follows it.
        struct rafts_write w = {.installed = true, .start_index = d->snapshot_index, .start_term = d->snapshot_term};
        membership_copy(&w.membership, &d->snapshot_membership);
        disk_apply(d, &w);
        membership_free(&w.membership);
    }
    struct raft_options o = c->options;
    o.id = id;
    memcpy(o.incarnation, node->incarnation, INCARNATION_BYTES);
    o.seed = prng_next(&c->prng);
    bool snapshot = d->snapshot_index > 0;
    struct raft_restored restored = {.term = d->term,
                                     .voted_for = d->voted_for,
                                     .start_index = d->start_index,
                                     .start_term = d->start_term,
                                     .membership = d->start_membership,
                                     .batches = d->batches,
                                     .batch_count = d->count,
                                     .commit = snapshot && d->snapshot_index > d->start_index ? d->snapshot_index
                                                                                              : d->start_index};
    node->raft = raft_new(&o, &restored, c->now_ms);
    node->applied = snapshot ? d->snapshot_index : 0;
    node->applied_term = snapshot ? d->snapshot_term : 0;
    membership_free(&node->applied_membership);
    membership_copy(&node->applied_membership, snapshot ? &d->snapshot_membership : &d->start_membership);
    raft_check(node->raft);
}

void rafts_crash(struct rafts *c, uint32_t id, size_t writes_done) {
    struct rafts_node *node = &c->nodes[id];
    if (node->raft == NULL) return;
    for (size_t i = 0; i < node->write_count; i++) {
        if (i < writes_done) disk_apply(&node->disk, &node->writes[i]);
        write_free(&node->writes[i]);
    }
    node->write_count = node->need_count = node->snapshot_count = 0;
    raft_free(node->raft);
    node->raft = NULL;
    for (size_t i = 0; i < c->read_count;) {
        if (c->reads[i].node == id)
            c->reads[i] = c->reads[--c->read_count];
        else
            i++;
    }
}

void rafts_wipe(struct rafts *c, uint32_t id) {
    struct rafts_node *node = &c->nodes[id];
    rafts_crash(c, id, 0);
    disk_free(&node->disk);
    memcpy(node->old_incarnation, node->incarnation, INCARNATION_BYTES);
    put_u64_le(node->incarnation + 8, prng_next(&c->prng));
    node->wiped = true;
    c->wipes++;
}

struct rafts *rafts_new(uint32_t voters, uint64_t seed) {
    struct rafts *c = mem_zalloc(sizeof *c);
    c->seed = seed;
    prng_seed(&c->prng, seed);
    c->now_ms = 1000;
    c->options = (struct raft_options){.heartbeat_ms = 100,
                                       .election_ms = 500,
                                       .inflight_bytes_max = 1500,
                                       .inflight_messages_max = 6,
                                       .message_bytes_max = 500,
                                       .tail_bytes_max = 2500};
    struct raft_membership m;
    membership_init(&m);
    for (uint32_t id = 1; id < CLUSTER_NODES; id++) {
        struct rafts_node *node = &c->nodes[id];
        node->id = id;
        put_u64_le(node->incarnation, id);
        put_u64_le(node->incarnation + 8, prng_next(&c->prng));
        if (id > voters) continue;
        struct member *member = membership_add(&m, id);
        member->role = MEMBER_VOTER;
        memcpy(member->incarnation, node->incarnation, INCARNATION_BYTES);
    }
    for (uint32_t id = 1; id <= voters; id++) {
        membership_copy(&c->nodes[id].disk.start_membership, &m);
        rafts_start(c, id);
    }
    membership_free(&m);
    return c;
}

void rafts_free(struct rafts *c) {
    for (uint32_t id = 1; id < CLUSTER_NODES; id++) {
        struct rafts_node *node = &c->nodes[id];
        rafts_crash(c, id, 0);
        disk_free(&node->disk);
        membership_free(&node->applied_membership);
        membership_free(&node->installing);
        mem_free(node->writes);
        mem_free(node->needs);
    }
    while (c->flight_count > 0) rafts_drop(c, c->flight_count - 1);
    for (size_t i = 0; i < c->commit_count; i++) buf_unref(c->commits[i].buf);
    mem_free(c->commits);
    mem_free(c->flight);
    mem_free(c->leaders);
    mem_free(c->reads);
    mem_free(c);
}

// ---- scenarios ----

void rafts_settle(struct rafts *c) {
    for (size_t idle = 0, turns = 0; idle < 2; turns++) {
        ENSURE(turns < 100000); // else messages go round for ever
        bool busy = c->flight_count > 0;
        if (busy) rafts_deliver(c, 0);
        for (uint32_t id = 1; id < CLUSTER_NODES; id++) {
            if (rafts_persist(c, id)) busy = true;
            if (rafts_answer_need(c, id)) busy = true;
            if (rafts_send_snapshot(c, id, true)) busy = true;
        }
        idle = busy ? 0 : idle + 1;
    }
}

void rafts_run(struct rafts *c, uint64_t ms) {
    uint64_t until = c->now_ms + ms;
    rafts_settle(c);
    for (;;) {
        uint64_t at = UINT64_MAX;
        for (uint32_t id = 1; id < CLUSTER_NODES; id++) {
            if (c->nodes[id].raft == NULL) continue;
            uint64_t deadline = raft_next_deadline_ms(c->nodes[id].raft);
            if (deadline < at) at = deadline;
        }
        if (at > until) break;
        if (at > c->now_ms) c->now_ms = at;
        for (uint32_t id = 1; id < CLUSTER_NODES; id++) {
            if (c->nodes[id].raft == NULL || raft_next_deadline_ms(c->nodes[id].raft) > c->now_ms) continue;
            rafts_tick(c, id);
            ENSURE(raft_next_deadline_ms(c->nodes[id].raft) > c->now_ms); // a deadline that was met is gone
        }
        rafts_settle(c);
    }
    c->now_ms = until;
}

void rafts_isolate(struct rafts *c, uint32_t id, bool isolated) {
    for (uint32_t other = 1; other < CLUSTER_NODES; other++) c->cut[id][other] = c->cut[other][id] = isolated;
}

uint32_t rafts_leader(const struct rafts *c) {
    uint32_t leader = 0;
    uint64_t term = 0;
    for (uint32_t id = 1; id < CLUSTER_NODES; id++) {
        const struct raft *raft = c->nodes[id].raft;
        if (raft == NULL || raft_role(raft) != RAFT_LEADER || raft_term(raft) < term) continue;
        leader = id;
        term = raft_term(raft);
    }
    return leader;
}

void rafts_elect(struct rafts *c, uint32_t id) {
    rafts_event(c, id, RAFT_EVENT_CAMPAIGN);
    rafts_settle(c);
    ENSURE(rafts_leader(c) == id);
}

size_t rafts_find(const struct rafts *c, enum raft_message_type type, uint32_t from, uint32_t to) {
    for (size_t i = 0; i < c->flight_count; i++) {
        const struct raft_message *m = &c->flight[i].m;
        if (m->type == type && (from == 0 || m->from == from) && (to == 0 || m->to == to)) return i;
    }
    return SIZE_MAX;
}
