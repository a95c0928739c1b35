// Leases: a hash by session and a list in ascending order. Sessions are numbered by the index of the entry that creates
// them, so appending keeps the list ascending; nothing ever has to be sorted.
//
//   list:  [session 17] <-> [session 40] <-> [session 41]        hash: session -> item
//
// Invariants: sessions strictly ascend along the list; attach >= session; digest == the sum over all items.
#include "model/lease/lease.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/planted.h"
#include <errno.h>
#include <string.h>

#define LEASE_DOMAIN 0x6c65617365ull // "lease"
#define LEASE_RECORD 1u
#define LEASE_RECORD_BYTES_MAX (1 + 7 * 10 + 1 + LEASE_PASSWORD_BYTES)

struct lease_item {
    struct lease lease;
    struct hash_node index;
    struct list order;
};

struct lease_table {
    struct hash index;
    struct list order;
    struct digest digest;
    void (*ended)(void *context, struct apply *apply, uint64_t session);
    void *ended_context;
    struct lease_result result; // of the newest apply
};

static void *lease_create(void) {
    struct lease_table *table = mem_zalloc(sizeof *table);
    hash_init(&table->index);
    list_init(&table->order);
    return table;
}

static void lease_destroy(void *state) {
    struct lease_table *table = state;
    while (!list_empty(&table->order)) {
        struct lease_item *item = CONTAINER_OF(table->order.next, struct lease_item, order);
        list_remove(&item->order);
        mem_free(item);
    }
    hash_free(&table->index);
    mem_free(table);
}

static bool lease_matches(const struct hash_node *node, const void *key) {
    return CONTAINER_OF_CONST(node, struct lease_item, index)->lease.session == *(const uint64_t *)key;
}

static struct lease_item *item_find(const struct lease_table *table, uint64_t session) {
    struct hash_node *node = hash_find(&table->index, hash_u64(session), lease_matches, &session);
    return node ? CONTAINER_OF(node, struct lease_item, index) : NULL;
}

static struct digest item_digest(const struct lease *lease) {
    uint8_t bytes[7 * 8 + LEASE_PASSWORD_BYTES];
    put_u64_le(bytes, lease->session);
    put_u64_le(bytes + 8, lease->attach);
    put_u64_le(bytes + 16, lease->timeout_ms);
    put_u64_le(bytes + 24, lease->node);
    put_u64_le(bytes + 32, lease->boot);
    put_u64_le(bytes + 40, lease->kind);
    put_u64_le(bytes + 48, lease->remaining_ms);
    memcpy(bytes + 56, lease->password, LEASE_PASSWORD_BYTES);
    return digest_hash(bytes, sizeof bytes, LEASE_DOMAIN);
}

static void item_append(struct lease_table *table, struct lease_item *item) {
    ENSURE(list_empty(&table->order) ||
           CONTAINER_OF(table->order.prev, struct lease_item, order)->lease.session < item->lease.session);
    hash_insert(&table->index, &item->index, hash_u64(item->lease.session));
    list_push_back(&table->order, &item->order);
    digest_add(&table->digest, item_digest(&item->lease));
}

const struct lease *lease_find(const struct lease_table *table, uint64_t session) {
    const struct lease_item *item = item_find(table, session);
    return item ? &item->lease : NULL;
}

int lease_check(const struct lease_table *table, uint64_t session, uint64_t attach) {
    const struct lease *lease = lease_find(table, session);
    if (!lease) return COMMAND_SESSION_EXPIRED;
    return lease->attach == attach || PLANTED(MOVED_SESSION_WRITES) ? 0 : COMMAND_SESSION_MOVED;
}

size_t lease_count(const struct lease_table *table) {
    return table->index.count;
}

const struct lease *lease_next(const struct lease_table *table, uint64_t session) {
    const struct lease_item *item = item_find(table, session);
    const struct list *at = item ? item->order.next : table->order.next;
    return at == &table->order ? NULL : &CONTAINER_OF_CONST(at, struct lease_item, order)->lease;
}

void lease_each(const struct lease_table *table, void (*visit)(void *context, const struct lease *lease),
                void *context) {
    for (const struct list *at = table->order.next; at != &table->order;) {
        const struct list *next = at->next;
        visit(context, &CONTAINER_OF_CONST(at, struct lease_item, order)->lease);
        at = next;
    }
}

void lease_on_end(struct lease_table *table, void (*ended)(void *context, struct apply *apply, uint64_t session),
                  void *context) {
    table->ended = ended;
    table->ended_context = context;
}

static void lease_emit(struct apply *apply, const struct lease_event *event) {
    if (apply->emit) apply->emit(apply->emit_context, MODEL_LEASE, event);
}

static int lease_apply_attach(struct lease_table *table, struct apply *apply, uint64_t session, struct reader *r) {
    struct bytes password = read_span(r, LEASE_PASSWORD_BYTES);
    uint64_t timeout_ms = read_varint(r);
    uint8_t kind = read_u8(r);
    uint64_t node = read_varint(r), boot = read_varint(r);
    if (!reader_done(r) || timeout_ms > UINT32_MAX || node > UINT32_MAX) return COMMAND_BAD_COMMAND;
    struct lease_event event = {.type = LEASE_EVENT_ATTACHED};
    struct lease_item *item;
    if (session == 0) {
        // An index creates one session at most, so the newest session is always below it.
        if (!list_empty(&table->order) &&
            CONTAINER_OF(table->order.prev, struct lease_item, order)->lease.session >= apply->index)
            return COMMAND_BAD_COMMAND;
        item = mem_zalloc(sizeof *item);
        item->lease.session = apply->index;
        memcpy(item->lease.password, password.data, LEASE_PASSWORD_BYTES);
    } else {
        item = item_find(table, session);
        // A wrong password says "expired" too: who does not know it learns nothing about the session.
        if (!item || memcmp(item->lease.password, password.data, LEASE_PASSWORD_BYTES) != 0)
            return COMMAND_SESSION_EXPIRED;
        event.old_attach = item->lease.attach;
        digest_sub(&table->digest, item_digest(&item->lease));
    }
    item->lease.attach = apply->index;
    item->lease.timeout_ms = (uint32_t)timeout_ms;
    item->lease.node = (uint32_t)node;
    item->lease.boot = boot;
    item->lease.kind = kind;
    item->lease.remaining_ms = 0; // an attach is activity: the whole time-out lies ahead
    if (session == 0)
        item_append(table, item);
    else
        digest_add(&table->digest, item_digest(&item->lease));
    table->result.session = item->lease.session;
    table->result.attach = item->lease.attach;
    table->result.timeout_ms = item->lease.timeout_ms;
    memcpy(table->result.password, item->lease.password, LEASE_PASSWORD_BYTES);
    event.lease = item->lease;
    lease_emit(apply, &event);
    return 0;
}

static void lease_end(struct lease_table *table, struct apply *apply, struct lease_item *item, int reason) {
    struct lease_event event = {.type = LEASE_EVENT_ENDED, .lease = item->lease, .reason = reason};
    digest_sub(&table->digest, item_digest(&item->lease));
    hash_remove(&table->index, &item->index);
    list_remove(&item->order);
    mem_free(item);
    if (table->ended && !(PLANTED(EPHEMERALS_OUTLIVE_CLOSE) && reason == LEASE_CLOSE))
        table->ended(table->ended_context, apply, event.lease.session);
    lease_emit(apply, &event);
}

static int lease_apply_checkpoint(struct lease_table *table, struct reader *r) {
    uint64_t count = read_varint(r);
    struct reader check = *r; // all of it is read before anything changes
    for (uint64_t i = 0; i < count * 3 && !check.failed; i++) read_varint(&check);
    if (count > reader_left(r) || !reader_done(&check)) return COMMAND_BAD_COMMAND;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t session = read_varint(r), attach = read_varint(r), remaining_ms = read_varint(r);
        struct lease_item *item = item_find(table, session);
        if (!item || item->lease.attach != attach) continue; // ended or attached again since it was judged
        digest_sub(&table->digest, item_digest(&item->lease));
        item->lease.remaining_ms = remaining_ms;
        digest_add(&table->digest, item_digest(&item->lease));
    }
    return 0;
}

static int lease_apply_end(struct lease_table *table, struct apply *apply, const struct command *command,
                           struct reader *r) {
    uint64_t session = command->session, attach = command->attach;
    if (command->op != LEASE_CLOSE) session = read_varint(r);
    if (command->op == LEASE_EXPIRE) attach = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct lease_item *item = item_find(table, session);
    if (!item) return COMMAND_SESSION_EXPIRED;
    bool older = item->lease.attach != attach && !PLANTED(EXPIRY_OF_OLDER_ATTACH); // judged another one
    if (command->op != LEASE_KILL && older) return COMMAND_SESSION_MOVED;
    lease_end(table, apply, item, command->op);
    return 0;
}

static void lease_apply(void *state, struct apply *apply, const struct command *command, struct result *result) {
    struct lease_table *table = state;
    struct reader r = reader_of(command->args.data, command->args.len);
    memset(&table->result, 0, sizeof table->result);
    result->model = MODEL_LEASE;
    result->op = command->op;
    result->value = &table->result;
    switch (command->op) {
    case LEASE_ATTACH:
        result->error = lease_apply_attach(table, apply, command->session, &r);
        break;
    case LEASE_CLOSE:
    case LEASE_EXPIRE:
    case LEASE_KILL:
        result->error = lease_apply_end(table, apply, command, &r);
        break;
    case LEASE_CHECKPOINT:
        result->error = lease_apply_checkpoint(table, &r);
        break;
    default:
        result->error = COMMAND_BAD_COMMAND;
    }
}

// `query` is a session number (uint64_t *); the value is its struct lease.
static void lease_query(const void *state, const void *query, struct result *result) {
    result->model = MODEL_LEASE;
    result->op = 0;
    result->value = lease_find(state, *(const uint64_t *)query);
    result->error = result->value ? 0 : COMMAND_SESSION_EXPIRED;
}

static size_t save_varint(uint8_t *out, uint64_t v) {
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

// words[0]: 0 not begun, 1 under way, 2 done. words[1]: the next item's address (the state stands still during a save).
static size_t lease_save(const void *state, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    const struct lease_table *table = state;
    ENSURE(capacity >= LEASE_RECORD_BYTES_MAX);
    const struct list *at = cursor->words[0] ? (const struct list *)(uintptr_t)cursor->words[1] : table->order.next;
    size_t len = 0;
    for (; at != &table->order && capacity - len >= LEASE_RECORD_BYTES_MAX; at = at->next) {
        const struct lease *lease = &CONTAINER_OF_CONST(at, struct lease_item, order)->lease;
        out[len++] = LEASE_RECORD;
        len += save_varint(out + len, lease->session);
        len += save_varint(out + len, lease->attach);
        len += save_varint(out + len, lease->timeout_ms);
        len += save_varint(out + len, lease->node);
        len += save_varint(out + len, lease->boot);
        out[len++] = lease->kind;
        len += save_varint(out + len, lease->remaining_ms);
        memcpy(out + len, lease->password, LEASE_PASSWORD_BYTES);
        len += LEASE_PASSWORD_BYTES;
    }
    cursor->words[0] = 1;
    cursor->words[1] = (uint64_t)(uintptr_t)at;
    return len;
}

static int lease_load(void *state, const uint8_t *data, size_t len) {
    struct lease_table *table = state;
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0) {
        struct lease lease = {0};
        uint8_t tag = read_u8(&r);
        lease.session = read_varint(&r);
        lease.attach = read_varint(&r);
        uint64_t timeout_ms = read_varint(&r), node = read_varint(&r);
        lease.boot = read_varint(&r);
        lease.kind = read_u8(&r);
        lease.remaining_ms = read_varint(&r);
        struct bytes password = read_span(&r, LEASE_PASSWORD_BYTES);
        if (r.failed || tag != LEASE_RECORD || timeout_ms > UINT32_MAX || node > UINT32_MAX || lease.session == 0)
            return -EBADMSG;
        lease.timeout_ms = (uint32_t)timeout_ms;
        lease.node = (uint32_t)node;
        memcpy(lease.password, password.data, LEASE_PASSWORD_BYTES);
        if (!list_empty(&table->order) &&
            CONTAINER_OF(table->order.prev, struct lease_item, order)->lease.session >= lease.session)
            return -EBADMSG;
        struct lease_item *item = mem_zalloc(sizeof *item);
        item->lease = lease;
        item_append(table, item);
    }
    return 0;
}

static struct digest lease_digest(const void *state) {
    return ((const struct lease_table *)state)->digest;
}

static void recount_one(void *context, const struct lease *lease) {
    digest_add(context, item_digest(lease));
}

static struct digest lease_digest_recount(const void *state) {
    struct digest sum = {0, 0};
    lease_each(state, recount_one, &sum);
    return sum;
}

static uint64_t lease_memory(const void *state) {
    const struct lease_table *table = state;
    return (uint64_t)table->index.count * (sizeof(struct lease_item) + 16); // 16: its share of the slots
}

static uint64_t lease_count_model(const void *state) {
    return lease_count(state);
}

const struct model_ops lease_model = {
    .name = "lease",
    .id = MODEL_LEASE,
    .create = lease_create,
    .destroy = lease_destroy,
    .apply = lease_apply,
    .query = lease_query,
    .save = lease_save,
    .load = lease_load,
    .digest = lease_digest,
    .digest_recount = lease_digest_recount,
    .memory = lease_memory,
    .count = lease_count_model,
};

void lease_write_attach(struct writer *w, uint64_t session, const uint8_t password[LEASE_PASSWORD_BYTES],
                        uint32_t timeout_ms, uint8_t kind, uint32_t node, uint64_t boot) {
    command_write_head(w, MODEL_LEASE, LEASE_ATTACH, session, 0);
    write_span(w, bytes_of(password, LEASE_PASSWORD_BYTES));
    write_varint(w, timeout_ms);
    write_u8(w, kind);
    write_varint(w, node);
    write_varint(w, boot);
}

void lease_write_close(struct writer *w, uint64_t session, uint64_t attach) {
    command_write_head(w, MODEL_LEASE, LEASE_CLOSE, session, attach);
}

void lease_write_expire(struct writer *w, uint64_t session, uint64_t attach) {
    command_write_head(w, MODEL_LEASE, LEASE_EXPIRE, 0, 0);
    write_varint(w, session);
    write_varint(w, attach);
}

void lease_write_kill(struct writer *w, uint64_t session) {
    command_write_head(w, MODEL_LEASE, LEASE_KILL, 0, 0);
    write_varint(w, session);
}

void lease_write_checkpoint(struct writer *w, const struct lease *leases, size_t count) {
    command_write_head(w, MODEL_LEASE, LEASE_CHECKPOINT, 0, 0);
    write_varint(w, count);
    for (size_t i = 0; i < count; i++) {
        write_varint(w, leases[i].session);
        write_varint(w, leases[i].attach);
        write_varint(w, leases[i].remaining_ms);
    }
}
