// The table of native operations.
#include "model/guard/guard.h"
#include "model/idempotency/idempotency.h"
#include "model/lock/lock.h"
#include "model/sequence/sequence.h"
#include "protocol/http/native_internal.h"

// ---- fields that several have
#define NAME                                                                                                           \
    { .name = "name", .type = NATIVE_TEXT, .low = 1, .high = LOCK_NAME_BYTES_MAX, .required = true, .help = "the lock" }
#define OWNER                                                                                                          \
    {                                                                                                                  \
        .name = "owner", .type = NATIVE_TEXT, .low = 0, .high = LOCK_OWNER_BYTES_MAX,                                  \
        .help = "who holds it: with a session, one of its owners (a thread, say); without one, a name that nobody "    \
                "else uses"                                                                                            \
    }
#define SESSION                                                                                                        \
    { .name = "session", .type = NATIVE_SESSION, .help = "the session that it belongs to" }
#define SESSION_REQUIRED                                                                                               \
    { .name = "session", .type = NATIVE_SESSION, .required = true, .help = "the session" }
#define TOKEN                                                                                                          \
    {                                                                                                                  \
        .name = "token", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true,                         \
        .help = "the grant's fencing token"                                                                            \
    }
#define TTL                                                                                                            \
    {                                                                                                                  \
        .name = "ttl_ms", .type = NATIVE_NUMBER, .high = LOCK_TTL_MS_MAX,                                              \
        .help = "it ends so long after the grant or the last renewal; 0: with its session only. One of both is wanted" \
    }
#define DELAY                                                                                                          \
    {                                                                                                                  \
        .name = "delay_ms", .type = NATIVE_NUMBER, .high = LOCK_TTL_MS_MAX,                                            \
        .help = "after a loss that was no release, nobody gets it for so long"                                         \
    }
#define MODE                                                                                                           \
    {                                                                                                                  \
        .name = "mode", .type = NATIVE_CHOICE, .choices = "exclusive|shared|permits",                                  \
        .help = "shared: with others that are shared; permits: some of `total` (a semaphore)"                          \
    }
#define END                                                                                                            \
    { .name = NULL }
#define FIELDS(name) static const struct native_field name[]

FIELDS(no_fields) = {END};
FIELDS(session_create_fields) = {{.name = "ttl_ms",
                                  .type = NATIVE_NUMBER,
                                  .low = NATIVE_SESSION_TTL_MS_MIN,
                                  .high = NATIVE_SESSION_TTL_MS_MAX,
                                  .standard = NATIVE_SESSION_TTL_MS_DEFAULT,
                                  .help = "it ends, with all that it holds, when nothing is heard of it for so long"},
                                 END};
FIELDS(session_fields) = {SESSION_REQUIRED, END};
FIELDS(session_answer) = {
    {.name = "session", .type = NATIVE_TEXT, .help = "its number and its secret: who has it may use it"},
    {.name = "ttl_ms", .type = NATIVE_NUMBER, .help = "its time-out"},
    END};
FIELDS(acquire_fields) = {NAME,
                          OWNER,
                          MODE,
                          {.name = "permits",
                           .type = NATIVE_NUMBER,
                           .low = 1,
                           .high = UINT32_MAX,
                           .standard = 1,
                           .help = "how many, of mode permits"},
                          {.name = "total",
                           .type = NATIVE_NUMBER,
                           .high = UINT32_MAX,
                           .help = "of how many: fixed while anybody holds or waits"},
                          SESSION,
                          TTL,
                          {.name = "wait_ms",
                           .type = NATIVE_NUMBER,
                           .high = LOCK_TTL_MS_MAX,
                           .help = "waits in line for so long; 0: not at all. The answer comes with the grant; who "
                                   "closes the connection waits no longer"},
                          DELAY,
                          END};
FIELDS(acquire_answer) = {{.name = "token",
                           .type = NATIVE_NUMBER,
                           .help = "fencing token: larger than that of every grant before, of any lock"},
                          {.name = "ticket", .type = NATIVE_NUMBER, .help = "number of the claim"},
                          {.name = "holds", .type = NATIVE_NUMBER, .help = "how often this owner holds it now"},
                          END};
FIELDS(acquire_all_fields) = {
    {.name = "names", .type = NATIVE_TEXTS, .high = LOCK_ALL_MAX, .help = "locks to hold exclusively"},
    {.name = "shared_names", .type = NATIVE_TEXTS, .high = LOCK_ALL_MAX, .help = "locks to share; at most 64 of both"},
    OWNER,
    SESSION,
    TTL,
    DELAY,
    END};
FIELDS(acquire_all_answer) = {
    {.name = "tokens", .type = NATIVE_OBJECTS, .help = "the tokens, in the order of names, then of shared_names"}, END};
FIELDS(release_fields) = {
    NAME, OWNER, SESSION, TOKEN, {.name = "all", .type = NATIVE_BOOL, .help = "all of its holds, not one"}, END};
FIELDS(holds_answer) = {{.name = "holds", .type = NATIVE_NUMBER, .help = "how often this owner still holds it"}, END};
FIELDS(renew_fields) = {NAME,
                        OWNER,
                        SESSION,
                        TOKEN,
                        {.name = "ttl_ms",
                         .type = NATIVE_NUMBER,
                         .low = 1,
                         .high = LOCK_TTL_MS_MAX,
                         .required = true,
                         .help = "from now on; of a lock that was acquired with one"},
                        END};
FIELDS(cancel_fields) = {NAME,
                         OWNER,
                         SESSION,
                         {.name = "ticket",
                          .type = NATIVE_NUMBER,
                          .low = 1,
                          .high = INT64_MAX,
                          .required = true,
                          .help = "of the claim that waits"},
                         END};
FIELDS(cancel_answer) = {{.name = "granted", .type = NATIVE_BOOL, .help = "too late: it had been granted, and is held"},
                         {.name = "token", .type = NATIVE_NUMBER, .help = "of the grant, if so"},
                         END};
FIELDS(break_fields) = {NAME,
                        TOKEN,
                        {.name = "reason",
                         .type = NATIVE_TEXT,
                         .low = 1,
                         .high = LOCK_REASON_BYTES_MAX,
                         .required = true,
                         .help = "what its holder is told"},
                        END};
FIELDS(verify_fields) = {NAME, TOKEN, END};
FIELDS(verify_answer) = {{.name = "valid", .type = NATIVE_BOOL, .help = "it is held under this token"}, END};
FIELDS(watch_fields) = {NAME,
                        TOKEN,
                        {.name = "wait_ms",
                         .type = NATIVE_NUMBER,
                         .high = NATIVE_WATCH_MS_MAX,
                         .standard = NATIVE_WATCH_MS_DEFAULT,
                         .help = "the answer comes after so long, or when the lock is lost"},
                        END};
FIELDS(watch_answer) = {{.name = "held", .type = NATIVE_BOOL, .help = "it is still held under this token"},
                        {.name = "loss",
                         .type = NATIVE_TEXT,
                         .help = "if it was lost in this time: expired, session or broken; gone: not held any more"},
                        {.name = "reason", .type = NATIVE_TEXT, .help = "broken: the operator's reason"},
                        END};
FIELDS(list_fields) = {
    {.name = "prefix", .type = NATIVE_TEXT, .high = LOCK_NAME_BYTES_MAX, .help = "only names that begin so"},
    {.name = "limit",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = NATIVE_LIST_MAX,
     .standard = NATIVE_LIST_DEFAULT,
     .help = "so many at most"},
    END};
FIELDS(list_answer) = {{.name = "locks",
                        .type = NATIVE_OBJECTS,
                        .help = "each with name, mode, total, holders and waiters (how many), oldest first"},
                       {.name = "more", .type = NATIVE_BOOL, .help = "there are more than the limit"},
                       END};
FIELDS(show_fields) = {NAME,
                       {.name = "limit",
                        .type = NATIVE_NUMBER,
                        .low = 1,
                        .high = NATIVE_LIST_MAX,
                        .standard = NATIVE_LIST_DEFAULT,
                        .help = "so many claims at most"},
                       END};
FIELDS(show_answer) = {
    {.name = "name", .type = NATIVE_TEXT, .help = "the lock"},
    {.name = "mode", .type = NATIVE_TEXT, .help = "exclusive (or shared), or permits"},
    {.name = "total", .type = NATIVE_NUMBER, .help = "of permits"},
    {.name = "holders", .type = NATIVE_NUMBER, .help = "how many"},
    {.name = "waiters", .type = NATIVE_NUMBER, .help = "how many"},
    {.name = "claims",
     .type = NATIVE_OBJECTS,
     .help =
         "holders, then waiters in their order: owner, session (its number; 0: none), ticket, token (0: waits), mode, "
         "permits, holds, for_ms (holds or waits so long), ttl_ms and due_in_ms (0: none)"},
    END};

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

// ---- the operations
const struct native_operation native_operations[] = {
    {.path = "/v1/session/create",
     .about =
         "Makes a session. It lives as long as requests name it, or keepalives do: send one every quarter of ttl_ms.",
     .fields = session_create_fields,
     .answer = session_answer,
     .errors = "",
     .run = session_create_run,
     .reply = session_create_reply},
    {.path = "/v1/session/keepalive",
     .about =
         "Says that the session's owner lives. Answered when the leader knows it. At another node than before, the "
         "session moves there.",
     .fields = session_fields,
     .answer = session_answer,
     .errors = "session-expired session-moved ",
     .run = session_keepalive_run},
    {.path = "/v1/session/close",
     .about = "Ends the session, with all that it holds and waits for.",
     .fields = session_fields,
     .answer = no_fields,
     .errors = "session-expired session-moved ",
     .run = session_close_run,
     .reply = session_close_reply},
    {.path = "/v1/lock/acquire",
     .about = "Takes a lock, or waits for it in line. An owner that holds it gets it once more (holds grows); one that "
              "waits for it keeps its place.",
     .fields = acquire_fields,
     .answer = acquire_answer,
     .errors = "busy timed-out cancelled deadlock kind limit session-expired session-moved ",
     .run = lock_acquire_run,
     .reply = lock_acquire_reply,
     .gone = lock_acquire_gone},
    {.path = "/v1/lock/acquire_all",
     .about = "Takes several locks in one step, or none of them; it does not wait.",
     .fields = acquire_all_fields,
     .answer = acquire_all_answer,
     .errors = "busy kind limit session-expired session-moved ",
     .run = lock_acquire_all_run,
     .reply = lock_acquire_all_reply},
    {.path = "/v1/lock/release",
     .about = "Gives back one hold, or all. The first who waits gets the lock.",
     .fields = release_fields,
     .answer = holds_answer,
     .errors = "not-held session-expired session-moved ",
     .run = lock_release_run,
     .reply = lock_held_reply},
    {.path = "/v1/lock/renew",
     .about = "Lets a lock with a time to live go on.",
     .fields = renew_fields,
     .answer = holds_answer,
     .errors = "not-held session-expired session-moved ",
     .run = lock_renew_run,
     .reply = lock_held_reply},
    {.path = "/v1/lock/cancel",
     .about = "Waits no longer. A lock that was granted meanwhile is held, and the answer says so.",
     .fields = cancel_fields,
     .answer = cancel_answer,
     .errors = "not-held session-expired session-moved ",
     .run = lock_cancel_run,
     .reply = lock_cancel_reply},
    {.path = "/v1/lock/break",
     .about = "Takes a lock away from its holder, with a reason that it is told (an operator's last resort).",
     .fields = break_fields,
     .answer = no_fields,
     .errors = "not-held forbidden ",
     .administration = true,
     .run = lock_break_run,
     .reply = lock_held_reply},
    {.path = "/v1/lock/verify",
     .about = "For resources: is the lock held under this token? As of a moment after the request came.",
     .fields = verify_fields,
     .answer = verify_answer,
     .errors = "",
     .run = lock_read_run,
     .read = lock_verify_read},
    {.path = "/v1/lock/watch",
     .about = "For holders: answers as soon as the lock is lost.",
     .fields = watch_fields,
     .answer = watch_answer,
     .errors = "",
     .run = lock_read_run,
     .read = lock_watch_read},
    {.path = "/v1/lock/list",
     .about = "Locks that are held or waited for.",
     .fields = list_fields,
     .answer = list_answer,
     .errors = "",
     .run = lock_read_run,
     .read = lock_list_read},
    {.path = "/v1/lock/show",
     .about = "Who holds a lock, who waits, since when. A lock that nobody uses has no claims.",
     .fields = show_fields,
     .answer = show_answer,
     .errors = "",
     .run = lock_read_run,
     .read = lock_show_read},

    {.path = "/v1/sequence/create",
     .about = "Makes a sequence. One that is there with the same settings is no error.",
     .fields = sequence_create_fields,
     .answer = no_fields,
     .errors = "exists ",
     .run = sequence_create_run,
     .reply = sequence_done_reply},
    {.path = "/v1/sequence/next",
     .about = "Gives numbers that were never given before. A sequence that is not there is made: gapless if a key is "
              "given. A retry without a key gets other numbers.",
     .fields = sequence_next_fields,
     .answer = sequence_next_answer,
     .errors = "exhausted mismatch key-needed restored limit ",
     .run = sequence_next_run,
     .reply = sequence_next_reply},
    {.path = "/v1/sequence/set",
     .about = "An operator's word that the next number is this; only forward. A gapless sequence wants it after a "
              "restore from a backup.",
     .fields = sequence_set_fields,
     .answer = no_fields,
     .errors = "not-found backward forbidden ",
     .administration = true,
     .run = sequence_set_run,
     .reply = sequence_done_reply},
    {.path = "/v1/sequence/ids",
     .about = "Ids of 63 bits in the order of time: milliseconds since 2024 (41), worker (10), count (12).",
     .fields = sequence_ids_fields,
     .answer = sequence_ids_answer,
     .errors = "later clock ",
     .run = sequence_ids_run,
     .reply = sequence_ids_reply},
    {.path = "/v1/sequence/worker_lease",
     .about = "Leases a worker's number, for making ids with times in its range without asking.",
     .fields = sequence_worker_lease_fields,
     .answer = sequence_worker_answer,
     .errors = "later clock session-expired session-moved ",
     .run = sequence_worker_lease_run,
     .reply = sequence_worker_reply},
    {.path = "/v1/sequence/worker_renew",
     .about = "Moves the end of the worker's range on.",
     .fields = sequence_worker_renew_fields,
     .answer = sequence_worker_answer,
     .errors = "not-held clock session-expired session-moved ",
     .run = sequence_worker_renew_run,
     .reply = sequence_worker_reply},
    {.path = "/v1/sequence/worker_release",
     .about = "Gives the number back: another gets it when its range is over.",
     .fields = sequence_worker_release_fields,
     .answer = no_fields,
     .errors = "not-held session-expired session-moved ",
     .run = sequence_worker_release_run,
     .reply = sequence_done_reply},
    {.path = "/v1/sequence/list",
     .about = "Sequences, in the order of their names.",
     .fields = sequence_list_fields,
     .answer = sequence_list_answer,
     .errors = "",
     .run = call_read,
     .read = sequence_list_read},
    {.path = "/v1/sequence/workers",
     .about = "Who has leased a worker's number.",
     .fields = no_fields,
     .answer = sequence_workers_answer,
     .errors = "",
     .run = call_read,
     .read = sequence_workers_read},
    {.path = "/v1/idempotency/begin",
     .about = "Of all who begin under one key, one runs; the others wait for what it stores, or are told that it is "
              "under way; later ones get what was stored.",
     .fields = idempotency_begin_fields,
     .answer = idempotency_begin_answer,
     .errors = "in-progress mismatch timed-out cancelled limit session-expired session-moved ",
     .run = idempotency_begin_run,
     .reply = idempotency_begin_reply,
     .gone = idempotency_begin_gone},
    {.path = "/v1/idempotency/complete",
     .about = "Stores the run's result, for all who wait and all who come later. Refused when a newer run began.",
     .fields = idempotency_complete_fields,
     .answer = idempotency_store_answer,
     .errors = "not-held already ",
     .run = idempotency_complete_run,
     .reply = idempotency_done_reply},
    {.path = "/v1/idempotency/fail",
     .about = "The run failed: frees the key, or stores the failure.",
     .fields = idempotency_fail_fields,
     .answer = idempotency_store_answer,
     .errors = "not-held already ",
     .run = idempotency_fail_run,
     .reply = idempotency_done_reply},
    {.path = "/v1/idempotency/extend",
     .about = "Lets the run go on. Refused when its lease is over and another may run.",
     .fields = idempotency_extend_fields,
     .answer = idempotency_extend_answer,
     .errors = "not-held ",
     .run = idempotency_extend_run,
     .reply = idempotency_done_reply},
    {.path = "/v1/idempotency/cancel",
     .about = "Waits no longer: the begin that waits is told, at whatever node.",
     .fields = idempotency_cancel_fields,
     .answer = idempotency_cancel_answer,
     .errors = "not-found ",
     .run = idempotency_cancel_run,
     .reply = idempotency_done_reply},
    {.path = "/v1/idempotency/forget",
     .about = "An operator drops what is stored: the next begin runs.",
     .fields = idempotency_key_fields,
     .answer = no_fields,
     .errors = "not-found in-progress forbidden ",
     .administration = true,
     .run = idempotency_forget_run,
     .reply = idempotency_done_reply},
    {.path = "/v1/idempotency/show",
     .about = "What is known of a key.",
     .fields = idempotency_key_fields,
     .answer = idempotency_show_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = idempotency_show_read},
    {.path = "/v1/idempotency/list",
     .about = "Keys, in their order.",
     .fields = idempotency_list_fields,
     .answer = idempotency_list_answer,
     .errors = "",
     .run = call_read,
     .read = idempotency_list_read},
    {.path = "/v1/guard/token_issue",
     .about = "Makes one-time tokens, against what is sent twice: a form, a link in a mail.",
     .fields = guard_issue_fields,
     .answer = guard_issue_answer,
     .errors = "",
     .run = guard_issue_run,
     .reply = guard_reply},
    {.path = "/v1/guard/token_consume",
     .about = "Consumes a token. Of all who try, one can.",
     .fields = guard_consume_fields,
     .answer = no_fields,
     .errors = "not-found consumed mismatch ",
     .run = guard_consume_run,
     .reply = guard_reply},
    {.path = "/v1/guard/token_show",
     .about = "What is known of a token.",
     .fields = guard_token_fields,
     .answer = guard_token_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = guard_token_read},
    {.path = "/v1/guard/entity_transition",
     .about = "Changes a state to B only from A. Of all who try, one can.",
     .fields = guard_transition_fields,
     .answer = guard_transition_answer,
     .errors = "not-found state mismatch ",
     .run = guard_transition_run,
     .reply = guard_reply},
    {.path = "/v1/guard/entity_delete",
     .about = "Forgets an entity that is in this state.",
     .fields = guard_entity_delete_fields,
     .answer = no_fields,
     .errors = "not-found state ",
     .run = guard_entity_delete_run,
     .reply = guard_reply},
    {.path = "/v1/guard/entity_show",
     .about = "The state that an entity is in, and its last changes.",
     .fields = guard_entity_fields,
     .answer = guard_entity_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = guard_entity_read},
    {.path = "/v1/guard/value_put",
     .about = "Writes a value, if it is of the expected version and no newer fencing token was seen.",
     .fields = guard_put_fields,
     .answer = guard_put_answer,
     .errors = "version old-token ",
     .run = guard_put_run,
     .reply = guard_reply},
    {.path = "/v1/guard/value_delete",
     .about = "Deletes a value, by the same rules. Its newest fencing token is known for 30 days.",
     .fields = guard_delete_fields,
     .answer = no_fields,
     .errors = "not-found version old-token ",
     .run = guard_delete_run,
     .reply = guard_reply},
    {.path = "/v1/guard/value_get",
     .about = "A value with its version.",
     .fields = guard_value_fields,
     .answer = guard_value_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = guard_value_read},
    {.path = "/v1/guard/counter_set",
     .about = "Sets a counter and its bounds, whatever it was.",
     .fields = guard_counter_set_fields,
     .answer = no_fields,
     .errors = "",
     .run = guard_counter_set_run,
     .reply = guard_reply},
    {.path = "/v1/guard/counter_add",
     .about =
         "Adds to counters, or takes from them, in one step: if each stays within its bounds, all of them, else none.",
     .fields = guard_counter_add_fields,
     .answer = guard_counter_add_answer,
     .errors = "below above mismatch limit ",
     .run = guard_counter_add_run,
     .reply = guard_reply},
    {.path = "/v1/guard/counter_delete",
     .about = "Forgets a counter.",
     .fields = guard_counter_fields,
     .answer = no_fields,
     .errors = "not-found ",
     .run = guard_counter_delete_run,
     .reply = guard_reply},
    {.path = "/v1/guard/counter_show",
     .about = "A counter and its bounds.",
     .fields = guard_counter_fields,
     .answer = guard_counter_answer,
     .errors = "not-found ",
     .run = call_read,
     .read = guard_counter_read},
    {.path = "/v1/guard/list",
     .about = "Counters, entities or values, in the order of their names.",
     .fields = guard_list_fields,
     .answer = guard_list_answer,
     .errors = "",
     .run = call_read,
     .read = guard_list_read},
};
const size_t native_operation_count = sizeof native_operations / sizeof native_operations[0];

// ---- errors
const char native_common_errors[] = "bad-request forbidden bad-method too-large disk-full not-applied level unknown ";
const struct native_error native_errors[] = {
    {"bad-request", 400, "The request cannot be understood"},
    {"forbidden", 403, "This may not be done from there"},
    {"not-found", 404, "There is none of this name"},
    {"bad-method", 405, "Not by this method"},
    {"busy", 409, "Held by another"},
    {"timed-out", 409, "Not granted in the time given"},
    {"cancelled", 409, "Waits no longer: it was cancelled"},
    {"not-held", 409, "Not held, or not waited for, under this number"},
    {"deadlock", 409, "Waiting would close a circle of owners that wait for each other"},
    {"kind", 409, "Held or queued in another way"},
    {"limit", 409, "More than may be held, waited for, asked for or remembered at once"},
    {"exhausted", 409, "The sequence has reached its ceiling"},
    {"key-needed", 409, "A gapless sequence gives numbers only under a key"},
    {"restored", 409, "Restored from a backup: an operator must set it behind the numbers given since"},
    {"exists", 409, "There is one with other settings"},
    {"backward", 409, "A sequence is only set forward"},
    {"later", 409, "None can be given now"},
    {"clock", 409, "The cluster's clock shows no time that ids can have"},
    {"in-progress", 409, "A run under this key is under way"},
    {"already", 409, "Completed before, with another status or body"},
    {"consumed", 409, "Consumed before"},
    {"state", 409, "In another state"},
    {"version", 409, "Of another version"},
    {"old-token", 409, "A newer fencing token was seen"},
    {"below", 409, "It would fall below its floor"},
    {"above", 409, "It would rise above its ceiling"},
    {"session-moved", 409, "The session was attached at another node or anew; what was asked was not done"},
    {"session-expired", 410, "There is no such session, or it has ended"},
    {"too-large", 413, "Larger than one entry of the log may be"},
    {"mismatch", 422, "The key, token or request's id was used for something else"},
    {"not-applied", 503, "Not done; may be sent again, here or to another node"},
    {"level", 503, "Not done: not every member of this cluster is of a version that knows this operation"},
    {"unknown", 504, "It may have been done or not"},
    {"disk-full", 507, "Not done: the disk is full"},
};
const size_t native_error_count = sizeof native_errors / sizeof native_errors[0];
