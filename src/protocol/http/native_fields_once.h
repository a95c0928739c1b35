// Fields of native operations: what is done or given once (sequences, idempotency keys, guards). A part of
// native_table.c, which alone includes it: the macros and the fields that several have stand there.
#pragma once

// ---- what lists ask and say
#define PAGE_PREFIX                                                                                                    \
    { .name = "prefix", .type = NATIVE_TEXT, .high = ITEM_NAME_BYTES_MAX, .help = "only names that begin so" }
#define PAGE_AFTER                                                                                                     \
    {                                                                                                                  \
        .name = "after", .type = NATIVE_TEXT, .high = ITEM_NAME_BYTES_MAX,                                             \
        .help = "only names behind this one: the last of the page before"                                              \
    }
#define PAGE_LIMIT                                                                                                     \
    {                                                                                                                  \
        .name = "limit", .type = NATIVE_NUMBER, .low = 1, .high = NATIVE_LIST_MAX, .standard = NATIVE_LIST_DEFAULT,    \
        .help = "so many at most"                                                                                      \
    }
#define PAGE_MORE                                                                                                      \
    { .name = "more", .type = NATIVE_BOOL, .help = "there are more than the limit" }
#define ONE_DAY_MS (24ull * 3600 * 1000)

// ---- sequences
#define SEQUENCE_NAME                                                                                                  \
    {                                                                                                                  \
        .name = "name", .type = NATIVE_TEXT, .low = 1, .high = SEQUENCE_NAME_BYTES_MAX, .required = true,              \
        .help = "the sequence"                                                                                         \
    }
#define SEQUENCE_WINDOW                                                                                                \
    {                                                                                                                  \
        .name = "window_ms", .type = NATIVE_NUMBER, .low = 1, .high = SEQUENCE_WINDOW_MS_MAX, .standard = 60000,       \
        .help = "the range of time reaches so far from now on; without a session the lease ends then"                  \
    }
#define SEQUENCE_WORKER                                                                                                \
    {                                                                                                                  \
        .name = "worker", .type = NATIVE_NUMBER, .low = 1, .high = SEQUENCE_WORKERS - 1, .required = true,             \
        .help = "the worker's number"                                                                                  \
    }
#define SEQUENCE_TOKEN                                                                                                 \
    {                                                                                                                  \
        .name = "token", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true,                         \
        .help = "of the worker's lease"                                                                                \
    }
FIELDS(sequence_create_fields) = {
    SEQUENCE_NAME,
    {.name = "start", .type = NATIVE_NUMBER, .high = SEQUENCE_CEILING_MAX, .standard = 1, .help = "the first number"},
    {.name = "step",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = SEQUENCE_STEP_MAX,
     .standard = 1,
     .help = "from one number to the next"},
    {.name = "ceiling",
     .type = NATIVE_NUMBER,
     .high = SEQUENCE_CEILING_MAX,
     .standard = SEQUENCE_CEILING_MAX,
     .help = "the last number at most"},
    {.name = "block_max",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = SEQUENCE_BLOCK_MAX,
     .standard = SEQUENCE_BLOCK_DEFAULT,
     .help = "so many numbers in one `next` at most; a restore from a backup skips 2^40 "
             "times as many"},
    {.name = "gapless", .type = NATIVE_BOOL, .help = "gives numbers only under a key, and so none is lost"},
    END};
FIELDS(sequence_next_fields) = {SEQUENCE_NAME,
                                {.name = "count",
                                 .type = NATIVE_NUMBER,
                                 .low = 1,
                                 .high = SEQUENCE_BLOCK_MAX,
                                 .standard = 1,
                                 .help = "so many numbers; at most the sequence's block_max"},
                                {.name = "key",
                                 .type = NATIVE_TEXT,
                                 .low = 1,
                                 .high = REMEMBER_ID_BYTES_MAX,
                                 .help = "what the numbers are for: a retry under the key gets the same ones"},
                                {.name = "fingerprint",
                                 .type = NATIVE_TEXT,
                                 .high = REMEMBER_FINGERPRINT_BYTES_MAX,
                                 .help = "of the request: the key with another one is a mistake"},
                                {.name = "key_ttl_ms",
                                 .type = NATIVE_NUMBER,
                                 .low = 1,
                                 .high = REMEMBER_TTL_MS_MAX,
                                 .standard = ONE_DAY_MS,
                                 .help = "so long the key is known"},
                                END};
FIELDS(sequence_next_answer) = {
    {.name = "first", .type = NATIVE_NUMBER, .help = "the first number; then first + step, and so on"},
    {.name = "last", .type = NATIVE_NUMBER, .help = "the last one"},
    {.name = "step", .type = NATIVE_NUMBER, .help = "from one to the next"},
    {.name = "count", .type = NATIVE_NUMBER, .help = "how many"},
    {.name = "repeated", .type = NATIVE_BOOL, .help = "the key was used before: these are its numbers"},
    END};
FIELDS(sequence_set_fields) = {SEQUENCE_NAME,
                               {.name = "next",
                                .type = NATIVE_NUMBER,
                                .high = SEQUENCE_CEILING_MAX,
                                .required = true,
                                .help = "the number that is given next; only forward"},
                               END};
FIELDS(sequence_ids_fields) = {
    {.name = "count", .type = NATIVE_NUMBER, .low = 1, .high = SEQUENCE_IDS_MAX, .standard = 1, .help = "how many"},
    END};
FIELDS(sequence_ids_answer) = {{.name = "ids",
                                .type = NATIVE_TEXTS,
                                .low = 1,
                                .high = SEQUENCE_IDS_MAX,
                                .help = "decimal, as strings: they are above 2^53"},
                               END};
FIELDS(sequence_worker_lease_fields) = {{.name = "owner",
                                         .type = NATIVE_TEXT,
                                         .high = SEQUENCE_OWNER_BYTES_MAX,
                                         .help = "who it is, for the list of workers"},
                                        SEQUENCE_WINDOW,
                                        SESSION,
                                        END};
FIELDS(sequence_worker_renew_fields) = {SEQUENCE_WORKER, SEQUENCE_TOKEN, SEQUENCE_WINDOW, SESSION, END};
FIELDS(sequence_worker_release_fields) = {SEQUENCE_WORKER, SEQUENCE_TOKEN, SESSION, END};
FIELDS(sequence_worker_answer) = {
    {.name = "worker", .type = NATIVE_NUMBER, .help = "the number that stands in its ids"},
    {.name = "token", .type = NATIVE_NUMBER, .help = "of the lease"},
    {.name = "from_unix_ms", .type = NATIVE_NUMBER, .help = "ids may be made with times from here on"},
    {.name = "until_unix_ms", .type = NATIVE_NUMBER, .help = "and before this"},
    END};
FIELDS(sequence_list_fields) = {
    {.name = "name", .type = NATIVE_TEXT, .high = SEQUENCE_NAME_BYTES_MAX, .help = "only this one"},
    PAGE_PREFIX,
    PAGE_AFTER,
    PAGE_LIMIT,
    END};
FIELDS(sequence_list_answer) = {{.name = "sequences",
                                 .type = NATIVE_OBJECTS,
                                 .help = "each with name, next (none when exhausted), step, ceiling, block_max, "
                                         "gapless, exhausted and restored (its next use jumps, or waits for `set`)"},
                                PAGE_MORE,
                                END};
FIELDS(sequence_workers_answer) = {
    {.name = "workers",
     .type = NATIVE_OBJECTS,
     .help = "each with worker, owner, session (its number; 0: none), token, for_ms, from_unix_ms and until_unix_ms"},
    END};

// ---- idempotency keys
#define IDEMPOTENCY_KEY                                                                                                \
    {                                                                                                                  \
        .name = "key", .type = NATIVE_TEXT, .low = 1, .high = IDEMPOTENCY_KEY_BYTES_MAX, .required = true,             \
        .help = "what is to be done once"                                                                              \
    }
#define IDEMPOTENCY_TOKEN                                                                                              \
    {                                                                                                                  \
        .name = "token", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true,                         \
        .help = "of the run, as begin gave it"                                                                         \
    }
#define IDEMPOTENCY_RESULT                                                                                             \
    {.name = "status", .type = NATIVE_NUMBER, .high = UINT32_MAX, .help = "a number of the caller's, stored"},         \
        {.name = "body",                                                                                               \
         .type = NATIVE_TEXT,                                                                                          \
         .high = IDEMPOTENCY_BODY_BYTES_MAX,                                                                           \
         .help = "what later callers get: at most 64 KiB of text"},                                                    \
    {                                                                                                                  \
        .name = "body_base64", .type = NATIVE_BASE64, .high = IDEMPOTENCY_BODY_BYTES_MAX, .help = "or these bytes"     \
    }
FIELDS(idempotency_begin_fields) = {
    IDEMPOTENCY_KEY,
    {.name = "fingerprint",
     .type = NATIVE_TEXT,
     .high = IDEMPOTENCY_FINGERPRINT_BYTES_MAX,
     .help = "of the request (a hash, say): the key with another one is a mistake"},
    {.name = "owner",
     .type = NATIVE_TEXT,
     .high = IDEMPOTENCY_OWNER_BYTES_MAX,
     .help = "chosen anew for each call (a random text): its retry gets the same run, or place in line, at any node"},
    SESSION,
    {.name = "lease_ms",
     .type = NATIVE_NUMBER,
     .high = IDEMPOTENCY_LEASE_MS_MAX,
     .standard = 30000,
     .help = "another may run after so long without extend; 0: when the session ends"},
    {.name = "ttl_ms",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = IDEMPOTENCY_TTL_MS_MAX,
     .standard = ONE_DAY_MS,
     .help = "what is stored stays so long"},
    {.name = "wait_ms",
     .type = NATIVE_NUMBER,
     .high = IDEMPOTENCY_WAIT_MS_MAX,
     .help = "waits so long for a run under way; 0: not at all. Who closes the connection waits no longer"},
    END};
FIELDS(idempotency_begin_answer) = {
    {.name = "outcome", .type = NATIVE_TEXT, .help = "run: do it, then complete or fail; stored: it was done"},
    {.name = "token", .type = NATIVE_NUMBER, .help = "run: larger than that of every run before"},
    {.name = "ticket", .type = NATIVE_NUMBER, .help = "run: number of the call"},
    {.name = "attempt",
     .type = NATIVE_NUMBER,
     .help = "run: 1 for the first; above it, one before was lost or failed and may have done a part"},
    {.name = "status", .type = NATIVE_NUMBER, .help = "stored: as it was given"},
    {.name = "failed", .type = NATIVE_BOOL, .help = "stored: by fail"},
    {.name = "body", .type = NATIVE_TEXT, .help = "stored: text (UTF-8 without a zero byte)"},
    {.name = "body_base64", .type = NATIVE_TEXT, .help = "stored: any other bytes"},
    END};
FIELDS(idempotency_complete_fields) = {IDEMPOTENCY_KEY, IDEMPOTENCY_TOKEN, IDEMPOTENCY_RESULT, END};
FIELDS(idempotency_fail_fields) = {
    IDEMPOTENCY_KEY,
    IDEMPOTENCY_TOKEN,
    {.name = "store",
     .type = NATIVE_BOOL,
     .help = "later callers get this failure; else the key is free, and who waits runs next"},
    IDEMPOTENCY_RESULT,
    END};
FIELDS(idempotency_store_answer) = {
    {.name = "repeated", .type = NATIVE_BOOL, .help = "it was stored before, alike: this is a retry"}, END};
FIELDS(idempotency_extend_fields) = {IDEMPOTENCY_KEY,
                                     IDEMPOTENCY_TOKEN,
                                     {.name = "lease_ms",
                                      .type = NATIVE_NUMBER,
                                      .low = 1,
                                      .high = IDEMPOTENCY_LEASE_MS_MAX,
                                      .required = true,
                                      .help = "from now on"},
                                     END};
FIELDS(idempotency_extend_answer) = {{.name = "attempt", .type = NATIVE_NUMBER, .help = "of the run"}, END};
FIELDS(idempotency_cancel_fields) = {IDEMPOTENCY_KEY,
                                     {.name = "ticket",
                                      .type = NATIVE_NUMBER,
                                      .low = 1,
                                      .high = INT64_MAX,
                                      .required = true,
                                      .help = "of the call that waits"},
                                     END};
FIELDS(idempotency_cancel_answer) = {{.name = "runs", .type = NATIVE_BOOL, .help = "too late: it runs"},
                                     {.name = "token", .type = NATIVE_NUMBER, .help = "of the run, if so"},
                                     END};
FIELDS(idempotency_key_fields) = {IDEMPOTENCY_KEY, END};
FIELDS(idempotency_show_answer) = {
    {.name = "key", .type = NATIVE_TEXT, .help = "the key"},
    {.name = "state", .type = NATIVE_TEXT, .help = "running, stored, or free (a run was lost, or gave up)"},
    {.name = "holder", .type = NATIVE_TEXT, .help = "who runs: the owner's text"},
    {.name = "session", .type = NATIVE_NUMBER, .help = "of who runs; 0: none"},
    {.name = "token", .type = NATIVE_NUMBER, .help = "of the newest run"},
    {.name = "attempts", .type = NATIVE_NUMBER, .help = "how many runs there were"},
    {.name = "waiters", .type = NATIVE_NUMBER, .help = "how many"},
    {.name = "failed", .type = NATIVE_BOOL, .help = "stored by fail"},
    {.name = "status", .type = NATIVE_NUMBER, .help = "stored"},
    {.name = "for_ms", .type = NATIVE_NUMBER, .help = "in this state for so long"},
    {.name = "due_in_ms",
     .type = NATIVE_NUMBER,
     .help = "the run's lease, or the key, ends in so long; 0: not by time"},
    {.name = "body", .type = NATIVE_TEXT, .help = "stored (or body_base64)"},
    END};
FIELDS(idempotency_list_fields) = {PAGE_PREFIX, PAGE_AFTER, PAGE_LIMIT, END};
FIELDS(idempotency_list_answer) = {
    {.name = "keys", .type = NATIVE_OBJECTS, .help = "each as `show` says it, without its body"}, PAGE_MORE, END};

// ---- guards
#define GUARD_TEXT_FIELD(field, most, words)                                                                           \
    { .name = field, .type = NATIVE_TEXT, .high = most, .help = words }
#define GUARD_NAME_FIELD(field, words)                                                                                 \
    { .name = field, .type = NATIVE_TEXT, .low = 1, .high = GUARD_NAME_BYTES_MAX, .required = true, .help = words }
#define VALUE_VERSION                                                                                                  \
    {                                                                                                                  \
        .name = "version", .type = NATIVE_SIGNED, .low = UINT64_MAX, .high = INT64_MAX, .standard = GUARD_ANY,         \
        .help = "only if it is of this one; 0: only if there is none; -1: whatever it is"                              \
    }
#define VALUE_TOKEN                                                                                                    \
    {                                                                                                                  \
        .name = "token", .type = NATIVE_NUMBER, .high = INT64_MAX,                                                     \
        .help = "a lock's fencing token: refused when a newer one was seen here; 0: none"                              \
    }
FIELDS(guard_issue_fields) = {
    GUARD_TEXT_FIELD("purpose", GUARD_TEXT_BYTES_MAX, "what for; consume must say the same"),
    {.name = "count", .type = NATIVE_NUMBER, .low = 1, .high = GUARD_TOKENS_MAX, .standard = 1, .help = "how many"},
    {.name = "ttl_ms",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = GUARD_TTL_MS_MAX,
     .standard = 3600000,
     .help = "they are known so long, consumed or not"},
    END};
FIELDS(guard_issue_answer) = {{.name = "tokens",
                               .type = NATIVE_TEXTS,
                               .low = 1,
                               .high = GUARD_TOKENS_MAX,
                               .help = "each 128 random bits in hex: who has it may consume it"},
                              END};
FIELDS(guard_consume_fields) = {GUARD_NAME_FIELD("token", "as it was issued"),
                                GUARD_TEXT_FIELD("purpose", GUARD_TEXT_BYTES_MAX, "as it was issued"),
                                GUARD_TEXT_FIELD("caller", GUARD_TEXT_BYTES_MAX, "whoever comes later is told this"),
                                END};
FIELDS(guard_token_fields) = {GUARD_NAME_FIELD("token", "as it was issued"), END};
FIELDS(guard_token_answer) = {{.name = "purpose", .type = NATIVE_TEXT, .help = "as it was issued"},
                              {.name = "consumed", .type = NATIVE_BOOL, .help = "it is of no use any more"},
                              {.name = "by", .type = NATIVE_TEXT, .help = "the caller who consumed it"},
                              {.name = "at_unix_ms", .type = NATIVE_SIGNED, .help = "when"},
                              {.name = "due_in_ms", .type = NATIVE_NUMBER, .help = "it is known so long"},
                              END};
FIELDS(guard_transition_fields) = {
    GUARD_NAME_FIELD("entity", "what has the state"),
    GUARD_TEXT_FIELD("from", GUARD_STATE_BYTES_MAX, "the state that it must be in; none: it must not exist yet"),
    {.name = "to",
     .type = NATIVE_TEXT,
     .low = 1,
     .high = GUARD_STATE_BYTES_MAX,
     .required = true,
     .help = "the state that it gets"},
    GUARD_TEXT_FIELD("request", GUARD_STATE_BYTES_MAX,
                     "the request's id: while it is one of the last 8 changes, its retry changes nothing"),
    GUARD_TEXT_FIELD("caller", GUARD_STATE_BYTES_MAX, "kept with the change"),
    {.name = "ttl_ms",
     .type = NATIVE_NUMBER,
     .high = GUARD_TTL_MS_MAX,
     .help = "it is gone so long after this change, unless another follows; 0: never"},
    END};
FIELDS(guard_transition_answer) = {
    {.name = "state", .type = NATIVE_TEXT, .help = "that it is in; of a repeated one: that it got then"},
    {.name = "version", .type = NATIVE_NUMBER, .help = "of the change: only grows"},
    {.name = "repeated", .type = NATIVE_BOOL, .help = "this request took effect before"},
    END};
FIELDS(guard_entity_delete_fields) = {GUARD_NAME_FIELD("entity", "what has the state"),
                                      {.name = "state",
                                       .type = NATIVE_TEXT,
                                       .low = 1,
                                       .high = GUARD_STATE_BYTES_MAX,
                                       .required = true,
                                       .help = "the state that it must be in"},
                                      END};
FIELDS(guard_entity_fields) = {GUARD_NAME_FIELD("entity", "what has the state"), END};
FIELDS(guard_entity_answer) = {
    {.name = "entity", .type = NATIVE_TEXT, .help = "its name"},
    {.name = "state", .type = NATIVE_TEXT, .help = "that it is in"},
    {.name = "version", .type = NATIVE_NUMBER, .help = "of the newest change"},
    {.name = "at_unix_ms", .type = NATIVE_SIGNED, .help = "when that was"},
    {.name = "request", .type = NATIVE_TEXT, .help = "that changed it"},
    {.name = "caller", .type = NATIVE_TEXT, .help = "that changed it"},
    {.name = "due_in_ms", .type = NATIVE_NUMBER, .help = "it is gone in so long; 0: it stays"},
    {.name = "history",
     .type = NATIVE_OBJECTS,
     .help = "its last changes, at most 8, oldest first, each with the same"},
    END};
FIELDS(guard_put_fields) = {
    GUARD_NAME_FIELD("name", "the value's name"),
    {.name = "value", .type = NATIVE_TEXT, .high = GUARD_VALUE_BYTES_MAX, .help = "at most 64 KiB of text"},
    {.name = "value_base64", .type = NATIVE_BASE64, .high = GUARD_VALUE_BYTES_MAX, .help = "or these bytes"},
    VALUE_VERSION,
    VALUE_TOKEN,
    END};
FIELDS(guard_put_answer) = {{.name = "version", .type = NATIVE_NUMBER, .help = "its new version: only grows"}, END};
FIELDS(guard_delete_fields) = {GUARD_NAME_FIELD("name", "the value's name"), VALUE_VERSION, VALUE_TOKEN, END};
FIELDS(guard_value_fields) = {GUARD_NAME_FIELD("name", "the value's name"), END};
FIELDS(guard_value_answer) = {
    {.name = "name", .type = NATIVE_TEXT, .help = "its name"},
    {.name = "version", .type = NATIVE_NUMBER, .help = "its version; 0: deleted, only its newest token is known"},
    {.name = "token", .type = NATIVE_NUMBER, .help = "the newest fencing token seen; 0: none"},
    {.name = "value", .type = NATIVE_TEXT, .help = "text (UTF-8 without a zero byte)"},
    {.name = "value_base64", .type = NATIVE_TEXT, .help = "any other bytes"},
    END};
FIELDS(guard_counter_set_fields) = {GUARD_NAME_FIELD("name", "the counter"),
                                    {.name = "value",
                                     .type = NATIVE_SIGNED,
                                     .low = (uint64_t)INT64_MIN,
                                     .high = INT64_MAX,
                                     .required = true,
                                     .help = "what it is now"},
                                    {.name = "floor",
                                     .type = NATIVE_SIGNED,
                                     .low = (uint64_t)INT64_MIN,
                                     .high = INT64_MAX,
                                     .help = "it never falls below"},
                                    {.name = "ceiling",
                                     .type = NATIVE_SIGNED,
                                     .low = (uint64_t)INT64_MIN,
                                     .high = INT64_MAX,
                                     .standard = INT64_MAX,
                                     .help = "it never rises above"},
                                    END};
FIELDS(guard_counter_add_fields) = {
    {.name = "deltas",
     .type = NATIVE_DELTAS,
     .low = 1,
     .high = GUARD_COUNTERS_MAX,
     .required = true,
     .help = "counters' names, each with what is added (below 0: taken): all of them or none. A counter that is not "
             "there is 0, with floor 0"},
    {.name = "request",
     .type = NATIVE_TEXT,
     .low = 1,
     .high = REMEMBER_ID_BYTES_MAX,
     .help = "the request's id: its retry adds nothing and gets the same answer"},
    {.name = "request_ttl_ms",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = REMEMBER_TTL_MS_MAX,
     .standard = ONE_DAY_MS,
     .help = "so long the request's id is known"},
    END};
FIELDS(guard_counter_add_answer) = {
    {.name = "values", .type = NATIVE_DELTAS, .help = "what each counter was after it"},
    {.name = "repeated", .type = NATIVE_BOOL, .help = "this request took effect before"},
    END};
FIELDS(guard_counter_fields) = {GUARD_NAME_FIELD("name", "the counter"), END};
FIELDS(guard_counter_answer) = {{.name = "name", .type = NATIVE_TEXT, .help = "its name"},
                                {.name = "value", .type = NATIVE_SIGNED, .help = "what it is"},
                                {.name = "floor", .type = NATIVE_SIGNED, .help = "it never falls below"},
                                {.name = "ceiling", .type = NATIVE_SIGNED, .help = "it never rises above"},
                                {.name = "version", .type = NATIVE_NUMBER, .help = "of its last change: only grows"},
                                END};
FIELDS(guard_list_fields) = {{.name = "kind",
                              .type = NATIVE_CHOICE,
                              .choices = "counters|entities|values",
                              .help = "what is listed. Tokens are not: who knows one may consume it"},
                             PAGE_PREFIX,
                             PAGE_AFTER,
                             PAGE_LIMIT,
                             END};
FIELDS(guard_list_answer) = {
    {.name = "items",
     .type = NATIVE_OBJECTS,
     .help = "each as counter_show or entity_show says it; of values: name, version, token and bytes (how many)"},
    PAGE_MORE,
    END};
