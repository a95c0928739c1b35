#include "protocol/zookeeper/watches.h"
#include "base/alloc.h"
#include "base/assert.h"
#include <string.h>

struct watch_entry {
    uint32_t path, holder;
    uint32_t path_prev, path_next;
    uint32_t holder_prev, holder_next;
    uint32_t pair_next; // of a free entry: the next free one
    uint8_t modes;
};
_Static_assert(sizeof(struct watch_entry) == 32, "one million watches are 32 MB and their pairs 4 MB");

#define CHUNK 1024u // entries: 32 KB
#define PAIRS_MIN 16u

static struct watch_entry *entry_at(const struct watches *w, uint32_t id) {
    ENSURE(id < w->entry_slots);
    return &w->chunks[id / CHUNK][id % CHUNK];
}

void watches_init(struct watches *w, uint64_t seed) {
    *w = (struct watches){.path_free = WATCH_NONE, .holder_free = WATCH_NONE, .entry_free = WATCH_NONE, .seed = seed};
    hash_init(&w->index);
}

void watches_free(struct watches *w) {
    ENSURE(w->count == 0);
    hash_free(&w->index);
    mem_free(w->paths);
    mem_free(w->holders);
    for (uint32_t i = 0; i < w->entry_slots / CHUNK; i++) mem_free(w->chunks[i]);
    mem_free(w->chunks);
    mem_free(w->pairs);
}

void watch_holder_init(struct watch_holder *holder) {
    *holder = (struct watch_holder){.id = WATCH_NONE, .first = WATCH_NONE};
}

// ---- numbers of paths and holders: slots of an array; a free slot's pointer holds the next free number

static uint32_t slot_take(void ***slots, uint32_t *count, uint32_t *free_list, void *value) {
    uint32_t id = *free_list;
    if (id == WATCH_NONE) {
        if ((*count & (*count - 1)) == 0) { // full at each power of two
            size_t capacity = *count ? (size_t)*count * 2 : 1;
            *slots = mem_realloc(*slots, capacity * sizeof **slots);
        }
        id = (*count)++;
    } else {
        *free_list = (uint32_t)((uintptr_t)(*slots)[id] >> 1);
    }
    (*slots)[id] = value;
    return id;
}

// Objects are aligned, so an odd value is never one of them.
static void slot_give(void **slots, uint32_t *free_list, uint32_t id) {
    slots[id] = (void *)(((uintptr_t)*free_list << 1) | 1);
    *free_list = id;
}

static bool slot_used(const void *value) {
    return ((uintptr_t)value & 1) == 0;
}

// ---- pairs: Litwin's linear hashing

static uint64_t pair_hash(const struct watches *w, uint32_t path, uint32_t holder) {
    return hash_u64((((uint64_t)path << 32) | holder) ^ w->seed);
}

static uint32_t *pair_bucket(const struct watches *w, uint64_t hash) {
    uint32_t at = (uint32_t)hash & (w->pair_level * 2 - 1);
    if (at >= w->pair_buckets) at = (uint32_t)hash & (w->pair_level - 1);
    return &w->pairs[at];
}

static void pairs_grow(struct watches *w) {
    if (w->pair_buckets == 0) {
        w->pairs = mem_alloc(PAIRS_MIN * sizeof *w->pairs);
        for (uint32_t i = 0; i < PAIRS_MIN; i++) w->pairs[i] = WATCH_NONE;
        w->pair_buckets = w->pair_capacity = w->pair_level = PAIRS_MIN;
        return;
    }
    if (w->pair_buckets == w->pair_capacity) {
        w->pair_capacity *= 2;
        w->pairs = mem_realloc(w->pairs, (size_t)w->pair_capacity * sizeof *w->pairs);
    }
    uint32_t fresh = w->pair_buckets++, old = fresh - w->pair_level;
    if (w->pair_buckets == w->pair_level * 2) w->pair_level *= 2;
    uint32_t at = w->pairs[old], mask_bit = fresh ^ old;
    w->pairs[old] = w->pairs[fresh] = WATCH_NONE;
    while (at != WATCH_NONE) {
        struct watch_entry *entry = entry_at(w, at);
        uint32_t next = entry->pair_next;
        uint32_t *bucket = &w->pairs[pair_hash(w, entry->path, entry->holder) & mask_bit ? fresh : old];
        entry->pair_next = *bucket;
        *bucket = at;
        at = next;
    }
}

static uint32_t pair_find(const struct watches *w, uint32_t path, uint32_t holder) {
    if (w->pair_buckets == 0) return WATCH_NONE;
    for (uint32_t at = *pair_bucket(w, pair_hash(w, path, holder)); at != WATCH_NONE;) {
        const struct watch_entry *entry = entry_at(w, at);
        if (entry->path == path && entry->holder == holder) return at;
        at = entry->pair_next;
    }
    return WATCH_NONE;
}

static void pair_unlink(struct watches *w, uint32_t id) {
    const struct watch_entry *entry = entry_at(w, id);
    uint32_t *at = pair_bucket(w, pair_hash(w, entry->path, entry->holder));
    while (*at != id) at = &entry_at(w, *at)->pair_next;
    *at = entry->pair_next;
}

// ---- paths

static bool path_matches(const struct hash_node *node, const void *key) {
    const struct watch_path *path = CONTAINER_OF_CONST(node, struct watch_path, index);
    const struct bytes *want = key;
    return path->len == want->len && memcmp(path->text, want->data, want->len) == 0;
}

static struct watch_path *path_find(const struct watches *w, struct bytes text) {
    if (w->path_count == 0) return NULL;
    struct hash_node *node = hash_find(&w->index, hash_bytes(text.data, text.len, w->seed), path_matches, &text);
    return node ? CONTAINER_OF(node, struct watch_path, index) : NULL;
}

static struct watch_path *path_need(struct watches *w, struct bytes text) {
    uint64_t hash = hash_bytes(text.data, text.len, w->seed);
    struct hash_node *node = hash_find(&w->index, hash, path_matches, &text);
    if (node) return CONTAINER_OF(node, struct watch_path, index);
    struct watch_path *path = mem_zalloc(sizeof *path + text.len);
    path->first = path->last = WATCH_NONE;
    path->len = (uint32_t)text.len;
    if (text.len) memcpy(path->text, text.data, text.len);
    path->id = slot_take(&w->paths, &w->path_slots, &w->path_free, path);
    w->path_count++;
    hash_insert(&w->index, &path->index, hash);
    return path;
}

// ---- entries

static uint32_t entry_new(struct watches *w) {
    if (w->entry_free == WATCH_NONE) {
        ENSURE(w->entry_slots < WATCH_NONE - CHUNK);
        uint32_t chunk = w->entry_slots / CHUNK;
        w->chunks = mem_realloc(w->chunks, (chunk + 1) * sizeof *w->chunks);
        w->chunks[chunk] = mem_zalloc(CHUNK * sizeof **w->chunks);
        for (uint32_t i = CHUNK; i-- > 0;) {
            w->chunks[chunk][i].pair_next = w->entry_free;
            w->entry_free = w->entry_slots + i;
        }
        w->entry_slots += CHUNK;
    }
    uint32_t id = w->entry_free;
    w->entry_free = entry_at(w, id)->pair_next;
    return id;
}

static void entry_drop(struct watches *w, uint32_t id) {
    struct watch_entry *entry = entry_at(w, id);
    struct watch_path *path = w->paths[entry->path];
    struct watch_holder *holder = w->holders[entry->holder];
    ENSURE(path->count > 0 && holder->count > 0);
    pair_unlink(w, id);
    if (entry->path_prev != WATCH_NONE)
        entry_at(w, entry->path_prev)->path_next = entry->path_next;
    else
        path->first = entry->path_next;
    if (entry->path_next != WATCH_NONE)
        entry_at(w, entry->path_next)->path_prev = entry->path_prev;
    else
        path->last = entry->path_prev;
    if (entry->holder_prev != WATCH_NONE)
        entry_at(w, entry->holder_prev)->holder_next = entry->holder_next;
    else
        holder->first = entry->holder_next;
    if (entry->holder_next != WATCH_NONE) entry_at(w, entry->holder_next)->holder_prev = entry->holder_prev;
    if (--path->count == 0) {
        hash_remove(&w->index, &path->index);
        slot_give(w->paths, &w->path_free, path->id);
        w->path_count--;
        mem_free(path);
    }
    if (--holder->count == 0) {
        slot_give(w->holders, &w->holder_free, holder->id);
        w->holder_count--;
        holder->id = WATCH_NONE;
    }
    entry->pair_next = w->entry_free;
    entry->modes = 0;
    w->entry_free = id;
    w->count--;
}

static void entry_clear(struct watches *w, uint32_t id, uint8_t modes) {
    struct watch_entry *entry = entry_at(w, id);
    if (entry->modes & modes & WATCH_RECURSIVE) {
        ((struct watch_path *)w->paths[entry->path])->recursive--;
        w->recursive--;
    }
    entry->modes &= (uint8_t)~modes;
    if (entry->modes == 0) entry_drop(w, id);
}

void watches_add(struct watches *w, struct watch_holder *holder, struct bytes text, uint8_t modes) {
    ENSURE(modes != 0 && (modes & ~WATCH_ALL) == 0);
    struct watch_path *path = path_need(w, text);
    if (holder->id == WATCH_NONE) {
        holder->id = slot_take(&w->holders, &w->holder_slots, &w->holder_free, holder);
        w->holder_count++;
    }
    uint32_t id = pair_find(w, path->id, holder->id);
    if (id == WATCH_NONE) {
        if (w->count >= w->pair_buckets) pairs_grow(w);
        id = entry_new(w);
        struct watch_entry *entry = entry_at(w, id);
        *entry = (struct watch_entry){.path = path->id,
                                      .holder = holder->id,
                                      .path_prev = path->last,
                                      .path_next = WATCH_NONE,
                                      .holder_prev = WATCH_NONE,
                                      .holder_next = holder->first};
        if (path->last != WATCH_NONE)
            entry_at(w, path->last)->path_next = id;
        else
            path->first = id;
        path->last = id;
        if (holder->first != WATCH_NONE) entry_at(w, holder->first)->holder_prev = id;
        holder->first = id;
        uint32_t *bucket = pair_bucket(w, pair_hash(w, path->id, holder->id));
        entry->pair_next = *bucket;
        *bucket = id;
        path->count++;
        holder->count++;
        w->count++;
    }
    struct watch_entry *entry = entry_at(w, id);
    if (modes & ~entry->modes & WATCH_RECURSIVE) {
        path->recursive++;
        w->recursive++;
    }
    entry->modes |= modes;
}

static uint32_t entry_find(const struct watches *w, const struct watch_holder *holder, struct bytes text) {
    if (holder->id == WATCH_NONE) return WATCH_NONE;
    const struct watch_path *path = path_find(w, text);
    return path ? pair_find(w, path->id, holder->id) : WATCH_NONE;
}

uint8_t watches_modes(const struct watches *w, const struct watch_holder *holder, struct bytes text) {
    uint32_t id = entry_find(w, holder, text);
    return id == WATCH_NONE ? 0 : entry_at(w, id)->modes;
}

void watches_remove(struct watches *w, struct watch_holder *holder, struct bytes text, uint8_t modes) {
    uint32_t id = entry_find(w, holder, text);
    if (id != WATCH_NONE) entry_clear(w, id, modes);
}

void watches_leave(struct watches *w, struct watch_holder *holder) {
    while (holder->id != WATCH_NONE) entry_clear(w, holder->first, WATCH_ALL);
}

// ---- firing

static void fire_path(struct watches *w, struct watch_path *path, uint8_t modes,
                      void (*fired)(void *context, struct watch_holder *holder), void *context) {
    uint8_t once = modes & (WATCH_DATA | WATCH_CHILD);
    for (uint32_t id = path->first; id != WATCH_NONE;) {
        struct watch_entry *entry = entry_at(w, id);
        uint32_t next = entry->path_next;
        if (entry->modes & modes) {
            struct watch_holder *holder = w->holders[entry->holder];
            if (holder->served != w->firing) {
                holder->served = w->firing;
                fired(context, holder);
            }
            entry_clear(w, id, once); // may free the path, but only together with its last entry
        }
        id = next;
    }
}

void watches_fire(struct watches *w, struct bytes path, uint8_t modes, bool up,
                  void (*fired)(void *context, struct watch_holder *holder), void *context) {
    if (w->count == 0) return;
    w->firing++;
    bool recursive = up && w->recursive > 0;
    struct watch_path *at = path_find(w, path);
    if (at) fire_path(w, at, (uint8_t)(modes | (recursive ? WATCH_RECURSIVE : 0)), fired, context);
    while (recursive && path.len > 1) {
        do path.len--;
        while (path.len > 0 && path.data[path.len] != '/');
        struct bytes above = path.len == 0 ? bytes_of("/", 1) : path;
        at = path_find(w, above);
        if (at && at->recursive > 0) fire_path(w, at, WATCH_RECURSIVE, fired, context);
    }
}

// ---- listing

void watches_each_path(const struct watches *w, void (*visit)(void *context, const struct watch_path *path),
                       void *context) {
    for (uint32_t i = 0; i < w->path_slots; i++)
        if (slot_used(w->paths[i])) visit(context, w->paths[i]);
}

void watches_each_holder(const struct watches *w, const struct watch_path *path,
                         void (*visit)(void *context, struct watch_holder *holder), void *context) {
    for (uint32_t id = path->first; id != WATCH_NONE; id = entry_at(w, id)->path_next)
        visit(context, w->holders[entry_at(w, id)->holder]);
}

void watches_each_of(const struct watches *w, const struct watch_holder *holder,
                     void (*visit)(void *context, const struct watch_path *path), void *context) {
    for (uint32_t id = holder->id == WATCH_NONE ? WATCH_NONE : holder->first; id != WATCH_NONE;
         id = entry_at(w, id)->holder_next)
        visit(context, w->paths[entry_at(w, id)->path]);
}

uint64_t watches_memory(const struct watches *w) {
    return (uint64_t)w->entry_slots * sizeof(struct watch_entry) + (uint64_t)w->pair_capacity * sizeof *w->pairs +
           (uint64_t)w->path_count * (sizeof(struct watch_path) + 32) + hash_memory(&w->index);
}
