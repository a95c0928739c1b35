// Who watches which path, and how. One entry (32 bytes) per (path, holder), with a bit for each way of watching, linked
// three times:
//
//   path "/a" --first--> [entry] <-> [entry] ...        all that watch one path, oldest first
//                           |
//   holder ----first--> [entry] <-> [entry] ...         all that one connection watches
//   pairs: hash of (path, holder) --> entry             so that 10,000 watchers of one node cost no walk
//
// Links are 32-bit numbers of entries in chunks that never move. Not replicated: each node knows its own connections'
// watches.
#pragma once
#include "base/bytes.h"
#include "base/hash.h"

enum watch_mode { WATCH_DATA = 1, WATCH_CHILD = 2, WATCH_PERSISTENT = 4, WATCH_RECURSIVE = 8, WATCH_ALL = 15 };
#define WATCH_NONE UINT32_MAX

struct watch_holder { // embedded in the connection
    uint32_t id;      // WATCH_NONE: has never watched
    uint32_t first, count;
    uint64_t served; // the newest firing it was named in: one event per connection per change
};
struct watch_path {
    struct hash_node index;
    uint32_t id, first, last, count;
    uint32_t recursive; // entries with WATCH_RECURSIVE
    uint32_t len;
    uint8_t text[];
};
struct watch_entry;
struct watches {
    struct hash index;                                // of paths
    void **paths;                                     // struct watch_path each
    uint32_t path_slots, path_free, path_count;       // free slots hold the next free number
    void **holders;                                   // struct watch_holder each
    uint32_t holder_slots, holder_free, holder_count; // holder_count: those with at least one watch
    struct watch_entry **chunks;
    uint32_t entry_slots, entry_free;
    uint64_t count;  // entries
    uint32_t *pairs; // linear hashing: one bucket more at each insert that needs it, so nothing ever pauses
    uint32_t pair_buckets, pair_capacity, pair_level;
    uint64_t recursive, firing, seed;
};
void watches_init(struct watches *w, uint64_t seed);
void watches_free(struct watches *w);
void watch_holder_init(struct watch_holder *holder);
void watches_add(struct watches *w, struct watch_holder *holder, struct bytes path, uint8_t modes);
uint8_t watches_modes(const struct watches *w, const struct watch_holder *holder, struct bytes path); // 0: none
void watches_remove(struct watches *w, struct watch_holder *holder, struct bytes path, uint8_t modes);
void watches_leave(struct watches *w, struct watch_holder *holder); // drops all it has
// A change at `path`: calls `fired` once for each holder that watches it in one of `modes` (or, with up, recursively
// from a node above), and takes the one-shot bits away. `fired` must not change the table.
void watches_fire(struct watches *w, struct bytes path, uint8_t modes, bool up,
                  void (*fired)(void *context, struct watch_holder *holder), void *context);
void watches_each_path(const struct watches *w, void (*visit)(void *context, const struct watch_path *path),
                       void *context);
void watches_each_holder(const struct watches *w, const struct watch_path *path,
                         void (*visit)(void *context, struct watch_holder *holder), void *context);
void watches_each_of(const struct watches *w, const struct watch_holder *holder,
                     void (*visit)(void *context, const struct watch_path *path), void *context);
uint64_t watches_memory(const struct watches *w);
