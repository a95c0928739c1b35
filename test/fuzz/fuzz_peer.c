// What a peer sends.
//   first byte & 3: 0 bytes as a raft message (its batches' sums made right if 4 is set)   1 bytes as a frame of
//   replica
//                   else a core of three voters, driven by what peers, disk, service loop and clock may do (see `act`)
// The core's own ENSUREs and raft_check hold; what it sends can be decoded; what it hands to apply is in order.
#include "base/crc32c.h"
#include "replica/core_internal.h"
#include "test/fuzz/fuzz.h"

#include "model/tree/tree.h"

#define SELF 1u
#define PEERS 3u

struct pending { // a persist under way
    uint64_t number;
};
struct rig {
    struct core *core;
    struct core_ops ops;
    struct machine *machine;
    uint64_t now_ms, boot, epoch, next_tag, round;
    struct ring log, persists, applies, events;
    bool installing, stopped;
    uint64_t install_index, install_term, install_epoch, received;
    uint64_t heartbeat_round;
};

static void members(struct raft_membership *m) {
    membership_init(m);
    for (uint32_t id = 1; id <= PEERS; id++) {
        struct member *member = membership_add(m, id);
        memset(member->incarnation, (int)id, INCARNATION_BYTES);
        member->role = MEMBER_VOTER;
        member->apply_level_max = APPLY_LEVEL_NEWEST;
        snprintf(member->address[ADVERTISED_PEER], ADDRESS_TEXT_MAX, "node%u:1", id);
    }
}

// ---- ops

static void op_persist(void *context, const struct raft_update *u, uint64_t number) {
    struct rig *rig = context;
    while (rig->log.count > 0 &&
           (u->installed ||
            (u->truncate_from != 0 && ((struct batch_ref *)ring_back(&rig->log))->last >= u->truncate_from))) {
        batch_ref_release(ring_back(&rig->log));
        ring_pop_back(&rig->log);
    }
    for (size_t i = 0; i < u->append_count; i++) {
        const struct batch_ref *back = ring_back(&rig->log);
        while (back != NULL && back->last >= u->append[i].first) { // again, behind a full disk
            batch_ref_release(ring_back(&rig->log));
            ring_pop_back(&rig->log);
            back = ring_back(&rig->log);
        }
        ENSURE(back == NULL || back->last + 1 == u->append[i].first);
        struct batch_header header;
        ENSURE(batch_decode(u->append[i].buf->data, u->append[i].buf->len, &header));
        *(struct batch_ref *)ring_push(&rig->log) = u->append[i];
        buf_ref(u->append[i].buf);
    }
    *(struct pending *)ring_push(&rig->persists) = (struct pending){number};
}

static void op_send(void *context, uint32_t to, enum core_channel channel, struct bytes head, struct buf *const *bufs,
                    size_t count) {
    struct rig *rig = context;
    ENSURE(to >= 1 && to <= 255 && to != SELF && head.len > 0);
    struct writer w = {0};
    write_span(&w, head);
    for (size_t i = 0; i < count; i++) write_span(&w, bytes_of(bufs[i]->data, bufs[i]->len));
    if (w.data[0] == FRAME_RAFT) {
        struct raft_message m;
        ENSURE(raft_message_decode(&m, bytes_of(w.data + 1, w.len - 1)));
        ENSURE(m.from == SELF && m.to == to);
        if (m.type == RAFT_MSG_HEARTBEAT && m.round != 0) rig->heartbeat_round = m.round;
        raft_message_release(&m);
    } else {
        struct core_frame frame;
        ENSURE(core_frame_decode(&frame, bytes_of(w.data, w.len)));
    }
    writer_free(&w);
}
static void op_apply(void *context, const struct batch_ref *batches, size_t count, uint64_t epoch) {
    struct rig *rig = context;
    for (size_t i = 0; i < count; i++) {
        *(struct batch_ref *)ring_push(&rig->applies) = batches[i];
        buf_ref(batches[i].buf);
    }
}
static void op_refused(void *context, uint64_t first_tag, uint64_t count, int error) {
    ENSURE(error != 0 && count > 0);
}
static void op_read_ready(void *context, uint64_t round, uint64_t index, int error) {}
static void op_keepalive_acked(void *context, uint64_t round, const struct core_keepalive *unknown, size_t count) {}
static void op_status(void *context, const struct core_status *status) {}
static void op_clock(void *context, uint64_t log_time_ms) {}
static void op_install(void *context, uint64_t index, uint64_t term, uint64_t epoch) {
    struct rig *rig = context;
    rig->installing = true;
    rig->install_index = index;
    rig->install_term = term;
    rig->install_epoch = epoch;
}
static void op_want_snapshot(void *context) {}
static void op_admin_done(void *context, uint64_t request, int error, const char *text) {}
static void op_read_log(void *context, const struct raft_need *need) {
    struct rig *rig = context;
    struct batch_ref batches[16];
    size_t count = 0;
    for (size_t i = 0; i < rig->log.count && count < 16; i++) {
        const struct batch_ref *b = ring_at(&rig->log, i);
        if (b->last < need->first || b->first > need->last) continue;
        if (count == 0 && b->first > need->first) break;
        batches[count] = *b;
        buf_ref(batches[count++].buf);
    }
    core_entries(rig->core, rig->now_ms, need, batches, count);
}
static int64_t op_snapshot_read(void *context, uint64_t index, uint64_t term, uint64_t offset, void *data, size_t len) {
    if (offset > 1000) return -2;
    if (len > 1000 - offset) len = 1000 - offset;
    memset(data, 7, len);
    return (int64_t)len;
}
static int op_snapshot_write(void *context, uint64_t index, uint64_t term, uint64_t offset, const void *data,
                             size_t len, bool last, struct raft_membership *membership) {
    struct rig *rig = context;
    rig->received = offset + len;
    if (last) members(membership);
    return 0;
}
static int64_t op_snapshot_received(void *context, uint64_t index, uint64_t term) {
    return 0;
}
static bool op_snapshot_newest(void *context, uint64_t *index, uint64_t *term, uint64_t *bytes) {
    *index = *term = 1;
    *bytes = 1000;
    return true;
}
static uint64_t op_raise_boot(void *context) {
    return ++((struct rig *)context)->boot;
}
static void op_set_cluster(void *context, const uint8_t cluster_id[16]) {}
static void op_form(void *context, const struct raft_membership *m, const uint8_t cluster_id[16], uint64_t index,
                    uint64_t term) {
    UNREACHABLE(); // it has been formed
}
static int64_t op_unix_ms(void *context) {
    return 1700000000000 + (int64_t)((struct rig *)context)->now_ms;
}
static uint64_t op_service_turn_ms(void *context) {
    return ((struct rig *)context)->now_ms;
}

// ---- the service loop

static void event(void *context, uint8_t model, const void *what) {
    struct rig *rig = context;
    if (model == MODEL_LEASE) *(struct lease_event *)ring_push(&rig->events) = *(const struct lease_event *)what;
}

static void new_machine(struct rig *rig, uint64_t index, uint64_t term) {
    if (rig->machine != NULL) machine_free(rig->machine);
    struct machine_sink sink = {.event = event, .context = rig};
    rig->machine = machine_new(SELF, rig->boot, &sink);
    struct raft_membership m;
    members(&m);
    machine_genesis(rig->machine, index, term, 1000, 1000000, &m);
    membership_free(&m);
}

static void report(struct rig *rig, uint64_t bytes) {
    size_t count = rig->events.count;
    struct lease_event *events = mem_alloc((count + 1) * sizeof *events);
    for (size_t i = 0; i < count; i++) events[i] = *(struct lease_event *)ring_at(&rig->events, i);
    ring_clear(&rig->events);
    struct machine_stream streams[16];
    struct core_applied applied = {.epoch = rig->epoch,
                                   .index = machine_applied(rig->machine),
                                   .term = machine_applied_term(rig->machine),
                                   .bytes = bytes,
                                   .log_time_ms = machine_log_time_ms(rig->machine),
                                   .next_deadline_ms = machine_next_deadline_ms(rig->machine),
                                   .unix_offset_ms = machine_unix_offset_ms(rig->machine),
                                   .leases = events,
                                   .lease_count = count,
                                   .streams = streams};
    applied.stream_count = machine_streams(rig->machine, streams, 16);
    if (machine_newest_sample(rig->machine) != NULL) applied.sample = *machine_newest_sample(rig->machine);
    core_applied(rig->core, rig->now_ms, &applied);
    mem_free(events);
}

static void drop_applies(struct rig *rig) {
    while (rig->applies.count > 0) {
        batch_ref_release(ring_front(&rig->applies));
        ring_pop(&rig->applies);
    }
}

static void service(struct rig *rig) {
    if (rig->installing) {
        rig->installing = false;
        drop_applies(rig);
        ring_clear(&rig->events);
        rig->epoch = rig->install_epoch;
        new_machine(rig, rig->install_index, rig->install_term);
        core_installed(rig->core, rig->now_ms, rig->install_epoch, rig->install_index);
        report(rig, 0);
        return;
    }
    uint64_t bytes = 0;
    while (rig->applies.count > 0) {
        struct batch_ref batch = *(struct batch_ref *)ring_front(&rig->applies);
        ring_pop(&rig->applies);
        char error[256];
        ENSURE(batch.first == machine_applied(rig->machine) + 1);
        int result = machine_apply(rig->machine, &batch, error);
        bytes += batch.buf->len;
        batch_ref_release(&batch);
        if (result != 0) { // the node stops
            rig->stopped = true;
            return;
        }
    }
    if (bytes > 0) report(rig, bytes);
}

static void disk(struct rig *rig, int error) {
    while (rig->persists.count > 0) {
        struct pending p = *(struct pending *)ring_front(&rig->persists);
        ring_pop(&rig->persists);
        core_persisted(rig->core, rig->now_ms, p.number, error);
    }
}

// ---- life

static struct rig *rig_new(uint64_t seed) {
    struct rig *rig = mem_zalloc(sizeof *rig);
    rig->now_ms = 10000;
    rig->boot = 5;
    rig->epoch = 1;
    rig->next_tag = 1;
    ring_init(&rig->log, sizeof(struct batch_ref));
    ring_init(&rig->persists, sizeof(struct pending));
    ring_init(&rig->applies, sizeof(struct batch_ref));
    ring_init(&rig->events, sizeof(struct lease_event));
    rig->ops = (struct core_ops){.persist = op_persist,
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
                                 .context = rig};
    new_machine(rig, 1, 1);
    struct raft_restored restored = {.term = 1, .start_index = 1, .start_term = 1, .commit = 1};
    members(&restored.membership);
    restored.membership.index = 1;
    struct core_peer listed[PEERS];
    for (uint32_t i = 0; i < PEERS; i++) {
        listed[i].id = i + 1;
        snprintf(listed[i].address, ADDRESS_TEXT_MAX, "node%u:1", i + 1);
    }
    struct core_options options = {
        .id = SELF, .boot = rig->boot, .listed = listed, .listed_count = PEERS, .seed = seed, .ops = &rig->ops};
    memset(options.incarnation, SELF, INCARNATION_BYTES);
    memset(options.cluster_id, 9, 16);
    rig->core = core_new(&options, &restored, true, 1000, 1, rig->now_ms);
    membership_free(&restored.membership);
    report(rig, 0);
    return rig;
}

static void rig_free(struct rig *rig) {
    core_free(rig->core);
    machine_free(rig->machine);
    drop_applies(rig);
    while (rig->log.count > 0) {
        batch_ref_release(ring_front(&rig->log));
        ring_pop(&rig->log);
    }
    ring_free(&rig->log);
    ring_free(&rig->persists);
    ring_free(&rig->applies);
    ring_free(&rig->events);
    mem_free(rig);
}

static void peer_frame(struct rig *rig, uint32_t peer, enum core_channel channel, struct writer *w) {
    uint8_t *copy = exact(bytes_of(w->data, w->len));
    core_peer_frame(rig->core, rig->now_ms, peer, channel, bytes_of(copy, w->len));
    mem_free(copy);
    writer_free(w);
}

static void peer_raft(struct rig *rig, uint32_t peer, const struct raft_message *m) {
    struct writer w = {0};
    size_t tail;
    write_u8(&w, FRAME_RAFT);
    raft_message_encode(m, &w, &tail);
    for (size_t i = 0; i < m->batch_count; i++)
        write_span(&w, bytes_of(m->batches[i].buf->data, m->batches[i].buf->len));
    peer_frame(rig, peer, m->type == RAFT_MSG_APPEND ? CORE_BULK : CORE_CONTROL, &w);
}

static struct raft_message message(struct rig *rig, enum raft_message_type type, uint32_t peer) {
    struct raft *raft = core_raft(rig->core);
    struct raft_message m = {.type = type, .from = peer, .to = SELF, .term = raft_term(raft)};
    memset(m.to_incarnation, SELF, INCARNATION_BYTES);
    m.index = raft_last_index(raft);
    raft_term_at(raft, m.index, &m.log_term);
    return m;
}

static void write_command(struct take *t, struct writer *w) {
    struct writer one = {0};
    uint8_t how = take_u8(t);
    static const uint8_t password[LEASE_PASSWORD_BYTES];
    if (how & 1) {
        write_span(&one, take_bytes(t, how >> 2 & 15));
    } else if (how & 2) {
        lease_write_attach(&one, 0, password, 4000, LEASE_KIND_NATIVE, 1 + (how >> 2 & 1), 5);
    } else {
        char path[8];
        snprintf(path, sizeof path, "/%c", 'a' + (how >> 2 & 7));
        struct tree_acl_entry acl = {31, bytes_of_text("world"), bytes_of_text("anyone")};
        command_write_head(&one, MODEL_TREE, TREE_OP_CREATE, 0, 0);
        write_u8(&one, 0);
        tree_write_create(&one, bytes_of_text(path), NULL, &acl, 1, how >> 5 & TREE_SEQUENTIAL, 0);
    }
    write_u32_le(w, (uint32_t)one.len);
    write_span(w, bytes_of(one.data, one.len));
    writer_free(&one);
}

// Entries of the peer that leads this term, or of a new term.
static void append(struct take *t, struct rig *rig, uint32_t peer, uint8_t how) {
    struct raft_message m = message(rig, RAFT_MSG_APPEND, peer);
    if (how & 1) m.term++;
    if (how & 128) { // what stood there must go
        uint64_t back = take_u8(t) & 3;
        if (back < m.index) m.index -= back;
        raft_term_at(core_raft(rig->core), m.index, &m.log_term);
    }
    if (how & 64) m.log_term++;
    if (how & 2) m.commit = m.index;
    uint64_t first = m.index + 1;
    struct batch_ref batches[3];
    for (m.batch_count = 0; m.batch_count < (how >> 2 & 3); m.batch_count++) {
        uint8_t what = take_u8(t);
        struct writer body = {0}, commands = {0};
        struct batch_header header = {.kind = BATCH_COMMANDS,
                                      .count = 1 + (what >> 6 & 1),
                                      .first_index = first,
                                      .term = what & 32 ? m.log_term : m.term,
                                      .log_time_ms = 1000 + take_u8(t)};
        if (what & 16) {
            header.kind = what & 8 ? BATCH_EMPTY : BATCH_MEMBERSHIP;
            header.count = 1;
            if (what & 8 && what & 128) header.count = 2;
            struct bytes raw = take_bytes(t, what & 7);
            struct raft_membership list;
            members(&list);
            if (header.kind == BATCH_MEMBERSHIP) membership_encode(&list, &body);
            membership_free(&list);
            if (what & 1) write_span(&body, raw);
        } else {
            struct section section = {.origin = what & 3, .count = header.count};
            if (section.origin != 0) section.boot = 5, section.first_seq = 1 + (what >> 2 & 1);
            for (uint32_t i = 0; i < header.count; i++) write_command(t, &commands);
            section.commands = bytes_of(commands.data, commands.len);
            section_write(&body, &section);
            if (what & 128) header.count += take_u8(t) & 3; // may lie about its sections
        }
        batches[m.batch_count] = batch_make(&header, bytes_of(body.data, body.len));
        first += header.count;
        writer_free(&body);
        writer_free(&commands);
    }
    m.batches = batches;
    peer_raft(rig, peer, &m);
    for (size_t i = 0; i < m.batch_count; i++) batch_ref_release(&batches[i]);
}

static void any_frame(struct take *t, struct rig *rig, uint32_t peer, uint8_t how) {
    struct core_frame frame = {.type = (uint8_t)(2 + how % 15), .term = raft_term(core_raft(rig->core))};
    uint8_t what = take_u8(t);
    if (what & 1) frame.term = take_number(t);
    frame.a = take_number(t);
    frame.b = take_number(t);
    frame.c = take_number(t);
    frame.attempt = what & 2 ? (uint32_t)take_number(t) : what >> 6;
    frame.count = what >> 3 & 3;
    frame.flags = what >> 5;
    frame.signed_value = what & 4 ? (int64_t)take_number(t) : op_unix_ms(rig) + what;
    if (how & 128) memset(frame.id16, 9, 16);
    struct writer w = {0};
    core_frame_encode(&frame, &w);
    if (frame.type == FRAME_FORWARD)
        for (uint32_t i = 0; i < frame.count; i++) write_command(t, &w);
    else if (frame.type == FRAME_KEEPALIVE || frame.type == FRAME_KEEPALIVE_ACK || frame.type >= FRAME_ADMIN ||
             frame.type == FRAME_SNAPSHOT_CHUNK)
        write_span(&w, take_bytes(t, take_u8(t)));
    bool bulk = frame.type == FRAME_FORWARD || frame.type == FRAME_SNAPSHOT_CHUNK;
    peer_frame(rig, peer, bulk ? CORE_BULK : CORE_CONTROL, &w);
}

static void any_raft(struct take *t, struct rig *rig, uint32_t peer, uint8_t how) {
    struct raft_message m = message(rig, (enum raft_message_type)(1 + how % 10), peer);
    uint8_t what = take_u8(t);
    if (what & 1) m.term += take_u8(t) % 3;
    if (what & 2) m.index = take_number(t);
    if (what & 4) m.log_term = take_number(t);
    if (what & 8) m.round = take_number(t);
    if (what & 16) m.hint_index = take_number(t), m.hint_term = take_number(t);
    if (what & 32) m.log_time_ms = 1000 + take_u8(t);
    m.reject = what >> 6 & 1;
    m.disturb = what >> 7;
    peer_raft(rig, peer, &m);
}

// Both peers do what makes this node the leader.
static void elect(struct rig *rig) {
    for (int i = 0; i < 4 && raft_role(core_raft(rig->core)) != RAFT_LEADER; i++) {
        enum raft_role role = raft_role(core_raft(rig->core));
        if (role == RAFT_FOLLOWER) {
            rig->now_ms += 1500;
            core_tick(rig->core, rig->now_ms);
            continue;
        }
        disk(rig, 0);
        for (uint32_t peer = 2; peer <= PEERS; peer++) {
            struct raft_message m =
                message(rig, role == RAFT_PRE_CANDIDATE ? RAFT_MSG_PRE_VOTE_ANSWER : RAFT_MSG_VOTE_ANSWER, peer);
            if (role == RAFT_PRE_CANDIDATE) m.term++;
            peer_raft(rig, peer, &m);
        }
    }
}

static void agree(struct rig *rig, uint32_t peer) { // has all that we have, and heard the newest heartbeat
    disk(rig, 0);
    struct raft_message m = message(rig, RAFT_MSG_APPEND_ANSWER, peer);
    peer_raft(rig, peer, &m);
    m = message(rig, RAFT_MSG_HEARTBEAT_ANSWER, peer);
    m.round = rig->heartbeat_round;
    peer_raft(rig, peer, &m);
}

static void act(struct take *t, struct rig *rig) {
    uint8_t what = take_u8(t), how = take_u8(t);
    uint32_t peer = 2 + (what >> 7);
    switch (what & 15) {
    case 0:
        rig->now_ms += how * 8u;
        if (how == 255) core_disk_stall(rig->core, rig->now_ms, 700);
        if (how == 254)
            core_snapshot_made(rig->core, rig->now_ms, machine_applied(rig->machine),
                               machine_applied_term(rig->machine));
        break;
    case 1: {
        struct writer w = {0};
        write_span(&w, take_bytes(t, how));
        peer_frame(rig, 2 + (what >> 4 & 3), (enum core_channel)(what >> 7), &w);
        break;
    }
    case 2:
    case 3:
        any_frame(t, rig, peer, how);
        break;
    case 4:
        any_raft(t, rig, peer, how);
        break;
    case 5:
        append(t, rig, peer, how);
        break;
    case 6:
        elect(rig);
        break;
    case 7:
        agree(rig, peer);
        break;
    case 8:
        service(rig);
        break;
    case 9:
        disk(rig, (how & 3) == 1 ? -28 : 0);
        break;
    case 10: {
        uint8_t incarnation[INCARNATION_BYTES];
        memset(incarnation, how & 2 ? 77 : (int)peer, sizeof incarnation);
        if (how & 1)
            core_peer_down(rig->core, rig->now_ms, peer, (enum core_channel)(how >> 2 & 1));
        else
            core_peer_up(rig->core, rig->now_ms, peer, incarnation, (enum core_channel)(how >> 2 & 1));
        break;
    }
    case 11: {
        struct writer w = {0};
        uint32_t count = 1 + (how & 3);
        for (uint32_t i = 0; i < count; i++) write_command(t, &w);
        core_commands(rig->core, rig->now_ms, rig->next_tag, count, bytes_of(w.data, w.len));
        rig->next_tag += count;
        writer_free(&w);
        break;
    }
    case 12:
        core_read(rig->core, rig->now_ms, ++rig->round);
        core_keepalive(rig->core, rig->now_ms, rig->now_ms, &(struct core_keepalive){how, how}, how & 1);
        break;
    case 13:
        core_admin(rig->core, rig->now_ms, ++rig->round, (enum core_admin)(how % CORE_ADMIN_COUNT), how >> 5,
                   "node4:1");
        break;
    case 14: {
        struct core_hello hello = {.id = how & 7, .empty = how >> 3 & 1, .apply_level_max = how >> 4 & 3};
        const char *refusal = NULL;
        memset(hello.incarnation, how & 64 ? 77 : (int)hello.id, INCARNATION_BYTES);
        memset(hello.cluster_id, how & 128 ? 0 : 9, 16);
        snprintf(hello.address[ADVERTISED_PEER], ADDRESS_TEXT_MAX, "node%u:2", hello.id);
        if (!core_hello(rig->core, rig->now_ms, &hello, &refusal)) ENSURE(refusal != NULL);
        break;
    }
    default: // all of it goes well
        elect(rig);
        for (int i = 0; i < 2 && !rig->stopped; i++) {
            agree(rig, 2);
            agree(rig, 3);
            service(rig);
            core_tick(rig->core, rig->now_ms += 20);
        }
    }
    if (rig->stopped) return;
    core_tick(rig->core, rig->now_ms);
    raft_check(core_raft(rig->core));
}

// ---- decoders alone

static void one_message(struct bytes span, bool sums) {
    struct writer w = {0};
    write_span(&w, span);
    if (sums && w.len > 104) {
        size_t at = 104;
        put_u16_le(w.data + 2, 1);
        while (w.len - at >= BATCH_HEADER_BYTES) {
            uint64_t len = (uint64_t)BATCH_HEADER_BYTES + get_u32_le(w.data + at + 16);
            if (len > w.len - at) break;
            put_u32_le(w.data + at + 4, BATCH_MAGIC);
            put_u16_le(w.data + at + 14, BATCH_VERSION);
            put_u32_le(w.data + at, crc32c(0, w.data + at + 4, (size_t)len - 4));
            at += (size_t)len;
        }
    }
    struct raft_message m;
    uint8_t *copy = exact(bytes_of(w.data, w.len));
    if (raft_message_decode(&m, bytes_of(copy, w.len))) {
        struct writer again = {0};
        size_t tail;
        raft_message_encode(&m, &again, &tail);
        for (size_t i = 0; i < m.batch_count; i++)
            write_span(&again, bytes_of(m.batches[i].buf->data, m.batches[i].buf->len));
        ENSURE(bytes_equal(bytes_of(again.data, again.len), bytes_of(copy, w.len)));
        writer_free(&again);
        raft_message_release(&m);
    } else {
        ENSURE(m.batches == NULL && m.batch_count == 0);
    }
    mem_free(copy);
    writer_free(&w);
}

static void one_frame(struct bytes span) {
    struct core_frame frame, again;
    uint8_t *copy = exact(span);
    if (core_frame_decode(&frame, bytes_of(copy, span.len))) {
        struct writer w = {0};
        core_frame_encode(&frame, &w);
        write_span(&w, frame.tail);
        ENSURE(core_frame_decode(&again, bytes_of(w.data, w.len)));
        ENSURE(frame.a == again.a && frame.b == again.b && frame.count == again.count &&
               frame.attempt == again.attempt);
        ENSURE(bytes_equal(frame.tail, again.tail));
        writer_free(&w);
    }
    mem_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct take t = take_of(data, size);
    uint8_t mode = take_u8(&t);
    if ((mode & 3) == 0) {
        one_message(bytes_of(t.data, t.left), (mode & 4) != 0);
    } else if ((mode & 3) == 1) {
        one_frame(bytes_of(t.data, t.left));
    } else {
        struct rig *rig = rig_new(mode);
        for (uint32_t peer = 2; peer <= PEERS && mode & 4; peer++) {
            uint8_t incarnation[INCARNATION_BYTES];
            memset(incarnation, (int)peer, sizeof incarnation);
            core_peer_up(rig->core, rig->now_ms, peer, incarnation, CORE_CONTROL);
            core_peer_up(rig->core, rig->now_ms, peer, incarnation, CORE_BULK);
        }
        if (mode & 8) elect(rig);
        for (int i = 0; i < 150 && t.left > 0 && !rig->stopped; i++) act(&t, rig);
        rig_free(rig);
    }
    return 0;
}
