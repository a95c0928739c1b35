// Keep-alive (replication.md "Sessions", "Keep-alive"): renewable deadlines as the leader's soft state. Every node
// keeps the list of leases from apply's events; only the leader's deadlines mean something, and only in log time.
//
//   core_keepalive (this node's round) --FRAME_KEEPALIVE--> leader: renews at once, waits for a quorum round begun
//   after, then acks
#include "base/planted.h"
#include "replica/core_internal.h"

#define RECHECK_MS 50u // a lease that is due but whose node has not spoken yet is looked at again

void core_keepalive_init(struct core *core) {
    hash_init(&core->leases);
    list_init(&core->lease_order);
    heap_init(&core->lease_due);
    ring_init(&core->checkpoints, sizeof(struct checkpoint));
}

static bool matches(const struct hash_node *node, const void *key) {
    return CONTAINER_OF_CONST(node, struct renewable, node_by_session)->session == *(const uint64_t *)key;
}

static struct renewable *find(const struct core *core, uint64_t session) {
    struct hash_node *node = hash_find(&core->leases, hash_u64(session), matches, &session);
    return node == NULL ? NULL : CONTAINER_OF(node, struct renewable, node_by_session);
}

static void stop_expiring(struct core *core, struct renewable *r) {
    if (!r->expiring) return;
    r->expiring = false;
    ENSURE(core->expires_waiting > 0);
    core->expires_waiting--;
}

static void drop(struct core *core, struct renewable *r) {
    stop_expiring(core, r);
    heap_remove(&core->lease_due, &r->due);
    hash_remove(&core->leases, &r->node_by_session);
    list_remove(&r->order);
    mem_free(r);
}

void core_keepalive_forget(struct core *core) {
    while (!list_empty(&core->lease_order)) drop(core, CONTAINER_OF(core->lease_order.next, struct renewable, order));
    ENSURE(core->expires_waiting == 0);
    ring_clear(&core->checkpoints);
}

static uint64_t grace(uint32_t timeout_ms) {
    uint64_t third = timeout_ms / 3;
    return third < CORE_GRACE_MAX_MS ? third : CORE_GRACE_MAX_MS;
}

static void renew(struct core *core, struct renewable *r, uint64_t remaining_ms) {
    uint64_t deadline = core->log_time_ms + remaining_ms + grace(r->timeout_ms);
    if (deadline > r->deadline_ms) r->deadline_ms = deadline;
    if (r->due.at == 0) heap_set(&core->lease_due, &r->due, r->deadline_ms, r->session); // else moved when it comes up
}

// ---- what apply tells

void core_keepalive_events(struct core *core, const struct lease_event *events, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct lease *lease = &events[i].lease;
        struct renewable *r = find(core, lease->session);
        if (events[i].type == LEASE_EVENT_ENDED) {
            if (r != NULL) drop(core, r);
            continue;
        }
        if (r == NULL) {
            r = mem_zalloc(sizeof *r);
            r->session = lease->session;
            hash_insert(&core->leases, &r->node_by_session, hash_u64(r->session));
            list_push_back(&core->lease_order, &r->order);
        }
        stop_expiring(core, r); // a newer attach: the entry that judged the older one is void
        r->clearing = r->checkpointing = false;
        r->attach = lease->attach;
        r->timeout_ms = lease->timeout_ms;
        r->node = lease->node;
        r->remaining_ms = lease->remaining_ms;
        r->deadline_ms = 0;
        if (core->leading) {
            heap_remove(&core->lease_due, &r->due);
            renew(core, r, r->timeout_ms);
        }
    }
}

static void scan_checkpoint(struct core *core, uint64_t last, struct bytes args) {
    struct reader r = reader_of(args.data, args.len);
    uint64_t count = read_varint(&r);
    for (uint64_t i = 0; i < count && !r.failed; i++) {
        struct checkpoint found = {.index = last};
        found.session = read_varint(&r);
        found.attach = read_varint(&r);
        found.remaining_ms = read_varint(&r);
        if (!r.failed) *(struct checkpoint *)ring_push(&core->checkpoints) = found;
    }
}

// Behind the events of the same entries: a lease that was attached since has another attach number, and is left alone.
void core_keepalive_applied(struct core *core) {
    while (core->checkpoints.count > 0) {
        const struct checkpoint *found = ring_front(&core->checkpoints);
        if (found->index > core->applied) return;
        struct renewable *lease = find(core, found->session);
        if (lease != NULL && lease->attach == found->attach) {
            lease->remaining_ms = found->remaining_ms;
            if (found->remaining_ms == 0) lease->clearing = lease->checkpointing = false;
        }
        ring_pop(&core->checkpoints);
    }
}

// Checkpoints make no event; they are the leader's own entries, so they stand in a batch's sections of origin 0 only.
void core_keepalive_scan(struct core *core, const struct batch_ref *batch) {
    if (get_u16_le(batch->buf->data + 12) != BATCH_COMMANDS) return;
    struct bytes body = batch_body(batch);
    struct reader r = reader_of(body.data, body.len);
    while (reader_left(&r) >= SECTION_HEADER_BYTES) {
        const uint8_t *head = read_span(&r, SECTION_HEADER_BYTES).data;
        struct bytes commands = read_span(&r, get_u32_le(head + 24));
        if (r.failed || get_u32_le(head) != 0) continue;
        struct reader section = reader_of(commands.data, commands.len);
        while (reader_left(&section) > 0 && !section.failed) {
            struct command command;
            struct bytes span = read_span(&section, read_u32_le(&section));
            if (!section.failed && command_read(&command, span) && command.model == MODEL_LEASE &&
                command.op == LEASE_CHECKPOINT)
                scan_checkpoint(core, batch->last, command.args);
        }
    }
}

// ---- leadership

void core_keepalive_leader_changed(struct core *core) {
    for (struct list *at = core->lease_order.next; at != &core->lease_order; at = at->next) {
        struct renewable *r = CONTAINER_OF(at, struct renewable, order);
        stop_expiring(core, r);
        r->clearing = r->checkpointing = false;
        r->deadline_ms = 0;
        heap_remove(&core->lease_due, &r->due);
    }
    for (uint32_t id = 1; id < CORE_MEMBER_IDS; id++) {
        struct peer_state *peer = core->peers[id];
        if (peer != NULL) peer->knew_log_ms = 0;
    }
}

// A new leader knows of no activity before its time: everyone gets the whole time-out again, but long leases what the
// last checkpoint left them.
void core_keepalive_leading(struct core *core) {
    core_time_move(core);
    for (struct list *at = core->lease_order.next; at != &core->lease_order; at = at->next) {
        struct renewable *r = CONTAINER_OF(at, struct renewable, order);
        bool checkpointed = r->timeout_ms > CORE_CHECKPOINT_OVER_MS && r->remaining_ms != 0;
        r->deadline_ms = 0;
        renew(core, r, PLANTED(NEW_LEADER_EXTENDS_NOTHING) ? 0 : checkpointed ? r->remaining_ms : r->timeout_ms);
    }
    for (uint32_t id = 1; id < CORE_MEMBER_IDS; id++) {
        struct peer_state *peer = core->peers[id];
        if (peer == NULL) continue;
        peer->heard_log_ms = peer->round_log_ms = core->log_time_ms;
        peer->knew_log_ms = 0;
    }
    core->checkpoint_log_ms = core->leading_log_ms = core->log_time_ms;
}

// ---- rounds

void core_round_free(struct round *round) {
    mem_free(round->active);
    round->active = NULL;
}

static void take_back_checkpoint(struct core *core, struct renewable *r) {
    if (r->clearing) return;
    r->clearing = true;
    struct lease lease = {.session = r->session, .attach = r->attach, .remaining_ms = 0};
    struct writer w;
    writer_init(&w);
    lease_write_checkpoint(&w, &lease, 1);
    core_internal_command(core, bytes_of(w.data, w.len));
    writer_free(&w);
}

// A round reaches the leader: what it names is alive as of now. The answer waits for the quorum round.
static void receive(struct core *core, uint32_t node, uint64_t round, const struct core_keepalive *active,
                    size_t count) {
    ENSURE(core->leading);
    for (size_t i = 0; i < count; i++) {
        struct renewable *r = find(core, active[i].session);
        if (r != NULL && r->attach == active[i].attach && !r->expiring) renew(core, r, r->timeout_ms);
    }
    struct round given = {node, round, (struct core_keepalive *)(uintptr_t)active, count};
    if (PLANTED(KEEPALIVE_WITHOUT_ROUND)) core_keepalive_answer(core, &given);
    struct round *waiting = ring_push(&core->waiting_round.keepalives);
    *waiting = (struct round){node, round, NULL, count};
    if (count > 0) {
        waiting->active = mem_alloc(count * sizeof *active);
        memcpy(waiting->active, active, count * sizeof *active);
    }
}

static bool acknowledged(struct core *core, const struct core_keepalive *k) {
    struct renewable *r = find(core, k->session);
    if (r == NULL || r->attach != k->attach || r->expiring) return false;
    if (r->timeout_ms > CORE_CHECKPOINT_OVER_MS && (r->remaining_ms != 0 || r->checkpointing)) {
        // A new leader would go by the checkpoint: it must be gone before anyone is told that he has the whole time
        // again.
        take_back_checkpoint(core, r);
        return false;
    }
    return true;
}

void core_keepalive_answer(struct core *core, struct round *round) {
    if (!core->leading) return; // deposed: never acknowledged
    struct core_keepalive *unknown = mem_alloc((round->count + 1) * sizeof *unknown);
    size_t count = 0;
    for (size_t i = 0; i < round->count; i++)
        if (!acknowledged(core, &round->active[i])) unknown[count++] = round->active[i];
    if (round->node == core->options.id) {
        core->ops.keepalive_acked(core->ops.context, round->round, unknown, count);
    } else {
        struct writer tail;
        writer_init(&tail);
        for (size_t i = 0; i < count; i++) {
            write_varint(&tail, unknown[i].session);
            write_varint(&tail, unknown[i].attach);
        }
        struct core_frame frame = {.type = FRAME_KEEPALIVE_ACK,
                                   .term = core->term,
                                   .a = round->round,
                                   .count = (uint32_t)count,
                                   .tail = bytes_of(tail.data, tail.len)};
        core_send_frame(core, round->node, CORE_CONTROL, &frame, NULL, 0);
        writer_free(&tail);
    }
    mem_free(unknown);
}

void core_keepalive(struct core *core, uint64_t now_ms, uint64_t round, const struct core_keepalive *active,
                    size_t count) {
    core->now_ms = now_ms;
    core_time_move(core);
    if (core->leading) {
        struct peer_state *self = core_peer(core, core->options.id);
        self->round_log_ms = self->heard_log_ms = core->log_time_ms;
        self->knew_log_ms = core_time_known_at(core, round);
        receive(core, core->options.id, round, active, count);
    } else if (core->formed && core->leader != 0 && core->leader != core->options.id && core->role == RAFT_FOLLOWER) {
        struct writer tail;
        writer_init(&tail);
        for (size_t i = 0; i < count; i++) {
            write_varint(&tail, active[i].session);
            write_varint(&tail, active[i].attach);
        }
        struct core_frame frame = {.type = FRAME_KEEPALIVE,
                                   .term = core->term,
                                   .a = round,
                                   .b = core_time_known_at(core, round),
                                   .signed_value = core->ops.unix_ms(core->ops.context),
                                   .count = (uint32_t)count,
                                   .tail = bytes_of(tail.data, tail.len)};
        if (core->sample_count > 0) {
            const struct sample_slot *sample = &core->samples[(core->sample_count - 1) % DIGEST_SAMPLES_KEPT];
            frame.c = sample->index;
            frame.digest = sample->digest;
        }
        core_send_frame(core, core->leader, CORE_CONTROL, &frame, NULL, 0);
        writer_free(&tail);
    }
    core_flush(core);
}

static struct core_keepalive *decode_pairs(const struct core_frame *frame) {
    if (frame->count > frame->tail.len / 2) return NULL; // a pair takes two bytes at least
    struct core_keepalive *pairs = mem_alloc((frame->count + 1) * sizeof *pairs);
    struct reader r = reader_of(frame->tail.data, frame->tail.len);
    for (uint32_t i = 0; i < frame->count; i++) {
        pairs[i].session = read_varint(&r);
        pairs[i].attach = read_varint(&r);
    }
    if (reader_done(&r)) return pairs;
    mem_free(pairs);
    return NULL;
}

void core_keepalive_frame(struct core *core, uint32_t from, const struct core_frame *frame) {
    if (frame->term != core->term) return;
    struct core_keepalive *pairs = decode_pairs(frame);
    if (pairs == NULL) {
        LOG_WARN(core->options.log, "bad keep-alive dropped peer=%u", from);
        return;
    }
    if (frame->type == FRAME_KEEPALIVE_ACK) {
        if (from == core->leader && core->role == RAFT_FOLLOWER)
            core->ops.keepalive_acked(core->ops.context, frame->a, pairs, frame->count);
    } else if (core->role == RAFT_LEADER && core_peer_trusted(core, from)) {
        struct peer_state *peer = core_peer(core, from);
        peer->unix_at_ms = core->now_ms;
        if (__builtin_sub_overflow(frame->signed_value, core->ops.unix_ms(core->ops.context), &peer->unix_ahead_ms))
            peer->unix_ahead_ms = frame->signed_value < 0 ? INT64_MIN : INT64_MAX; // a clock beyond all clocks
        if (core->leading) {
            peer->round_log_ms = core->log_time_ms;
            if (frame->b > peer->knew_log_ms) peer->knew_log_ms = frame->b;
            receive(core, from, frame->a, pairs, frame->count);
        }
        if (frame->c != 0) core_digest_peer(core, from, frame->c, frame->digest);
    }
    mem_free(pairs);
}

// ---- expiry

// May this lease, whose deadline has passed, be expired? Its node must have had the chance to name it: a round that
// stands behind a reading turn past the deadline, and did not (else the deadline would have moved). Or the node is
// gone.
static bool node_agrees(const struct core *core, const struct renewable *r) {
    const struct peer_state *peer = r->node < CORE_MEMBER_IDS ? core->peers[r->node] : NULL;
    const struct member *member = membership_find(raft_membership(core->raft), r->node);
    if (peer != NULL && peer->knew_log_ms > r->deadline_ms) return true;
    if (member == NULL) return true;
    if (r->node == core->options.id) return false; // our own loop's standstill stops log time
    if (peer == NULL) return core->log_time_ms >= core->leading_log_ms + core->options.election_ms;
    // All in log time, which a pause of our own does not move.
    return core->log_time_ms >= peer->heard_log_ms + core->options.election_ms ||
           core->log_time_ms >= peer->round_log_ms + CORE_LOOP_GONE_MS;
}

static void expire(struct core *core, struct renewable *r) {
    r->expiring = true;
    core->expires_waiting++;
    struct writer w;
    writer_init(&w);
    lease_write_expire(&w, r->session, r->attach);
    core_internal_command(core, bytes_of(w.data, w.len));
    writer_free(&w);
    heap_remove(&core->lease_due, &r->due);
    uint32_t dropped = 0; // strangers can open and leave sessions by the thousand
    if (log_limit_pass(&core->expire_log, 5, core->now_ms, &dropped))
        LOG_INFO(core->options.log, "session expires session=%llu attach=%llu node=%u timeout_ms=%u dropped=%u",
                 (unsigned long long)r->session, (unsigned long long)r->attach, r->node, r->timeout_ms, dropped);
}

static void checkpoints(struct core *core) {
    if (core->log_time_ms < core->checkpoint_log_ms + CORE_CHECKPOINT_EVERY_MS) return;
    core->checkpoint_log_ms = core->log_time_ms;
    struct lease leases[CORE_CHECKPOINT_MAX];
    size_t count = 0;
    struct writer w;
    writer_init(&w);
    for (struct list *at = core->lease_order.next; at != &core->lease_order; at = at->next) {
        struct renewable *r = CONTAINER_OF(at, struct renewable, order);
        if (r->timeout_ms <= CORE_CHECKPOINT_OVER_MS || r->expiring || r->clearing) continue;
        uint64_t end = r->deadline_ms - grace(r->timeout_ms);
        uint64_t remaining = end > core->log_time_ms ? end - core->log_time_ms : 1;
        // One that was renewed lately has nothing to lose by a new leader's full extension.
        if (remaining + CORE_CHECKPOINT_EVERY_MS >= r->timeout_ms) continue;
        r->checkpointing = true;
        leases[count++] = (struct lease){.session = r->session, .attach = r->attach, .remaining_ms = remaining};
        if (count < CORE_CHECKPOINT_MAX) continue;
        writer_clear(&w);
        lease_write_checkpoint(&w, leases, count);
        core_internal_command(core, bytes_of(w.data, w.len));
        count = 0;
    }
    if (count > 0) {
        writer_clear(&w);
        lease_write_checkpoint(&w, leases, count);
        core_internal_command(core, bytes_of(w.data, w.len));
    }
    writer_free(&w);
}

void core_keepalive_tick(struct core *core) {
    if (!core_may_propose(core) || core->stopping) return;
    checkpoints(core);
    for (;;) {
        struct heap_item *item = heap_first(&core->lease_due);
        if (item == NULL || item->time > core->log_time_ms || core->expires_waiting >= CORE_EXPIRE_MAX) return;
        struct renewable *r = CONTAINER_OF(item, struct renewable, due);
        if (r->deadline_ms > core->log_time_ms)
            heap_set(&core->lease_due, &r->due, r->deadline_ms, r->session);
        else if (node_agrees(core, r))
            expire(core, r);
        else
            heap_set(&core->lease_due, &r->due, core->log_time_ms + RECHECK_MS, r->session);
    }
}
