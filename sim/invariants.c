// What must hold at every step beside the history: an entry is committed only when it stands on the media of a
// majority, as the simulated disks have it and not as nodes say; streams have no gap; a replica that is restored from a
// snapshot at any index goes on like the others; queues stay within their bounds and are empty when nobody asks
// anything.
#include "sim/sim.h"

#include <string.h>

#include "storage/journal_frame.h"

#define REPLICA_EVERY 997u   // entries between two tries
#define REPLICA_BATCHES 200u // that a restored replica lives for

struct written { // a batch that some disks hold
    uint64_t first, term;
    uint32_t crc, disks; // a bit each
    struct buf *bytes;   // until it is committed
};
struct stream_place {
    uint32_t origin;
    uint64_t boot, next;
};
struct invariants {
    struct written *written; // open addressing, a power of two
    size_t count, capacity;
    struct stream_place *streams;
    size_t stream_count, stream_capacity;
    struct machine *replica;
    uint64_t replica_at, replica_batches;
};

// ---- what stands on the media

static struct written *slot_of(struct invariants *v, uint64_t first, uint64_t term, uint32_t crc) {
    size_t at = (size_t)hash_u64(hash_u64(first) + term) & (v->capacity - 1);
    while (v->written[at].disks != 0 &&
           (v->written[at].first != first || v->written[at].term != term || v->written[at].crc != crc))
        at = (at + 1) & (v->capacity - 1);
    return &v->written[at];
}

static void grow_written(struct invariants *v) {
    struct written *old = v->written;
    size_t before = v->capacity;
    v->capacity = before == 0 ? 1024 : before * 2;
    v->written = mem_zalloc(v->capacity * sizeof *v->written);
    for (size_t i = 0; i < before; i++)
        if (old[i].disks != 0) *slot_of(v, old[i].first, old[i].term, old[i].crc) = old[i];
    mem_free(old);
}

static void note_batch(struct sim_node *node, const struct record *record) {
    struct invariants *v = node->sim->invariants;
    uint64_t first = get_u64_le(record->batch + 24), term = get_u64_le(record->batch + 32);
    if (2 * v->count >= v->capacity) grow_written(v);
    struct written *slot = slot_of(v, first, term, record->batch_crc);
    if (slot->disks == 0) {
        *slot = (struct written){.first = first, .term = term, .crc = record->batch_crc};
        slot->bytes = buf_new(record->batch_bytes);
        memcpy(slot->bytes->data, record->batch, record->batch_bytes);
        v->count++;
    }
    slot->disks |= 1u << node->id;
}

static size_t note_frame(struct sim_node *node, const uint8_t *at, size_t len, bool check) {
    uint32_t align = node->sim->swarm.journal_align;
    struct frame_header header;
    if (len < FRAME_HEADER_BYTES || !frame_header_decode(at, &header)) return 0;
    size_t total = (size_t)frame_total(header.body_bytes, align);
    if (total > len || (check && !frame_check(at, &header, align))) return 0;
    struct record_walk walk = record_walk_of(at, &header);
    struct record record;
    while (record_next(&walk, &record))
        if (record.kind == RECORD_BATCH) note_batch(node, &record);
    return total;
}

static void on_synced(void *context, const uint8_t *data, size_t len) {
    note_frame(context, data, len, false);
}

bool invariants_batch(struct sim *sim, uint64_t first, uint64_t term, struct batch_ref *batch) {
    struct invariants *v = sim->invariants;
    size_t at = v->capacity == 0 ? 0 : (size_t)hash_u64(hash_u64(first) + term) & (v->capacity - 1);
    while (v->capacity > 0 && v->written[at].disks != 0 &&
           (v->written[at].first != first || v->written[at].term != term))
        at = (at + 1) & (v->capacity - 1);
    if (v->capacity == 0 || v->written[at].bytes == NULL) return false;
    struct buf *bytes = v->written[at].bytes;
    *batch = (struct batch_ref){
        .first = first, .last = first + get_u32_le(bytes->data + 20) - 1, .term = term, .buf = bytes};
    return true;
}

static void drop_bytes(struct written *written) {
    if (written->bytes != NULL) buf_unref(written->bytes);
    written->bytes = NULL;
}

// A whole segment: what a start finds, and the start syncs.
static void on_segment(void *context, const uint8_t *data, size_t len) {
    struct sim_node *node = context;
    size_t at = node->sim->swarm.journal_align;
    while (at < len) {
        size_t total = note_frame(node, data + at, len - at, true);
        if (total == 0) return;
        at += total;
    }
}

void invariants_started(struct sim *sim, struct sim_node *node) {
    disk_on_journal(node->host->disk, on_synced, node);
    disk_each_journal(node->host->disk, on_segment, node);
}

// A majority of those that count. Within a joint change, of the new ones at least: the leader's log may be further.
static bool on_majority(const struct sim *sim, uint32_t disks) {
    const struct raft_membership *m = machine_membership(sim->history.machine);
    size_t voters = 0, have = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->members[i].role != MEMBER_VOTER && m->members[i].role != MEMBER_INCOMING) continue;
        voters++;
        have += disks >> m->members[i].id & 1;
    }
    return 2 * have > voters;
}

static void check_media(struct sim *sim, const struct sim_node *node, const struct batch_ref *batch) {
    struct invariants *v = sim->invariants;
    uint32_t disks = v->capacity == 0 ? 0 : slot_of(v, batch->first, batch->term, get_u32_le(batch->buf->data))->disks;
    if (on_majority(sim, disks)) return;
    world_fail(&sim->world, "node %u commits %llu..%llu term %llu, which stands on the media of nodes (bits) %x only",
               node->id, (unsigned long long)batch->first, (unsigned long long)batch->last,
               (unsigned long long)batch->term, disks);
}

// ---- streams

static struct stream_place *stream_at(struct invariants *v, uint32_t origin, uint64_t boot) {
    for (size_t i = v->stream_count; i-- > 0;)
        if (v->streams[i].origin == origin && v->streams[i].boot == boot) return &v->streams[i];
    if (v->stream_count == v->stream_capacity) {
        v->stream_capacity = v->stream_capacity == 0 ? 64 : v->stream_capacity * 2;
        v->streams = mem_realloc(v->streams, v->stream_capacity * sizeof *v->streams);
    }
    v->streams[v->stream_count] = (struct stream_place){.origin = origin, .boot = boot, .next = 1};
    return &v->streams[v->stream_count++];
}

// The log may hold a command twice, and behind a gap: taken is only the next number of a stream.
static void count_streams(struct invariants *v, const struct batch_ref *batch) {
    struct batch_header header;
    struct bytes body = batch_body(batch);
    struct reader r = reader_of(body.data, body.len);
    struct section section;
    if (!batch_decode(batch->buf->data, batch->buf->len, &header) || header.kind != BATCH_COMMANDS) return;
    while (section_read(&r, &section)) {
        if (section.origin == 0) continue;
        struct stream_place *place = stream_at(v, section.origin, section.boot);
        uint64_t end = section.first_seq + section.count;
        if (section.first_seq <= place->next && end > place->next) place->next = end;
    }
}

void invariants_committed(struct sim *sim, const struct batch_ref *batch) {
    struct machine_stream streams[256]; // of members, and closed ones of who left
    struct invariants *v = sim->invariants;
    count_streams(v, batch);
    size_t count = machine_streams(sim->history.machine, streams, sizeof streams / sizeof streams[0]);
    for (size_t i = 0; i < count; i++) {
        uint64_t next = stream_at(sim->invariants, streams[i].member, streams[i].boot)->next;
        if (streams[i].last_seq == STREAM_CLOSED || next == streams[i].last_seq + 1) continue;
        world_fail(&sim->world, "behind index %llu the stream of node %u, boot %llu stands at %llu, and %llu was next",
                   (unsigned long long)batch->last, streams[i].member, (unsigned long long)streams[i].boot,
                   (unsigned long long)streams[i].last_seq, (unsigned long long)next);
    }
    if (v->capacity > 0) drop_bytes(slot_of(v, batch->first, batch->term, get_u32_le(batch->buf->data)));
}

// ---- a replica from a snapshot

static void replica_end(struct invariants *v) {
    machine_free(v->replica);
    v->replica = NULL;
}

static void replica_apply(struct sim *sim, const struct batch_ref *batch) {
    struct invariants *v = sim->invariants;
    char error[256];
    if (v->replica == NULL || machine_applied(v->replica) + 1 != batch->first) return;
    if (machine_apply(v->replica, batch, error) != 0)
        world_fail(&sim->world, "a replica restored from a snapshot cannot apply %llu: %s",
                   (unsigned long long)batch->first, error);
    v->replica_batches++;
}

// One batch later: the history has applied it too.
static void replica_compare(struct sim *sim, uint32_t from) {
    struct invariants *v = sim->invariants;
    if (v->replica == NULL || sim->history.last != machine_applied(v->replica)) return;
    bool last = v->replica_batches >= REPLICA_BATCHES;
    struct digest digest = last ? machine_digest_recount(v->replica) : machine_digest(v->replica);
    if (!digest_equal(digest, machine_digest(sim->history.machine)))
        world_fail(&sim->world, "a replica restored from node %u's state has another state at index %llu", from,
                   (unsigned long long)machine_applied(v->replica));
    if (last) replica_end(v);
}

void invariants_applied(struct sim *sim, struct sim_node *node) {
    struct invariants *v = sim->invariants;
    uint64_t applied = machine_applied(node_machine(node->node));
    replica_compare(sim, node->id);
    if (v->replica != NULL || applied < v->replica_at || applied != sim->history.last || sim->world.failed) return;
    struct machine_sink sink = {0};
    v->replica = history_copy(&sim->history, node_machine(node->node), &sink);
    v->replica_at = applied + REPLICA_EVERY;
    v->replica_batches = 0;
}

void invariants_commit(struct sim *sim, struct sim_node *node, const struct batch_ref *batch) {
    replica_compare(sim, node->id);
    check_media(sim, node, batch);
    replica_apply(sim, batch);
}

// ---- queues

void invariants_load(struct sim *sim, struct sim_node *node) {
    struct node_load load;
    node_get_load(node->node, &load);
    if (load.command_bytes > load.command_bytes_max || load.apply_bytes > load.apply_bytes_max)
        world_fail(&sim->world, "node %u holds %llu bytes of commands and %llu bytes of batches: over its bounds",
                   node->id, (unsigned long long)load.command_bytes, (unsigned long long)load.apply_bytes);
}

bool invariants_idle(struct sim *sim, const struct sim_node *node) {
    struct node_load load;
    node_get_load(node->node, &load);
    return load.commands == 0 && load.reads == 0 && load.apply_bytes == 0;
}

void invariants_end(struct sim *sim) {
    uint64_t ours = machine_memory(sim->history.machine);
    for (size_t i = 0; i < sim->node_count; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (node->node == NULL || !node_is_voter(sim, node)) continue;
        uint64_t memory = machine_memory(node_machine(node->node));
        if (memory > 2 * ours + (4u << 20))
            world_fail(&sim->world, "node %u's state takes %llu bytes, and the same state elsewhere %llu", node->id,
                       (unsigned long long)memory, (unsigned long long)ours);
    }
}

// ---- life

static void on_session(void *context, const struct history_session *session) {
    states_session(context, session);
}

void invariants_init(struct sim *sim) {
    sim->invariants = mem_zalloc(sizeof *sim->invariants);
    sim->history.session = on_session;
    sim->history.session_context = sim;
}

void invariants_free(struct sim *sim) {
    struct invariants *v = sim->invariants;
    if (v->replica != NULL) replica_end(v);
    for (size_t i = 0; i < v->capacity; i++) drop_bytes(&v->written[i]);
    mem_free(v->written);
    mem_free(v->streams);
    mem_free(v);
}
