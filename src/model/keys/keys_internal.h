// Shapes of the room, shared by its files only.
//
//   run (an entry) --> keys_run.c --> row->run(call) --> keys_string.c, keys_generic.c, ...   one file for each type
//   read (a query) ------------------^                         |
//                                                              +--> keys_db.c     keys: find, make, delete, deadline
//                                                              +--> reply.h       the protocol's bytes
//                                                              `--> keys_event    to every node
//
// Digest. Of each key two kinds of items: its head (place, name, type, deadline, ...) and its value (a string's pieces;
// of collections each element), bound to the key by its id. So a key that moves to another place costs one hash of its
// head, and a change inside a large value one hash of what changed.
//
// A command reads its arguments, judges them whole, and only then changes: an error leaves nothing behind.
#pragma once
#include "base/digest.h"
#include "base/heap.h"
#include "model/keys/dense.h"
#include "model/keys/glob.h"
#include "model/keys/keys.h"
#include "model/keys/reply.h"

enum key_type { KEY_STRING, KEY_LIST, KEY_SET, KEY_ZSET, KEY_HASH, KEY_STREAM, KEY_TYPE_COUNT };
extern const char *const key_type_names[KEY_TYPE_COUNT]; // as TYPE tells them

// Part of the state: a later OBJECT ENCODING tells it, and it hangs on the value's history.
enum key_encoding {
    ENCODING_RAW, // a string's bytes stand in the key's allocation ...
    ENCODING_INT, // ... or it is a number
    ENCODING_EMBSTR,
    ENCODING_LISTPACK,
    ENCODING_INTSET,
    ENCODING_QUICKLIST,
    ENCODING_HASHTABLE,
    ENCODING_SKIPLIST,
    ENCODING_STREAM,
    ENCODING_COUNT
};
extern const char *const key_encoding_names[ENCODING_COUNT];

struct key {
    uint64_t id;                   // grows with each creation, never given again: the fencing token (OBJECT TOKEN)
    uint64_t changed;              // index of the newest change (WATCH)
    struct key_deadline *deadline; // NULL: none
    union {
        struct {
            uint32_t len, capacity; // RAW: bytes behind the name
        };
        int64_t number;       // INT
        struct value *object; // what the type keeps
    };
    uint32_t place; // in its database
    uint32_t name_len;
    uint8_t type, encoding, store, spare;
    uint8_t data[]; // name, value
};
struct value {            // begins the object of each collection
    struct digest digest; // of its elements, bound to the key by its id
    uint64_t memory;      // of the object and its elements
};
// One part of an object as snapshots keep it: `head`, then the two spans. A copy is made of the same parts.
#define ELEMENT_HEAD_BYTES 64u
struct element {
    uint8_t head[ELEMENT_HEAD_BYTES];
    size_t head_len;
    struct bytes parts[2]; // borrowed from the object
    uint64_t next;         // where the next one is
};
struct keys;
// What a type does with its objects; strings have none of it. Objects know neither their key nor its place: a RENAME
// moves the pointer. Digests of elements contain key->id.
struct type_ops {
    struct value *(*make)(struct keys *keys, uint8_t encoding); // empty; NULL: the type has no such encoding
    // Frees up to *max elements and takes them off *max; true: the object is gone, false: go on later.
    bool (*free)(struct value *object, uint8_t encoding, size_t *max);
    uint64_t (*count)(const struct key *key); // elements as `element` tells them
    // The element at `at`: 0, then as ->next tells; the caller knows how many there are. Allocates nothing.
    void (*element)(const struct key *key, uint64_t at, struct element *out);
    // Puts an element behind those that are there, with its digest and memory in the object (the key stands in no
    // store); may replace key->object. false: bytes that no node makes.
    bool (*load)(struct keys *keys, struct key *key, struct bytes element);
    struct digest (*recount)(const struct key *key); // what object->digest has to be
};
extern const struct type_ops *const type_ops[KEY_TYPE_COUNT]; // NULL: no objects
extern const struct type_ops hash_ops, set_ops;               // keys_elements.c
extern const struct type_ops zset_ops;                        // keys_zset_data.c
struct key_deadline {
    struct heap_item item; // (log time ms, the key's id)
    struct key *key;
};
static inline struct bytes key_name(const struct key *key) {
    return bytes_of(key->data, key->name_len);
}

// A database stands under its number, or under another after SWAPDB: keys know the store that they are in.
struct store {
    struct dense keys;
    struct dense_kind kind;
    struct heap deadlines;
    struct digest digest; // of its keys: with the number it has now it goes into the whole one
    uint64_t memory;
};
struct garbage { // of a database that was flushed, or an object too big for one moment: freed bit by bit
    struct garbage *next;
    struct dense keys;
    struct value *object;
    uint8_t type, encoding;
};

#define DELETIONS 65536u // places for the newest index at which a key was deleted, by the name's hash (WATCH)
struct keys {
    struct store stores[KEYS_DATABASES];
    uint8_t store_of[KEYS_DATABASES];       // by the database's number
    uint64_t changed_whole[KEYS_DATABASES]; // by number: index of the newest FLUSHDB or SWAPDB (WATCH)
    struct garbage *garbage;
    uint64_t next_id, hash_seed; // 0: no command ever ran
    uint64_t *deletions;         // made at the first one
    struct digest deleted;       // of `deletions`
    uint64_t memory_max;
    uint64_t expired;
    struct key *loading;                         // a key of which records are still to come
    size_t loading_filled;                       // bytes of its name and value that are there
    uint64_t loading_deadline, loading_elements; // elements still to come
    struct writer loading_rest;                  // the beginning of the next one
    struct writer out;                           // replies of the entry that runs
    size_t *ends;
    size_t ends_capacity;
    struct bytes *argv;
    size_t argv_capacity;
    struct keys_result result;
    struct keys_statistics statistics;
    uint64_t answer;
};

// One command that runs. Handlers get nothing else.
struct keys_call {
    struct keys *keys;
    struct apply *apply; // NULL: a read, which changes nothing
    const struct keys_row *row;
    const struct bytes *argv;
    size_t argc;
    uint32_t database;
    struct reply out;
    uint64_t index, log_time_ms, seed;
    int64_t unix_ms;
    uint64_t client;
    bool transaction, script; // of an EXEC, of a script: nothing blocks
};

// ---- keys_db.c
// NULL: absent, or past its deadline (then, at apply, it is deleted and `expired` told).
struct key *key_find(struct keys_call *call, uint32_t database, struct bytes name);
// Of the call's database; another type than `type`: the error is replied and *wrong set.
struct key *key_find_typed(struct keys_call *call, struct bytes name, enum key_type type, bool *wrong);
// A collection's key, absent before, with an empty object. A draft stands in no database yet: elements may be put in
// without a bracket of key_object_changing.
struct key *key_make(struct keys_call *call, struct bytes name, enum key_type type, enum key_encoding encoding);
struct key *key_draft(struct keys_call *call, struct bytes name, enum key_type type, enum key_encoding encoding);
void key_publish(struct keys_call *call, uint32_t database, struct key *key);
// In the call's database, instead of `old` (NULL: absent): as `SUNIONSTORE` does, without the event `new` then.
void key_replace(struct keys_call *call, struct key *old, struct key *draft);
void key_discard(struct keys *keys, struct key *draft);
// Around changes of a collection: between the two, key->object, its digest and memory, and the encoding are the
// caller's. The second one is key_head_changed too, unless nothing has changed in the end.
void key_object_changing(struct keys_call *call, struct key *key);
void key_object_changed(struct keys_call *call, struct key *key, bool changed);
// What a string holds from now on; `key` (NULL: absent) may be of any type. It may move: use what is given. Numbers and
// short texts get the encodings that Redis gives them. keep: deadline and id stay (INCR); else it is a new one (SET).
struct key *key_set_string(struct keys_call *call, struct key *key, struct bytes name, struct bytes value, bool keep);
// For a string that is changed in place (APPEND, SETRANGE, SETBIT): room for `len` bytes, raw, zeros behind what it
// had. Until key_string_changed the bytes from change->from up to change->to are the caller's; the two may widen.
struct string_change {
    size_t from, to;
};
struct key *key_string_changing(struct keys_call *call, struct key *key, struct string_change *change, size_t len);
void key_string_changed(struct keys_call *call, struct key *key, const struct string_change *change);
uint8_t *key_string_at(struct key *key);                  // of a raw one
void key_delete(struct keys_call *call, struct key *key); // tells no event
void key_expire(struct keys_call *call, struct key *key, uint32_t database);
uint32_t database_of(const struct keys *keys, const struct key *key);
void key_set_deadline(struct keys_call *call, struct key *key, uint64_t log_ms); // NO_DEADLINE: none
uint64_t key_deadline_ms(const struct key *key);
// Around a change of what stands in a key's head (name, type, encoding, len, number, deadline).
void key_head_changing(struct keys_call *call, struct key *key);
void key_head_changed(struct keys_call *call, struct key *key); // key->changed too
void key_touched(struct keys_call *call, struct key *key);      // its elements changed, which account for themselves
// Moves a key under another name and database; what stood there was deleted before. Gives it; it may move.
struct key *key_rename(struct keys_call *call, struct key *key, uint32_t database, struct bytes name);
// A new key of the same content and deadline under a name that is free.
void key_copy(struct keys_call *call, struct key *key, uint32_t database, struct bytes name);
void key_notify(struct keys_call *call, uint32_t notify_class, const char *event, uint32_t database, struct bytes name);
struct bytes key_string(const struct key *key, char number[24]); // a string's bytes; a number's are made in `number`
// Elements of collections: in the digest and in memory of the key's store.
void element_added(struct keys_call *call, struct key *key, struct digest item, size_t bytes);
void element_removed(struct keys_call *call, struct key *key, struct digest item, size_t bytes);
void database_flush(struct keys_call *call, uint32_t database);
void database_swapped(struct keys_call *call, uint32_t database); // another store stands under this number
void keys_collect(struct keys *keys, size_t max);                 // frees so many keys of flushed databases
struct store *store_of(const struct keys *keys, uint32_t database);
uint64_t watch_index(struct keys_call *call, uint32_t database, struct bytes name);
void stores_init(struct keys *keys);
void stores_free(struct keys *keys);
void stores_seed(struct keys *keys, uint64_t seed); // before the first key
// For load and recount.
void key_link(struct keys *keys, struct key *key, uint64_t deadline); // at the end of its store
struct key *key_allocate(struct bytes name, size_t capacity);
struct digest key_head_digest(const struct key *key);
struct digest key_value_digest(const struct key *key);
size_t key_memory(const struct key *key);
void value_free(struct keys *keys, struct key *key); // a collection's object; a big one becomes garbage
bool key_has_object(const struct key *key);

// Log time of a Unix time, and back; past ones give 0 and up.
static inline uint64_t log_of_unix(const struct keys_call *call, int64_t unix_ms) {
    int64_t ahead = unix_ms - call->unix_ms; // both are bounded: no wrap (keys_generic.c judges the arguments)
    return ahead < 0 && (uint64_t)-ahead > call->log_time_ms ? 0 : call->log_time_ms + (uint64_t)ahead;
}
static inline int64_t unix_of_log(const struct keys_call *call, uint64_t log_ms) {
    return call->unix_ms + (int64_t)(log_ms - call->log_time_ms);
}

// The Unix time that an argument means; false: it cannot be one. keys_generic.c
bool unix_time(const struct keys_call *call, int64_t value, bool seconds, bool absolute, int64_t *unix_ms);

// SCAN and its kind. The cursor first; where the key is absent Redis looks at nothing else. 0 .. count - 1 are walked
// from the end, so the cursor is how many are left.
struct scan {
    uint64_t cursor, count;
    struct bytes match;
    int type; // -1: any
};
bool scan_cursor(struct keys_call *call, struct bytes text, struct scan *scan);
bool scan_options(struct keys_call *call, size_t first, struct scan *scan);
uint64_t scan_begin(struct keys_call *call, const struct scan *scan, uint64_t count, uint64_t *end); // replies `end`
bool scan_matches(const struct scan *scan, struct bytes name);
void scan_nothing(struct keys_call *call);

// A count among arguments that may be negative; false: the error is replied.
bool argument_signed_count(struct keys_call *call, struct bytes text, int64_t *out); // numbers.c
bool value_too_long(struct keys_call *call, uint64_t len); // then the error is replied. keys_string.c

// ---- numbers.c: exact, the same on every CPU
bool number_read(struct bytes text, int64_t *out); // as Redis reads integers: no blanks, no +, no leading zeros
size_t number_write(char out[24], int64_t value);
bool argument_number(struct keys_call *call, struct bytes text, int64_t *out); // false: the error was replied
bool text_is(struct bytes text, const char *word);                             // any case
#define NO_DEADLINE UINT64_MAX

// ---- handlers
#define X(number, name, arity, first, last, step, flags, categories, handler) void handler(struct keys_call *call);
#include "model/keys/commands_generic.h"
#include "model/keys/commands_hash.h"
#include "model/keys/commands_list.h"
#include "model/keys/commands_set.h"
#include "model/keys/commands_string.h"
#include "model/keys/commands_zset.h"
KEYS_GENERIC_COMMANDS(X)
KEYS_LIST_COMMANDS(X)
KEYS_STRING_COMMANDS(X)
KEYS_HASH_COMMANDS(X)
KEYS_SET_COMMANDS(X)
KEYS_ZSET_COMMANDS(X)
#undef X

// ---- keys_save.c
size_t keys_save(const void *model, struct save_cursor *cursor, uint8_t *out, size_t capacity);
int keys_load(void *model, const uint8_t *data, size_t len);
struct digest keys_digest(const void *model);
struct digest keys_recount(const void *model);

// ---- keys_run.c
void keys_apply_run(struct keys *keys, struct apply *apply, struct bytes args, struct result *result);
void keys_read(struct keys *keys, const struct keys_query *query, struct result *result);
