// Requests that were answered, remembered for a time, so that a retry gets the same answer and takes no effect twice.
// Shared by the models whose operations take a request id (sequence, guard): the same rules for both.
//
// A request is (scope, id); the scope is what the id belongs to (a sequence's number; 0: the whole model). A retry must
// be the same request: its fingerprint is compared. A remembered request is never dropped before its time, since its
// retry would take effect once more: where too many are remembered, the models refuse new ones.
#pragma once
#include "model/items.h"

#define REMEMBER_ID_BYTES_MAX 240u // with its scope it is an item's name
#define REMEMBER_FINGERPRINT_BYTES_MAX 64u
#define REMEMBER_ANSWER_BYTES_MAX 1024u
#define REMEMBER_TTL_MS_MAX (30ull * 24 * 3600 * 1000)

struct remembered {
    struct item item;
    struct deadline due;
    uint64_t scope, number; // number: order of creation
    uint16_t fingerprint_len, answer_len;
    uint8_t text[]; // fingerprint, answer, then the name
};
struct remember_kind { // how it stands in the model's own tables
    struct items items;
    struct heap *due;
    int deadline_kind;
};
void remember_init(struct remember_kind *kind, struct item_sum *sum, struct heap *due, int deadline_kind);
const struct remembered *remember_find(const struct remember_kind *kind, uint64_t scope, struct bytes id);
bool remembered_same(const struct remembered *request, struct bytes fingerprint);
struct bytes remembered_answer(const struct remembered *request);
// The id is not remembered yet; it and the fingerprint are within their bounds.
void remember_add(struct remember_kind *kind, uint64_t scope, struct bytes id, struct bytes fingerprint,
                  struct bytes answer, uint64_t number, uint64_t until_ms);
struct remembered *remembered_of(struct deadline *deadline);
void remember_drop(struct remember_kind *kind, struct remembered *request);
struct remembered *remember_load(struct remember_kind *kind, struct reader *r); // NULL: damaged
