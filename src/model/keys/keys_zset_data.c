// Sorted sets in both forms: found, changed, walked, saved. See zset.h.
#include "base/alloc.h"
#include "base/hash.h"
#include "model/keys/zset.h"

#define ENTRY_BYTES 10u // of the small form, beside the member
#define ELEMENT_BYTES (sizeof(struct zset_element) + sizeof(void *) * 5 / 4 + 2 * sizeof(struct dense_slot))
#define SMALL_FIRST 32u

static struct zset_small *small_of(const struct key *key) {
    return (struct zset_small *)key->object;
}
static struct zset_big *big_of(const struct key *key) {
    return (struct zset_big *)key->object;
}
static bool is_small(const struct key *key) {
    return key->encoding == ENCODING_LISTPACK;
}

// ---- digest and memory

static uint64_t score_bits(double score) {
    uint64_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits;
}

static double score_of_bits(uint64_t bits) {
    double score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

static struct digest item_digest(const struct key *key, double score, struct bytes member, uint32_t place) {
    uint64_t domain = hash_u64(hash_u64(hash_u64(key->id) ^ score_bits(score)) + place);
    return digest_hash(member.data, member.len, domain);
}

static struct digest element_digest(const struct key *key, const struct zset_element *e) {
    return item_digest(key, e->score, zset_member(e), e->place);
}

// ---- the small form

static struct zset_item entry_at(const struct zset_small *z, uint32_t at) {
    const uint8_t *entry = z->data + at;
    return (struct zset_item){score_of_bits(get_u64_le(entry)), bytes_of(entry + 9, entry[8])};
}

static uint32_t entry_len(const struct zset_small *z, uint32_t at) {
    return ENTRY_BYTES + z->data[at + 8];
}

// z->len: absent.
static uint32_t entry_find(const struct zset_small *z, struct bytes member, uint32_t *rank) {
    uint32_t at = 0;
    *rank = 0;
    for (; at < z->len; at += entry_len(z, at), ++*rank)
        if (z->data[at + 8] == member.len && memcmp(z->data + at + 9, member.data, member.len) == 0) break;
    return at;
}

static void entries_remove(struct key *key, uint32_t from, uint32_t to) {
    struct zset_small *z = small_of(key);
    for (uint32_t at = from; at < to; at += entry_len(z, at)) {
        struct zset_item item = entry_at(z, at);
        digest_sub(&z->value.digest, item_digest(key, item.score, item.member, 0));
        z->value.memory -= entry_len(z, at);
        z->count--;
    }
    memmove(z->data + from, z->data + to, z->len - to);
    z->len -= to - from;
}

static void entry_insert(struct key *key, uint32_t at, struct bytes member, double score) {
    struct zset_small *z = small_of(key);
    uint32_t len = ENTRY_BYTES + (uint32_t)member.len;
    if (z->len + len > z->capacity) {
        uint32_t room = z->len + len;
        z = mem_realloc(z, sizeof *z + room + room / 4);
        z->capacity = room + room / 4;
        key->object = &z->value;
    }
    memmove(z->data + at + len, z->data + at, z->len - at);
    put_u64_le(z->data + at, score_bits(score));
    z->data[at + 8] = z->data[at + len - 1] = (uint8_t)member.len;
    if (member.len > 0) memcpy(z->data + at + 9, member.data, member.len);
    z->len += len;
    z->count++;
    z->value.memory += len;
    digest_add(&z->value.digest, item_digest(key, score, member, 0));
}

static void small_put(struct key *key, struct bytes member, double score) {
    const struct zset_small *z = small_of(key);
    uint32_t rank, at = entry_find(z, member, &rank);
    score += 0.0; // Redis's listpacks keep no -0
    if (at < z->len) entries_remove(key, at, at + entry_len(z, at));
    for (at = 0; at < z->len; at += entry_len(z, at)) {
        struct zset_item item = entry_at(z, at);
        if (zset_compare(item.score, item.member, score, member) > 0) break;
    }
    entry_insert(key, at, member, score);
}

static uint32_t entry_of_rank(const struct zset_small *z, uint32_t rank) {
    uint32_t at = 0;
    while (rank-- > 0) at += entry_len(z, at);
    return at;
}

// ---- the big form

static struct bytes name_of(const void *item) {
    return zset_member(item);
}

static void moved(void *context, void *item, uint32_t place) {
    struct key *key = context;
    struct zset_element *e = item;
    digest_sub(&key->object->digest, element_digest(key, e));
    e->place = place;
    digest_add(&key->object->digest, element_digest(key, e));
}

static struct dense_kind kind_of(const struct key *key) {
    return (struct dense_kind){
        .name = name_of, .moved = moved, .seed = big_of(key)->seed, .context = (struct key *)(uintptr_t)key};
}

static struct zset_element *big_find(const struct key *key, struct bytes member) {
    const struct dense_kind kind = kind_of(key);
    uint32_t place = dense_find(&big_of(key)->members, &kind, member);
    return place == DENSE_NONE ? NULL : big_of(key)->members.items[place];
}

static void big_add(struct key *key, struct bytes member, double score) {
    struct zset_big *z = big_of(key);
    const struct dense_kind kind = kind_of(key);
    struct zset_element *e = mem_alloc(sizeof *e + member.len);
    e->score = score;
    e->len = (uint32_t)member.len;
    if (member.len > 0) memcpy(e->member, member.data, member.len);
    e->place = dense_add(&z->members, &kind, e);
    zset_tree_insert(z, e);
    digest_add(&z->value.digest, element_digest(key, e));
    z->value.memory += ELEMENT_BYTES + e->len;
}

static void big_remove(struct key *key, struct zset_element *e) {
    struct zset_big *z = big_of(key);
    const struct dense_kind kind = kind_of(key);
    digest_sub(&z->value.digest, element_digest(key, e));
    z->value.memory -= ELEMENT_BYTES + e->len;
    zset_tree_remove(z, e);
    dense_remove(&z->members, &kind, e->place);
    mem_free(e);
}

static void big_move(struct key *key, struct zset_element *e, double score) {
    struct zset_big *z = big_of(key);
    const struct zset_element *before = zset_tree_beside(e, true), *behind = zset_tree_beside(e, false);
    bool stays = (before == NULL || zset_compare(before->score, zset_member(before), score, zset_member(e)) < 0) &&
                 (behind == NULL || zset_compare(score, zset_member(e), behind->score, zset_member(behind)) < 0);
    digest_sub(&z->value.digest, element_digest(key, e));
    if (!stays) zset_tree_remove(z, e);
    e->score = score;
    if (!stays) zset_tree_insert(z, e);
    digest_add(&z->value.digest, element_digest(key, e));
}

static struct value *zset_make(struct keys *keys, uint8_t encoding) {
    if (encoding == ENCODING_LISTPACK) {
        struct zset_small *z = mem_alloc(sizeof *z + SMALL_FIRST);
        *z = (struct zset_small){.value.memory = sizeof *z, .capacity = SMALL_FIRST};
        return &z->value;
    }
    if (encoding != ENCODING_SKIPLIST) return NULL;
    struct zset_big *z = mem_zalloc(sizeof *z);
    z->value.memory = sizeof *z;
    z->seed = keys->hash_seed;
    return &z->value;
}

static void become_big(struct keys *keys, struct key *key) {
    struct zset_small *small = small_of(key);
    key->object = zset_make(keys, ENCODING_SKIPLIST);
    key->encoding = ENCODING_SKIPLIST;
    for (uint32_t at = 0; at < small->len; at += entry_len(small, at)) {
        struct zset_item item = entry_at(small, at);
        big_add(key, item.member, item.score);
    }
    mem_free(small);
}

// ---- both forms

uint32_t zset_count(const struct key *key) {
    return is_small(key) ? small_of(key)->count : big_of(key)->members.count;
}

bool zset_find(const struct key *key, struct bytes member, double *score) {
    if (is_small(key)) {
        uint32_t rank, at = entry_find(small_of(key), member, &rank);
        if (at == small_of(key)->len) return false;
        *score = entry_at(small_of(key), at).score;
        return true;
    }
    const struct zset_element *e = big_find(key, member);
    if (e != NULL) *score = e->score;
    return e != NULL;
}

bool zset_rank(const struct key *key, struct bytes member, uint32_t *rank) {
    if (is_small(key)) return entry_find(small_of(key), member, rank) < small_of(key)->len;
    const struct zset_element *e = big_find(key, member);
    if (e != NULL) *rank = zset_tree_rank(e);
    return e != NULL;
}

void zset_put(struct keys *keys, struct key *key, struct bytes member, double score) {
    if (is_small(key)) {
        double had;
        bool fits = member.len <= ZSET_SMALL_BYTES;
        if (fits && (small_of(key)->count < ZSET_SMALL_COUNT || zset_find(key, member, &had))) {
            small_put(key, member, score);
            return;
        }
        become_big(keys, key);
    }
    struct zset_element *e = big_find(key, member);
    if (e == NULL)
        big_add(key, member, score);
    else
        big_move(key, e, score);
}

bool zset_take(struct key *key, struct bytes member) {
    if (is_small(key)) {
        uint32_t rank, at = entry_find(small_of(key), member, &rank);
        if (at == small_of(key)->len) return false;
        entries_remove(key, at, at + entry_len(small_of(key), at));
        return true;
    }
    struct zset_element *e = big_find(key, member);
    if (e != NULL) big_remove(key, e);
    return e != NULL;
}

void zset_take_ranks(struct key *key, uint32_t from, uint32_t to) {
    if (is_small(key)) {
        uint32_t begin = entry_of_rank(small_of(key), from), end = entry_of_rank(small_of(key), to);
        entries_remove(key, begin, end);
        return;
    }
    struct zset_element *e = zset_tree_at(big_of(key), from);
    for (; from < to; from++) {
        struct zset_element *next = zset_tree_beside(e, false);
        big_remove(key, e);
        e = next;
    }
}

uint32_t zset_count_before(const struct key *key, bool (*before)(const void *context, const struct zset_item *item),
                           const void *context) {
    uint32_t count = 0;
    if (is_small(key)) {
        const struct zset_small *z = small_of(key);
        for (uint32_t at = 0; at < z->len; at += entry_len(z, at), count++) {
            struct zset_item item = entry_at(z, at);
            if (!before(context, &item)) break;
        }
        return count;
    }
    for (const struct zset_element *e = big_of(key)->root; e != NULL;) {
        struct zset_item item = {e->score, zset_member(e)};
        bool right = before(context, &item);
        if (right) count += (e->child[0] == NULL ? 0 : e->child[0]->size) + 1;
        e = e->child[right];
    }
    return count;
}

struct zset_walk zset_walk_from(const struct key *key, uint32_t rank, uint32_t count, bool backwards) {
    uint32_t all = zset_count(key), there = rank >= all ? 0 : backwards ? rank + 1 : all - rank;
    struct zset_walk walk = {.key = key, .left = count < there ? count : there, .backwards = backwards};
    if (walk.left == 0) return walk;
    if (is_small(key))
        walk.at = entry_of_rank(small_of(key), rank);
    else
        walk.element = zset_tree_at(big_of(key), rank);
    return walk;
}

bool zset_step(struct zset_walk *walk, struct zset_item *out) {
    if (walk->left == 0) return false;
    walk->left--;
    if (is_small(walk->key)) {
        const struct zset_small *z = small_of(walk->key);
        *out = entry_at(z, walk->at);
        if (!walk->backwards)
            walk->at += entry_len(z, walk->at);
        else if (walk->at > 0)
            walk->at -= ENTRY_BYTES + z->data[walk->at - 1];
        return true;
    }
    *out = (struct zset_item){walk->element->score, zset_member(walk->element)};
    walk->element = zset_tree_beside(walk->element, walk->backwards);
    return true;
}

struct zset_item zset_at_place(const struct key *key, uint32_t place) {
    if (is_small(key)) return entry_at(small_of(key), entry_of_rank(small_of(key), place));
    const struct zset_element *e = big_of(key)->members.items[place];
    return (struct zset_item){e->score, zset_member(e)};
}

// ---- what the room does with objects of any type

static bool zset_free(struct value *object, uint8_t encoding, size_t *max) {
    struct zset_big *z = (struct zset_big *)object;
    if (encoding != ENCODING_LISTPACK) {
        for (; z->members.count > 0 && *max > 0; --*max) mem_free(z->members.items[--z->members.count]);
        if (z->members.count > 0) return false;
        dense_free(&z->members);
    }
    mem_free(object);
    return true;
}

static uint64_t zset_elements(const struct key *key) {
    return zset_count(key);
}

static void zset_element_at(const struct key *key, uint64_t at, struct element *out) {
    struct zset_item item;
    if (is_small(key)) {
        item = entry_at(small_of(key), (uint32_t)at);
        out->next = at + entry_len(small_of(key), (uint32_t)at);
    } else {
        item = zset_at_place(key, (uint32_t)at);
        out->next = at + 1;
    }
    put_u64_le(out->head, score_bits(item.score));
    out->head_len = 8;
    out->parts[0] = item.member;
    out->parts[1] = bytes_of(NULL, 0);
}

static bool zset_load(struct keys *keys, struct key *key, struct bytes element) {
    if (element.len < 8) return false;
    double score = score_of_bits(get_u64_le(element.data)), had;
    struct bytes member = bytes_of(element.data + 8, element.len - 8);
    if (score != score || member.len > UINT32_MAX || zset_find(key, member, &had)) return false;
    if (is_small(key) &&
        (member.len > ZSET_SMALL_BYTES || zset_count(key) == ZSET_SMALL_COUNT || score_bits(score) == score_bits(-0.0)))
        return false;
    zset_put(keys, key, member, score);
    return true;
}

static struct digest zset_recount(const struct key *key) {
    struct digest sum = {0, 0};
    for (uint32_t i = 0, at = 0; i < zset_count(key); i++) {
        struct zset_item item = is_small(key) ? entry_at(small_of(key), at) : zset_at_place(key, i);
        if (is_small(key)) at += entry_len(small_of(key), at);
        digest_add(&sum, item_digest(key, item.score, item.member, is_small(key) ? 0 : i));
    }
    return sum;
}

const struct type_ops zset_ops = {.make = zset_make,
                                  .free = zset_free,
                                  .count = zset_elements,
                                  .element = zset_element_at,
                                  .load = zset_load,
                                  .recount = zset_recount};
