// Configuration as replicated state: a namespace holds named items; each publish changes several of them in one step
// and gives the namespace's next version. Old versions are kept for a while, to be shown, compared and published again.
//
//   namespace "shop"   3 --> 4 --> 5 --> 6
//                                  |     `-- gradual: for clients with zone=a, a tenth of them
//                                  `-------- released: for all others
//
// At most one gradual release is under way in a namespace; it ends by `promote` (all get it) or `abandon` (nobody
// does). Until then nothing else is published there: what it would be a change of is not decided yet.
//
// A version's number may come again when a namespace is deleted and made anew, its revision (the index of its entry in
// the log) never does, not even after a restore from a backup. So what a client has is known by its revision.
#pragma once
#include "model/items.h"

#define CONFIG_NAME_BYTES_MAX 255u
#define CONFIG_KEY_BYTES_MAX 200u           // an item's: with its namespace's number and version it is a saved name
#define CONFIG_VALUE_BYTES_MAX (128u << 10) // a saved record holds it whole
#define CONFIG_ITEMS_MAX 1000u              // of one version: publish compares all of them
#define CONFIG_SET_BYTES_MAX (512u << 10)   // keys and values of one version: as base64 it fits in one HTTP request
#define CONFIG_CHANGES_MAX (2 * CONFIG_ITEMS_MAX) // all are deleted, and as many others put
#define CONFIG_AUTHOR_BYTES_MAX 255u
#define CONFIG_COMMENT_BYTES_MAX 1024u
#define CONFIG_HISTORY_MAX 100u               // versions kept of a namespace
#define CONFIG_HISTORY_BYTES_MAX (4u << 20)   // of all of a namespace's versions together: what does not change is
#define CONFIG_ITEM_BYTES 200u                // kept once. Each value that is kept counts so much beside its bytes
#define CONFIG_LABELS_MAX 16u                 // of a client, and of who gets a gradual release
#define CONFIG_LABEL_BYTES_MAX 127u           // "zone=a"
#define CONFIG_CLIENT_BYTES_MAX 255u          // a client's id
#define CONFIG_VERSION_MAX ((1ull << 56) - 1) // a saved name's order wants a zero byte at its front

#define CONFIG_ANY UINT64_MAX // as an expected version

// Operations. name, author, comment, keys, values, labels: blobs. expected: the version that all have now; CONFIG_ANY.
#define CONFIG_OPS(X)                                                                                                  \
    X(PUBLISH, 1) /* see config_publish */                                                                             \
    X(SELECT, 2)  /* name, version varint, selector: who gets the gradual release from now on */                       \
    X(PROMOTE, 3) /* name, version varint: all get it */                                                               \
    X(ABANDON, 4) /* name, version varint: nobody gets it any more */                                                  \
    X(DELETE, 5)  /* name, expected varint: with all versions */
enum config_op {
#define X(name, value) CONFIG_##name = value,
    CONFIG_OPS(X)
#undef X
};

#define CONFIG_ERRORS(X)                                                                                               \
    X(NOT_FOUND, -1, "no such namespace, or this version is not kept")                                                 \
    X(VERSION, -2, "not at the expected version")                                                                      \
    X(RELEASING, -3, "a gradual release is under way: promote or abandon it first")                                    \
    X(NOT_RELEASING, -4, "no gradual release of this version is under way")                                            \
    X(LIMIT, -5, "more items or bytes than a version may have")                                                        \
    X(BAD_ARGUMENTS, -6, "arguments out of bounds")
enum config_error {
#define X(name, code, text) CONFIG_##name = code,
    CONFIG_ERRORS(X)
#undef X
};

// Who gets a gradual release: of the clients that have, for each label that is named here, one of the values named for
// it, those whose id's place (0 to 99, always the same in this namespace) is below `percent`.
struct config_selector {
    uint32_t percent;           // 100: whatever the id. A client without an id gets it only then
    const struct bytes *labels; // "zone=a"
    size_t label_count;
};
struct config_client {
    struct bytes id;
    const struct bytes *labels;
    size_t label_count;
};

struct config_change {
    struct bytes key, value;
    bool deletes;
};
enum { CONFIG_BASE_RELEASED = 0 };   // what all have now
#define CONFIG_BASE_EMPTY UINT64_MAX // items that are not put are not there
struct config_publish {
    struct bytes name, author, comment;
    uint64_t expected;
    uint64_t base;                         // what the changes are made to: one of the above, or a version (rollback)
    const struct config_selector *gradual; // NULL: for all at once
    const struct config_change *changes;   // in the order of their keys, each once
    size_t change_count;
};

struct config_result { // value of every operation, also of one that was refused
    uint64_t version;  // that was published, selected, promoted or abandoned
    uint64_t revision; // the same
    uint64_t released; // what all have now that no gradual release selects; 0: nothing
    uint64_t gradual;  // 0: none
    bool changed;      // false: it was so before. A publish that changes nothing gives no new version
};

// What some client shall have may have changed.
struct config_event {
    struct bytes name;
};

enum config_release_state { CONFIG_PAST, CONFIG_RELEASED, CONFIG_GRADUAL, CONFIG_ABANDONED };
struct config_release_info {
    uint64_t version, revision;
    uint64_t base; // of a rollback: the version that was published again; CONFIG_BASE_EMPTY, CONFIG_BASE_RELEASED
    int64_t unix_ms;
    enum config_release_state state;
    struct bytes author, comment;
    uint32_t puts, deletes; // that differ from the version that all had
};
struct config_info {
    struct bytes name;
    uint64_t version, revision; // that was asked for; 0: nothing
    uint64_t released, gradual, newest;
    struct config_selector selector; // of the gradual release
    uint32_t releases;               // versions kept
    uint64_t bytes;                  // of all of them, as CONFIG_HISTORY_BYTES_MAX counts
};
struct config_item_info {
    struct bytes key, value;
    uint64_t since; // the version that brought it
};
struct config_difference {
    struct bytes key;
    const struct bytes *from, *to; // NULL: it is not there
};

// Query. A page of namespaces, or with page.name one of them: `item` for each of the version's items in the order of
// keys, `release` for the versions that are kept, newest first, `difference` from `version` to `other`. `space` is
// called first. NOT_FOUND: nothing was called.
struct config_query {
    struct items_page page;
    uint64_t version;                   // 0: what `client` shall have
    const struct config_client *client; // NULL: one that no gradual release selects
    uint64_t other;
    uint64_t before; // `release`: only versions below; 0: all
    size_t max;      // `release`
    void (*space)(void *context, const struct config_info *info);
    void (*item)(void *context, const struct config_item_info *info);
    void (*release)(void *context, const struct config_release_info *info);
    void (*difference)(void *context, const struct config_difference *difference);
    void *context;
};

extern const struct model_ops config_model;
void config_write_publish(struct writer *w, const struct config_publish *publish);
void config_write_select(struct writer *w, struct bytes name, uint64_t version, const struct config_selector *selector);
void config_write_promote(struct writer *w, struct bytes name, uint64_t version);
void config_write_abandon(struct writer *w, struct bytes name, uint64_t version);
void config_write_delete(struct writer *w, struct bytes name, uint64_t expected);
