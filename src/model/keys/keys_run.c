// Entries and reads: commands in, replies out. See keys_internal.h.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/keys/keys_internal.h"
#include <string.h>

void keys_write_run(struct writer *w, const struct keys_run *run) {
    write_varint(w, run->client);
    write_varint(w, run->flags);
    write_varint(w, run->watches);
    write_varint(w, run->commands);
}

void keys_write_watch(struct writer *w, uint32_t database, struct bytes key, uint64_t index) {
    write_varint(w, database);
    write_blob(w, key);
    write_varint(w, index);
}

void keys_write_command(struct writer *w, uint32_t database, const struct keys_row *row, const struct bytes *argv,
                        size_t argc) {
    write_varint(w, database);
    write_varint(w, row->number);
    write_varint(w, argc);
    for (size_t i = 0; i < argc; i++) write_blob(w, argv[i]);
}

// ---- running

static bool arity_fits(const struct keys_row *row, size_t argc) {
    return row->arity >= 0 ? argc == (size_t)row->arity : argc >= (size_t)-row->arity;
}

static bool over_memory(const struct keys *keys) {
    return keys->memory_max != UINT64_MAX && keys_model.memory(keys) >= keys->memory_max;
}

static void run_one(struct keys_call *call) {
    if ((call->row->flags & KEYS_DENYOOM) != 0 && over_memory(call->keys))
        reply_error(&call->out, "OOM command not allowed when used memory > 'maxmemory'.");
    else
        call->row->run(call);
}

// false: bytes that no node makes.
static bool read_arguments(struct keys *keys, struct reader *r, struct keys_call *call) {
    uint64_t argc = read_varint(r);
    if (r->failed || argc == 0 || argc > reader_left(r)) return false;
    if (argc > keys->argv_capacity) {
        keys->argv_capacity = argc < 16 ? 16 : argc;
        keys->argv = mem_realloc(keys->argv, keys->argv_capacity * sizeof *keys->argv);
    }
    for (uint64_t i = 0; i < argc; i++) keys->argv[i] = read_blob(r);
    call->argv = keys->argv;
    call->argc = argc;
    return !r->failed;
}

static bool read_command(struct keys *keys, struct reader *r, struct keys_call *call) {
    uint64_t database = read_varint(r), number = read_varint(r);
    if (r->failed || database >= KEYS_DATABASES || number > UINT16_MAX) return false;
    call->database = (uint32_t)database;
    call->row = keys_row_of((uint16_t)number);
    return call->row != NULL && read_arguments(keys, r, call) && arity_fits(call->row, call->argc);
}

// Has any watched key changed?
static bool watches_broken(struct keys_call *call, struct reader *r, uint64_t count) {
    bool broken = false;
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        uint64_t database = read_varint(r);
        struct bytes name = read_blob(r);
        uint64_t index = read_varint(r);
        if (r->failed || database >= KEYS_DATABASES) {
            r->failed = true;
            break;
        }
        broken |= watch_index(call, (uint32_t)database, name) != index;
    }
    return broken;
}

static void add_end(struct keys *keys, size_t at) {
    if (at == keys->ends_capacity) {
        keys->ends_capacity = at < 8 ? 8 : at * 2;
        keys->ends = mem_realloc(keys->ends, keys->ends_capacity * sizeof *keys->ends);
    }
    keys->ends[at] = keys->out.len;
}

// The whole entry can be read, so that bad bytes change nothing.
static bool whole(struct keys *keys, struct reader r, uint64_t count) {
    struct keys_call call = {.keys = keys};
    for (uint64_t i = 0; i < count; i++)
        if (!read_command(keys, &r, &call)) return false;
    return reader_done(&r);
}

void keys_apply_run(struct keys *keys, struct apply *apply, struct bytes args, struct result *result) {
    struct reader r = reader_of(args.data, args.len);
    struct keys_call call = {.keys = keys,
                             .apply = apply,
                             .index = apply->index,
                             .log_time_ms = apply->log_time_ms,
                             .unix_ms = apply->unix_ms,
                             .seed = apply->seed};
    call.client = read_varint(&r);
    uint64_t flags = read_varint(&r), watches = read_varint(&r), count = read_varint(&r);
    call.transaction = (flags & KEYS_TRANSACTION) != 0;
    call.out = (struct reply){.to = &keys->out, .resp3 = (flags & KEYS_RESP3) != 0};
    writer_clear(&keys->out);
    keys->result = (struct keys_result){0};
    result->value = &keys->result;
    bool broken = watches_broken(&call, &r, watches);
    if (r.failed || count > KEYS_COMMANDS_MAX || (count > 1 && !call.transaction) || !whole(keys, r, count)) {
        result->error = COMMAND_BAD_COMMAND;
        return;
    }
    if (broken) return;
    for (uint64_t i = 0; i < count; i++) {
        read_command(keys, &r, &call);
        call.seed = apply->seed + i;
        if (call.row->run != NULL) run_one(&call);
        add_end(keys, i);
    }
    keys->result =
        (struct keys_result){.reply = bytes_of(keys->out.data, keys->out.len), .ends = keys->ends, .count = count};
}

void keys_read(struct keys *keys, const struct keys_query *query, struct result *result) {
    ENSURE((query->row->flags & KEYS_READONLY) != 0 && query->row->run != NULL);
    struct keys_call call = {.keys = keys,
                             .row = query->row,
                             .argv = query->argv,
                             .argc = query->argc,
                             .database = query->database,
                             .out = {.to = query->out, .resp3 = query->resp3},
                             .log_time_ms = query->log_time_ms,
                             .unix_ms = query->unix_ms,
                             .seed = query->seed};
    query->row->run(&call);
    result->value = NULL;
}
