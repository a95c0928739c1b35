// The model's rows of functions, time, and queries. See keys_internal.h.
#include "base/alloc.h"
#include "base/hash.h"
#include "model/keys/quicklist.h"
#include <string.h>

#define COLLECT_A_RUN 64u // keys of flushed databases that are freed with each command, and with each that expires

const char *const key_type_names[KEY_TYPE_COUNT] = {"string", "list", "set", "zset", "hash", "stream"};
const char *const key_encoding_names[ENCODING_COUNT] = {"raw",       "int",       "embstr",   "listpack", "intset",
                                                        "quicklist", "hashtable", "skiplist", "stream"};
const struct type_ops *const type_ops[KEY_TYPE_COUNT] = {
    [KEY_LIST] = &quicklist_ops,
    [KEY_SET] = &set_ops,
    [KEY_ZSET] = &zset_ops,
    [KEY_HASH] = &hash_ops,
};

static void *keys_create(void) {
    struct keys *keys = mem_zalloc(sizeof *keys);
    keys->memory_max = UINT64_MAX;
    stores_init(keys);
    return keys;
}

static void keys_destroy(void *model) {
    struct keys *keys = model;
    if (keys->loading != NULL) key_discard(keys, keys->loading);
    writer_free(&keys->loading_rest);
    stores_free(keys);
    mem_free(keys->deletions);
    mem_free(keys->ends);
    mem_free(keys->argv);
    writer_free(&keys->out);
    mem_free(keys);
}

static void keys_apply(void *model, struct apply *apply, const struct command *command, struct result *result) {
    struct keys *keys = model;
    if (keys->hash_seed == 0) stores_seed(keys, apply->seed | 1);
    keys_collect(keys, COLLECT_A_RUN);
    if (command->op == KEYS_OP_RUN)
        keys_apply_run(keys, apply, command->args, result);
    else
        result->error = COMMAND_BAD_COMMAND;
}

static uint64_t keys_next_deadline(const void *model) {
    const struct keys *keys = model;
    uint64_t first = NO_DEADLINE;
    for (size_t i = 0; i < KEYS_DATABASES; i++) {
        const struct heap_item *item = heap_first(&keys->stores[i].deadlines);
        if (item != NULL && item->time < first) first = item->time;
    }
    return first;
}

// In the order of deadlines, then of ids, over all databases.
static struct key *due(struct keys *keys, uint64_t now_ms) {
    const struct heap_item *first = NULL;
    for (size_t i = 0; i < KEYS_DATABASES; i++) {
        const struct heap_item *item = heap_first(&keys->stores[i].deadlines);
        if (item == NULL || item->time > now_ms) continue;
        if (first == NULL || item->time < first->time || (item->time == first->time && item->tie < first->tie))
            first = item;
    }
    return first == NULL ? NULL : CONTAINER_OF_CONST(first, struct key_deadline, item)->key;
}

static size_t keys_expire(void *model, struct apply *apply, size_t max) {
    struct keys *keys = model;
    struct keys_call call = {.keys = keys,
                             .apply = apply,
                             .index = apply->index,
                             .log_time_ms = apply->log_time_ms,
                             .unix_ms = apply->unix_ms};
    size_t ended = 0;
    struct key *key;
    while (ended < max && (key = due(keys, apply->log_time_ms)) != NULL) {
        key_expire(&call, key, database_of(keys, key));
        ended++;
    }
    keys_collect(keys, COLLECT_A_RUN * (ended + 1));
    return ended;
}

static uint64_t keys_memory(const void *model) {
    const struct keys *keys = model;
    uint64_t bytes = 0;
    for (size_t i = 0; i < KEYS_DATABASES; i++) bytes += keys->stores[i].memory;
    return bytes;
}

static uint64_t keys_count(const void *model) {
    const struct keys *keys = model;
    uint64_t count = 0;
    for (size_t i = 0; i < KEYS_DATABASES; i++) count += keys->stores[i].keys.count;
    return count;
}

void keys_set_memory_max(void *state, uint64_t bytes) {
    ((struct keys *)state)->memory_max = bytes;
}

static void statistics(struct keys *keys) {
    struct keys_statistics *out = &keys->statistics;
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < KEYS_DATABASES; i++) {
        out->keys[i] = store_of(keys, i)->keys.count;
        out->expires[i] = store_of(keys, i)->deadlines.count;
    }
    out->expired = keys->expired;
}

// Reads use the room's scratch space, so the state is not const for them; they change nothing else.
static void keys_query(const void *model, const void *question, struct result *result) {
    struct keys *keys = (struct keys *)(uintptr_t)model;
    const struct keys_query *query = question;
    switch (query->kind) {
    case KEYS_QUERY_RUN:
        keys_read(keys, query, result);
        return;
    case KEYS_QUERY_WATCH: {
        struct keys_call call = {
            .keys = keys, .database = query->database, .log_time_ms = query->log_time_ms, .unix_ms = query->unix_ms};
        keys->answer = watch_index(&call, query->database, query->argv[0]);
        result->value = &keys->answer;
        return;
    }
    case KEYS_QUERY_STATISTICS:
        statistics(keys);
        result->value = &keys->statistics;
        return;
    }
}

const struct model_ops keys_model = {.name = "keys",
                                     .id = MODEL_KEYS,
                                     .create = keys_create,
                                     .destroy = keys_destroy,
                                     .apply = keys_apply,
                                     .query = keys_query,
                                     .next_deadline_ms = keys_next_deadline,
                                     .expire = keys_expire,
                                     .save = keys_save,
                                     .load = keys_load,
                                     .digest = keys_digest,
                                     .digest_recount = keys_recount,
                                     .memory = keys_memory,
                                     .count = keys_count};
