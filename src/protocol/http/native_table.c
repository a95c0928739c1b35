// The table of native operations.
#include "base/base64.h"
#include "model/limiter/limiter.h"
#include "model/lock/lock.h"
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

// ---- limiters
#define LIMITER_NAME                                                                                                   \
    {                                                                                                                  \
        .name = "name", .type = NATIVE_TEXT, .low = 1, .high = LIMITER_NAME_BYTES_MAX, .required = true,               \
        .help = "the limit"                                                                                            \
    }
#define ALGORITHM                                                                                                      \
    {                                                                                                                  \
        .name = "algorithm", .type = NATIVE_CHOICE, .required = true,                                                  \
        .choices = "fixed-window|sliding-window|leaky-bucket|token-bucket|concurrency",                                \
        .help = "how it counts; all who use a limit say the same, else what was used counts on under the newest"       \
    }
#define RATE                                                                                                           \
    {                                                                                                                  \
        .name = "rate", .type = NATIVE_NUMBER, .low = 1, .high = LIMITER_UNITS_MAX, .required = true,                  \
        .help = "units in each window_ms; concurrency: units at once"                                                  \
    }
#define WINDOW                                                                                                         \
    { .name = "window_ms", .type = NATIVE_NUMBER, .high = LIMITER_WINDOW_MS_MAX, .help = "wanted, but for concurrency" }
#define BURST                                                                                                          \
    {                                                                                                                  \
        .name = "burst", .type = NATIVE_NUMBER, .high = LIMITER_UNITS_MAX,                                             \
        .help = "of token-bucket and leaky-bucket: what may go at once; 0: as the rate"                                \
    }
#define HOLD_TOKEN                                                                                                     \
    {                                                                                                                  \
        .name = "token", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true,                         \
        .help = "of the permit or lease"                                                                               \
    }
#define ALLOWED                                                                                                        \
    { .name = "allowed", .type = NATIVE_BOOL, .help = "false: refused, and nothing was used" }
#define ALLOWANCE                                                                                                      \
    { .name = "limit", .type = NATIVE_NUMBER, .help = "how much it allows when nothing is in use" }
#define REMAINING                                                                                                      \
    { .name = "remaining", .type = NATIVE_NUMBER, .help = "how much it allows now" }
#define RETRY_AFTER                                                                                                    \
    {                                                                                                                  \
        .name = "retry_after_ms", .type = NATIVE_NUMBER,                                                               \
        .help = "refused: as it stands, the same may be allowed then (header Retry-After: in seconds); 0: only when "  \
                "somebody gives back"                                                                                  \
    }
#define LIST_LIMIT(high_, standard_)                                                                                   \
    {                                                                                                                  \
        .name = "limit", .type = NATIVE_NUMBER, .low = 1, .high = high_, .standard = standard_,                        \
        .help = "so many at most"                                                                                      \
    }
#define MORE                                                                                                           \
    { .name = "more", .type = NATIVE_BOOL, .help = "there are more than the limit" }

FIELDS(limiter_take_fields) = {
    LIMITER_NAME,
    ALGORITHM,
    RATE,
    WINDOW,
    BURST,
    {.name = "cost",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = LIMITER_UNITS_MAX,
     .standard = 1,
     .help = "units that this takes"},
    {.name = "ttl_ms",
     .type = NATIVE_NUMBER,
     .high = LIMITER_TTL_MS_MAX,
     .help = "concurrency: the permit ends so long after now or the last renewal; 0: with its session only"},
    SESSION,
    END};
FIELDS(limiter_take_answer) = {
    ALLOWED,
    ALLOWANCE,
    REMAINING,
    RETRY_AFTER,
    {.name = "delay_ms", .type = NATIVE_NUMBER, .help = "leaky-bucket: its turn is then, for an even rate"},
    {.name = "token", .type = NATIVE_NUMBER, .help = "concurrency: of the permit, to release it"},
    END};
FIELDS(limiter_lease_fields) = {LIMITER_NAME,
                                ALGORITHM,
                                RATE,
                                WINDOW,
                                BURST,
                                {.name = "units",
                                 .type = NATIVE_NUMBER,
                                 .low = 1,
                                 .high = LIMITER_UNITS_MAX,
                                 .required = true,
                                 .help = "as many as are free, at most so many"},
                                {.name = "least",
                                 .type = NATIVE_NUMBER,
                                 .low = 1,
                                 .high = LIMITER_UNITS_MAX,
                                 .standard = 1,
                                 .help = "fewer are refused"},
                                {.name = "ttl_ms",
                                 .type = NATIVE_NUMBER,
                                 .low = 1,
                                 .high = LIMITER_LEASE_MS_MAX,
                                 .required = true,
                                 .help = "what is not released then counts as used. Measure it from before you asked"},
                                SESSION,
                                END};
FIELDS(limiter_lease_answer) = {ALLOWED,
                                ALLOWANCE,
                                REMAINING,
                                RETRY_AFTER,
                                {.name = "token", .type = NATIVE_NUMBER, .help = "of the lease"},
                                {.name = "units", .type = NATIVE_NUMBER, .help = "how many were had"},
                                END};
FIELDS(limiter_release_fields) = {LIMITER_NAME,
                                  HOLD_TOKEN,
                                  {.name = "used",
                                   .type = NATIVE_NUMBER,
                                   .high = LIMITER_UNITS_MAX,
                                   .help = "of a lease: so many of its units were used"},
                                  SESSION,
                                  END};
FIELDS(limiter_release_answer) = {ALLOWANCE, REMAINING, END};
FIELDS(limiter_renew_fields) = {LIMITER_NAME,
                                HOLD_TOKEN,
                                {.name = "ttl_ms",
                                 .type = NATIVE_NUMBER,
                                 .low = 1,
                                 .high = LIMITER_TTL_MS_MAX,
                                 .required = true,
                                 .help = "from now on; of what was taken with one"},
                                SESSION,
                                END};
FIELDS(limiter_renew_answer) = {{.name = "units", .type = NATIVE_NUMBER, .help = "of the permit or lease"}, END};
FIELDS(limiter_show_fields) = {LIMITER_NAME, LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT), END};
FIELDS(limiter_show_answer) = {
    {.name = "name", .type = NATIVE_TEXT, .help = "the limit"},
    {.name = "algorithm", .type = NATIVE_TEXT, .help = "with rate, window_ms and burst: as the newest call said"},
    ALLOWANCE,
    REMAINING,
    {.name = "used", .type = NATIVE_NUMBER, .help = "units, with those that are held"},
    {.name = "held", .type = NATIVE_NUMBER, .help = "units in permits and leases; holds: how many of these"},
    {.name = "out",
     .type = NATIVE_OBJECTS,
     .help = "permits and leases, the first to end first: token, session (its number; 0: none), units, lease, for_ms, "
             "due_in_ms (0: with its session)"},
    END};
FIELDS(limiter_list_fields) = {{.name = "after",
                                .type = NATIVE_TEXT,
                                .high = LIMITER_NAME_BYTES_MAX,
                                .help = "behind this one, if it still is; to read on"},
                               LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT),
                               END};
FIELDS(limiter_list_answer) = {
    {.name = "limits", .type = NATIVE_OBJECTS, .help = "as show tells of one, in the order of their making"},
    MORE,
    END};

// ---- queues
#define QUEUE_NAME                                                                                                     \
    {                                                                                                                  \
        .name = "name", .type = NATIVE_TEXT, .low = 1, .high = QUEUE_NAME_BYTES_MAX, .required = true,                 \
        .help = "the queue"                                                                                            \
    }
#define DELIVERY_TOKEN                                                                                                 \
    { .name = "token", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true, .help = "of the delivery" }
#define CLAIMER                                                                                                        \
    { .name = "session", .type = NATIVE_SESSION, .help = "the one that claimed it, if any did" }
#define DEAD_ID                                                                                                        \
    { .name = "id", .type = NATIVE_NUMBER, .low = 1, .high = INT64_MAX, .required = true, .help = "of the dead letter" }
#define QUEUE_TIME(name_, standard_, help_)                                                                            \
    { .name = name_, .type = NATIVE_NUMBER, .high = QUEUE_TIME_MS_MAX, .standard = standard_, .help = help_ }

FIELDS(queue_configure_fields) = {
    QUEUE_NAME,
    {.name = "tries_max",
     .type = NATIVE_NUMBER,
     .high = UINT32_MAX,
     .help = "after so many deliveries it is a dead letter; 0: never"},
    {.name = "merge",
     .type = NATIVE_CHOICE,
     .choices = "none|latest|cancel",
     .help = "latest: of a key's messages that wait only the newest stays; cancel: a message and the one right behind "
             "it in its key with the opposite sign both vanish"},
    {.name = "length_max",
     .type = NATIVE_NUMBER,
     .high = QUEUE_MESSAGES_MAX,
     .help = "messages, dead letters too; 0: 100000000"},
    {.name = "concurrency_max", .type = NATIVE_NUMBER, .high = UINT32_MAX, .help = "claimed at once; 0: no bound"},
    {.name = "rate",
     .type = NATIVE_NUMBER,
     .high = LIMITER_UNITS_MAX,
     .help = "deliveries in each window_ms; 0: no bound"},
    {.name = "burst", .type = NATIVE_NUMBER, .high = LIMITER_UNITS_MAX, .help = "deliveries at once; 0: as the rate"},
    QUEUE_TIME("window_ms", 0, "of the rate"),
    QUEUE_TIME("gap_ms", 0, "a message waits so long for an earlier number; 0: 30000"),
    QUEUE_TIME("numbering_ms", 0, "an empty key's numbering is forgotten after so long; 0: 86400000"),
    END};
FIELDS(queue_delete_fields) = {QUEUE_NAME, END};
FIELDS(queue_push_fields) = {
    QUEUE_NAME,
    {.name = "key",
     .type = NATIVE_TEXT,
     .high = QUEUE_KEY_BYTES_MAX,
     .help = "messages of one key are delivered in order, one at a time; none: no order"},
    {.name = "body", .type = NATIVE_TEXT, .high = QUEUE_BODY_BYTES_MAX, .help = "text"},
    {.name = "body_base64",
     .type = NATIVE_TEXT,
     .high = BASE64_LENGTH(QUEUE_BODY_BYTES_MAX),
     .help = "in its place, other bytes: 131072 at most"},
    {.name = "priority", .type = NATIVE_NUMBER, .high = UINT8_MAX, .help = "larger is sooner"},
    {.name = "sign", .type = NATIVE_CHOICE, .choices = "none|plus|minus", .help = "of a queue that merges by cancel"},
    QUEUE_TIME("delay_ms", 0, "not delivered before; what comes later in its key waits behind it"),
    {.name = "dedup_id",
     .type = NATIVE_TEXT,
     .low = 1,
     .high = QUEUE_DEDUP_BYTES_MAX,
     .help = "a second push with it is dropped, and its answer names the first one's id"},
    {.name = "dedup_ms",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = QUEUE_TIME_MS_MAX,
     .standard = NATIVE_DEDUP_MS_DEFAULT,
     .help = "dedup_id is remembered so long"},
    {.name = "number",
     .type = NATIVE_NUMBER,
     .high = INT64_MAX,
     .help = "the producer's own, from 1 on in each key: n waits for n - 1, and is pushed once; 0: none. The answer "
             "comes when it is in its key"},
    SESSION,
    END};
FIELDS(queue_push_answer) = {
    {.name = "id", .type = NATIVE_NUMBER, .help = "of the message; 0: an old number, whose id nobody knows any more"},
    {.name = "duplicate", .type = NATIVE_BOOL, .help = "it had been pushed already"},
    {.name = "replaced", .type = NATIVE_NUMBER, .help = "merge latest: id of the one whose place it took"},
    {.name = "cancelled", .type = NATIVE_NUMBER, .help = "merge cancel: id of the one that vanished with it"},
    END};
FIELDS(queue_claim_fields) = {
    QUEUE_NAME,
    {.name = "max",
     .type = NATIVE_NUMBER,
     .low = 1,
     .high = QUEUE_CLAIM_MAX,
     .standard = 1,
     .help = "so many messages at most, of different keys; of 1 MiB together"},
    QUEUE_TIME("visibility_ms", NATIVE_VISIBILITY_MS_DEFAULT,
               "not acknowledged by then, they are delivered again; 0: only when the session ends"),
    QUEUE_TIME("wait_ms", 0, "waits in line so long for a message; 0: not at all"),
    SESSION,
    END};
FIELDS(queue_claim_answer) = {
    {.name = "messages",
     .type = NATIVE_OBJECTS,
     .help = "each with id, token, key, tries (this one counted), priority, age_ms, and body or, if that is no text, "
             "body_base64; none: there was none in the time given"},
    {.name = "retry_after_ms",
     .type = NATIVE_NUMBER,
     .help = "of no messages: the queue's rate allows the next one then; 0: it is not the rate"},
    END};
FIELDS(queue_ack_fields) = {QUEUE_NAME,
                            {.name = "tokens",
                             .type = NATIVE_NUMBERS,
                             .low = 1,
                             .high = QUEUE_CLAIM_MAX,
                             .required = true,
                             .help = "of the deliveries that are done: all of them, or none"},
                            CLAIMER,
                            END};
FIELDS(queue_nack_fields) = {
    QUEUE_NAME,
    DELIVERY_TOKEN,
    QUEUE_TIME("delay_ms", 0, "not delivered again before"),
    {.name = "unread", .type = NATIVE_BOOL, .help = "it never reached its consumer, so this delivery is no try"},
    CLAIMER,
    END};
FIELDS(queue_extend_fields) = {QUEUE_NAME,
                               DELIVERY_TOKEN,
                               {.name = "visibility_ms",
                                .type = NATIVE_NUMBER,
                                .low = 1,
                                .high = QUEUE_TIME_MS_MAX,
                                .required = true,
                                .help = "from now on"},
                               CLAIMER,
                               END};
FIELDS(queue_dead_letter_fields) = {QUEUE_NAME, DEAD_ID, END};
FIELDS(queue_show_fields) = {
    QUEUE_NAME,
    {.name = "key", .type = NATIVE_TEXT, .high = QUEUE_KEY_BYTES_MAX, .help = "show its messages too"},
    LIST_LIMIT(NATIVE_LIST_DEFAULT, NATIVE_BODIES_DEFAULT),
    END};
FIELDS(queue_show_answer) = {
    {.name = "messages", .type = NATIVE_NUMBER, .help = "all of them, dead letters too"},
    {.name = "keys", .type = NATIVE_NUMBER, .help = "and how many of them are ready, claimed, delayed"},
    {.name = "dead", .type = NATIVE_NUMBER, .help = "letters"},
    {.name = "waiters", .type = NATIVE_NUMBER, .help = "claims that wait for a message"},
    {.name = "tries_max", .type = NATIVE_NUMBER, .help = "and all the other options of configure"},
    {.name = "hot_keys",
     .type = NATIVE_OBJECTS,
     .help = "keys with two messages or more, the deepest first: key, depth, tries of the first, held (messages that "
             "wait for a number), next (the number awaited), token (claimed; 0: not), session, oldest_ms (age)"},
    MORE,
    {.name = "in_key",
     .type = NATIVE_OBJECTS,
     .help = "the key's messages in order: id, key, priority, age_ms, delay_ms, body"},
    END};
FIELDS(queue_list_fields) = {{.name = "after",
                              .type = NATIVE_TEXT,
                              .high = QUEUE_NAME_BYTES_MAX,
                              .help = "behind this one, if it still is; to read on"},
                             LIST_LIMIT(NATIVE_LIST_MAX, NATIVE_LIST_DEFAULT),
                             END};
FIELDS(queue_list_answer) = {
    {.name = "queues", .type = NATIVE_OBJECTS, .help = "as show tells of one, in the order of their making"},
    MORE,
    END};
FIELDS(queue_dead_fields) = {
    QUEUE_NAME,
    {.name = "after", .type = NATIVE_NUMBER, .high = INT64_MAX, .help = "ids above this one; to read on"},
    LIST_LIMIT(NATIVE_LIST_DEFAULT, NATIVE_BODIES_DEFAULT),
    END};
FIELDS(queue_dead_answer) = {
    {.name = "dead",
     .type = NATIVE_OBJECTS,
     .help = "by id: id, key, priority, age_ms, tries, dead_ms (for so long), body or body_base64"},
    MORE,
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
    // ---- limiters
    {.path = "/v1/limiter/take",
     .about = "Takes units of a rate limit, or a permit of a concurrency limit. The definition goes with each call; a "
              "refusal is an answer with allowed: false, not an error.",
     .fields = limiter_take_fields,
     .answer = limiter_take_answer,
     .errors = "kind limit session-expired session-moved ",
     .run = limiter_take_run,
     .reply = limiter_take_reply,
     .gone = limiter_take_gone},
    {.path = "/v1/limiter/lease",
     .about = "Takes a block of units to give out without asking for each. Not of concurrency and leaky-bucket.",
     .fields = limiter_lease_fields,
     .answer = limiter_lease_answer,
     .errors = "kind limit session-expired session-moved ",
     .run = limiter_lease_run,
     .reply = limiter_lease_reply,
     .gone = limiter_take_gone},
    {.path = "/v1/limiter/release",
     .about = "Gives back a permit, or what was not used of a lease.",
     .fields = limiter_release_fields,
     .answer = limiter_release_answer,
     .errors = "not-held session-expired session-moved ",
     .run = limiter_release_run,
     .reply = limiter_release_reply},
    {.path = "/v1/limiter/renew",
     .about = "Lets a permit or a lease go on.",
     .fields = limiter_renew_fields,
     .answer = limiter_renew_answer,
     .errors = "not-held session-expired session-moved ",
     .run = limiter_renew_run,
     .reply = limiter_renew_reply},
    {.path = "/v1/limiter/show",
     .about = "What is used of a limit, and who holds permits and leases. A limit of which nothing is in use is not "
              "found.",
     .fields = limiter_show_fields,
     .answer = limiter_show_answer,
     .errors = "not-found ",
     .run = limiter_read_run,
     .read = limiter_show_read},
    {.path = "/v1/limiter/list",
     .about = "Limits of which something is in use.",
     .fields = limiter_list_fields,
     .answer = limiter_list_answer,
     .errors = "",
     .run = limiter_read_run,
     .read = limiter_list_read},
    // ---- queues
    {.path = "/v1/queue/configure",
     .about = "Sets a queue's options, all of them; makes the queue. One that was only pushed to has the defaults.",
     .fields = queue_configure_fields,
     .answer = no_fields,
     .errors = "",
     .run = queue_configure_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/delete",
     .about = "Forgets an empty queue's options, and the queue.",
     .fields = queue_delete_fields,
     .answer = no_fields,
     .errors = "not-found not-empty ",
     .run = queue_delete_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/push",
     .about = "Puts a message at the end of its key.",
     .fields = queue_push_fields,
     .answer = queue_push_answer,
     .errors = "full gap session-expired session-moved ",
     .run = queue_push_run,
     .reply = queue_push_reply},
    {.path = "/v1/queue/claim",
     .about = "Gets messages, or waits in line for one. What is not acknowledged in time, or whose session ends, is "
              "delivered again under a larger token, before later messages of its key.",
     .fields = queue_claim_fields,
     .answer = queue_claim_answer,
     .errors = "limit session-expired session-moved ",
     .run = queue_claim_run,
     .reply = queue_claim_reply,
     .gone = queue_claim_gone},
    {.path = "/v1/queue/ack",
     .about = "The messages are done: they leave the queue, and the next ones of their keys may be delivered.",
     .fields = queue_ack_fields,
     .answer = no_fields,
     .errors = "not-claimed session-expired session-moved ",
     .run = queue_ack_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/nack",
     .about = "The message was not done: it is delivered again, or becomes a dead letter after tries_max deliveries.",
     .fields = queue_nack_fields,
     .answer = no_fields,
     .errors = "not-claimed session-expired session-moved ",
     .run = queue_nack_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/extend",
     .about = "The message takes longer: it is not delivered again before visibility_ms from now.",
     .fields = queue_extend_fields,
     .answer = no_fields,
     .errors = "not-claimed session-expired session-moved ",
     .run = queue_extend_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/requeue",
     .about = "Puts a dead letter at the end of its key, with all its tries again.",
     .fields = queue_dead_letter_fields,
     .answer = no_fields,
     .errors = "not-found ",
     .run = queue_requeue_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/drop",
     .about = "Throws a dead letter away.",
     .fields = queue_dead_letter_fields,
     .answer = no_fields,
     .errors = "not-found ",
     .run = queue_drop_run,
     .reply = queue_done_reply},
    {.path = "/v1/queue/show",
     .about = "How full a queue is, its options, and its hot keys.",
     .fields = queue_show_fields,
     .answer = queue_show_answer,
     .errors = "not-found ",
     .run = queue_read_run,
     .read = queue_show_read},
    {.path = "/v1/queue/list",
     .about = "All queues.",
     .fields = queue_list_fields,
     .answer = queue_list_answer,
     .errors = "",
     .run = queue_read_run,
     .read = queue_list_read},
    {.path = "/v1/queue/dead",
     .about = "Dead letters, with their bodies.",
     .fields = queue_dead_fields,
     .answer = queue_dead_answer,
     .errors = "",
     .run = queue_read_run,
     .read = queue_dead_read},
};
const size_t native_operation_count = sizeof native_operations / sizeof native_operations[0];

// ---- errors
const char native_common_errors[] = "bad-request forbidden bad-method too-large disk-full not-applied level unknown ";
const struct native_error native_errors[] = {
    {"bad-request", 400, "The request cannot be understood"},
    {"forbidden", 403, "This may not be done from there"},
    {"bad-method", 405, "Not by this method"},
    {"busy", 409, "Held by another"},
    {"timed-out", 409, "Not granted in the time given"},
    {"cancelled", 409, "Waits no longer: it was cancelled"},
    {"not-held", 409, "Not held, or not waited for, under this number"},
    {"deadlock", 409, "Waiting would close a circle of owners that wait for each other"},
    {"kind", 409, "Held or queued in another way"},
    {"limit", 409, "More than one session, or one name, may have"},
    {"session-moved", 409, "The session was attached at another node or anew; what was asked was not done"},
    {"not-found", 404, "There is no such thing"},
    {"not-claimed", 409, "The delivery is over, or another's"},
    {"full", 409, "It has as much as it may have"},
    {"gap", 409, "An earlier number is missing"},
    {"not-empty", 409, "There is something in it"},
    {"session-expired", 410, "There is no such session, or it has ended"},
    {"too-large", 413, "Larger than one entry of the log may be"},
    {"not-applied", 503, "Not done; may be sent again, here or to another node"},
    {"level", 503, "Not done: not every member of this cluster is of a version that knows this operation"},
    {"unknown", 504, "It may have been done or not"},
    {"disk-full", 507, "Not done: the disk is full"},
};
const size_t native_error_count = sizeof native_errors / sizeof native_errors[0];
