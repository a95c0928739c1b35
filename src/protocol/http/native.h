// The native operations, POST /v1/MODEL/OPERATION, each one row: how its JSON is read, what answers it may give, who
// runs it. The table drives parsing, dispatch, docs/native.md and docs/openapi.json.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NATIVE_FIELDS_MAX 16u
#define NATIVE_FOLDED_TEXT_MAX 1024u    // names, owners, a candidate's value
#define NATIVE_SESSION_TTL_MS_MIN 2000u // below it an election would make keepalives late
#define NATIVE_SESSION_TTL_MS_MAX (24u * 3600 * 1000)
#define NATIVE_SESSION_TTL_MS_DEFAULT 15000u
#define NATIVE_LIST_DEFAULT 1000u
#define NATIVE_LIST_MAX 10000u         // of one answer: about 4 MB
#define NATIVE_WATCH_MS_DEFAULT 30000u // proxies drop what is silent for a minute
#define NATIVE_WATCH_MS_MAX 3600000u
#define NATIVE_ATTACH_MS 10000u   // as linearizable reads: what found no leader for so long is refused
#define NATIVE_KEEPALIVE_MS 5000u // a keepalive that no leader acknowledged by then is answered: ask another node
#define NATIVE_VISIBILITY_MS_DEFAULT 30000u      // of a claim: most jobs are done by then, the others extend it
#define NATIVE_DEDUP_MS_DEFAULT 300000u          // a producer's retries take minutes at most
#define NATIVE_ONCE_TTL_MS (24ull * 3600 * 1000) // what was answered under an Idempotency-Key
#define NATIVE_BODIES_DEFAULT 100u               // listed with their bodies

enum native_type {
    NATIVE_TEXT,   // a JSON string of low to high bytes of UTF-8
    NATIVE_TEXTS,  // an array of low to high strings of 1 to 255 bytes
    NATIVE_NUMBER, // a JSON integer from low to high
    NATIVE_SIGNED, // the same; low, high and standard are int64_t
    NATIVE_DELTAS, // an object of low to high names of 1 to 255 bytes, each with a signed integer
    NATIVE_BASE64, // a JSON string of base64; low to high bytes when decoded
    NATIVE_BOOL,
    NATIVE_CHOICE,  // one of the words of `choices`; its number is its place
    NATIVE_SESSION, // what /v1/session/create gave
    NATIVE_OBJECTS, // an array of low to high objects; in answers, of any
    NATIVE_NUMBERS, // an array of low to high integers from 1 on
    NATIVE_ITEMS,   // an object of low to high names of 1 to 255 bytes, each with a string, {"base64": string} or null
    NATIVE_PLACES,  // an array of at most `high` integers from 0 to high - 1
    NATIVE_PAIRS,   // an object of low to high names of 1 to 255 bytes, each with a string
    NATIVE_OBJECT,  // in answers: an object
};
struct native_field {
    const char *name;
    enum native_type type;
    const char *help;
    uint64_t low, high, standard; // standard: the value of a number, bool or choice that is not given
    bool required;
    const char *choices;           // "a|b"
    const struct native_field *of; // in answers: members of the object, or of each of the objects; NULL: any
    bool or_null;                  // in answers
};
struct native_error { // a problem document's type is /errors/NAME
    const char *name;
    int status;
    const char *title;
};
struct http_call;
struct result;
struct native_operation {
    const char *path, *about;
    const struct native_field *fields; // of the request; ends with name NULL
    const struct native_field *answer; // of a 200; ends with name NULL
    const char *kept;                  // fields that are wanted while it waits, each with a space behind; NULL: all
    const char *errors;   // names, with a space behind each; those of `native_common_errors` go without saying
    bool administration;  // from the node's own machine only, unless allow-remote
    bool keyed;           // honours the header Idempotency-Key: its model keeps the results (struct result_keeper)
    const char *keyed_if; // with these fields only, which the model judges; NULL: with all
    void (*run)(struct http_call *call);
    void (*reply)(struct http_call *call, const struct result *result); // of the command that `run` submitted
    void (*read)(struct http_call *call);                               // of the read that `run` asked for
    // Nobody is left to hear of it: gives back what it got or waits for, and ends it (call_end) or submits once more.
    void (*gone)(struct http_call *call);
};
// The operations of one model, with all that only they need: native_ROOM.c. A new room is that file and a word here, in
// the order of docs/native.md.
#define NATIVE_ROOMS(X)                                                                                                \
    X(session)                                                                                                         \
    X(lock)                                                                                                            \
    X(election) X(barrier) X(sequence) X(idempotency) X(guard) X(limiter) X(queue) X(topic) X(registry) X(config)
struct http_instance;
struct native_room {
    const struct native_operation *operations;
    size_t count;
    uint8_t model;                                                    // of enum model_id, whose events it hears
    void (*event)(struct http_instance *instance, const void *event); // NULL: none
};
#define X(name) extern const struct native_room name##_room;
NATIVE_ROOMS(X)
#undef X
extern const struct native_room *const native_rooms[];
extern const size_t native_room_count;
const struct native_operation *native_find(const char *path); // NULL: none
const struct native_operation *native_at(size_t place);       // of all rooms; NULL: behind the last
extern const struct native_error native_errors[];
extern const size_t native_error_count;
extern const char native_common_errors[];
const struct native_error *native_error(const char *name); // there is one
