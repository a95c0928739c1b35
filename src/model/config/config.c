// Namespaces, their versions and values; who shall have what; queries. See config_internal.h.
//
// Invariants: released <= newest; gradual is 0, or newest and above released. Of one key no two values have a version
// in common. The released and the gradual version have a release, and so each value has a version that is kept.
#include "model/config/config.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "model/config/config_internal.h"
#include <string.h>

#define HASH_SEED 0x636f6e666967ull

// ---- names

static struct bytes name_of(uint8_t out[CONFIG_KEY_BYTES_MAX + 16], const struct config_space *space, struct bytes key,
                            uint64_t version) {
    put_u64_be(out, space->number);
    if (key.len > 0) memcpy(out + 8, key.data, key.len);
    put_u64_be(out + 8 + key.len, version);
    return bytes_of(out, 16 + key.len);
}

bool config_key_good(struct bytes key) {
    return key.len > 0 && key.len <= CONFIG_KEY_BYTES_MAX && memchr(key.data, 0, key.len) == NULL;
}

bool config_label_good(struct bytes label) {
    const uint8_t *equals = label.len > 0 ? memchr(label.data, '=', label.len) : NULL;
    return equals != NULL && equals > label.data && label.len <= CONFIG_LABEL_BYTES_MAX;
}

// ---- namespaces

struct config_space *config_space_find(const struct config_state *state, struct bytes name) {
    struct item *item = items_find(&state->spaces, name);
    return item ? CONTAINER_OF(item, struct config_space, item) : NULL;
}

static bool number_matches(const struct hash_node *node, const void *number) {
    return CONTAINER_OF_CONST(node, struct config_space, by_number)->number == *(const uint64_t *)number;
}

struct config_space *config_space_by_number(const struct config_state *state, uint64_t number) {
    struct hash_node *node = hash_find(&state->by_number, hash_u64(number), number_matches, &number);
    return node ? CONTAINER_OF(node, struct config_space, by_number) : NULL;
}

struct config_space *config_space_make(struct config_state *state, struct bytes name, uint64_t number) {
    struct config_space *space = item_make(sizeof *space, name);
    space->number = number;
    hash_insert(&state->by_number, &space->by_number, hash_u64(number));
    ENSURE(items_insert(&state->spaces, &space->item));
    return space;
}

void config_space_free(struct config_state *state, struct config_space *space) {
    for (struct config_value *value; (value = config_value_first(state, space)) != NULL;)
        config_value_free(state, value);
    for (struct config_release *release; (release = config_release_after(state, space, 0)) != NULL;)
        config_release_free(state, release);
    hash_remove(&state->by_number, &space->by_number);
    mem_free(space->selector);
    items_remove(&state->spaces, &space->item);
}

void config_space_select(struct config_space *space, uint32_t percent, struct bytes selector) {
    uint8_t *copy = mem_alloc(selector.len);
    if (selector.len > 0) memcpy(copy, selector.data, selector.len);
    mem_free(space->selector);
    space->selector = copy;
    space->selector_len = (uint32_t)selector.len;
    space->percent = percent;
}

// ---- releases

static struct config_release *release_of(const struct item *item) {
    return item ? CONTAINER_OF((struct item *)(uintptr_t)item, struct config_release, item) : NULL;
}

struct config_release *config_release_make(struct config_state *state, struct config_space *space, uint64_t version,
                                           struct bytes author, struct bytes comment) {
    uint8_t name[CONFIG_KEY_BYTES_MAX + 16];
    if (config_release_find(state, space, version) != NULL) return NULL;
    struct config_release *release =
        item_make(sizeof *release + author.len + comment.len, name_of(name, space, bytes_of("", 0), version));
    release->space = space;
    release->version = version;
    release->author_len = (uint32_t)author.len;
    release->comment_len = (uint32_t)comment.len;
    if (author.len > 0) memcpy(release->text, author.data, author.len);
    if (comment.len > 0) memcpy(release->text + author.len, comment.data, comment.len);
    space->releases++;
    ENSURE(items_insert(&state->releases, &release->item));
    return release;
}

struct config_release *config_release_find(const struct config_state *state, const struct config_space *space,
                                           uint64_t version) {
    uint8_t name[CONFIG_KEY_BYTES_MAX + 16];
    return release_of(items_find(&state->releases, name_of(name, space, bytes_of("", 0), version)));
}

struct config_release *config_release_after(const struct config_state *state, const struct config_space *space,
                                            uint64_t version) {
    uint8_t name[CONFIG_KEY_BYTES_MAX + 16];
    struct items_page page = {.after = name_of(name, space, bytes_of("", 0), version), .prefix = bytes_of(name, 8)};
    return release_of(items_page_first(&state->releases, &page));
}

void config_release_free(struct config_state *state, struct config_release *release) {
    release->space->releases--;
    items_remove(&state->releases, &release->item);
}

// ---- values

static struct config_value *value_of(const struct item *item) {
    return item ? CONTAINER_OF((struct item *)(uintptr_t)item, struct config_value, item) : NULL;
}

static uint64_t cost(const struct config_value *value) {
    return CONFIG_ITEM_BYTES + config_value_key(value).len + value->len;
}

struct config_value *config_value_make(struct config_state *state, struct config_space *space, struct bytes key,
                                       uint64_t first, struct bytes bytes) {
    uint8_t name[CONFIG_KEY_BYTES_MAX + 16];
    struct bytes full = name_of(name, space, key, first);
    if (items_find(&state->values, full) != NULL) return NULL;
    struct config_value *value = item_make(sizeof *value, full);
    value->space = space;
    value->first = first;
    value->end = CONFIG_OPEN;
    value->data = mem_alloc(bytes.len);
    value->len = (uint32_t)bytes.len;
    if (bytes.len > 0) memcpy(value->data, bytes.data, bytes.len);
    value->digest = digest_hash(value->data, bytes.len, MODEL_CONFIG);
    space->bytes += cost(value);
    ENSURE(items_insert(&state->values, &value->item));
    return value;
}

void config_value_free(struct config_state *state, struct config_value *value) {
    value->space->bytes -= cost(value);
    mem_free(value->data);
    items_remove(&state->values, &value->item);
}

struct config_value *config_value_first(const struct config_state *state, const struct config_space *space) {
    uint8_t prefix[8];
    put_u64_be(prefix, space->number);
    struct items_page page = {.prefix = bytes_of(prefix, 8), .after = bytes_of("", 0)};
    return value_of(items_page_first(&state->values, &page));
}

struct config_value *config_value_next(const struct config_value *value) {
    struct config_value *next = value_of(items_next(&value->item));
    return next != NULL && next->space == value->space ? next : NULL;
}

// ---- who shall have what

static bool client_has(const struct config_client *client, struct bytes label) {
    for (size_t i = 0; i < client->label_count; i++)
        if (bytes_equal(client->labels[i], label)) return true;
    return false;
}

static struct bytes label_name(struct bytes label) {
    return bytes_of(label.data, (size_t)((const uint8_t *)memchr(label.data, '=', label.len) - label.data));
}

static size_t read_labels(const struct config_space *space, struct bytes out[CONFIG_LABELS_MAX]) {
    struct reader r = reader_of(space->selector, space->selector_len);
    size_t count = 0;
    while (count < CONFIG_LABELS_MAX && reader_left(&r) > 0) out[count++] = item_read_text(&r);
    return count;
}

// For each label that is named, one of the values named for it.
static bool labels_select(const struct config_space *space, const struct config_client *client) {
    struct bytes labels[CONFIG_LABELS_MAX];
    size_t count = read_labels(space, labels);
    for (size_t i = 0; i < count; i++) {
        bool has = false;
        for (size_t k = 0; k < count && !has; k++)
            has = bytes_equal(label_name(labels[i]), label_name(labels[k])) && client_has(client, labels[k]);
        if (!has && !PLANTED(CONFIG_RELEASED_TO_ALL)) return false;
    }
    return true;
}

// An id's place is always the same in a namespace, so a gradual release that grows keeps whom it had.
static bool gradual_selects(const struct config_space *space, const struct config_client *client) {
    if (space->gradual == 0 || client == NULL || !labels_select(space, client)) return false;
    if (space->percent >= 100) return true;
    uint64_t seed = hash_bytes(space->item.name, space->item.name_len, HASH_SEED);
    return client->id.len > 0 && hash_bytes(client->id.data, client->id.len, seed) % 100 < space->percent;
}

// ---- queries

static void show_space(const struct config_state *state, const struct config_query *query,
                       const struct config_space *space, uint64_t version) {
    struct bytes labels[CONFIG_LABELS_MAX];
    const struct config_release *release = version > 0 ? config_release_find(state, space, version) : NULL;
    struct config_info info = {.name = item_name(&space->item),
                               .version = version,
                               .revision = release ? release->revision : 0,
                               .released = space->released,
                               .gradual = space->gradual,
                               .newest = space->newest,
                               .releases = space->releases,
                               .bytes = space->bytes};
    info.selector = (struct config_selector){space->percent, labels, read_labels(space, labels)};
    query->space(query->context, &info);
}

static void show_items(const struct config_state *state, const struct config_query *query,
                       const struct config_space *space, uint64_t version) {
    for (const struct config_value *at = config_value_first(state, space); at; at = config_value_next(at)) {
        struct config_item_info info = {config_value_key(at), config_value_bytes(at), at->first};
        if (config_value_of(at, version)) query->item(query->context, &info);
    }
}

static enum config_release_state release_state(const struct config_space *space, const struct config_release *release) {
    return release->version == space->released  ? CONFIG_RELEASED
           : release->version == space->gradual ? CONFIG_GRADUAL
           : release->abandoned                 ? CONFIG_ABANDONED
                                                : CONFIG_PAST;
}

static void show_releases(const struct config_state *state, const struct config_query *query,
                          const struct config_space *space) {
    const struct config_release *kept[CONFIG_HISTORY_MAX], *at = config_release_after(state, space, 0);
    size_t count = 0;
    for (; at != NULL && count < CONFIG_HISTORY_MAX; at = config_release_after(state, space, at->version))
        if (query->before == 0 || at->version < query->before) kept[count++] = at;
    for (size_t left = query->max; count > 0 && left > 0; left--) {
        const struct config_release *release = kept[--count];
        struct config_release_info info = {.version = release->version,
                                           .revision = release->revision,
                                           .base = release->base,
                                           .unix_ms = release->unix_ms,
                                           .state = release_state(space, release),
                                           .author = bytes_of(release->text, release->author_len),
                                           .puts = release->puts,
                                           .deletes = release->deletes};
        info.comment = bytes_of(release->text + release->author_len, release->comment_len);
        query->release(query->context, &info);
    }
}

static void show_difference(const struct config_query *query, const struct config_value *from,
                            const struct config_value *to) {
    if (from == to) return;
    struct bytes from_bytes = from ? config_value_bytes(from) : bytes_of("", 0);
    struct bytes to_bytes = to ? config_value_bytes(to) : bytes_of("", 0);
    if (from && to && bytes_equal(from_bytes, to_bytes)) return;
    struct config_difference difference = {
        .key = config_value_key(from ? from : to), .from = from ? &from_bytes : NULL, .to = to ? &to_bytes : NULL};
    query->difference(query->context, &difference);
}

static void show_differences(const struct config_state *state, const struct config_query *query,
                             const struct config_space *space) {
    const struct config_value *at = config_value_first(state, space);
    while (at != NULL) { // the values of one key
        const struct config_value *from = NULL, *to = NULL, *next = at;
        for (; next && bytes_equal(config_value_key(next), config_value_key(at)); next = config_value_next(next)) {
            if (config_value_of(next, query->version)) from = next;
            if (config_value_of(next, query->other)) to = next;
        }
        show_difference(query, from, to);
        at = next;
    }
}

static bool kept(const struct config_state *state, const struct config_space *space, uint64_t version) {
    return version == 0 || config_release_find(state, space, version) != NULL; // 0: nothing
}

static int show_one(const struct config_state *state, const struct config_query *query) {
    const struct config_space *space = config_space_find(state, query->page.name);
    if (space == NULL) return CONFIG_NOT_FOUND;
    uint64_t version = query->version;
    if (version == 0 && query->difference == NULL)
        version = gradual_selects(space, query->client) ? space->gradual : space->released;
    if (!kept(state, space, version) || (query->difference && !kept(state, space, query->other)))
        return CONFIG_NOT_FOUND;
    if (query->space) show_space(state, query, space, version);
    if (query->item) show_items(state, query, space, version);
    if (query->release) show_releases(state, query, space);
    if (query->difference) show_differences(state, query, space);
    return 0;
}

static void config_query_model(const void *model, const void *asked, struct result *result) {
    const struct config_state *state = model;
    const struct config_query *query = asked;
    *result = (struct result){.model = MODEL_CONFIG};
    if (query->page.name.len > 0) {
        result->error = show_one(state, query);
        return;
    }
    const struct item *at = items_page_first(&state->spaces, &query->page);
    for (size_t left = query->page.max; at && left > 0; at = items_page_next(&query->page, at), left--) {
        const struct config_space *space = CONTAINER_OF_CONST(at, struct config_space, item);
        show_space(state, query, space, space->released);
    }
}

// ---- the model

static void *config_create(void) {
    struct config_state *state = mem_zalloc(sizeof *state);
    state->sum.domain = MODEL_CONFIG;
    hash_init(&state->by_number);
    items_init(&state->spaces, &config_space_kind, &state->sum);
    items_init(&state->releases, &config_release_kind, &state->sum);
    items_init(&state->values, &config_value_kind, &state->sum);
    return state;
}

static void config_destroy(void *model) {
    struct config_state *state = model;
    for (struct item *item; (item = items_first(&state->spaces)) != NULL;)
        config_space_free(state, CONTAINER_OF(item, struct config_space, item));
    hash_free(&state->by_number);
    mem_free(state);
}

static struct digest config_digest(const void *model) {
    return ((const struct config_state *)model)->sum.digest;
}

static uint64_t config_count(const void *model) {
    return ((const struct config_state *)model)->spaces.map.count;
}

static uint64_t config_memory(const void *model) {
    return ((const struct config_state *)model)->sum.memory;
}

static bool config_keeps(const struct command *command) {
    uint8_t op = command->op;
    return op >= CONFIG_PUBLISH && op <= CONFIG_DELETE;
}

static void config_write_result(const struct result *result, struct writer *w) {
    const struct config_result *config = result->value;
    write_varint(w, config->version);
    write_varint(w, config->revision);
    write_varint(w, config->released);
    write_varint(w, config->gradual);
    write_u8(w, config->changed);
}

static bool config_read_result(void *model, const struct command *command, struct reader *r, struct result *result) {
    struct config_result *config = &((struct config_state *)model)->result;
    *config = (struct config_result){.version = read_varint(r)};
    config->revision = read_varint(r);
    config->released = read_varint(r);
    config->gradual = read_varint(r);
    config->changed = read_u8(r) != 0;
    result->value = config;
    return reader_done(r);
}

static const struct result_keeper config_keeper = {
    .keeps = config_keeps, .write = config_write_result, .read = config_read_result};

const struct model_ops config_model = {
    .name = "config",
    .id = MODEL_CONFIG,
    .create = config_create,
    .destroy = config_destroy,
    .apply = config_apply,
    .query = config_query_model,
    .save = config_save_model,
    .load = config_load_model,
    .digest = config_digest,
    .digest_recount = config_digest_recount,
    .memory = config_memory,
    .count = config_count,
    .growing = MODEL_GROWS(CONFIG_PUBLISH),
    .keeper = &config_keeper,
};
