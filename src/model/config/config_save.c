// Records and load. Namespaces come before their releases and values.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/config/config_internal.h"
#include <errno.h>

#define TABLES(state)                                                                                                  \
    { &(state)->spaces, &(state)->releases, &(state)->values }
enum { TABLE_COUNT = 3 };

static void record_space(const struct item *item, struct item_record *to) {
    const struct config_space *space = CONTAINER_OF_CONST(item, struct config_space, item);
    item_record_u64(to, space->number);
    item_record_u64(to, space->released);
    item_record_u64(to, space->gradual);
    item_record_u64(to, space->newest);
    item_record_u64(to, space->percent);
    item_record_text(to, bytes_of(space->selector, space->selector_len));
}

static void record_release(const struct item *item, struct item_record *to) {
    const struct config_release *release = CONTAINER_OF_CONST(item, struct config_release, item);
    item_record_u64(to, release->revision);
    item_record_u64(to, release->base);
    item_record_u64(to, (uint64_t)release->unix_ms);
    item_record_u64(to, release->puts);
    item_record_u64(to, release->deletes);
    item_record_u64(to, release->abandoned);
    item_record_text(to, bytes_of(release->text, release->author_len));
    item_record_text(to, bytes_of(release->text + release->author_len, release->comment_len));
}

static void record_value(const struct item *item, struct item_record *to) {
    const struct config_value *value = CONTAINER_OF_CONST(item, struct config_value, item);
    item_record_u64(to, value->end);
    item_record_u64(to, value->digest.lo);
    item_record_u64(to, value->digest.hi);
}

static struct bytes body_of(const struct item *item) {
    return config_value_bytes(CONTAINER_OF_CONST(item, struct config_value, item));
}

const struct item_kind config_space_kind = {.tag = 's', .record = record_space};
const struct item_kind config_release_kind = {.tag = 'r', .record = record_release};
const struct item_kind config_value_kind = {.tag = 'v', .record = record_value, .body = body_of};

size_t config_save_model(const void *model, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    const struct config_state *state = model;
    const struct items *tables[] = TABLES(state);
    return items_save(&state->sum, tables, TABLE_COUNT, state->words, WORD_COUNT, cursor, out, capacity);
}

struct digest config_digest_recount(const void *model) {
    const struct config_state *state = model;
    const struct items *tables[] = TABLES(state);
    return items_recount(&state->sum, tables, TABLE_COUNT, state->words, WORD_COUNT);
}

static bool selector_good(struct bytes selector) {
    struct reader r = reader_of(selector.data, selector.len);
    size_t count = 0;
    while (reader_left(&r) > 0)
        if (!config_label_good(item_read_text(&r)) || ++count > CONFIG_LABELS_MAX) return false;
    return !r.failed;
}

static bool load_space(struct config_state *state, struct reader *r) {
    struct bytes name = item_read_text(r);
    uint64_t number = read_u64_le(r), released = read_u64_le(r), gradual = read_u64_le(r), newest = read_u64_le(r);
    uint64_t percent = read_u64_le(r);
    struct bytes selector = item_read_text(r);
    if (r->failed || name.len == 0 || name.len > CONFIG_NAME_BYTES_MAX || config_space_find(state, name)) return false;
    if (number > state->words[WORD_NUMBER] || config_space_by_number(state, number)) return false;
    if (newest > CONFIG_VERSION_MAX || released > newest || (gradual != 0 && gradual != newest)) return false;
    if (gradual != 0 && gradual == released) return false;
    if (percent > 100 || !selector_good(selector)) return false;
    struct config_space *space = config_space_make(state, name, number);
    space->released = released;
    space->gradual = gradual;
    space->newest = newest;
    config_space_select(space, (uint32_t)percent, selector);
    items_changed(&state->spaces, &space->item);
    return true;
}

// The number at the front of a name, and the version at its end.
static struct config_space *space_of(const struct config_state *state, struct bytes name, uint64_t *version) {
    struct reader front = reader_of(name.data, 8), back = reader_of(name.data + name.len - 8, 8);
    struct config_space *space = config_space_by_number(state, read_u64_be(&front));
    *version = read_u64_be(&back);
    return space != NULL && *version > 0 && *version <= space->newest ? space : NULL;
}

static bool load_release(struct config_state *state, struct reader *r) {
    struct bytes name = item_read_text(r);
    uint64_t version, revision = read_u64_le(r), base = read_u64_le(r), unix_ms = read_u64_le(r);
    uint64_t puts = read_u64_le(r), deletes = read_u64_le(r), abandoned = read_u64_le(r);
    struct bytes author = item_read_text(r), comment = item_read_text(r);
    if (r->failed || name.len != 16 || puts > CONFIG_ITEMS_MAX || deletes > CONFIG_ITEMS_MAX || abandoned > 1)
        return false;
    if (author.len > CONFIG_AUTHOR_BYTES_MAX || comment.len > CONFIG_COMMENT_BYTES_MAX) return false;
    struct config_space *space = space_of(state, name, &version);
    if (space == NULL || space->releases >= CONFIG_HISTORY_MAX) return false;
    struct config_release *release = config_release_make(state, space, version, author, comment);
    if (release == NULL) return false;
    release->revision = revision;
    release->base = base;
    release->unix_ms = (int64_t)unix_ms;
    release->puts = (uint32_t)puts;
    release->deletes = (uint32_t)deletes;
    release->abandoned = abandoned != 0;
    items_changed(&state->releases, &release->item);
    return true;
}

static bool load_value(struct config_state *state, struct reader *r) {
    struct bytes name = item_read_text(r);
    uint64_t first, end = read_u64_le(r);
    struct digest digest = {.lo = read_u64_le(r)};
    digest.hi = read_u64_le(r);
    struct bytes bytes = items_read_body(r);
    if (r->failed || name.len < 17 || bytes.len > CONFIG_VALUE_BYTES_MAX) return false;
    struct bytes key = bytes_of(name.data + 8, name.len - 16);
    struct config_space *space = space_of(state, name, &first);
    if (space == NULL || !config_key_good(key) || end <= first || (end > space->newest && end != CONFIG_OPEN))
        return false;
    struct config_value *value = config_value_make(state, space, key, first, bytes);
    if (value == NULL) return false;
    value->end = end;
    items_changed(&state->values, &value->item);
    return digest_equal(value->digest, digest);
}

int config_load_model(void *model, const uint8_t *data, size_t len) {
    struct config_state *state = model;
    struct reader r = reader_of(data, len);
    while (reader_left(&r) > 0) {
        uint8_t tag = read_u8(&r);
        bool good = tag == 0                         ? items_load_head(&state->sum, &r, state->words, WORD_COUNT)
                    : tag == config_space_kind.tag   ? load_space(state, &r)
                    : tag == config_release_kind.tag ? load_release(state, &r)
                    : tag == config_value_kind.tag   ? load_value(state, &r)
                                                     : false;
        if (!good) return -EBADMSG;
    }
    return r.failed ? -EBADMSG : 0;
}
