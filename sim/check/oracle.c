// The log's side of the oracle: which commands count at all (streams, sessions), what time ends, and the history's
// memory. The operations are in oracle_ops.c.
#include "sim/check/oracle.h"

#include <string.h>

void *oracle_grow(void *array, size_t *capacity, size_t need, size_t element) {
    if (need <= *capacity) return array;
    size_t more = *capacity == 0 ? 4 : *capacity;
    while (more < need) more *= 2;
    *capacity = more;
    return mem_realloc(array, more * element);
}

// ---- paths and their states

static bool path_is(const struct hash_node *hash_node, const void *key) {
    const struct oracle_node *node = CONTAINER_OF_CONST(hash_node, struct oracle_node, index);
    const struct bytes *path = key;
    return node->len == path->len && memcmp(node->path, path->data, path->len) == 0;
}

struct oracle_node *oracle_path(struct oracle *o, struct bytes path) {
    uint64_t hash = hash_bytes(path.data, path.len, 0);
    struct hash_node *found = hash_find(&o->paths, hash, path_is, &path);
    if (found != NULL) return CONTAINER_OF(found, struct oracle_node, index);
    struct oracle_node *node = mem_zalloc(sizeof *node + path.len + 1);
    node->len = (uint32_t)path.len;
    if (path.len > 0) memcpy(node->path, path.data, path.len);
    if (path.len > 1 && path.data[0] == '/') {
        size_t end = path.len - 1;
        while (end > 0 && path.data[end] != '/') end--;
        node->parent = oracle_path(o, bytes_of(path.data, end == 0 ? 1 : end));
    }
    hash_insert(&o->paths, &node->index, hash);
    o->nodes = oracle_grow(o->nodes, &o->node_capacity, o->node_count + 1, sizeof *o->nodes);
    o->nodes[o->node_count++] = node;
    return node;
}

const struct oracle_state *oracle_at(const struct oracle_node *node, uint64_t zxid) {
    size_t low = 0, high = node->count;
    if (high > 0 && node->states[high - 1].zxid <= zxid) low = high; // what is asked most
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (node->states[middle].zxid <= zxid)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && node->states[low - 1].exists ? &node->states[low - 1] : NULL;
}

const struct oracle_state *oracle_now(const struct oracle_node *node) {
    return node->count > 0 && node->states[node->count - 1].exists ? &node->states[node->count - 1] : NULL;
}

struct oracle_state *oracle_touch(struct oracle *o, struct oracle_node *node) {
    if (node->count > 0 && node->states[node->count - 1].zxid == o->index) return &node->states[node->count - 1];
    node->states = oracle_grow(node->states, &node->capacity, node->count + 1, sizeof *node->states);
    struct oracle_state *state = &node->states[node->count];
    *state = node->count > 0 ? state[-1] : (struct oracle_state){.deadline_ms = ORACLE_NEVER};
    state->zxid = o->index;
    node->count++;
    o->touched = oracle_grow(o->touched, &o->touched_capacity, o->touched_count + 1, sizeof *o->touched);
    o->touched[o->touched_count++] = node;
    return state;
}

void oracle_kid_add(struct oracle_kids *kids, struct oracle_node *node, uint64_t born) {
    for (size_t i = kids->count; i > 0 && kids->kids[i - 1].born == born; i--) {
        if (kids->kids[i - 1].node != node) continue; // made, deleted and made again in one multi: its newest place
        memmove(&kids->kids[i - 1], &kids->kids[i], (kids->count - i) * sizeof *kids->kids);
        kids->count--;
    }
    kids->kids = oracle_grow(kids->kids, &kids->capacity, kids->count + 1, sizeof *kids->kids);
    kids->kids[kids->count++] = (struct oracle_kid){node, born};
}

static bool kid_holds(const struct oracle_kid *kid, uint64_t zxid) {
    if (kid->born > zxid) return false;
    const struct oracle_state *state = oracle_at(kid->node, zxid);
    return state != NULL && state->czxid == kid->born;
}

size_t oracle_children(const struct oracle_kids *kids, uint64_t zxid, size_t count, const struct oracle_node **out) {
    size_t found = 0;
    for (size_t i = kids->count; i > 0 && found < count; i--)
        if (kid_holds(&kids->kids[i - 1], zxid)) out[count - ++found] = kids->kids[i - 1].node;
    return found;
}

uint64_t oracle_descendants(const struct oracle_node *node, uint64_t zxid) {
    const struct oracle_state *state = oracle_at(node, zxid);
    uint64_t sum = 0, left = state == NULL ? 0 : state->children;
    for (size_t i = node->kids.count; i > 0 && left > 0; i--) {
        if (!kid_holds(&node->kids.kids[i - 1], zxid)) continue;
        left--;
        sum += 1 + oracle_descendants(node->kids.kids[i - 1].node, zxid);
    }
    return sum;
}

int32_t oracle_cversion(const struct oracle_state *state) {
    return (int32_t)(uint32_t)(state->creates * 2 - state->children);
}

void oracle_event(struct oracle *o, enum tree_event_type type, const struct oracle_node *node) {
    o->events = oracle_grow(o->events, &o->event_capacity, o->event_count + 1, sizeof *o->events);
    o->events[o->event_count++] = (struct oracle_event){
        .zxid = o->index, .node = node, .acl = node->states[node->count - 1].acl, .type = (uint8_t)type};
}

size_t oracle_event_behind(const struct oracle *o, uint64_t zxid) {
    size_t low = 0, high = o->event_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (o->events[middle].zxid <= zxid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct oracle_entry *oracle_entry_at(const struct oracle *o, uint64_t index) {
    return index > o->base && index - o->base <= o->entry_count ? &o->entries[index - o->base - 1] : NULL;
}

// ---- life

void oracle_init(struct oracle *o, struct world *world) {
    *o = (struct oracle){.world = world};
    hash_init(&o->paths);
}

void oracle_free(struct oracle *o) {
    for (size_t i = 0; i < o->node_count; i++) {
        mem_free(o->nodes[i]->states);
        mem_free(o->nodes[i]->kids.kids);
        mem_free(o->nodes[i]);
    }
    for (size_t i = 0; i < o->session_count; i++) mem_free(o->sessions[i].owned.kids);
    for (size_t i = 0; i < o->acl_count; i++) mem_free(o->acls[i].encoded);
    hash_free(&o->paths);
    mem_free(o->nodes);
    mem_free(o->entries);
    mem_free(o->results);
    mem_free(o->events);
    mem_free(o->sessions);
    mem_free(o->acls);
    mem_free(o->timed.kids);
    mem_free(o->touched);
}

static const uint8_t super[] = {1, 5, 's', 'u', 'p', 'e', 'r', 0};

static const struct tree_answer *ask(const struct machine *machine, struct bytes path) {
    struct tree_query query = {.op = TREE_GET, .path = path, .identities = {bytes_of(super, sizeof super)}};
    struct result result;
    machine_query(machine, MODEL_TREE, &query, &result);
    return result.error == 0 ? result.value : NULL;
}

// What the machine says of a node, where the oracle cannot know it (the formation's nodes, the published membership).
static void take_over(struct oracle *o, const char *text, const struct machine *machine) {
    const struct tree_answer *answer = ask(machine, bytes_of_text(text));
    if (answer == NULL) {
        world_fail(o->world, "a new cluster has no %s", text);
        return;
    }
    static const uint8_t open[] = "\1\37\5world\6anyone", readable[] = "\1\1\5world\6anyone";
    struct oracle_node *node = oracle_path(o, bytes_of_text(text));
    bool config = strcmp(text, "/zookeeper/config") == 0;
    const struct tree_stat *stat = &answer->stat;
    struct oracle_state *state = oracle_touch(o, node);
    *state = (struct oracle_state){.zxid = o->index,
                                   .czxid = stat->czxid,
                                   .mzxid = stat->mzxid,
                                   .pzxid = stat->pzxid,
                                   .creates = (uint64_t)(stat->cversion + stat->children) / 2,
                                   .deadline_ms = ORACLE_NEVER,
                                   .ctime = stat->ctime,
                                   .mtime = stat->mtime,
                                   .data_hash = hash_bytes(answer->data.data, answer->data.len, 0),
                                   .version = (uint32_t)stat->version,
                                   .aversion = (uint32_t)stat->aversion,
                                   .children = (uint32_t)stat->children,
                                   .data_len = (uint32_t)answer->data.len,
                                   .acl = oracle_acl(o, bytes_of(config ? readable : open, sizeof open - 1)),
                                   .exists = true,
                                   .null = answer->data_null};
}

static void take_session(void *context, const struct lease *lease) {
    struct oracle *o = context;
    o->sessions = oracle_grow(o->sessions, &o->session_capacity, o->session_count + 1, sizeof *o->sessions);
    struct oracle_session *session = &o->sessions[o->session_count++];
    *session = (struct oracle_session){.session = lease->session, .attach = lease->attach};
    memcpy(session->password, lease->password, sizeof session->password);
}

void oracle_begin(struct oracle *o, const struct machine *formed) {
    static const char *const paths[] = {"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"};
    o->base = o->index = machine_applied(formed);
    o->log_time_ms = machine_log_time_ms(formed);
    o->unix_offset_ms = o->next_offset_ms = machine_unix_offset_ms(formed);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        take_over(o, paths[i], formed);
        struct oracle_node *node = oracle_path(o, bytes_of_text(paths[i]));
        if (node->parent != NULL) oracle_kid_add(&node->parent->kids, node, node->states[0].czxid);
    }
    o->order = 0;
    lease_each(machine_leases(formed), take_session, o);
    o->stream_count = machine_streams(formed, o->streams, 256);
    const struct oracle_state *root = oracle_now(oracle_path(o, bytes_of_text("/")));
    if (root != NULL && (root->children != 1 || root->creates != 0))
        world_fail(o->world, "the first state that was seen is not an empty tree");
}

// ---- which commands count

static struct machine_stream *stream_of(struct oracle *o, uint32_t member) {
    for (size_t i = 0; i < o->stream_count; i++)
        if (o->streams[i].member == member) return &o->streams[i];
    return NULL;
}

static bool stream_opens(struct oracle *o, const struct section *section, struct bytes args,
                         const struct raft_membership *members) {
    struct reader r = reader_of(args.data, args.len);
    struct bytes incarnation = read_span(&r, INCARNATION_BYTES);
    uint64_t id = read_varint(&r), boot = read_varint(&r);
    const struct member *member = membership_find(members, section->origin);
    if (!reader_done(&r) || id != section->origin || boot != section->boot || member == NULL ||
        memcmp(member->incarnation, incarnation.data, INCARNATION_BYTES) != 0)
        return false;
    struct machine_stream *stream = stream_of(o, section->origin);
    if (stream == NULL) {
        stream = &o->streams[o->stream_count++];
        *stream = (struct machine_stream){.member = section->origin};
    } else if (memcmp(stream->incarnation, incarnation.data, INCARNATION_BYTES) == 0 && boot <= stream->boot) {
        return false;
    }
    memcpy(stream->incarnation, incarnation.data, INCARNATION_BYTES);
    stream->boot = boot;
    stream->last_seq = 0;
    return true;
}

// Each number of a stream counts once, in order, and only of its newest boot.
static bool stream_takes(struct oracle *o, const struct section *section, uint64_t seq, const struct command *command,
                         const struct raft_membership *members) {
    if (section->origin == 0) return true;
    if (command->model == MODEL_GROUP && command->op == GROUP_STREAM_OPEN &&
        !stream_opens(o, section, command->args, members))
        return false;
    struct machine_stream *stream = stream_of(o, section->origin);
    if (stream == NULL || stream->boot != section->boot || stream->last_seq == STREAM_CLOSED) return false;
    if (stream->last_seq + 1 != seq) return false;
    stream->last_seq = seq;
    return true;
}

struct oracle_session *oracle_session(const struct oracle *o, uint64_t session) {
    size_t low = 0, high = o->session_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (o->sessions[middle].session < session)
            low = middle + 1;
        else
            high = middle;
    }
    return low < o->session_count && o->sessions[low].session == session ? &o->sessions[low] : NULL;
}

static void session_ends(struct oracle *o, struct oracle_session *session) {
    session->ended = o->index;
    for (size_t i = 0; i < session->owned.count; i++) {
        struct oracle_kid *kid = &session->owned.kids[i];
        // A multi may have made it, deleted it, and made it again as nobody's.
        if (kid_holds(kid, o->index) && oracle_now(kid->node)->owner == session->session) oracle_remove(o, kid->node);
    }
}

static int apply_attach(struct oracle *o, const struct command *command, struct reader *r) {
    struct bytes password = read_span(r, 16);
    if (command->session == 0) {
        struct lease lease = {.session = o->index, .attach = o->index};
        memcpy(lease.password, password.data, 16);
        take_session(o, &lease);
        return 0;
    }
    struct oracle_session *session = oracle_session(o, command->session);
    if (session == NULL || session->ended != 0 || memcmp(session->password, password.data, 16) != 0)
        return COMMAND_SESSION_EXPIRED;
    session->attach = o->index;
    return 0;
}

static int apply_lease(struct oracle *o, const struct command *command) {
    struct reader r = reader_of(command->args.data, command->args.len);
    if (command->op == LEASE_ATTACH) return apply_attach(o, command, &r);
    if (command->op == LEASE_CHECKPOINT) return 0;
    uint64_t session = command->op == LEASE_CLOSE ? command->session : read_varint(&r);
    uint64_t attach = command->op == LEASE_EXPIRE ? read_varint(&r) : command->attach;
    struct oracle_session *known = oracle_session(o, session);
    if (known == NULL || known->ended != 0) return COMMAND_SESSION_EXPIRED;
    if (command->op != LEASE_KILL && known->attach != attach) return COMMAND_SESSION_MOVED;
    session_ends(o, known);
    return 0;
}

// ---- time

static void time_passes(struct oracle *o) {
    for (size_t removed = 0; removed < TIME_REMOVALS_MAX; removed++) {
        struct oracle_node *first = NULL;
        const struct oracle_state *best = NULL;
        size_t kept = 0;
        for (size_t i = 0; i < o->timed.count; i++) {
            struct oracle_kid kid = o->timed.kids[i];
            if (!kid_holds(&kid, o->index)) continue;
            o->timed.kids[kept++] = kid;
            const struct oracle_state *state = oracle_now(kid.node);
            if (state->deadline_ms > o->log_time_ms) continue;
            if (best != NULL && (best->deadline_ms < state->deadline_ms ||
                                 (best->deadline_ms == state->deadline_ms && best->order < state->order)))
                continue;
            best = state;
            first = kid.node;
        }
        o->timed.count = kept;
        if (first == NULL) return;
        oracle_remove(o, first);
        o->removed_by_time++;
    }
}

static int apply_group(struct oracle *o, const struct command *command) {
    struct reader r = reader_of(command->args.data, command->args.len);
    uint64_t value = read_varint(&r);
    if (command->op == GROUP_TIME) time_passes(o);
    if (command->op == GROUP_UNIX_OFFSET && reader_done(&r)) // a batch has one time: from the next one on
        o->next_offset_ms = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    if (command->op == GROUP_VOID) return (int)((int64_t)(value >> 1) ^ -(int64_t)(value & 1));
    return 0;
}

// ---- batches

// A multi that failed: as if it had not been. What it touched stays in the list, to be held against the machine.
static void entry_back(struct oracle *o, size_t events, uint64_t order) {
    for (size_t i = o->entry_touched; i < o->touched_count; i++) o->touched[i]->count--;
    o->event_count = events;
    o->order = order;
}

static int apply_tree(struct oracle *o, const struct command *command, struct oracle_entry *entry) {
    const struct oracle_session *session = oracle_session(o, command->session);
    if (session == NULL || session->ended != 0) return COMMAND_SESSION_EXPIRED;
    if (session->attach != command->attach) return COMMAND_SESSION_MOVED;
    size_t events = o->event_count;
    uint64_t order = o->order;
    struct reader r = reader_of(command->args.data, command->args.len);
    struct bytes who = read_blob(&r), args = read_span(&r, reader_left(&r));
    int error;
    entry->result = o->result_count;
    entry->who = hash_bytes(who.data, who.len, 0);
    if (command->op == TREE_OP_MULTI) {
        error = oracle_multi(o, command->session, who, args);
    } else {
        struct oracle_result result = {.op = command->op};
        error = oracle_op(o, command->session, who, command->op, args, &result);
        o->results = oracle_grow(o->results, &o->result_capacity, o->result_count + 1, sizeof *o->results);
        o->results[o->result_count++] = result;
    }
    entry->count = o->result_count - entry->result;
    if (error != 0) entry_back(o, events, order);
    return error;
}

static void apply_command(struct oracle *o, const struct section *section, uint64_t seq, struct bytes span,
                          const struct raft_membership *members) {
    struct command command = {0};
    struct oracle_entry entry = {0};
    o->index++;
    o->entry_touched = o->touched_count;
    if (!command_read(&command, span)) world_fail(o->world, "entry %llu cannot be read", (unsigned long long)o->index);
    entry.model = command.model;
    entry.op = command.op;
    entry.session = command.session;
    entry.taken = stream_takes(o, section, seq, &command, members);
    if (!entry.taken)
        o->refused_by_stream++;
    else if (command.model == MODEL_GROUP)
        entry.error = apply_group(o, &command);
    else if (command.model == MODEL_LEASE)
        entry.error = apply_lease(o, &command);
    else if (command.model == MODEL_TREE) // what native models do is seen from outside: sim/native_*.c
        entry.error = apply_tree(o, &command, &entry);
    o->entries = oracle_grow(o->entries, &o->entry_capacity, o->entry_count + 1, sizeof *o->entries);
    o->entries[o->entry_count++] = entry;
}

void oracle_apply(struct oracle *o, const struct batch_ref *batch, const struct machine *before) {
    const uint8_t *head = batch->buf->data;
    uint64_t log_time_ms = get_u64_le(head + 40);
    if (log_time_ms > o->log_time_ms) o->log_time_ms = log_time_ms;
    o->touched_count = o->entry_touched = 0;
    o->unix_offset_ms = o->next_offset_ms;
    if (get_u16_le(head + 12) == BATCH_COMMANDS) {
        struct bytes body = batch_body(batch);
        struct reader r = reader_of(body.data, body.len);
        struct section section;
        while (section_read(&r, &section)) {
            struct reader commands = reader_of(section.commands.data, section.commands.len);
            for (uint32_t i = 0; i < section.count; i++) {
                struct bytes span = read_span(&commands, read_u32_le(&commands));
                apply_command(o, &section, section.first_seq + i, span, machine_membership(before));
            }
        }
        return;
    }
    o->entries = oracle_grow(o->entries, &o->entry_capacity, o->entry_count + 1, sizeof *o->entries);
    o->entries[o->entry_count++] = (struct oracle_entry){.model = MODEL_GROUP};
    o->index++;
}

// ---- against the machine

static void compare_node(struct oracle *o, const struct oracle_node *node, const struct machine *machine) {
    const struct tree_answer *answer = ask(machine, bytes_of(node->path, node->len));
    const struct oracle_state *state = oracle_now(node);
    if (answer == NULL || state == NULL) {
        if (answer != NULL || state != NULL)
            world_fail(o->world, "the nodes' machine says that %s %s at index %llu; by the rules it %s", node->path,
                       answer != NULL ? "stands" : "is gone", (unsigned long long)o->index,
                       state != NULL ? "stands" : "is gone");
        return;
    }
    const struct tree_stat *s = &answer->stat;
    struct {
        const char *name;
        uint64_t have, want;
    } fields[] = {
        {"czxid", s->czxid, state->czxid},
        {"mzxid", s->mzxid, state->mzxid},
        {"pzxid", s->pzxid, state->pzxid},
        {"ctime", (uint64_t)s->ctime, (uint64_t)state->ctime},
        {"mtime", (uint64_t)s->mtime, (uint64_t)state->mtime},
        {"version", (uint32_t)s->version, state->version},
        {"cversion", (uint32_t)s->cversion, (uint32_t)oracle_cversion(state)},
        {"aversion", (uint32_t)s->aversion, state->aversion},
        {"owner", s->ephemeral_owner, state->owner},
        {"kind", s->kind, state->kind},
        {"ttl", s->ttl_ms, state->ttl_ms},
        {"children", (uint32_t)s->children, state->children},
        {"null", answer->data_null, state->null},
        {"data", hash_bytes(answer->data.data, answer->data.len, 0), state->data_hash},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].have != fields[i].want)
            world_fail(o->world, "the nodes' machine has %s %llu for %s at index %llu; by the rules it is %llu",
                       fields[i].name, (unsigned long long)fields[i].have, node->path, (unsigned long long)o->index,
                       (unsigned long long)fields[i].want);
}

// Who is no member any more has nothing more applied, until it opens a stream of a higher boot as a member again.
static void close_streams(struct oracle *o, const struct raft_membership *members) {
    for (size_t i = 0; i < o->stream_count; i++) {
        const struct member *member = membership_find(members, o->streams[i].member);
        if (member == NULL || memcmp(member->incarnation, o->streams[i].incarnation, INCARNATION_BYTES) != 0)
            o->streams[i].last_seq = STREAM_CLOSED;
    }
}

static void compare_streams(struct oracle *o, const struct machine *machine) {
    struct machine_stream have[256];
    size_t count = machine_streams(machine, have, 256);
    for (size_t i = 0; i < count; i++) {
        const struct machine_stream *want = stream_of(o, have[i].member);
        if (want == NULL || want->boot != have[i].boot || want->last_seq != have[i].last_seq)
            world_fail(o->world,
                       "the nodes' machine has the stream of node %u at boot %llu, number %llu behind index %llu; by "
                       "the rules at boot %llu, number %llu",
                       have[i].member, (unsigned long long)have[i].boot, (unsigned long long)have[i].last_seq,
                       (unsigned long long)o->index, want == NULL ? 0 : (unsigned long long)want->boot,
                       want == NULL ? 0 : (unsigned long long)want->last_seq);
    }
    if (count != o->stream_count)
        world_fail(o->world, "the nodes' machine has %zu streams, not %zu", count, o->stream_count);
}

void oracle_compare(struct oracle *o, const struct batch_ref *batch, const struct machine *after) {
    if (get_u16_le(batch->buf->data + 12) == BATCH_MEMBERSHIP) {
        const struct oracle_node *config = oracle_path(o, bytes_of_text("/zookeeper/config"));
        uint64_t mzxid = config->states[config->count - 1].mzxid;
        close_streams(o, machine_membership(after));
        take_over(o, "/zookeeper/config", after);
        if (config->states[config->count - 1].mzxid != mzxid) oracle_event(o, TREE_EVENT_DATA, config);
    }
    for (size_t i = 0; i < o->touched_count && !o->world->failed; i++) compare_node(o, o->touched[i], after);
    compare_streams(o, after);
}
