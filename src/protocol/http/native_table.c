// The table of native operations.
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
    {"limit", 409, "More claims than one session or one lock may have"},
    {"session-moved", 409, "The session was attached at another node or anew; what was asked was not done"},
    {"session-expired", 410, "There is no such session, or it has ended"},
    {"too-large", 413, "Larger than one entry of the log may be"},
    {"not-applied", 503, "Not done; may be sent again, here or to another node"},
    {"level", 503, "Not done: not every member of this cluster is of a version that knows this operation"},
    {"unknown", 504, "It may have been done or not"},
    {"disk-full", 507, "Not done: the disk is full"},
};
const size_t native_error_count = sizeof native_errors / sizeof native_errors[0];
