// Tables of named items. See items.h.
#include "model/items.h"
#include "base/alloc.h"
#include "base/assert.h"
#include <string.h>

static uint64_t domain_of(const struct item_sum *sum, uint8_t tag) { // tag 0: the head
    return 0x6974656d0000ull | sum->domain << 8 | tag;
}

// ---- records

static uint8_t *record_take(struct item_record *to, size_t bytes) {
    if (to->full || bytes > (size_t)(to->end - to->at)) {
        to->full = true;
        return NULL;
    }
    to->at += bytes;
    return to->at - bytes;
}

void item_record_u64(struct item_record *to, uint64_t value) {
    uint8_t *at = record_take(to, 8);
    if (at) put_u64_le(at, value);
}

void item_record_text(struct item_record *to, struct bytes text) {
    ENSURE(text.len <= UINT16_MAX);
    uint8_t *at = record_take(to, 2 + text.len);
    if (at == NULL) return;
    put_u16_le(at, (uint16_t)text.len);
    if (text.len > 0) memcpy(at + 2, text.data, text.len);
}

struct bytes item_read_text(struct reader *r) {
    return read_span(r, read_u16_le(r));
}

// ---- deadlines

void deadline_set(struct heap *heap, struct deadline *deadline, uint64_t at_ms, uint64_t tie) {
    if (at_ms == NO_DEADLINE)
        heap_remove(heap, &deadline->item);
    else
        heap_set(heap, &deadline->item, at_ms, tie);
}

uint64_t deadline_of(const struct deadline *deadline) {
    return deadline->item.at != 0 ? deadline->item.time : NO_DEADLINE;
}

uint64_t deadline_first(const struct heap *heap) {
    const struct heap_item *first = heap_first(heap);
    return first ? first->time : NO_DEADLINE;
}

struct deadline *deadline_due(const struct heap *heap, uint64_t now_ms) {
    struct heap_item *first = heap_first(heap);
    return first && first->time <= now_ms ? CONTAINER_OF(first, struct deadline, item) : NULL;
}

// ---- items

static int compare_items(const struct omap_node *a, const struct omap_node *b) {
    return bytes_compare(item_name(CONTAINER_OF_CONST(a, struct item, node)),
                         item_name(CONTAINER_OF_CONST(b, struct item, node)));
}

static int compare_name(const void *name, const struct omap_node *node) {
    return bytes_compare(*(const struct bytes *)name, item_name(CONTAINER_OF_CONST(node, struct item, node)));
}

static struct item *item_of(struct omap_node *node) {
    return node ? CONTAINER_OF(node, struct item, node) : NULL;
}

void items_init(struct items *items, const struct item_kind *kind, struct item_sum *sum) {
    omap_init(&items->map, compare_items);
    items->kind = kind;
    items->sum = sum;
}

void *item_make(size_t bytes, struct bytes name) {
    ENSURE(bytes >= sizeof(struct item) && bytes + name.len <= UINT32_MAX);
    struct item *item = mem_zalloc(bytes + name.len);
    uint8_t *to = (uint8_t *)item + bytes;
    if (name.len > 0) memcpy(to, name.data, name.len);
    item->name = to;
    item->name_len = (uint32_t)name.len;
    item->bytes = (uint32_t)(bytes + name.len);
    return item;
}

struct bytes item_name(const struct item *item) {
    return bytes_of(item->name, item->name_len);
}

struct item *items_find(const struct items *items, struct bytes name) {
    return item_of(omap_find(&items->map, compare_name, &name));
}

bool items_insert(struct items *items, struct item *item) {
    return omap_insert(&items->map, &item->node) == NULL;
}

static struct bytes item_body(const struct items *items, const struct item *item) {
    return items->kind->body ? items->kind->body(item) : bytes_of(NULL, 0);
}

static void write_item(const struct items *items, const struct item *item, struct item_record *to) {
    uint8_t *tag = record_take(to, 1);
    if (tag) *tag = items->kind->tag;
    item_record_text(to, item_name(item));
    items->kind->record(item, to);
}

static struct digest item_digest(const struct items *items, const struct item *item) {
    uint8_t bytes[ITEM_RECORD_BYTES_MAX + ITEM_NAME_BYTES_MAX + 16];
    struct item_record to = {bytes, bytes + sizeof bytes, false};
    write_item(items, item, &to);
    ENSURE(!to.full);
    return digest_hash(bytes, (size_t)(to.at - bytes), domain_of(items->sum, items->kind->tag));
}

void items_changed(struct items *items, struct item *item) {
    uint64_t bytes = item->bytes + item_body(items, item).len;
    digest_sub(&items->sum->digest, item->digest);
    item->digest = item_digest(items, item);
    digest_add(&items->sum->digest, item->digest);
    items->sum->memory += bytes - item->counted;
    item->counted = bytes;
}

void items_remove(struct items *items, struct item *item) {
    digest_sub(&items->sum->digest, item->digest);
    items->sum->memory -= item->counted;
    omap_remove(&items->map, &item->node);
    mem_free(item);
}

void items_free(struct items *items) {
    for (struct item *item; (item = items_first(items)) != NULL;) items_remove(items, item);
}

struct item *items_first(const struct items *items) {
    return item_of(omap_first(&items->map));
}

struct item *items_next(const struct item *item) {
    return item_of(omap_next(&item->node));
}

// ---- listings

static bool begins_with(const struct item *item, struct bytes prefix) {
    return prefix.len == 0 || (item->name_len >= prefix.len && memcmp(item->name, prefix.data, prefix.len) == 0);
}

const struct item *items_page_first(const struct items *items, const struct items_page *page) {
    if (page->name.len > 0) return items_find(items, page->name);
    struct bytes from = bytes_compare(page->after, page->prefix) > 0 ? page->after : page->prefix;
    struct item *first = item_of(omap_lower_bound(&items->map, compare_name, &from));
    if (first && page->after.len > 0 && bytes_equal(item_name(first), page->after)) first = items_next(first);
    return first && begins_with(first, page->prefix) ? first : NULL;
}

const struct item *items_page_next(const struct items_page *page, const struct item *item) {
    if (page->name.len > 0) return NULL;
    const struct item *next = items_next(item);
    return next && begins_with(next, page->prefix) ? next : NULL;
}

// ---- save, load, digests

static struct digest head_digest(const struct item_sum *sum, const uint64_t *words, size_t count) {
    uint8_t bytes[16 * 8];
    uint64_t any = 0;
    ENSURE(count <= 16);
    for (size_t i = 0; i < count; i++) {
        any |= words[i];
        put_u64_le(bytes + 8 * i, words[i]);
    }
    return any ? digest_hash(bytes, 8 * count, domain_of(sum, 0)) : (struct digest){0, 0};
}

void items_head_changed(struct item_sum *sum, const uint64_t *words, size_t count) {
    digest_sub(&sum->digest, sum->head);
    sum->head = head_digest(sum, words, count);
    digest_add(&sum->digest, sum->head);
}

static bool save_item(const struct items *items, const struct item *item, struct item_record *to) {
    uint8_t *begin = to->at;
    write_item(items, item, to);
    if (items->kind->body) {
        struct bytes body = item_body(items, item);
        uint8_t *at = record_take(to, 4 + body.len);
        if (at) put_u32_le(at, (uint32_t)body.len);
        if (at && body.len > 0) memcpy(at + 4, body.data, body.len);
    }
    if (to->full) to->at = begin;
    return !to->full;
}

// words[0]: 0: the head, 1 + n: in table n. words[1]: the next item's address, 0: the table's first.
size_t items_save(const struct item_sum *sum, const struct items *const *tables, size_t count, const uint64_t *words,
                  size_t word_count, struct save_cursor *cursor, uint8_t *out, size_t capacity) {
    struct item_record to = {out, out + capacity, false};
    if (cursor->words[0] == 0) {
        struct digest head = head_digest(sum, words, word_count), none = {0, 0};
        ENSURE(capacity >= 1 + 8 * word_count);
        if (!digest_equal(head, none)) *to.at++ = 0;
        for (size_t i = 0; i < word_count && !digest_equal(head, none); i++) item_record_u64(&to, words[i]);
        cursor->words[0] = 1;
    }
    while (cursor->words[0] <= count && !to.full) {
        const struct items *items = tables[cursor->words[0] - 1];
        const struct item *item = (const struct item *)(uintptr_t)cursor->words[1];
        if (item == NULL) item = items_first(items);
        while (item && save_item(items, item, &to)) item = items_next(item);
        cursor->words[1] = (uint64_t)(uintptr_t)item;
        if (item == NULL) cursor->words[0]++;
    }
    ENSURE(!to.full || to.at > out); // every record fits in a chunk
    return (size_t)(to.at - out);
}

struct bytes items_read_body(struct reader *r) {
    return read_span(r, read_u32_le(r));
}

bool items_load_head(struct item_sum *sum, struct reader *r, uint64_t *words, size_t count) {
    for (size_t i = 0; i < count; i++) words[i] = read_u64_le(r);
    items_head_changed(sum, words, count);
    return !r->failed;
}

struct digest items_recount(const struct item_sum *sum, const struct items *const *tables, size_t count,
                            const uint64_t *words, size_t word_count) {
    struct digest found = head_digest(sum, words, word_count);
    for (size_t i = 0; i < count; i++)
        for (const struct item *item = items_first(tables[i]); item; item = items_next(item))
            digest_add(&found, item_digest(tables[i], item));
    return found;
}
