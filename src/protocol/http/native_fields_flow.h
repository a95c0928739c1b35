// Fields of native operations: what flows (limits, queues). A part of native_table.c, which alone includes it: the
// macros and the fields that several have stand there.
#pragma once

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
