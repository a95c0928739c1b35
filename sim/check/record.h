// A recorded history: what clients asked and what they were told, in memory and as JSON lines (docs/histories.md).
// Strings are interned: equal strings have equal numbers. Nothing here knows what a correct history is.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define RECORD_OPS(X)                                                                                                  \
    X(READ, "read")                                                                                                    \
    X(WRITE, "write")                                                                                                  \
    X(CAS, "cas")                                                                                                      \
    X(CREATE, "create")                                                                                                \
    X(DELETE, "delete")                                                                                                \
    X(ADD, "add")                                                                                                      \
    X(REMOVE, "remove")                                                                                                \
    X(CONTAINS, "contains")                                                                                            \
    X(SYNC, "sync")                                                                                                    \
    X(LOCK, "lock")                                                                                                    \
    X(UNLOCK, "unlock")                                                                                                \
    X(FENCE, "fence")                                                                                                  \
    X(SEQUENCE, "sequence")                                                                                            \
    X(EVENT, "event")                                                                                                  \
    X(ENQUEUE, "enqueue")                                                                                              \
    X(DEQUEUE, "dequeue")
#define RECORD_ENUM(name, text) RECORD_##name,
enum record_op { RECORD_OPS(RECORD_ENUM) RECORD_OP_COUNT };

enum record_outcome { RECORD_OK, RECORD_FAIL, RECORD_UNKNOWN };
enum record_consistency { RECORD_LOCAL, RECORD_LINEARIZABLE };
// Why an operation failed, where that tells something about the key; RECORD_NO_ERROR with RECORD_FAIL: for any reason.
enum record_error { RECORD_NO_ERROR, RECORD_BAD_VERSION, RECORD_NO_NODE, RECORD_NODE_EXISTS };
// A watch that a read (or, for the persistent ones, any operation on the key) set.
enum record_watch { RECORD_NO_WATCH, RECORD_WATCH_DATA, RECORD_WATCH_CHILD, RECORD_WATCH_PERSISTENT };

#define RECORD_NULL 0u          // as value or expect: "does not exist"
#define RECORD_NO_VERSION (-1)  // not known
#define RECORD_NEVER UINT64_MAX // as return_us: no answer came
#define RECORD_ANY UINT32_MAX   // as `initial`: not known; as expect: nothing was expected
typedef uint32_t record_text;   // number of an interned string; RECORD_NULL is null

struct record_operation {
    uint64_t client, seq; // seq: in the client's send order
    uint64_t call_us, return_us;
    uint64_t zxid;          // of the reply's header; 0: not known
    uint64_t received;      // number in the client's order of answers and events together; 0: not known
    uint64_t multi;         // operations of one client with the same number (not 0) are one atomic operation
    int64_t version;        // of the node, as read or produced; RECORD_NO_VERSION: not known
    int64_t expect_version; // cas, delete: RECORD_NO_VERSION: none
    record_text key, value; // value: read, written, token, number, event's type, elements with commas between
    record_text expect;     // cas: the old value; RECORD_ANY: none
    enum record_op op;
    enum record_outcome outcome;
    enum record_consistency consistency; // linearizable unless a read says otherwise
    enum record_error error;
    enum record_watch watch;
    bool found;    // contains
    uint32_t line; // in the file; 0: made in memory
};

struct record_strings;
struct record {
    struct record_operation *operations;
    size_t count, capacity;
    struct record_strings *strings;
    record_text initial; // value of every key at the beginning: RECORD_NULL, a value (its version 0), RECORD_ANY
    char *meta;          // the meta line as JSON, or NULL
};

void record_init(struct record *record);
void record_free(struct record *record);
void record_clear(struct record *record);                           // drops the operations, keeps the strings
record_text record_intern(struct record *record, const char *text); // NULL gives RECORD_NULL
record_text record_intern_bytes(struct record *record, const void *data, size_t len);
record_text record_find(const struct record *record, const void *data, size_t len); // RECORD_NULL: never interned
const char *record_string(const struct record *record, record_text text);           // "null" for RECORD_NULL
size_t record_string_length(const struct record *record, record_text text);
size_t record_strings_count(const struct record *record); // every text is smaller

// An operation with every "not known" in place: all that is left is what the caller knows.
struct record_operation record_operation_of(uint64_t client, uint64_t seq, enum record_op op, record_text key);
// Appends a copy; gives its index (pointers into `operations` move, indexes do not).
size_t record_append(struct record *record, const struct record_operation *operation);

// JSON lines. Both give 0 or -1 with a text in `error`.
#define RECORD_ERROR_BYTES 256u
int record_load(struct record *record, FILE *in, char error[RECORD_ERROR_BYTES]); // appends to what is there
int record_save(const struct record *record, FILE *out);                          // -1: the stream failed
void record_write_operation(const struct record *record, const struct record_operation *operation, FILE *out);
const char *record_op_name(enum record_op op);
