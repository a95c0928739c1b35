// What the files of the config model share. Nothing outside this folder includes it.
//
//   config.c         namespaces, their versions and values; who shall have what; queries
//   config_op.c      operations
//   config_save_model.c    records, load
//   config_write.c   commands' bytes
//
// A value stands once for all versions in which it is the item's:
//
//   versions           3    4    5    6         kept: those that have a release
//   db.url  "a"        [---------)              first 3, end 5
//   db.url  "b"                  [-------->     first 5, open: of the newest version too
//   flag    "on"       [-------->
//
// Version v has the values with first <= v < end. A publish compares what it wants with the newest version, closes what
// is otherwise and opens the new. When a release is dropped, the values that no other one has go too.
#pragma once
#include "base/hash.h"
#include "model/config/config.h"

#define CONFIG_OPEN UINT64_MAX // as an end

struct config_space {
    struct item item;
    struct hash_node by_number;
    uint64_t number; // order of creation
    uint64_t released, gradual, newest;
    uint32_t percent;
    uint8_t *selector; // labels, each as item_record_text
    uint32_t selector_len;
    // of what is kept; not saved
    uint32_t releases;
    uint64_t bytes;
};

struct config_release { // under the namespace's number and the version, 8 bytes big-endian each
    struct item item;
    struct config_space *space;
    uint64_t version, revision, base;
    int64_t unix_ms;
    uint32_t puts, deletes, author_len, comment_len;
    bool abandoned;
    uint8_t text[]; // author, comment, then the name
};

struct config_value { // under the namespace's number, the key, and `first`
    struct item item;
    struct config_space *space;
    uint64_t first, end;
    uint8_t *data;
    uint32_t len;
    struct digest digest;
};

enum config_word { WORD_NUMBER, WORD_COUNT };
struct config_state {
    struct items spaces, releases, values;
    struct hash by_number;
    struct item_sum sum;
    uint64_t words[WORD_COUNT];
    struct config_result result;
};

static inline struct bytes config_value_key(const struct config_value *value) {
    return bytes_of(value->item.name + 8, value->item.name_len - 16);
}
static inline struct bytes config_value_bytes(const struct config_value *value) {
    return bytes_of(value->data, value->len);
}
static inline bool config_value_of(const struct config_value *value, uint64_t version) {
    return value->first <= version && version < value->end;
}

// config.c
struct config_space *config_space_find(const struct config_state *state, struct bytes name);
struct config_space *config_space_by_number(const struct config_state *state, uint64_t number);
struct config_space *config_space_make(struct config_state *state, struct bytes name, uint64_t number);
void config_space_free(struct config_state *state, struct config_space *space);                // with all that is in it
void config_space_select(struct config_space *space, uint32_t percent, struct bytes selector); // items_changed is due
struct config_release *config_release_make(struct config_state *state, struct config_space *space, uint64_t version,
                                           struct bytes author, struct bytes comment); // NULL: it is there
struct config_release *config_release_find(const struct config_state *state, const struct config_space *space,
                                           uint64_t version);
struct config_release *config_release_after(const struct config_state *state, const struct config_space *space,
                                            uint64_t version); // the next one that is kept; NULL: none
void config_release_free(struct config_state *state, struct config_release *release);
struct config_value *config_value_make(struct config_state *state, struct config_space *space, struct bytes key,
                                       uint64_t first, struct bytes bytes); // open. NULL: it is there
void config_value_free(struct config_state *state, struct config_value *value);
// A namespace's values, all of one key after another, in the order of their keys. NULL: that was the last.
struct config_value *config_value_first(const struct config_state *state, const struct config_space *space);
struct config_value *config_value_next(const struct config_value *value);
bool config_label_good(struct bytes label);
bool config_key_good(struct bytes key);

// config_op.c
void config_apply(void *state, struct apply *apply, const struct command *command, struct result *result);

// config_save_model.c
extern const struct item_kind config_space_kind, config_release_kind, config_value_kind;
size_t config_save_model(const void *state, struct save_cursor *cursor, uint8_t *out, size_t capacity);
int config_load_model(void *state, const uint8_t *data, size_t len);
struct digest config_digest_recount(const void *state);
