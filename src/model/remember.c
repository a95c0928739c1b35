// Remembered requests. See remember.h.
#include "model/remember.h"
#include "base/assert.h"
#include <string.h>

#define NAME_BYTES_MAX (8 + REMEMBER_ID_BYTES_MAX)

static const struct remembered *remembered_item(const struct item *item) {
    return CONTAINER_OF_CONST(item, struct remembered, item);
}

static struct bytes fingerprint_of(const struct remembered *request) {
    return bytes_of(request->text, request->fingerprint_len);
}

struct bytes remembered_answer(const struct remembered *request) {
    return bytes_of(request->text + request->fingerprint_len, request->answer_len);
}

static void record(const struct item *item, struct item_record *to) {
    const struct remembered *request = remembered_item(item);
    item_record_u64(to, request->number);
    item_record_u64(to, deadline_of(&request->due));
    item_record_text(to, fingerprint_of(request));
    item_record_text(to, remembered_answer(request));
}

void remember_init(struct remember_kind *kind, struct item_sum *sum, struct heap *due, int deadline_kind) {
    static const struct item_kind items = {.tag = 'r', .record = record};
    items_init(&kind->items, &items, sum);
    kind->due = due;
    kind->deadline_kind = deadline_kind;
}

const struct remembered *remember_find(const struct remember_kind *kind, uint64_t scope, struct bytes id) {
    uint8_t name[NAME_BYTES_MAX];
    if (id.len > REMEMBER_ID_BYTES_MAX) return NULL;
    put_u64_be(name, scope);
    if (id.len > 0) memcpy(name + 8, id.data, id.len);
    const struct item *item = items_find(&kind->items, bytes_of(name, 8 + id.len));
    return item ? remembered_item(item) : NULL;
}

bool remembered_same(const struct remembered *request, struct bytes fingerprint) {
    return bytes_equal(fingerprint_of(request), fingerprint);
}

static struct remembered *add_named(struct remember_kind *kind, struct bytes name, struct bytes fingerprint,
                                    struct bytes answer, uint64_t number, uint64_t until_ms) {
    struct remembered *request = item_make(sizeof *request + fingerprint.len + answer.len, name);
    struct reader scope = reader_of(name.data, 8);
    request->scope = read_u64_be(&scope);
    request->number = number;
    request->fingerprint_len = (uint16_t)fingerprint.len;
    request->answer_len = (uint16_t)answer.len;
    if (fingerprint.len > 0) memcpy(request->text, fingerprint.data, fingerprint.len);
    if (answer.len > 0) memcpy(request->text + fingerprint.len, answer.data, answer.len);
    ENSURE(items_insert(&kind->items, &request->item));
    request->due.kind = kind->deadline_kind;
    deadline_set(kind->due, &request->due, until_ms, number);
    items_changed(&kind->items, &request->item);
    return request;
}

void remember_add(struct remember_kind *kind, uint64_t scope, struct bytes id, struct bytes fingerprint,
                  struct bytes answer, uint64_t number, uint64_t until_ms) {
    uint8_t name[NAME_BYTES_MAX];
    ENSURE(id.len <= REMEMBER_ID_BYTES_MAX && fingerprint.len <= REMEMBER_FINGERPRINT_BYTES_MAX);
    ENSURE(answer.len <= REMEMBER_ANSWER_BYTES_MAX);
    put_u64_be(name, scope);
    if (id.len > 0) memcpy(name + 8, id.data, id.len);
    add_named(kind, bytes_of(name, 8 + id.len), fingerprint, answer, number, until_ms);
}

struct remembered *remembered_of(struct deadline *deadline) {
    return CONTAINER_OF(deadline, struct remembered, due);
}

void remember_drop(struct remember_kind *kind, struct remembered *request) {
    deadline_set(kind->due, &request->due, NO_DEADLINE, 0);
    items_remove(&kind->items, &request->item);
}

struct remembered *remember_load(struct remember_kind *kind, struct reader *r) {
    struct bytes name = item_read_text(r);
    uint64_t number = read_u64_le(r), until_ms = read_u64_le(r);
    struct bytes fingerprint = item_read_text(r), answer = item_read_text(r);
    if (r->failed || name.len < 8 || name.len > NAME_BYTES_MAX || until_ms == NO_DEADLINE) return NULL;
    if (fingerprint.len > REMEMBER_FINGERPRINT_BYTES_MAX || answer.len > REMEMBER_ANSWER_BYTES_MAX) return NULL;
    if (items_find(&kind->items, name) != NULL) return NULL;
    return add_named(kind, name, fingerprint, answer, number, until_ms);
}
