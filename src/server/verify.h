// A data folder read while no node uses it: identity, snapshots, journal; the state is rebuilt from them and its digest
// recounted. For `parley check`, `restore`, `recover`, and to tell damage from other reasons when a start fails.
#pragma once
#include "replica/machine.h"
#include "storage/folder.h"
#include "storage/journal.h"
#include "storage/snapshot.h"
#include <stdbool.h>

struct verified {
    struct folder *folder;           // locked
    struct folder_identity identity; // a copy
    struct machine *machine;         // all that could be applied; NULL: no cluster was formed here
    struct snapshot_store *store;
    size_t snapshots, snapshots_bad;
    uint64_t snapshot_index, snapshot_term, snapshot_bytes; // the newest readable
    uint8_t cluster_id[16];                                 // its own
    struct journal_recovered journal;
    uint64_t replayed; // entries behind the snapshot
    struct digest digest;
    bool damaged;
    struct writer problems; // lines
};
// 0: sound. Negative: not (verified->damaged tells damage from "cannot be opened"). The folder stays locked until
// verify_close.
int verify_open(struct io *io, const char *path, struct verified *verified);
void verify_close(struct verified *verified);
const char *verify_problems(struct verified *verified); // lines; "" when there are none

// A snapshot file into a new machine. 0, or negative with a text.
int verify_load(struct io *io, const char *path, struct machine *machine, struct snapshot_meta *meta, char error[512]);
// The machine's state as a finished snapshot in the store, durable. 0 or negative errno.
int verify_save(struct io *io, struct snapshot_store *store, const struct machine *machine,
                const uint8_t cluster_id[16]);

bool verify_is_damaged(const char *path); // opens and closes; false also when it cannot be opened
