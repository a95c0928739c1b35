// Linearizable rounds (replication.md "Reads"; Raft thesis 6.4): all that waits, reads and keep-alives of this node and
// of others, shares the next quorum round of the leader; one round at a time, begun after what it answers arrived.
#include "replica/core_internal.h"

void core_read_init(struct core *core) {
    ring_init(&core->reads, sizeof(struct read_wait));
    ring_init(&core->reads_out, sizeof(struct read_wait));
    struct round_bundle *bundles[] = {&core->waiting_round, &core->running_round};
    for (int i = 0; i < 2; i++) {
        ring_init(&bundles[i]->keepalives, sizeof(struct round));
        ring_init(&bundles[i]->reads, sizeof(struct read_wait));
    }
}

static void clear_keepalives(struct round_bundle *bundle) {
    while (bundle->keepalives.count > 0) {
        core_round_free(ring_front(&bundle->keepalives));
        ring_pop(&bundle->keepalives);
    }
}

void core_read_free(struct core *core) {
    struct round_bundle *bundles[] = {&core->waiting_round, &core->running_round};
    for (int i = 0; i < 2; i++) {
        clear_keepalives(bundles[i]);
        ring_free(&bundles[i]->keepalives);
        ring_free(&bundles[i]->reads);
    }
    ring_free(&core->reads);
    ring_free(&core->reads_out);
}

static void move_own(struct ring *from, struct ring *to) {
    while (from->count > 0) {
        struct read_wait wait = *(struct read_wait *)ring_front(from);
        ring_pop(from);
        if (wait.node == 0) *(struct read_wait *)ring_push(to) = wait;
    }
}

// A round of an older leadership proves nothing any more: our reads ask again, others' nodes see the change themselves.
void core_read_leader_changed(struct core *core) {
    struct ring newer = core->reads;
    ring_init(&core->reads, sizeof(struct read_wait));
    move_own(&core->running_round.reads, &core->reads);
    move_own(&core->waiting_round.reads, &core->reads);
    move_own(&core->reads_out, &core->reads);
    move_own(&newer, &core->reads);
    ring_free(&newer);
    clear_keepalives(&core->running_round);
    clear_keepalives(&core->waiting_round);
    core->running = 0;
    core->read_asked = false;
}

void core_read(struct core *core, uint64_t now_ms, uint64_t round) {
    core->now_ms = now_ms;
    if (core->stopping) {
        core->ops.read_ready(core->ops.context, round, 0, COMMAND_NOT_APPLIED);
        return;
    }
    *(struct read_wait *)ring_push(&core->reads) = (struct read_wait){0, round, now_ms};
    core_flush(core);
}

static bool empty(const struct round_bundle *bundle) {
    return bundle->keepalives.count == 0 && bundle->reads.count == 0;
}

static void start_round(struct core *core) {
    move_own(&core->reads, &core->waiting_round.reads);
    if (core->running != 0 || empty(&core->waiting_round)) return;
    struct round_bundle swap = core->running_round;
    ENSURE(empty(&swap));
    core->running_round = core->waiting_round;
    core->waiting_round = swap;
    uint64_t term = core->term;
    struct raft_event event = {.type = RAFT_EVENT_READ};
    uint64_t round = core_step(core, &event)->read_round;
    if (core->term != term || core->role != RAFT_LEADER) return; // leader_changed has put everything back
    ENSURE(round != 0);
    core->running = round;
}

static void ask_leader(struct core *core) {
    if (core->read_asked && core->now_ms >= core->read_sent_ms + core->options.election_ms) {
        core->read_asked = false; // lost: asked again, with whatever has come since
        struct ring newer = core->reads;
        core->reads = core->reads_out;
        core->reads_out = newer;
        move_own(&core->reads_out, &core->reads);
    }
    if (core->read_asked || core->reads.count == 0) return;
    move_own(&core->reads, &core->reads_out);
    core->read_asked = true;
    core->read_sent_ms = core->now_ms;
    struct core_frame frame = {.type = FRAME_READ_ASK, .term = core->term, .a = ++core->read_id};
    core_send_frame(core, core->leader, CORE_CONTROL, &frame, NULL, 0);
}

static void refuse_old(struct core *core, struct ring *reads) {
    while (reads->count > 0) {
        struct read_wait *wait = ring_front(reads);
        if (core->now_ms < wait->since_ms + CORE_WAIT_MS) return;
        core->ops.read_ready(core->ops.context, wait->round, 0, COMMAND_NOT_APPLIED);
        ring_pop(reads);
    }
}

void core_read_pump(struct core *core) {
    refuse_old(core, &core->reads);
    refuse_old(core, &core->reads_out);
    if (core->role == RAFT_LEADER)
        start_round(core);
    else if (core->role == RAFT_FOLLOWER && core->leader != 0 && core->leader != core->options.id)
        ask_leader(core);
}

void core_read_ready(struct core *core, const struct raft_read_ready *ready) {
    if (core->running == 0 || ready->round < core->running || core->role != RAFT_LEADER) return;
    core->running = 0;
    struct round_bundle *done = &core->running_round;
    while (done->keepalives.count > 0) {
        struct round round = *(struct round *)ring_front(&done->keepalives);
        ring_pop(&done->keepalives);
        core_keepalive_answer(core, &round);
        core_round_free(&round);
    }
    while (done->reads.count > 0) {
        struct read_wait wait = *(struct read_wait *)ring_front(&done->reads);
        ring_pop(&done->reads);
        if (wait.node == 0) {
            core->ops.read_ready(core->ops.context, wait.round, ready->index, 0);
        } else {
            struct core_frame frame = {
                .type = FRAME_READ_ANSWER, .term = core->term, .a = wait.round, .b = ready->index, .flags = ANSWER_OK};
            core_send_frame(core, wait.node, CORE_CONTROL, &frame, NULL, 0);
        }
    }
}

void core_read_frame(struct core *core, uint32_t from, const struct core_frame *frame) {
    if (frame->term != core->term) return;
    if (frame->type == FRAME_READ_ASK) {
        if (core->role != RAFT_LEADER || !core_peer_trusted(core, from)) return;
        *(struct read_wait *)ring_push(&core->waiting_round.reads) = (struct read_wait){from, frame->a, core->now_ms};
        return;
    }
    if (from != core->leader || core->role != RAFT_FOLLOWER || !core->read_asked || frame->a != core->read_id) return;
    core->read_asked = false;
    while (core->reads_out.count > 0) {
        struct read_wait wait = *(struct read_wait *)ring_front(&core->reads_out);
        ring_pop(&core->reads_out);
        core->ops.read_ready(core->ops.context, wait.round, frame->b, 0);
    }
}

void core_read_refuse(struct core *core, int error) {
    struct ring *rings[] = {&core->reads_out, &core->reads, &core->running_round.reads, &core->waiting_round.reads};
    for (int i = 0; i < 4; i++) {
        struct ring own;
        ring_init(&own, sizeof(struct read_wait));
        move_own(rings[i], &own);
        while (own.count > 0) {
            core->ops.read_ready(core->ops.context, ((struct read_wait *)ring_front(&own))->round, 0, error);
            ring_pop(&own);
        }
        ring_free(&own);
    }
}
