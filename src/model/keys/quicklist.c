// Lists of blocks. See quicklist.h.
#include "model/keys/quicklist.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include <string.h>

#define BLOCK_BYTES_FIRST 64u

// ---- entries

static struct digest entry_digest(uint64_t id, uint64_t position, struct bytes entry) {
    return digest_hash(entry.data, entry.len, hash_u64(id) ^ hash_u64(position));
}

static size_t entry_memory(struct bytes entry) {
    return entry.len + 2 * varint_size(entry.len);
}

// What stands ahead of an entry, and what stands behind it; gives the size of each.
static size_t entry_ends(size_t len, uint8_t head[10], uint8_t tail[10]) {
    size_t size = 0;
    for (uint64_t v = len; v >= 0x80; v >>= 7) head[size++] = (uint8_t)(v | 0x80);
    head[size] = (uint8_t)((uint64_t)len >> 7 * size);
    size++;
    for (size_t i = 0; i < size; i++) tail[i] = head[size - 1 - i];
    return size;
}

static void write_entry(uint8_t *at, struct bytes entry) {
    uint8_t head[10], tail[10];
    size_t size = entry_ends(entry.len, head, tail);
    memcpy(at, head, size);
    if (entry.len > 0) memcpy(at + size, entry.data, entry.len);
    memcpy(at + size + entry.len, tail, size);
}

// At a head; gives the bytes, and how many the whole entry takes.
static struct bytes entry_at(const uint8_t *at, uint32_t *whole) {
    size_t len = 0, size = 0;
    do len |= (size_t)(at[size] & 0x7f) << 7 * size;
    while ((at[size++] & 0x80) != 0);
    *whole = (uint32_t)(len + 2 * size);
    return bytes_of(at + size, len);
}

static uint32_t whole_before(const uint8_t *end) {
    size_t len = 0, size = 0;
    do {
        end--;
        len |= (size_t)(*end & 0x7f) << 7 * size++;
    } while ((*end & 0x80) != 0);
    return (uint32_t)(len + 2 * size);
}

// ---- blocks

static struct quicklist_block *block_of(const struct list *link) {
    return CONTAINER_OF(link, struct quicklist_block, link);
}

static uint32_t used(const struct quicklist_block *block) {
    return block->end - block->begin;
}

static struct quicklist_block *block_make(size_t capacity) {
    struct quicklist_block *block = mem_alloc(sizeof *block + capacity);
    *block = (struct quicklist_block){.capacity = (uint32_t)capacity};
    return block;
}

static void block_free(struct quicklist_block *block) {
    list_remove(&block->link);
    mem_free(block);
}

// The same block with `need` bytes of room at one end; it may move.
static struct quicklist_block *block_room(struct quicklist_block *block, bool front, size_t need) {
    if (front ? block->begin >= need : block->capacity - block->end >= need) return block;
    size_t have = used(block), capacity = 2 * (have + need);
    if (capacity > QUICKLIST_BLOCK_BYTES) capacity = QUICKLIST_BLOCK_BYTES;
    if (capacity < have + need) capacity = have + need;
    if (capacity < BLOCK_BYTES_FIRST) capacity = BLOCK_BYTES_FIRST;
    struct quicklist_block *larger = block_make(capacity);
    larger->count = block->count;
    larger->begin = front ? (uint32_t)(capacity - have) : 0;
    larger->end = larger->begin + (uint32_t)have;
    memcpy(larger->data + larger->begin, block->data + block->begin, have);
    list_insert_before(&block->link, &larger->link);
    block_free(block);
    return larger;
}

static void block_put(struct quicklist_block *block, bool front, struct bytes entry, size_t need) {
    if (front) block->begin -= (uint32_t)need;
    write_entry(block->data + (front ? block->begin : block->end), entry);
    if (!front) block->end += (uint32_t)need;
    block->count++;
}

// Puts an entry behind the last of `block`, or into a new block behind it; gives the block that has it. NULL: ahead of
// all blocks.
static struct quicklist_block *put_behind(struct quicklist *list, struct quicklist_block *block, struct bytes entry) {
    size_t need = entry_memory(entry);
    if (block == NULL || used(block) + need > QUICKLIST_BLOCK_BYTES) {
        struct quicklist_block *fresh = block_make(need > BLOCK_BYTES_FIRST ? need : BLOCK_BYTES_FIRST);
        list_push_front(block == NULL ? &list->blocks : &block->link, &fresh->link);
        block = fresh;
    }
    block = block_room(block, false, need);
    block_put(block, false, entry, need);
    list->count++;
    return block;
}

static void put_ahead(struct quicklist *list, struct bytes entry) {
    size_t need = entry_memory(entry);
    struct quicklist_block *block = list_empty(&list->blocks) ? NULL : block_of(list->blocks.next);
    if (block == NULL || used(block) + need > QUICKLIST_BLOCK_BYTES) {
        put_behind(list, NULL, entry);
        return;
    }
    block_put(block_room(block, true, need), true, entry, need);
    list->count++;
}

static void append(struct quicklist *list, struct bytes entry) {
    put_behind(list, list_empty(&list->blocks) ? NULL : block_of(list->blocks.prev), entry);
}

// Two neighbours that have become small are one again.
static void merge(struct quicklist *list, struct quicklist_block *block) {
    if (block->link.next == &list->blocks) return;
    struct quicklist_block *next = block_of(block->link.next);
    size_t more = used(next);
    if (used(block) + more > QUICKLIST_BLOCK_BYTES / 2) return;
    block = block_room(block, false, more);
    memcpy(block->data + block->end, next->data + next->begin, more);
    block->end += (uint32_t)more;
    block->count += next->count;
    block_free(next);
}

static void take_out(struct quicklist *list, const struct quicklist_at *at) {
    struct quicklist_block *block = at->block;
    uint32_t whole;
    entry_at(block->data + at->offset, &whole);
    list->count--;
    if (--block->count == 0) {
        block_free(block);
        return;
    }
    if (at->offset == block->begin) {
        block->begin += whole;
    } else {
        memmove(block->data + at->offset, block->data + at->offset + whole, block->end - at->offset - whole);
        block->end -= whole;
    }
    merge(list, block);
}

// The block that ends just before the entry; what stood in its block from it on has a block of its own now. NULL: the
// entry is the first.
static struct quicklist_block *cut_before(struct quicklist *list, const struct quicklist_at *at) {
    struct quicklist_block *block = at->block;
    if (at->offset == block->begin) return block->link.prev == &list->blocks ? NULL : block_of(block->link.prev);
    uint32_t right = block->end - at->offset, left = 0;
    for (uint32_t whole, offset = block->begin; offset < at->offset; offset += whole, left++)
        entry_at(block->data + offset, &whole);
    struct quicklist_block *behind = block_make(right);
    memcpy(behind->data, block->data + at->offset, right);
    behind->end = right;
    behind->count = block->count - left;
    block->end = at->offset;
    block->count = left;
    list_push_front(&block->link, &behind->link);
    return block;
}

static void put_at(struct quicklist *list, uint64_t rank, struct bytes entry) {
    struct quicklist_at at;
    if (!quicklist_seek(list, rank, &at)) {
        append(list, entry);
        return;
    }
    merge(list, put_behind(list, cut_before(list, &at), entry));
}

// ---- walking

bool quicklist_seek(const struct quicklist *list, uint64_t rank, struct quicklist_at *at) {
    if (rank >= list->count) return false;
    *at = (struct quicklist_at){.list = list, .rank = rank};
    uint64_t before = 0;
    if (rank <= list->count / 2) {
        at->block = block_of(list->blocks.next);
        while (before + at->block->count <= rank) {
            before += at->block->count;
            at->block = block_of(at->block->link.next);
        }
    } else {
        at->block = block_of(list->blocks.prev);
        for (before = list->count - at->block->count; before > rank; before -= at->block->count)
            at->block = block_of(at->block->link.prev);
    }
    uint64_t left = rank - before, right = at->block->count - left;
    uint32_t whole;
    if (left <= right) {
        for (at->offset = at->block->begin; left > 0; left--) {
            entry_at(at->block->data + at->offset, &whole);
            at->offset += whole;
        }
    } else {
        for (at->offset = at->block->end; right > 0; right--) at->offset -= whole_before(at->block->data + at->offset);
    }
    return true;
}

struct bytes quicklist_entry(const struct quicklist_at *at) {
    uint32_t whole;
    return entry_at(at->block->data + at->offset, &whole);
}

bool quicklist_next(struct quicklist_at *at) {
    uint32_t whole;
    entry_at(at->block->data + at->offset, &whole);
    at->offset += whole;
    if (++at->rank == at->list->count) return false;
    if (at->offset == at->block->end) {
        at->block = block_of(at->block->link.next);
        at->offset = at->block->begin;
    }
    return true;
}

bool quicklist_previous(struct quicklist_at *at) {
    if (at->rank == 0) return false;
    at->rank--;
    if (at->offset == at->block->begin) {
        at->block = block_of(at->block->link.prev);
        at->offset = at->block->end;
    }
    at->offset -= whole_before(at->block->data + at->offset);
    return true;
}

// ---- changes that account for themselves

static void added(struct keys_call *call, struct key *key, uint64_t position, struct bytes entry) {
    element_added(call, key, entry_digest(key->id, position, entry), entry_memory(entry));
}

static void removed(struct keys_call *call, struct key *key, uint64_t position, struct bytes entry) {
    element_removed(call, key, entry_digest(key->id, position, entry), entry_memory(entry));
}

void quicklist_push(struct keys_call *call, struct key *key, bool front, struct bytes entry) {
    struct quicklist *list = quicklist_of(key);
    if (front) {
        added(call, key, --list->first, entry);
        put_ahead(list, entry);
    } else {
        added(call, key, list->first + list->count, entry);
        append(list, entry);
    }
}

void quicklist_pop(struct keys_call *call, struct key *key, bool front) {
    struct quicklist *list = quicklist_of(key);
    struct quicklist_at at;
    ENSURE(quicklist_seek(list, front ? 0 : list->count - 1, &at));
    removed(call, key, list->first + at.rank, quicklist_entry(&at));
    take_out(list, &at);
    if (front) list->first++;
}

void quicklist_replace(struct keys_call *call, struct key *key, uint64_t rank, struct bytes entry) {
    struct quicklist *list = quicklist_of(key);
    struct quicklist_at at;
    ENSURE(quicklist_seek(list, rank, &at));
    struct bytes old = quicklist_entry(&at);
    removed(call, key, list->first + rank, old);
    added(call, key, list->first + rank, entry);
    if (old.len == entry.len) {
        if (old.len > 0) memcpy((uint8_t *)(uintptr_t)old.data, entry.data, entry.len);
        return;
    }
    take_out(list, &at);
    put_at(list, rank, entry);
}

// The entries of these ranks have their positions moved by `by`.
static void shift(struct keys_call *call, struct key *key, uint64_t from, uint64_t count, uint64_t by) {
    struct quicklist *list = quicklist_of(key);
    struct quicklist_at at;
    if (count == 0 || !quicklist_seek(list, from, &at)) return;
    for (uint64_t i = 0; i < count; i++) {
        struct bytes entry = quicklist_entry(&at);
        removed(call, key, list->first + from + i, entry);
        added(call, key, list->first + from + i + by, entry);
        quicklist_next(&at);
    }
}

void quicklist_insert(struct keys_call *call, struct key *key, uint64_t rank, struct bytes entry) {
    struct quicklist *list = quicklist_of(key);
    if (rank <= list->count / 2) {
        shift(call, key, 0, rank, (uint64_t)-1);
        list->first--;
    } else {
        shift(call, key, rank, list->count - rank, 1);
    }
    added(call, key, list->first + rank, entry);
    put_at(list, rank, entry);
}

// Marks what goes while it walks, then builds the list anew from what stays: one walk, however many go.
uint64_t quicklist_remove_equal(struct keys_call *call, struct key *key, struct bytes entry, uint64_t max, bool front) {
    struct quicklist *list = quicklist_of(key), kept = {.first = list->first};
    struct quicklist_at at;
    uint64_t found = 0, gone = 0, skip = 0, count = list->count;
    bool more = quicklist_seek(list, 0, &at);
    for (bool any = more; any; any = quicklist_next(&at)) found += bytes_equal(quicklist_entry(&at), entry);
    if (found == 0) return 0;
    if (found > max && !front) skip = found - max; // the first ones stay
    if (max > found) max = found;
    list_init(&kept.blocks);
    quicklist_seek(list, 0, &at);
    for (uint64_t rank = 0; rank < count; rank++, quicklist_next(&at)) {
        struct bytes one = quicklist_entry(&at);
        bool equal = gone < max && bytes_equal(one, entry);
        if (equal && skip > 0) {
            skip--;
            equal = false;
        }
        if (equal || gone > 0) removed(call, key, list->first + rank, one);
        if (!equal && gone > 0) added(call, key, list->first + rank - gone, one);
        if (equal)
            gone++;
        else
            append(&kept, one);
    }
    while (!list_empty(&list->blocks)) block_free(block_of(list->blocks.next));
    while (!list_empty(&kept.blocks)) {
        struct list *link = kept.blocks.next;
        list_remove(link);
        list_push_back(&list->blocks, link);
    }
    list->count = kept.count;
    return gone;
}

// ---- what snapshots and databases do with it. An element is a block; `at` is its address, since nobody changes the
// list meanwhile.

static struct value *make(struct keys *keys, uint8_t encoding) {
    (void)keys;
    if (encoding != ENCODING_QUICKLIST) return NULL;
    struct quicklist *list = mem_zalloc(sizeof *list);
    list->value.memory = sizeof *list;
    list_init(&list->blocks);
    return &list->value;
}

static bool free_some(struct value *object, uint8_t encoding, size_t *max) {
    struct quicklist *list = (struct quicklist *)(void *)object;
    (void)encoding;
    for (; !list_empty(&list->blocks) && *max > 0; --*max) block_free(block_of(list->blocks.next));
    if (!list_empty(&list->blocks)) return false;
    mem_free(list);
    return true;
}

static uint64_t block_count(const struct key *key) {
    const struct list *blocks = &quicklist_of(key)->blocks;
    uint64_t count = 0;
    for (const struct list *at = blocks->next; at != blocks; at = at->next) count++;
    return count;
}

// The first one has the list's first position ahead of it.
static void block_element(const struct key *key, uint64_t at, struct element *out) {
    const struct quicklist *list = quicklist_of(key);
    const struct list *link = at == 0 ? list->blocks.next : (const struct list *)(uintptr_t)at;
    const struct quicklist_block *block = CONTAINER_OF_CONST(link, struct quicklist_block, link);
    *out = (struct element){.parts = {bytes_of(block->data + block->begin, used(block))},
                            .next = (uint64_t)(uintptr_t)link->next};
    if (at != 0) return;
    put_u64_le(out->head, list->first);
    out->head_len = 8;
}

static bool load_entry(struct key *key, struct reader *r) {
    struct quicklist *list = quicklist_of(key);
    uint8_t head[10], tail[10];
    struct bytes entry = read_blob(r);
    size_t size = entry_ends(entry.len, head, tail);
    const uint8_t *behind = reader_take(r, size);
    if (behind == NULL || entry.len > KEYS_VALUE_BYTES_MAX || memcmp(behind, tail, size) != 0) return false;
    digest_add(&list->value.digest, entry_digest(key->id, list->first + list->count, entry));
    list->value.memory += entry_memory(entry);
    append(list, entry);
    return true;
}

static bool load(struct keys *keys, struct key *key, struct bytes element) {
    struct quicklist *list = quicklist_of(key);
    struct reader r = reader_of(element.data, element.len);
    (void)keys;
    if (list->count == 0) list->first = read_u64_le(&r);
    if (reader_left(&r) == 0) return false;
    while (reader_left(&r) > 0)
        if (!load_entry(key, &r)) return false;
    return true;
}

static struct digest recount(const struct key *key) {
    const struct quicklist *list = quicklist_of(key);
    struct digest sum = {0, 0};
    struct quicklist_at at;
    for (bool any = quicklist_seek(list, 0, &at); any; any = quicklist_next(&at))
        digest_add(&sum, entry_digest(key->id, list->first + at.rank, quicklist_entry(&at)));
    return sum;
}

const struct type_ops quicklist_ops = {
    .make = make, .free = free_some, .count = block_count, .element = block_element, .load = load, .recount = recount};
