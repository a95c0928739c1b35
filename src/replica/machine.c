// The state machine of one group: sections in, results and events out. See machine.h; rules:
// shared/design/replication.md "Streams".
//
//   batch -> section (origin, boot, first_seq) -> command
//              |  takes only last_seq + 1 of the origin's newest boot; all else is skipped alike on every replica
//              v
//            model table -> result (to the origin's node only) and events (to every node)
#include "replica/machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/planted.h"
#include "model/idempotency/idempotency.h"
#include "model/keys/keys.h"
#include "model/tree/tree.h"

#define STREAMS_MAX 256u // member ids are 1 .. 255
#define GROUP_STATE_VERSION 1u
#define DIGEST_DOMAIN_GROUP 0x47u

struct machine {
    uint32_t self;
    uint64_t boot;
    struct machine_sink sink;
    uint64_t applied, applied_term;
    uint64_t log_time_ms;
    int64_t unix_offset_ms;
    uint64_t settings[GROUP_SETTING_COUNT];
    uint32_t apply_level, apply_level_max;
    struct raft_membership membership;
    struct machine_stream streams[STREAMS_MAX]; // ascending by member
    size_t stream_count;
    void *models[MODEL_COUNT];                          // [MODEL_GROUP] is unused
    struct machine_sample samples[DIGEST_SAMPLES_KEPT]; // a ring; sample_count of them were ever taken
    uint64_t sample_count;
    struct apply *applying; // the entry under way; NULL between entries
};

// ---- commands of the group

void group_write_stream_open(struct writer *w, const uint8_t incarnation[INCARNATION_BYTES], uint32_t member,
                             uint64_t boot) {
    command_write_head(w, MODEL_GROUP, GROUP_STREAM_OPEN, 0, 0);
    write_span(w, bytes_of(incarnation, INCARNATION_BYTES));
    write_varint(w, member);
    write_varint(w, boot);
}

static uint64_t zigzag(int64_t v) {
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}
static int64_t unzigzag(uint64_t v) {
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

void group_write_void(struct writer *w, int error) {
    command_write_head(w, MODEL_GROUP, GROUP_VOID, 0, 0);
    write_varint(w, zigzag(error));
}

void group_write_time(struct writer *w) {
    command_write_head(w, MODEL_GROUP, GROUP_TIME, 0, 0);
}

void group_write_unix_offset(struct writer *w, int64_t offset_ms) {
    command_write_head(w, MODEL_GROUP, GROUP_UNIX_OFFSET, 0, 0);
    write_varint(w, zigzag(offset_ms));
}

void group_write_setting(struct writer *w, enum group_setting setting, uint64_t value) {
    command_write_head(w, MODEL_GROUP, GROUP_SETTING, 0, 0);
    write_varint(w, setting);
    write_varint(w, value);
}

void group_write_apply_level(struct writer *w, uint32_t level) {
    command_write_head(w, MODEL_GROUP, GROUP_APPLY_LEVEL, 0, 0);
    write_varint(w, level);
}

// ---- life

static void emit(void *context, uint8_t model, const void *event) {
    struct machine *machine = context;
    if (machine->sink.event != NULL) machine->sink.event(machine->sink.context, model, event);
}

// A session has ended: whatever it owned in any model goes in the same entry.
static void session_ended(void *context, struct apply *apply, uint64_t session) {
    struct machine *machine = context;
    for (uint8_t id = 0; id < MODEL_COUNT; id++) {
        const struct model_ops *ops = model_table(id);
        if (ops != NULL && ops->session_end != NULL) ops->session_end(machine->models[id], apply, session);
    }
}

static const uint64_t setting_defaults[GROUP_SETTING_COUNT] = {
    [GROUP_SETTING_EPHEMERALS_MAX] = ZK_SESSION_EPHEMERALS_DEFAULT,
    [GROUP_SETTING_CONTAINER_CHECK_MS] = TREE_CONTAINER_CHECK_MS,
    [GROUP_SETTING_MEMORY_MAX] = UINT64_MAX,
};

// As many as older binaries knew, and those up to the last that somebody changed: a setting that is new and untouched
// changes neither snapshots nor digests, so both kinds of binaries may run side by side.
static uint32_t settings_written(const struct machine *machine) {
    uint32_t count = GROUP_SETTING_COUNT;
    while (count > 1 && machine->settings[count - 1] == setting_defaults[count - 1]) count--;
    return count;
}

static void set_setting(struct machine *machine, enum group_setting setting, uint64_t value) {
    machine->settings[setting] = value;
    if (setting == GROUP_SETTING_EPHEMERALS_MAX)
        tree_set_ephemerals_max(machine->models[MODEL_TREE], value > UINT32_MAX ? UINT32_MAX : (uint32_t)value);
    else if (setting == GROUP_SETTING_CONTAINER_CHECK_MS)
        tree_set_container_check(machine->models[MODEL_TREE], value);
    else if (setting == GROUP_SETTING_MEMORY_MAX) {
        tree_set_memory_max(machine->models[MODEL_TREE], value);
        keys_set_memory_max(machine->models[MODEL_KEYS], value);
    }
}

struct machine *machine_new(uint32_t self, uint64_t boot, const struct machine_sink *sink) {
    struct machine *machine = mem_zalloc(sizeof *machine);
    machine->self = self;
    machine->boot = boot;
    if (sink != NULL) machine->sink = *sink;
    machine->apply_level = APPLY_LEVEL_FIRST;
    machine->apply_level_max = APPLY_LEVEL_NEWEST;
    membership_init(&machine->membership);
    for (uint8_t id = 0; id < MODEL_COUNT; id++) {
        const struct model_ops *ops = model_table(id);
        if (ops != NULL) machine->models[id] = ops->create();
    }
    lease_on_end(machine->models[MODEL_LEASE], session_ended, machine);
    for (int i = 0; i < GROUP_SETTING_COUNT; i++) set_setting(machine, (enum group_setting)i, setting_defaults[i]);
    return machine;
}

void machine_free(struct machine *machine) {
    if (machine == NULL) return;
    for (uint8_t id = 0; id < MODEL_COUNT; id++) {
        const struct model_ops *ops = model_table(id);
        if (ops != NULL) ops->destroy(machine->models[id]);
    }
    membership_free(&machine->membership);
    mem_free(machine);
}

void machine_limit_apply_level(struct machine *machine, uint32_t level_max) {
    ENSURE(machine->applied == 0 && level_max >= APPLY_LEVEL_FIRST);
    machine->apply_level_max = level_max;
}

void machine_set_boot(struct machine *machine, uint64_t boot) {
    machine->boot = boot;
}

// ---- streams

static struct machine_stream *stream_find(struct machine *machine, uint32_t member) {
    for (size_t i = 0; i < machine->stream_count; i++)
        if (machine->streams[i].member == member) return &machine->streams[i];
    return NULL;
}

static struct machine_stream *stream_add(struct machine *machine, uint32_t member) {
    ENSURE(machine->stream_count < STREAMS_MAX);
    size_t at = machine->stream_count;
    while (at > 0 && machine->streams[at - 1].member > member) at--;
    memmove(&machine->streams[at + 1], &machine->streams[at],
            (machine->stream_count - at) * sizeof machine->streams[0]);
    memset(&machine->streams[at], 0, sizeof machine->streams[at]);
    machine->streams[at].member = member;
    machine->stream_count++;
    return &machine->streams[at];
}

// Opens a stream when (member, incarnation) belongs to the group and the boot is higher than the last one of that
// incarnation. A wiped node's new incarnation begins its own count; boots of different incarnations never meet
// (storage/folder.c starts them apart).
static bool stream_open(struct machine *machine, const struct section *section, struct bytes args) {
    struct reader r = reader_of(args.data, args.len);
    struct bytes incarnation = read_span(&r, INCARNATION_BYTES);
    uint64_t id = read_varint(&r);
    uint64_t boot = read_varint(&r);
    if (!reader_done(&r) || id != section->origin || boot != section->boot) return false;
    const struct member *member = membership_find(&machine->membership, section->origin);
    if (member == NULL || memcmp(member->incarnation, incarnation.data, INCARNATION_BYTES) != 0) return false;
    struct machine_stream *stream = stream_find(machine, section->origin);
    if (stream == NULL) stream = stream_add(machine, section->origin);
    bool same = memcmp(stream->incarnation, incarnation.data, INCARNATION_BYTES) == 0;
    if (same && boot <= stream->boot && !PLANTED(OLD_BOOT_ACCEPTED)) return false;
    memcpy(stream->incarnation, incarnation.data, INCARNATION_BYTES);
    stream->boot = boot;
    stream->last_seq = 0;
    return true;
}

// ---- the group's own commands

static void apply_time(struct machine *machine, struct apply *apply) {
    size_t left = TIME_REMOVALS_MAX;
    for (uint8_t id = 0; id < MODEL_COUNT && left > 0; id++) {
        const struct model_ops *ops = model_table(id);
        if (ops == NULL || ops->expire == NULL) continue;
        size_t ended = ops->expire(machine->models[id], apply, left);
        ENSURE(ended <= left);
        left -= ended;
    }
}

static void take_sample(struct machine *machine, uint64_t index) {
    struct machine_sample *sample = &machine->samples[machine->sample_count % DIGEST_SAMPLES_KEPT];
    sample->index = index;
    sample->digest = machine_digest(machine);
    machine->sample_count++;
}

// 0, or COMMAND_BAD_COMMAND when this binary does not know what it is told (then the node stops).
static int apply_group(struct machine *machine, struct apply *apply, const struct command *command,
                       struct result *result, char error[256]) {
    struct reader r = reader_of(command->args.data, command->args.len);
    switch (command->op) {
    case GROUP_STREAM_OPEN:
        return 0; // judged with its section
    case GROUP_VOID:
        result->error = (int)unzigzag(read_varint(&r));
        return 0;
    case GROUP_TIME:
        apply_time(machine, apply);
        return 0;
    case GROUP_UNIX_OFFSET: {
        int64_t offset = unzigzag(read_varint(&r));
        if (reader_done(&r)) machine->unix_offset_ms = offset;
        return 0;
    }
    case GROUP_APPLY_LEVEL: {
        uint64_t level = read_varint(&r);
        if (!reader_done(&r)) return 0;
        if (level > machine->apply_level_max) {
            snprintf(error, 256, "entry %llu raises the apply level to %llu; this binary knows %u: install a newer one",
                     (unsigned long long)apply->index, (unsigned long long)level, machine->apply_level_max);
            return COMMAND_BAD_COMMAND;
        }
        if (level > machine->apply_level) machine->apply_level = (uint32_t)level;
        return 0;
    }
    case GROUP_SETTING: {
        uint64_t setting = read_varint(&r), value = read_varint(&r);
        if (!reader_done(&r)) return 0;
        if (setting >= GROUP_SETTING_COUNT) {
            snprintf(error, 256, "entry %llu changes setting %llu, unknown to this binary: install a newer one",
                     (unsigned long long)apply->index, (unsigned long long)setting);
            return COMMAND_BAD_COMMAND;
        }
        set_setting(machine, (enum group_setting)setting, value);
        return 0;
    }
    default:
        snprintf(error, 256, "entry %llu holds group operation %u, unknown to this binary: install a newer one",
                 (unsigned long long)apply->index, command->op);
        return COMMAND_BAD_COMMAND;
    }
}

// ---- apply

static uint64_t rest(uint64_t max, uint64_t used) {
    return used < max ? max - used : 0;
}

// memory-max bounds the tree and Redis's keys, which judge each write by what they have left, and the native models
// together. Those are refused what may grow while all of it is used up, so they go over it by one command at most.
static bool over_memory(struct machine *machine, const struct command *command) {
    uint64_t max = machine->settings[GROUP_SETTING_MEMORY_MAX], natives = 0;
    const struct model_ops *asked = model_table(command->model);
    bool grows = command->op < 64 && (asked->growing & MODEL_GROWS(command->op)) != 0;
    if (max == UINT64_MAX || (!grows && command->model != MODEL_TREE && command->model != MODEL_KEYS)) return false;
    for (uint8_t id = 0; id < MODEL_COUNT; id++) {
        const struct model_ops *ops = model_table(id);
        if (ops != NULL && ops->growing != 0) natives += ops->memory(machine->models[id]);
    }
    uint64_t tree = model_table(MODEL_TREE)->memory(machine->models[MODEL_TREE]);
    uint64_t keys = model_table(MODEL_KEYS)->memory(machine->models[MODEL_KEYS]);
    tree_set_memory_max(machine->models[MODEL_TREE], rest(max, natives + keys));
    keys_set_memory_max(machine->models[MODEL_KEYS], rest(max, natives + tree));
    return grows && natives + tree + keys >= max;
}

// What was kept: model, op and error, then what the model's keeper wrote.
static void keep_result(struct machine *machine, const struct apply *apply, const struct idempotency_once *once,
                        const struct result_keeper *keeper, const struct result *result) {
    struct writer w;
    writer_init(&w);
    write_u8(&w, result->model);
    write_u8(&w, result->op);
    write_varint_signed(&w, result->error);
    keeper->write(result, &w);
    ENSURE(w.len <= RESULT_KEPT_BYTES_MAX + 12);
    if (!PLANTED(ONCE_NOT_KEPT))
        idempotency_once_keep(machine->models[MODEL_IDEMPOTENCY], apply, once, bytes_of(w.data, w.len));
    writer_free(&w);
}

static void repeat_result(struct machine *machine, const struct command *inner, const struct result_keeper *keeper,
                          struct bytes kept, struct result *result) {
    struct reader r = reader_of(kept.data, kept.len);
    uint8_t model = read_u8(&r), op = read_u8(&r);
    int64_t error = read_varint_signed(&r);
    if (model != inner->model || op != inner->op) {
        result->error = IDEMPOTENCY_MISMATCH;
        return;
    }
    *result = (struct result){.error = (int)error, .model = model, .op = op};
    if (!keeper->read(machine->models[model], inner, &r, result)) result->error = COMMAND_BAD_COMMAND;
}

// Another model's command, once for its key: whether it ran before, what it changes and what is kept of its result are
// this one entry. The result is that command's, now or of before; an error of the key's own is this operation's.
static void apply_once(struct machine *machine, struct apply *apply, const struct command *outer,
                       struct result *result) {
    struct idempotency_once once;
    struct command inner;
    struct bytes kept;
    result->error = idempotency_once_read(outer->args, &once);
    if (result->error != 0) return;
    bool good = command_read(&inner, once.command) && inner.session == outer->session && inner.attach == outer->attach;
    const struct model_ops *ops = good ? model_table(inner.model) : NULL;
    const struct result_keeper *keeper = ops != NULL ? ops->keeper : NULL;
    if (keeper == NULL || !keeper->keeps(&inner) || machine->apply_level < model_min_apply_level(inner.model)) {
        result->error = COMMAND_BAD_COMMAND;
        return;
    }
    result->error = idempotency_once_find(machine->models[MODEL_IDEMPOTENCY], &once, &kept);
    if (result->error < 0) return;
    if (result->error == 1) {
        repeat_result(machine, &inner, keeper, kept, result);
        return;
    }
    if (over_memory(machine, outer)) { // only now: what ran before is told as it was
        result->error = COMMAND_MEMORY;
        return;
    }
    *result = (struct result){0};
    ops->apply(machine->models[inner.model], apply, &inner, result);
    result->model = inner.model;
    result->op = inner.op;
    bool done = keeper->done == NULL ? result->error > COMMAND_NOT_APPLIED : keeper->done(result);
    if (done) keep_result(machine, apply, &once, keeper, result);
}

static int apply_command(struct machine *machine, struct apply *apply, struct bytes span, struct result *result,
                         char error[256]) {
    struct command command;
    memset(result, 0, sizeof *result);
    if (!command_read(&command, span)) {
        result->error = COMMAND_BAD_COMMAND;
        return 0;
    }
    result->model = command.model;
    result->op = command.op;
    if (command.model == MODEL_GROUP) return apply_group(machine, apply, &command, result, error);
    const struct model_ops *ops = model_table(command.model);
    if (ops == NULL) {
        snprintf(error, 256, "entry %llu is for model %u, unknown to this binary: install a newer one",
                 (unsigned long long)apply->index, command.model);
        return COMMAND_BAD_COMMAND;
    }
    if (machine->apply_level < model_min_apply_level(command.model)) { // no node proposes such (node/service.c)
        result->error = COMMAND_LEVEL;
        return 0;
    }
    if (command.model != MODEL_LEASE && command.session != 0 && !PLANTED(ENDED_SESSION_WRITES)) {
        result->error = lease_check(apply->leases, command.session, command.attach);
        if (result->error != 0) return 0;
    }
    if (command.model == MODEL_IDEMPOTENCY && command.op == IDEMPOTENCY_ONCE) {
        apply_once(machine, apply, &command, result);
        return 0;
    }
    if (over_memory(machine, &command))
        result->error = COMMAND_MEMORY;
    else
        ops->apply(machine->models[command.model], apply, &command, result);
    result->model = command.model;
    result->op = command.op;
    return 0;
}

// One section. Every command takes an index, applied or skipped.
static int apply_section(struct machine *machine, struct apply *apply, const struct section *section, uint64_t seed,
                         char error[256]) {
    struct reader r = reader_of(section->commands.data, section->commands.len);
    bool own = section->origin != 0 && section->origin == machine->self && section->boot == machine->boot;
    for (uint32_t i = 0; i < section->count; i++) {
        struct bytes span = read_span(&r, read_u32_le(&r));
        ENSURE(!r.failed); // section_read has checked the framing
        apply->index = machine->applied + 1;
        apply->seed = hash_u64(seed ^ apply->index);
        bool take = true;
        if (section->origin != 0) {
            uint64_t seq = section->first_seq + i;
            struct command command;
            if (command_read(&command, span) && command.model == MODEL_GROUP && command.op == GROUP_STREAM_OPEN)
                take = stream_open(machine, section, command.args);
            struct machine_stream *stream = take ? stream_find(machine, section->origin) : NULL;
            take = stream != NULL && stream->boot == section->boot && stream->last_seq != STREAM_CLOSED &&
                   stream->last_seq + 1 == seq;
            if (PLANTED(STREAM_GAP_APPLIED))
                take = stream != NULL && stream->boot == section->boot && seq > stream->last_seq;
            if (PLANTED(STREAM_DUPLICATES_APPLIED) && stream != NULL && seq <= stream->last_seq)
                take = true;
            else if (take)
                stream->last_seq = seq;
        }
        if (take) {
            struct result result;
            uint64_t seq = section->first_seq + i;
            if (own && machine->sink.before_own != NULL) machine->sink.before_own(machine->sink.context, seq);
            int stop = apply_command(machine, apply, span, &result, error);
            if (stop != 0) return stop;
            machine->applied = apply->index;
            if (own && machine->sink.own != NULL) machine->sink.own(machine->sink.context, seq, &result);
            if (result.model == MODEL_GROUP && result.op == GROUP_TIME)
                take_sample(machine, apply->index);
            else if (apply->index % DIGEST_SAMPLE_EVERY == 0)
                take_sample(machine, apply->index);
        } else {
            machine->applied = apply->index;
            if (apply->index % DIGEST_SAMPLE_EVERY == 0) take_sample(machine, apply->index);
        }
    }
    if (section->origin != 0 && machine->sink.stream != NULL) {
        const struct machine_stream *stream = stream_find(machine, section->origin);
        if (stream != NULL)
            machine->sink.stream(machine->sink.context, section->origin, stream->boot, stream->last_seq);
    }
    return 0;
}

// /zookeeper/config: all members' advertised addresses, or nothing: a client that replaces its connect string with a
// part of the cluster (Curator does) would lose the rest. Lines as ZooKeeper's dynamic configuration has them; the
// election port is 0: there is none, and the Java client refuses the whole text where it equals the peer port.
// A member alone publishes nothing, as ZooKeeper does: its clients reach it by the address they have, which behind a
// mapped port or a tunnel is another than the one it knows.
static void publish_config(struct machine *machine) {
    const struct raft_membership *m = &machine->membership;
    struct writer w;
    writer_init(&w);
    bool whole = m->count > 1;
    for (uint32_t i = 0; i < m->count; i++)
        if (m->members[i].address[ADVERTISED_ZOOKEEPER][0] == 0) whole = false;
    for (uint32_t i = 0; whole && i < m->count; i++) {
        const struct member *member = &m->members[i];
        char line[3 * ADDRESS_TEXT_MAX];
        const char *peer = member->address[ADVERTISED_PEER];
        int len = snprintf(line, sizeof line, "server.%u=%s:0:%s;%s\n", member->id, peer[0] ? peer : "0.0.0.0:1",
                           member->role == MEMBER_LEARNER ? "observer" : "participant",
                           member->address[ADVERTISED_ZOOKEEPER]);
        ENSURE(len > 0 && (size_t)len < sizeof line);
        write_span(&w, bytes_of(line, (size_t)len));
    }
    if (whole) {
        char line[64];
        int len = snprintf(line, sizeof line, "version=%llx", (unsigned long long)m->index);
        write_span(&w, bytes_of(line, (size_t)len));
    }
    tree_set_config(machine->models[MODEL_TREE], machine->applying, bytes_of(w.data, w.len));
    writer_free(&w);
}

static int apply_membership(struct machine *machine, struct bytes body, char error[256]) {
    struct raft_membership next;
    membership_init(&next);
    if (!membership_decode(&next, body)) {
        snprintf(error, 256, "entry %llu holds a membership this binary cannot read",
                 (unsigned long long)machine->applied + 1);
        return COMMAND_BAD_COMMAND;
    }
    membership_free(&machine->membership);
    machine->membership = next;
    machine->membership.index = machine->applied + 1;
    // The stream of a member that is gone is closed: what it still had under way is skipped, alike on every replica.
    // Its boot is kept: who comes back without a restart and sends again what was applied before shall not begin at 1.
    for (size_t i = 0; i < machine->stream_count; i++) {
        struct machine_stream *stream = &machine->streams[i];
        const struct member *member = membership_find(&machine->membership, stream->member);
        if (member != NULL && memcmp(member->incarnation, stream->incarnation, INCARNATION_BYTES) == 0) continue;
        if (stream->last_seq == STREAM_CLOSED) continue;
        stream->last_seq = STREAM_CLOSED;
        if (machine->sink.stream_gone != NULL)
            machine->sink.stream_gone(machine->sink.context, stream->member, stream->boot);
    }
    publish_config(machine);
    return 0;
}

// Both come from bytes of the log. A sum that no clock could show stays at the end of its range: the same on every
// replica.
static int64_t unix_at(uint64_t log_time_ms, int64_t offset_ms) {
    int64_t log = log_time_ms > INT64_MAX ? INT64_MAX : (int64_t)log_time_ms, unix_ms;
    if (__builtin_add_overflow(log, offset_ms, &unix_ms)) return offset_ms < 0 ? INT64_MIN : INT64_MAX;
    return unix_ms;
}

static struct apply apply_at(struct machine *machine, uint64_t index) {
    return (struct apply){
        .index = index,
        .log_time_ms = machine->log_time_ms,
        .unix_ms = unix_at(machine->log_time_ms, machine->unix_offset_ms),
        .apply_level = machine->apply_level,
        .leases = machine->models[MODEL_LEASE],
        .emit = emit,
        .emit_context = machine,
    };
}

int machine_apply(struct machine *machine, const struct batch_ref *batch, char error[256]) {
    const uint8_t *head = batch->buf->data;
    struct batch_header header = {
        // sealed and checked when it entered this process: no second crc here
        .kind = (enum batch_kind)get_u16_le(head + 12), .count = get_u32_le(head + 20),
        .first_index = get_u64_le(head + 24),           .term = get_u64_le(head + 32),
        .log_time_ms = get_u64_le(head + 40),           .seed = get_u64_le(head + 48),
    };
    ENSURE(batch->first == machine->applied + 1);
    ENSURE(header.first_index == batch->first);
    ENSURE(header.count == batch->last - batch->first + 1);
    if (header.log_time_ms > machine->log_time_ms) machine->log_time_ms = header.log_time_ms;
    struct apply apply = apply_at(machine, batch->first);
    machine->applying = &apply;
    int stop = 0;
    if (header.kind == BATCH_COMMANDS) {
        struct bytes body = batch_body(batch);
        struct reader r = reader_of(body.data, body.len);
        struct section section;
        while (stop == 0 && section_read(&r, &section))
            stop = apply_section(machine, &apply, &section, header.seed, error);
        if (stop == 0 && (r.failed || machine->applied != batch->last)) {
            snprintf(error, 256, "batch %llu..%llu has broken sections", (unsigned long long)batch->first,
                     (unsigned long long)batch->last);
            stop = COMMAND_BAD_COMMAND;
        }
    } else {
        if (header.kind == BATCH_MEMBERSHIP)
            stop = apply_membership(machine, batch_body(batch), error);
        else if (header.kind != BATCH_EMPTY) {
            snprintf(error, 256, "entry %llu is of kind %d, unknown to this binary: install a newer one",
                     (unsigned long long)batch->first, (int)header.kind);
            stop = COMMAND_BAD_COMMAND;
        }
        if (stop == 0) {
            machine->applied = batch->last;
            if (machine->applied % DIGEST_SAMPLE_EVERY == 0) take_sample(machine, machine->applied);
        }
    }
    machine->applying = NULL;
    if (stop == 0) machine->applied_term = header.term;
    return stop;
}

// ---- looking in

uint64_t machine_applied(const struct machine *machine) {
    return machine->applied;
}
uint64_t machine_applied_term(const struct machine *machine) {
    return machine->applied_term;
}
uint64_t machine_log_time_ms(const struct machine *machine) {
    return machine->log_time_ms;
}
int64_t machine_unix_offset_ms(const struct machine *machine) {
    return machine->unix_offset_ms;
}
const struct raft_membership *machine_membership(const struct machine *machine) {
    return &machine->membership;
}
struct lease_table *machine_leases(const struct machine *machine) {
    return machine->models[MODEL_LEASE];
}

uint32_t machine_apply_level(const struct machine *machine) {
    return machine->apply_level;
}

bool machine_level_unknown(const struct machine *machine) {
    return machine->apply_level > machine->apply_level_max;
}

void *machine_model(const struct machine *machine, uint8_t model) {
    return model < MODEL_COUNT ? machine->models[model] : NULL;
}

void machine_settings(const struct machine *machine, uint64_t out[GROUP_SETTING_COUNT]) {
    memcpy(out, machine->settings, sizeof machine->settings);
}

uint64_t machine_next_deadline_ms(const struct machine *machine) {
    uint64_t earliest = UINT64_MAX;
    for (uint8_t id = 0; id < MODEL_COUNT; id++) {
        const struct model_ops *ops = model_table(id);
        if (ops == NULL || ops->next_deadline_ms == NULL) continue;
        uint64_t next = ops->next_deadline_ms(machine->models[id]);
        if (next < earliest) earliest = next;
    }
    return earliest;
}

uint64_t machine_count(const struct machine *machine, uint8_t model) {
    const struct model_ops *ops = model_table(model);
    return ops != NULL && ops->count != NULL ? ops->count(machine->models[model]) : 0;
}

uint64_t machine_count_of_session(const struct machine *machine, uint8_t model, uint64_t session) {
    const struct model_ops *ops = model_table(model);
    return ops != NULL && ops->count_of_session != NULL ? ops->count_of_session(machine->models[model], session) : 0;
}

struct digest machine_model_digest(const struct machine *machine, uint8_t model) {
    const struct model_ops *ops = model_table(model);
    return ops != NULL ? ops->digest(machine->models[model]) : (struct digest){0, 0};
}

void machine_query(const struct machine *machine, uint8_t model, const void *query, struct result *result) {
    const struct model_ops *ops = model_table(model);
    ENSURE(ops != NULL && ops->query != NULL);
    memset(result, 0, sizeof *result);
    result->model = model;
    ops->query(machine->models[model], query, result);
}

size_t machine_streams(const struct machine *machine, struct machine_stream *out, size_t max) {
    size_t count = machine->stream_count < max ? machine->stream_count : max;
    memcpy(out, machine->streams, count * sizeof out[0]);
    return count;
}

uint64_t machine_memory(const struct machine *machine) {
    uint64_t bytes = sizeof *machine;
    for (uint8_t id = 0; id < MODEL_COUNT; id++) {
        const struct model_ops *ops = model_table(id);
        if (ops != NULL && ops->memory != NULL) bytes += ops->memory(machine->models[id]);
    }
    return bytes;
}

// ---- group state: as bytes, for snapshots and the digest

#define STREAM_BYTES (4u + INCARNATION_BYTES + 8u + 8u)
#define GROUP_STATE_BYTES_MAX (32u + 8u * GROUP_SETTING_COUNT + STREAMS_MAX * STREAM_BYTES)

static size_t group_encode(const struct machine *machine, uint8_t *out) {
    uint8_t *at = out;
    put_u32_le(at, GROUP_STATE_VERSION);
    put_u32_le(at + 4, machine->apply_level);
    put_u64_le(at + 8, machine->log_time_ms);
    put_u64_le(at + 16, (uint64_t)machine->unix_offset_ms);
    at += 24;
    uint32_t settings = settings_written(machine);
    put_u32_le(at, settings);
    at += 4;
    for (uint32_t i = 0; i < settings; i++, at += 8) put_u64_le(at, machine->settings[i]);
    put_u32_le(at, (uint32_t)machine->stream_count);
    at += 4;
    for (size_t i = 0; i < machine->stream_count; i++) {
        const struct machine_stream *stream = &machine->streams[i];
        put_u32_le(at, stream->member);
        memcpy(at + 4, stream->incarnation, INCARNATION_BYTES);
        put_u64_le(at + 4 + INCARNATION_BYTES, stream->boot);
        put_u64_le(at + 12 + INCARNATION_BYTES, stream->last_seq);
        at += STREAM_BYTES;
    }
    return (size_t)(at - out);
}

static int group_decode(struct machine *machine, const void *data, size_t len) {
    struct reader r = reader_of(data, len);
    if (read_u32_le(&r) != GROUP_STATE_VERSION) return -EBADMSG;
    machine->apply_level = read_u32_le(&r);
    machine->log_time_ms = read_u64_le(&r);
    machine->unix_offset_ms = (int64_t)read_u64_le(&r);
    uint32_t settings = read_u32_le(&r);
    if (r.failed || settings > GROUP_SETTING_COUNT) return -EBADMSG;
    for (uint32_t i = 0; i < settings; i++) set_setting(machine, (enum group_setting)i, read_u64_le(&r));
    uint32_t count = read_u32_le(&r);
    if (r.failed || count > STREAMS_MAX || machine->apply_level < APPLY_LEVEL_FIRST) return -EBADMSG;
    if (machine->apply_level > machine->apply_level_max) return -ENOTSUP;
    machine->stream_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t member = read_u32_le(&r);
        struct bytes incarnation = read_span(&r, INCARNATION_BYTES);
        uint64_t boot = read_u64_le(&r), last_seq = read_u64_le(&r);
        if (r.failed || stream_find(machine, member) != NULL) return -EBADMSG;
        struct machine_stream *stream = stream_add(machine, member);
        memcpy(stream->incarnation, incarnation.data, INCARNATION_BYTES);
        stream->boot = boot;
        stream->last_seq = last_seq;
    }
    return reader_done(&r) ? 0 : -EBADMSG;
}

static struct digest machine_sum(const struct machine *machine, bool recount) {
    uint8_t bytes[GROUP_STATE_BYTES_MAX];
    size_t len = group_encode(machine, bytes);
    struct digest sum = digest_hash(bytes, len, DIGEST_DOMAIN_GROUP);
    for (uint8_t id = 0; id < MODEL_COUNT; id++) {
        const struct model_ops *ops = model_table(id);
        if (ops == NULL || machine->apply_level < model_min_apply_level(id)) continue;
        digest_add(&sum, recount ? ops->digest_recount(machine->models[id]) : ops->digest(machine->models[id]));
    }
    return sum;
}

struct digest machine_digest(const struct machine *machine) {
    return machine_sum(machine, false);
}
struct digest machine_digest_recount(const struct machine *machine) {
    return machine_sum(machine, true);
}

const struct machine_sample *machine_newest_sample(const struct machine *machine) {
    if (machine->sample_count == 0) return NULL;
    return &machine->samples[(machine->sample_count - 1) % DIGEST_SAMPLES_KEPT];
}

bool machine_sample_at(const struct machine *machine, uint64_t index, struct digest *digest) {
    uint64_t kept = machine->sample_count < DIGEST_SAMPLES_KEPT ? machine->sample_count : DIGEST_SAMPLES_KEPT;
    for (uint64_t i = 0; i < kept; i++) {
        const struct machine_sample *sample = &machine->samples[(machine->sample_count - 1 - i) % DIGEST_SAMPLES_KEPT];
        if (sample->index == index) {
            *digest = sample->digest;
            return true;
        }
        if (sample->index < index) return false;
    }
    return false;
}

// ---- snapshots

size_t machine_save(const struct machine *machine, struct machine_cursor *cursor, uint8_t *model, uint8_t *out,
                    size_t capacity) {
    ENSURE(capacity >= GROUP_STATE_BYTES_MAX);
    if (cursor->model == MODEL_GROUP) {
        cursor->model++;
        *model = MODEL_GROUP;
        return group_encode(machine, out);
    }
    while (cursor->model < MODEL_COUNT) {
        uint8_t id = (uint8_t)cursor->model;
        const struct model_ops *ops = machine->apply_level < model_min_apply_level(id) ? NULL : model_table(id);
        size_t len = ops == NULL ? 0 : ops->save(machine->models[cursor->model], &cursor->inner, out, capacity);
        if (len > 0) {
            *model = (uint8_t)cursor->model;
            return len;
        }
        memset(&cursor->inner, 0, sizeof cursor->inner);
        cursor->model++;
    }
    return 0;
}

int machine_load(struct machine *machine, uint8_t model, const void *data, size_t len) {
    if (model == MODEL_GROUP) return group_decode(machine, data, len);
    const struct model_ops *ops = model_table(model);
    return ops == NULL ? -EBADMSG : ops->load(machine->models[model], data, len);
}

int machine_load_finish(struct machine *machine, uint64_t index, uint64_t term, uint64_t log_time_ms,
                        struct bytes membership, struct digest digest) {
    machine->applied = index;
    machine->applied_term = term;
    if (log_time_ms > machine->log_time_ms) machine->log_time_ms = log_time_ms;
    membership_free(&machine->membership);
    membership_init(&machine->membership);
    if (!membership_decode(&machine->membership, membership)) return -EBADMSG;
    if (!tree_load_whole(machine->models[MODEL_TREE])) return -EBADMSG;
    if (!digest_equal(machine_digest(machine), digest)) return -EBADMSG;
    return 0;
}

// The highest level that all members can follow.
static uint32_t membership_apply_level(const struct raft_membership *m, uint32_t level) {
    for (uint32_t i = 0; i < m->count; i++)
        if (m->members[i].apply_level_max < level) level = m->members[i].apply_level_max;
    return level < APPLY_LEVEL_FIRST ? APPLY_LEVEL_FIRST : level;
}

void machine_genesis(struct machine *machine, uint64_t index, uint64_t term, uint64_t log_time_ms,
                     int64_t unix_offset_ms, const struct raft_membership *membership) {
    ENSURE(machine->applied == 0);
    machine->applied = index;
    machine->applied_term = term;
    machine->log_time_ms = log_time_ms;
    machine->unix_offset_ms = unix_offset_ms;
    membership_free(&machine->membership);
    membership_copy(&machine->membership, membership);
    machine->membership.index = index;
    machine->apply_level = membership_apply_level(membership, machine->apply_level_max);
    struct apply apply = apply_at(machine, index);
    machine->applying = &apply;
    publish_config(machine);
    machine->applying = NULL;
}

struct session_list {
    uint64_t *sessions;
    size_t count;
};

static void collect_session(void *context, const struct lease *lease) {
    struct session_list *list = context;
    list->sessions[list->count++] = lease->session;
}

void machine_reset(struct machine *machine, uint64_t index, uint64_t term, const struct raft_membership *membership) {
    ENSURE(index > machine->applied);
    ENSURE(term >= machine->applied_term);
    machine->sink = (struct machine_sink){0};
    struct apply apply = apply_at(machine, index);
    machine->applying = &apply;
    struct session_list list = {mem_alloc(lease_count(apply.leases) * sizeof(uint64_t)), 0};
    lease_each(apply.leases, collect_session, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct writer args;
        writer_init(&args);
        write_varint(&args, list.sessions[i]);
        struct command kill = {.model = MODEL_LEASE, .op = LEASE_KILL, .args = bytes_of(args.data, args.len)};
        struct result result = {0};
        lease_model.apply(apply.leases, &apply, &kill, &result);
        ENSURE(result.error == 0);
        writer_free(&args);
    }
    mem_free(list.sessions);
    ENSURE(lease_count(apply.leases) == 0);
    machine->stream_count = 0;
    machine->sample_count = 0;
    membership_free(&machine->membership);
    membership_copy(&machine->membership, membership);
    machine->membership.index = index;
    machine->applied = index;
    machine->applied_term = term;
    publish_config(machine);
    machine->applying = NULL;
}
