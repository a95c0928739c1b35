// Elements of hashes and sets. See keys_elements.h.
#include "model/keys/keys_elements.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/prng.h"
#include <string.h>

struct pack {
    struct value value;
    uint32_t count, len;
    uint8_t data[];
};
struct intset {
    struct value value;
    uint32_t count, width; // the least width that holds them all: it hangs on the content only
    uint8_t data[];
};
struct table {
    struct value value;
    struct dense dense;
};
struct member {
    uint32_t name_len, value_len;
    uint8_t data[];
};

static struct pack *pack_of(const struct key *key) {
    return CONTAINER_OF(key->object, struct pack, value);
}
static struct intset *intset_of(const struct key *key) {
    return CONTAINER_OF(key->object, struct intset, value);
}
static struct table *table_of(const struct key *key) {
    return CONTAINER_OF(key->object, struct table, value);
}
static bool has_values(const struct key *key) {
    return key->type == KEY_HASH;
}

// ---- packs

static size_t pack_text(const struct pack *pack, size_t at, struct bytes *out) {
    size_t len = 0;
    unsigned shift = 0;
    for (; (pack->data[at] & 0x80) != 0; shift += 7) len |= (size_t)(pack->data[at++] & 0x7f) << shift;
    len |= (size_t)pack->data[at++] << shift;
    *out = bytes_of(pack->data + at, len);
    return at + len;
}

static void pack_get(const struct pack *pack, size_t at, uint32_t place, struct item *out) {
    out->at = at;
    out->place = place;
    at = pack_text(pack, at, &out->name);
    out->next = pack_text(pack, at, &out->value);
}

static bool pack_find(const struct pack *pack, struct bytes name, struct item *out) {
    size_t at = 0;
    for (uint32_t i = 0; i < pack->count; i++, at = out->next) {
        pack_get(pack, at, i, out);
        if (bytes_equal(out->name, name)) return true;
    }
    return false;
}

// `size` bytes instead of the `had` ones at `at`; gives them.
static uint8_t *pack_splice(struct key *key, size_t at, size_t had, size_t size) {
    struct pack *pack = pack_of(key);
    size_t behind = pack->len - at - had, len = pack->len - had + size;
    if (size > had) pack = mem_realloc(pack, sizeof *pack + len);
    memmove(pack->data + at + size, pack->data + at + had, behind);
    if (size < had) pack = mem_realloc(pack, sizeof *pack + len);
    pack->len = (uint32_t)len;
    key->object = &pack->value;
    return pack->data + at;
}

static uint8_t *put_text(uint8_t *at, struct bytes text) {
    size_t len = text.len;
    for (; len >= 0x80; len >>= 7) *at++ = (uint8_t)(len | 0x80);
    *at++ = (uint8_t)len;
    if (text.len > 0) memcpy(at, text.data, text.len);
    return at + text.len;
}

static bool pack_put(struct key *key, struct bytes name, struct bytes value) {
    struct pack *pack = pack_of(key);
    struct item item = {.at = pack->len, .next = pack->len};
    bool fresh = !pack_find(pack, name, &item);
    if (fresh) item.at = item.next = pack->len;
    size_t size = varint_size(name.len) + name.len + varint_size(value.len) + value.len;
    put_text(put_text(pack_splice(key, item.at, item.next - item.at, size), name), value);
    pack_of(key)->count += fresh;
    return fresh;
}

// ---- sets of integers

static uint32_t width_of(int64_t value) {
    return value == (int16_t)value ? 2 : value == (int32_t)value ? 4 : 8;
}

static int64_t intset_get(const struct intset *set, uint32_t place) {
    const uint8_t *at = set->data + (size_t)place * set->width;
    if (set->width == 2) return (int16_t)get_u16_le(at);
    return set->width == 4 ? (int32_t)get_u32_le(at) : (int64_t)get_u64_le(at);
}

static void intset_set(struct intset *set, uint32_t place, int64_t value) {
    uint8_t *at = set->data + (size_t)place * set->width;
    if (set->width == 2)
        put_u16_le(at, (uint16_t)value);
    else if (set->width == 4)
        put_u32_le(at, (uint32_t)value);
    else
        put_u64_le(at, (uint64_t)value);
}

// Where the value is, or would stand.
static bool intset_find(const struct intset *set, int64_t value, uint32_t *place) {
    uint32_t low = 0, high = set->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (intset_get(set, middle) < value)
            low = middle + 1;
        else
            high = middle;
    }
    *place = low;
    return low < set->count && intset_get(set, low) == value;
}

static void intset_rewidth(struct key *key, uint32_t width) {
    struct intset *old = intset_of(key);
    struct intset *set = mem_alloc(sizeof *set + (size_t)old->count * width);
    *set = (struct intset){.value = old->value, .count = old->count, .width = width};
    for (uint32_t i = 0; i < old->count; i++) intset_set(set, i, intset_get(old, i));
    mem_free(old);
    key->object = &set->value;
}

static bool intset_put(struct key *key, int64_t value) {
    uint32_t place;
    if (intset_find(intset_of(key), value, &place)) return false;
    if (width_of(value) > intset_of(key)->width) intset_rewidth(key, width_of(value));
    struct intset *set = intset_of(key);
    set = mem_realloc(set, sizeof *set + (size_t)(set->count + 1) * set->width);
    uint8_t *at = set->data + (size_t)place * set->width;
    memmove(at + set->width, at, (size_t)(set->count - place) * set->width);
    set->count++;
    intset_set(set, place, value);
    key->object = &set->value;
    return true;
}

static void intset_take(struct key *key, uint32_t place) {
    struct intset *set = intset_of(key);
    uint8_t *at = set->data + (size_t)place * set->width;
    set->count--;
    memmove(at, at + set->width, (size_t)(set->count - place) * set->width);
    if (set->count == 0) return;
    uint32_t first = width_of(intset_get(set, 0)), last = width_of(intset_get(set, set->count - 1));
    uint32_t width = first > last ? first : last;
    if (width < set->width) {
        intset_rewidth(key, width);
    } else {
        set = mem_realloc(set, sizeof *set + (size_t)set->count * set->width);
        key->object = &set->value;
    }
}

// ---- tables

static struct bytes member_name(const void *item) {
    const struct member *member = item;
    return bytes_of(member->data, member->name_len);
}

static struct digest member_digest(const struct key *key, const struct member *member, uint32_t place) {
    if (key->id == 0) return (struct digest){0, 0}; // of no database
    return digest_hash(member->data, (size_t)member->name_len + member->value_len,
                       hash_u64(key->id) ^ hash_u64((uint64_t)place << 32 | member->name_len));
}

static size_t member_memory(const struct member *member) {
    return sizeof *member + member->name_len + member->value_len + sizeof(void *) + 2 * sizeof(struct dense_slot);
}

// Called by dense_remove, before the count says so: the last one has moved.
static void member_moved(void *context, void *item, uint32_t place) {
    struct key *key = context;
    digest_sub(&key->object->digest, member_digest(key, item, table_of(key)->dense.count - 1));
    digest_add(&key->object->digest, member_digest(key, item, place));
}

static struct dense_kind kind_of(const struct keys *keys, const struct key *key) {
    return (struct dense_kind){
        .name = member_name, .moved = member_moved, .seed = keys->hash_seed, .context = (void *)(uintptr_t)key};
}

static void table_account(struct key *key, const struct member *member, uint32_t place) {
    digest_add(&key->object->digest, member_digest(key, member, place));
    key->object->memory += member_memory(member);
}

static void table_disown(struct key *key, const struct member *member, uint32_t place) {
    digest_sub(&key->object->digest, member_digest(key, member, place));
    key->object->memory -= member_memory(member);
}

static bool table_put(const struct keys *keys, struct key *key, struct bytes name, struct bytes value) {
    struct table *table = table_of(key);
    struct dense_kind kind = kind_of(keys, key);
    uint32_t place = dense_find(&table->dense, &kind, name);
    if (place != DENSE_NONE && !has_values(key)) return false;
    struct member *member = place == DENSE_NONE ? NULL : table->dense.items[place];
    if (member != NULL) table_disown(key, member, place);
    bool fresh = member == NULL;
    if (fresh || member->value_len != value.len) member = mem_realloc(member, sizeof *member + name.len + value.len);
    if (fresh && name.len > 0) memcpy(member->data, name.data, name.len);
    if (value.len > 0) memcpy(member->data + name.len, value.data, value.len);
    member->name_len = (uint32_t)name.len;
    member->value_len = (uint32_t)value.len;
    if (fresh)
        place = dense_add(&table->dense, &kind, member);
    else
        dense_put(&table->dense, place, member);
    table_account(key, member, place);
    return fresh;
}

static void table_take(const struct keys *keys, struct key *key, uint32_t place) {
    struct dense *dense = &table_of(key)->dense;
    struct dense_kind kind = kind_of(keys, key);
    struct member *member = dense->items[place];
    table_disown(key, member, place);
    dense_remove(dense, &kind, place);
    mem_free(member);
}

static void table_get(const struct table *table, uint32_t place, struct item *out) {
    const struct member *member = table->dense.items[place];
    out->place = place;
    out->name = member_name(member);
    out->value = bytes_of(member->data + member->name_len, member->value_len);
}

// ---- any form

uint32_t elements_count(const struct key *key) {
    if (key->encoding == ENCODING_HASHTABLE) return table_of(key)->dense.count;
    return key->encoding == ENCODING_INTSET ? intset_of(key)->count : pack_of(key)->count;
}

static void integer_get(const struct intset *set, uint32_t place, struct item *out) {
    out->place = place;
    out->name = bytes_of(out->text, number_write(out->text, intset_get(set, place)));
    out->value = bytes_of(NULL, 0);
}

bool elements_next(const struct key *key, struct walk *walk, struct item *out) {
    if (walk->place >= elements_count(key)) return false;
    if (key->encoding == ENCODING_HASHTABLE) {
        table_get(table_of(key), walk->place, out);
    } else if (key->encoding == ENCODING_INTSET) {
        integer_get(intset_of(key), walk->place, out);
    } else {
        pack_get(pack_of(key), walk->at, walk->place, out);
        walk->at = out->next;
    }
    walk->place++;
    return true;
}

void elements_get(const struct key *key, uint32_t place, struct item *out) {
    ENSURE(place < elements_count(key));
    struct walk walk = {.place = key->encoding == ENCODING_LISTPACK ? 0 : place};
    do elements_next(key, &walk, out);
    while (walk.place <= place);
}

bool elements_find(const struct keys *keys, const struct key *key, struct bytes name, struct item *out) {
    if (key->encoding == ENCODING_LISTPACK) return pack_find(pack_of(key), name, out);
    uint32_t place = 0;
    if (key->encoding == ENCODING_INTSET) {
        int64_t value;
        if (!number_read(name, &value) || !intset_find(intset_of(key), value, &place)) return false;
        integer_get(intset_of(key), place, out);
        return true;
    }
    struct dense_kind kind = kind_of(keys, key);
    place = dense_find(&table_of(key)->dense, &kind, name);
    if (place != DENSE_NONE) table_get(table_of(key), place, out);
    return place != DENSE_NONE;
}

void elements_widen(struct keys *keys, struct key *key) {
    if (key->encoding == ENCODING_HASHTABLE) return;
    struct key old = *key;
    struct walk walk = {0};
    struct item item;
    key->encoding = ENCODING_HASHTABLE;
    key->object = type_ops[key->type]->make(keys, key->encoding);
    while (elements_next(&old, &walk, &item)) table_put(keys, key, item.name, item.value);
    mem_free(old.encoding == ENCODING_INTSET ? (void *)intset_of(&old) : (void *)pack_of(&old));
}

bool elements_put(struct keys *keys, struct key *key, struct bytes name, struct bytes value) {
    int64_t number = 0;
    bool fresh;
    if (key->encoding == ENCODING_LISTPACK && (name.len > HASH_PACK_BYTES_MAX || value.len > HASH_PACK_BYTES_MAX))
        elements_widen(keys, key);
    if (key->encoding == ENCODING_INTSET && !number_read(name, &number)) elements_widen(keys, key);
    if (key->encoding == ENCODING_HASHTABLE) return table_put(keys, key, name, value);
    bool pack = key->encoding == ENCODING_LISTPACK;
    fresh = pack ? pack_put(key, name, value) : intset_put(key, number);
    if (elements_count(key) > (pack ? HASH_PACK_ENTRIES_MAX : INTSET_ENTRIES_MAX)) elements_widen(keys, key);
    return fresh;
}

void elements_take(struct keys *keys, struct key *key, const struct item *item) {
    if (key->encoding == ENCODING_HASHTABLE) {
        table_take(keys, key, item->place);
    } else if (key->encoding == ENCODING_INTSET) {
        intset_take(key, item->place);
    } else {
        pack_splice(key, item->at, item->next - item->at, 0);
        pack_of(key)->count--;
    }
}

// Compact forms are told whole, whatever the cursor.
void elements_scan(struct keys_call *call, enum key_type type) {
    bool wrong;
    struct scan scan;
    struct item item;
    if (!scan_cursor(call, call->argv[2], &scan)) return;
    struct key *key = key_find_typed(call, call->argv[1], type, &wrong);
    if (wrong) return;
    if (key == NULL) {
        scan_nothing(call);
        return;
    }
    if (!scan_options(call, 3, &scan)) return;
    bool table = key->encoding == ENCODING_HASHTABLE;
    if (!table) scan.cursor = 0, scan.count = UINT64_MAX;
    uint64_t end, at = scan_begin(call, &scan, elements_count(key), &end);
    size_t begun = reply_begin(&call->out), count = 0;
    struct walk walk = {0};
    while (table ? at > end : elements_next(key, &walk, &item)) {
        if (table) elements_get(key, (uint32_t)--at, &item);
        if (!scan_matches(&scan, item.name)) continue;
        reply_bulk(&call->out, item.name);
        if (has_values(key)) reply_bulk(&call->out, item.value);
        count += has_values(key) ? 2 : 1;
    }
    reply_end(&call->out, begun, '*', count);
}

// ---- accounting

// A compact form is one item of the digest.
static struct digest compact_digest(const struct key *key) {
    const struct pack *pack = pack_of(key);
    const struct intset *set = intset_of(key);
    bool integers = key->encoding == ENCODING_INTSET;
    if (key->id == 0) return (struct digest){0, 0};
    return integers ? digest_hash(set->data, (size_t)set->count * set->width, hash_u64(key->id) ^ set->width)
                    : digest_hash(pack->data, pack->len, hash_u64(key->id) ^ hash_u64(pack->count));
}

void elements_settle(struct key *key) {
    if (key->encoding == ENCODING_HASHTABLE) return; // accounts for each element
    key->object->digest = compact_digest(key);
    if (key->encoding == ENCODING_INTSET)
        key->object->memory = sizeof(struct intset) + (size_t)intset_of(key)->count * intset_of(key)->width;
    else
        key->object->memory = sizeof(struct pack) + pack_of(key)->len;
}

void elements_begin(struct keys_call *call, struct key *key) {
    key_object_changing(call, key);
}

void elements_end(struct keys_call *call, struct key *key, bool changed) {
    if (changed) elements_settle(key);
    key_object_changed(call, key, changed);
    if (elements_count(key) > 0) return;
    key_notify(call, KEYS_NOTIFY_GENERIC, "del", database_of(call->keys, key), key_name(key));
    key_delete(call, key);
}

struct key *elements_temporary(struct keys *keys, enum key_type type, enum key_encoding encoding) {
    struct key *key = key_allocate(bytes_of(NULL, 0), 0);
    key->type = (uint8_t)type;
    key->encoding = (uint8_t)encoding;
    key->object = type_ops[type]->make(keys, key->encoding);
    return key;
}

void elements_discard(struct key *key) {
    size_t max = SIZE_MAX;
    type_ops[key->type]->free(key->object, key->encoding, &max);
    mem_free(key);
}

// ---- what types do with their objects

static struct value *elements_make(struct keys *keys, uint8_t encoding) {
    if (encoding != ENCODING_HASHTABLE) return NULL;
    struct table *table = mem_zalloc(sizeof *table);
    table->value.memory = sizeof *table;
    return &table->value;
}

static struct value *hash_make(struct keys *keys, uint8_t encoding) {
    if (encoding != ENCODING_LISTPACK) return elements_make(keys, encoding);
    struct pack *pack = mem_zalloc(sizeof *pack);
    pack->value.memory = sizeof *pack;
    return &pack->value;
}

static struct value *set_make(struct keys *keys, uint8_t encoding) {
    if (encoding != ENCODING_INTSET) return elements_make(keys, encoding);
    struct intset *set = mem_zalloc(sizeof *set);
    set->value.memory = sizeof *set;
    set->width = 2;
    return &set->value;
}

static bool elements_free(struct value *object, uint8_t encoding, size_t *max) {
    struct key key = {.object = object};
    if (encoding == ENCODING_HASHTABLE) {
        struct dense *dense = &table_of(&key)->dense;
        for (; dense->count > 0 && *max > 0; --*max) mem_free(dense->items[--dense->count]);
        if (dense->count > 0) return false;
        dense_free(dense);
        mem_free(table_of(&key));
    } else {
        mem_free(encoding == ENCODING_INTSET ? (void *)intset_of(&key) : (void *)pack_of(&key));
        if (*max > 0) --*max;
    }
    return true;
}

static uint64_t elements_saved(const struct key *key) {
    return elements_count(key);
}

// An integer as its 8 bytes, a member as its name, a field as its name's length, name and value.
static void elements_element(const struct key *key, uint64_t at, struct element *out) {
    *out = (struct element){.next = at + 1};
    if (key->encoding == ENCODING_INTSET) {
        out->head_len = 8;
        put_u64_le(out->head, (uint64_t)intset_get(intset_of(key), (uint32_t)at));
        return;
    }
    struct item item;
    if (key->encoding == ENCODING_LISTPACK) {
        pack_get(pack_of(key), at, 0, &item);
        out->next = item.next;
    } else {
        table_get(table_of(key), (uint32_t)at, &item);
    }
    if (has_values(key)) {
        put_u32_le(out->head, (uint32_t)item.name.len);
        out->head_len = 4;
        out->parts[1] = item.value;
    }
    out->parts[0] = item.name;
}

static bool elements_load(struct keys *keys, struct key *key, struct bytes element) {
    struct reader r = reader_of(element.data, element.len);
    uint8_t encoding = key->encoding;
    struct bytes name;
    char text[24];
    if (encoding == ENCODING_INTSET)
        name = bytes_of(text, number_write(text, (int64_t)read_u64_le(&r)));
    else
        name = read_span(&r, has_values(key) ? read_u32_le(&r) : element.len);
    struct bytes value = read_span(&r, reader_left(&r));
    if (r.failed || (value.len > 0 && !has_values(key)) || value.len > KEYS_VALUE_BYTES_MAX ||
        name.len > KEYS_VALUE_BYTES_MAX || !elements_put(keys, key, name, value))
        return false;
    elements_settle(key);
    return key->encoding == encoding;
}

static struct digest elements_recount(const struct key *key) {
    if (key->encoding != ENCODING_HASHTABLE) return compact_digest(key);
    struct digest sum = {0, 0};
    const struct dense *dense = &table_of(key)->dense;
    for (uint32_t i = 0; i < dense->count; i++) digest_add(&sum, member_digest(key, dense->items[i], i));
    return sum;
}

#define ELEMENTS_OPS                                                                                                   \
    .free = elements_free, .count = elements_saved, .element = elements_element, .load = elements_load,                \
    .recount = elements_recount
const struct type_ops hash_ops = {.make = hash_make, ELEMENTS_OPS};
const struct type_ops set_ops = {.make = set_make, ELEMENTS_OPS};

// ---- chance: from the call's seed only

#define SAMPLE_MAX KEYS_ARGUMENTS_MAX // of a negative count, which may ask for any number

// The i-th of a random order of 0 .. count - 1, none twice: a Feistel network over the least even number of bits that
// holds them, walked until it is below `count`.
uint32_t random_place(uint64_t seed, uint32_t count, uint64_t i) {
    unsigned half = 1;
    while (half < 16 && (1ull << (2 * half)) < count) half++;
    uint32_t mask = (1u << half) - 1;
    do {
        uint32_t left = (uint32_t)(i >> half), right = (uint32_t)i & mask;
        for (uint64_t round = 0; round < 4; round++) {
            uint32_t next = left ^ ((uint32_t)hash_u64(seed + hash_u64(round << 32 | right)) & mask);
            left = right;
            right = next;
        }
        i = (uint64_t)left << half | right;
    } while (i >= count);
    return (uint32_t)i;
}

// A negative count: so many, each of all. Pairs stand in arrays of their own in RESP3.
static void reply_some(struct keys_call *call, const struct key *key, int64_t count, bool values) {
    struct prng random;
    struct item item;
    struct walk walk = {0};
    uint32_t size = elements_count(key);
    bool repeats = count < 0, all = count >= size;
    uint64_t wanted = repeats ? (uint64_t)-count : all ? size : (uint64_t)count;
    prng_seed(&random, call->seed);
    reply_array(&call->out, values && !call->out.resp3 ? wanted * 2 : wanted);
    for (uint64_t i = 0; i < wanted; i++) {
        if (all)
            elements_next(key, &walk, &item);
        else if (repeats)
            elements_get(key, (uint32_t)prng_below(&random, size), &item);
        else
            elements_get(key, random_place(call->seed, size, i), &item);
        if (values && call->out.resp3) reply_array(&call->out, 2);
        reply_bulk(&call->out, item.name);
        if (values) reply_bulk(&call->out, item.value);
    }
}

void elements_random(struct keys_call *call, enum key_type type, bool may_have_values) {
    bool wrong, values = call->argc == 4;
    int64_t count = 1;
    if (call->argc > 2 && !argument_signed_count(call, call->argv[2], &count)) return;
    if (call->argc > (may_have_values ? 4 : 3) || (values && !text_is(call->argv[3], "withvalues"))) {
        reply_syntax(&call->out);
        return;
    }
    if (count < -(int64_t)SAMPLE_MAX || (values && count > INT64_MAX / 2)) {
        reply_error(&call->out, "ERR value is out of range");
        return;
    }
    struct key *key = key_find_typed(call, call->argv[1], type, &wrong);
    if (wrong) return;
    if (call->argc > 2 && key != NULL) {
        reply_some(call, key, count, values);
    } else if (call->argc > 2) {
        reply_array(&call->out, 0);
    } else if (key == NULL) {
        reply_null(&call->out);
    } else {
        struct item item;
        elements_get(key, random_place(call->seed, elements_count(key), 0), &item);
        reply_bulk(&call->out, item.name);
    }
}
