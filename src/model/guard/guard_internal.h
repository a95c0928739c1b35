// What the files of the guard model share. Nothing outside this folder includes it.
//
//   guard.c          state, expiry, queries, save and load
//   guard_token.c    one-time tokens          guard_entity.c   guarded states
//   guard_value.c    values                   guard_counter.c  counters
//   guard_write.c    commands' bytes
#pragma once
#include "model/guard/guard.h"

struct guard_blob { // bytes of an item that change; saved as its body, digested by their digest
    uint8_t *data;
    uint32_t len;
    struct digest digest;
};

enum guard_deadline { DUE_TOKEN, DUE_ENTITY, DUE_VALUE, DUE_REQUEST };
enum guard_word { WORD_NUMBER, WORD_COUNT };

struct guard_state {
    struct items tokens, entities, values, counters;
    struct remember_kind requests; // of COUNTER_ADD; scope 0; answer: the values
    struct heap due;
    struct item_sum sum;
    uint64_t words[WORD_COUNT];
    struct guard_result result;
    int64_t result_values[GUARD_COUNTERS_MAX]; // what the newest result points to
    uint8_t result_name[GUARD_NAME_BYTES_MAX];
};

// guard.c
void guard_blob_set(struct guard_blob *blob, struct bytes bytes); // takes the place of what was there
static inline struct bytes guard_blob_bytes(const struct guard_blob *blob) {
    return bytes_of(blob->data, blob->len);
}
void guard_blob_record(const struct guard_blob *blob, struct item_record *to);
struct digest guard_blob_read_digest(struct reader *r);
static inline bool guard_name_good(struct bytes name) {
    return name.len > 0 && name.len <= GUARD_NAME_BYTES_MAX;
}

// Each kind: its records, its operations, the end of one by time, how it is shown, its load.
extern const struct item_kind guard_token_kind, guard_entity_kind, guard_value_kind, guard_counter_kind;

int guard_apply_issue(struct guard_state *state, struct apply *apply, struct reader *r);
int guard_apply_consume(struct guard_state *state, struct apply *apply, struct reader *r, struct guard_result *out);
void guard_token_remove(struct guard_state *state, struct item *item);
void guard_token_show(const struct item *item, const struct guard_query *query);
bool guard_token_load(struct guard_state *state, struct reader *r);
struct item *guard_token_due(struct deadline *due);

int guard_apply_transition(struct guard_state *state, struct apply *apply, struct reader *r, struct guard_result *out);
int guard_apply_entity_delete(struct guard_state *state, struct reader *r, struct guard_result *out);
void guard_entity_remove(struct guard_state *state, struct item *item);
void guard_entity_show(const struct item *item, const struct guard_query *query);
bool guard_entity_load(struct guard_state *state, struct reader *r);
struct item *guard_entity_due(struct deadline *due);

int guard_apply_put(struct guard_state *state, struct apply *apply, struct reader *r, struct guard_result *out);
int guard_apply_delete(struct guard_state *state, struct apply *apply, struct reader *r, struct guard_result *out);
void guard_value_remove(struct guard_state *state, struct item *item);
void guard_value_show(const struct item *item, const struct guard_query *query);
bool guard_value_load(struct guard_state *state, struct reader *r);
struct item *guard_value_due(struct deadline *due);

int guard_apply_counter_set(struct guard_state *state, struct apply *apply, struct reader *r);
int guard_apply_counter_add(struct guard_state *state, struct apply *apply, struct reader *r, struct guard_result *out);
int guard_apply_counter_delete(struct guard_state *state, struct reader *r);
void guard_counter_show(const struct item *item, const struct guard_query *query);
bool guard_counter_load(struct guard_state *state, struct reader *r);
