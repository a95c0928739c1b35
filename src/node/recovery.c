// From the data folder to a running machine, core and journal: the newest snapshot that is whole, then the log behind
// it.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/planted.h"
#include "model/tree/tree.h"
#include "node/internal.h"

#define SNAPSHOTS_LISTED 16u

// ---- snapshots

struct machine *node_machine_new(struct node *node, uint64_t boot, const struct machine_sink *sink) {
    struct machine *machine = machine_new(node->options.id, boot, sink);
    if (node->options.apply_level_max != 0) machine_limit_apply_level(machine, node->options.apply_level_max);
    return machine;
}

static int on_chunk(void *context, uint8_t model, const void *data, size_t len) {
    return machine_load(context, model, data, len);
}

int node_load_snapshot(struct node *node, struct io *io, struct machine *machine, uint64_t index, uint64_t term,
                       uint8_t cluster_id[16], char error[512]) {
    char path[4096];
    struct snapshot_meta meta = {0};
    struct writer membership;
    writer_init(&membership);
    pthread_mutex_lock(&node->store_lock);
    snapshot_store_path(node->store, index, term, path);
    pthread_mutex_unlock(&node->store_lock);
    error[0] = 0;
    int e = snapshot_load(io, path, &meta, &membership, on_chunk, machine, error);
    if (e == 0 && (meta.index != index || meta.term != term)) e = -EBADMSG;
    if (e == 0)
        e = machine_load_finish(machine, meta.index, meta.term, meta.log_time_ms,
                                bytes_of(membership.data, membership.len), meta.digest);
    writer_free(&membership);
    if (cluster_id != NULL) memcpy(cluster_id, meta.cluster_id, 16);
    if (machine_level_unknown(machine))
        snprintf(error, 512, "%.400s: it is of apply level %u, which this binary does not know: install a newer one",
                 path, machine_apply_level(machine));
    if (e != 0 && error[0] == 0) snprintf(error, 512, "%.400s: its contents do not match its digest", path);
    return e;
}

struct file_sink {
    struct io *io;
    struct io_file *file;
    uint64_t written;
};

static int sink_write(void *context, const void *data, size_t len) {
    struct file_sink *sink = context;
    int64_t n = sink->io->ops->file_write(sink->file, data, len, sink->written);
    if (n < 0) return (int)n;
    sink->written += len;
    return 0;
}

static int save_machine(struct io *io, const char *path, const struct machine *machine, const uint8_t cluster_id[16]) {
    struct writer membership;
    writer_init(&membership);
    membership_encode(machine_membership(machine), &membership);
    struct snapshot_meta meta = {.index = machine_applied(machine),
                                 .term = machine_applied_term(machine),
                                 .log_time_ms = machine_log_time_ms(machine),
                                 .membership = bytes_of(membership.data, membership.len),
                                 .digest = machine_digest(machine)};
    memcpy(meta.cluster_id, cluster_id, sizeof meta.cluster_id);
    struct file_sink file = {.io = io};
    int error = io->ops->file_open(io, path, O_RDWR | O_CREAT | O_TRUNC, 0644, &file.file);
    if (error != 0) {
        writer_free(&membership);
        return error;
    }
    struct snapshot_writer *writer = snapshot_writer_new(&meta);
    uint8_t *chunk = mem_alloc(SNAPSHOT_CHUNK_BYTES);
    struct snapshot_sink sink = {.write = sink_write, .context = &file};
    struct machine_cursor cursor = {0};
    error = snapshot_writer_begin(writer, &sink);
    while (error == 0) {
        uint8_t model = 0;
        size_t len = machine_save(machine, &cursor, &model, chunk, SNAPSHOT_CHUNK_BYTES);
        if (len == 0) break;
        error = snapshot_writer_chunk(writer, model, chunk, len);
    }
    if (error == 0) error = snapshot_writer_end(writer);
    io->ops->file_close(file.file);
    mem_free(chunk);
    snapshot_writer_free(writer);
    writer_free(&membership);
    return error;
}

// A formation's empty state as a snapshot: so the first membership is found like any other one, at a restart and at an
// install.
int node_save_genesis(struct node *node, const struct raft_membership *membership, uint64_t index, uint64_t term,
                      const uint8_t cluster_id[16]) {
    struct machine_sink none = {0};
    struct machine *machine = node_machine_new(node, 0, &none);
    machine_genesis(machine, index, term, 0, 0, membership);
    char path[4096];
    pthread_mutex_lock(&node->store_lock);
    snapshot_store_temporary(node->store, index, term, path);
    int error = save_machine(node->options.replication_io, path, machine, cluster_id);
    if (error == 0) error = snapshot_store_commit(node->store, index, term);
    pthread_mutex_unlock(&node->store_lock);
    machine_free(machine);
    if (error != 0) node_fatal(node, "cannot write the first snapshot %s: %s", path, strerror(-error));
    return error;
}

// ---- the whole state, as core_applied takes it

static void add_lease(void *context, const struct lease *lease) {
    struct core_applied *applied = context;
    struct lease_event *list = (struct lease_event *)(uintptr_t)applied->leases;
    list[applied->lease_count++] = (struct lease_event){.type = LEASE_EVENT_ATTACHED, .lease = *lease};
}

void applied_of_machine(const struct machine *machine, struct core_applied *applied) {
    struct lease_table *leases = machine_leases(machine);
    *applied = (struct core_applied){.index = machine_applied(machine),
                                     .term = machine_applied_term(machine),
                                     .log_time_ms = machine_log_time_ms(machine),
                                     .next_deadline_ms = machine_next_deadline_ms(machine),
                                     .unix_offset_ms = machine_unix_offset_ms(machine),
                                     .apply_level = machine_apply_level(machine)};
    machine_settings(machine, applied->settings);
    applied->leases = mem_zalloc((lease_count(leases) + 1) * sizeof *applied->leases);
    lease_each(leases, add_lease, applied);
    struct machine_stream *streams = mem_zalloc(256 * sizeof *streams);
    applied->stream_count = machine_streams(machine, streams, 256);
    ENSURE(applied->stream_count <= 256);
    applied->streams = streams;
    const struct machine_sample *sample = machine_newest_sample(machine);
    if (sample != NULL) applied->sample = *sample;
}

void applied_free(struct core_applied *applied) {
    mem_free((void *)(uintptr_t)applied->leases);
    mem_free((void *)(uintptr_t)applied->streams);
    *applied = (struct core_applied){0};
}

// ---- the log

struct log_found {
    struct batch_ref *batches;
    size_t count, capacity;
    uint64_t log_time_ms;
};

static void on_batch(void *context, const struct batch_ref *batch) {
    struct log_found *found = context;
    if (found->count == found->capacity) {
        found->capacity = found->capacity == 0 ? 1024 : found->capacity * 2;
        found->batches = mem_realloc(found->batches, found->capacity * sizeof *found->batches);
    }
    found->batches[found->count] = *batch;
    found->batches[found->count++].buf = buf_ref(batch->buf);
    uint64_t log_time_ms = get_u64_le(batch->buf->data + 40); // the header's (batch.h)
    if (log_time_ms > found->log_time_ms) found->log_time_ms = log_time_ms;
}

static void log_found_free(struct log_found *found) {
    for (size_t i = 0; i < found->count; i++) batch_ref_release(&found->batches[i]);
    mem_free(found->batches);
}

static bool load_newest(struct node *node, uint8_t cluster_id[16], char error[1024]) {
    struct service *service = &node->service;
    struct snapshot_entry entries[SNAPSHOTS_LISTED];
    size_t count = snapshot_store_list(node->store, entries, SNAPSHOTS_LISTED);
    if (count > SNAPSHOTS_LISTED) count = SNAPSHOTS_LISTED;
    struct machine_sink sink;
    for (size_t i = 0; i < count; i++) {
        char text[512];
        struct machine *machine = node_machine_new(node, service->boot, service_sink(service, &sink));
        if (node_load_snapshot(node, node->options.replication_io, machine, entries[i].index, entries[i].term,
                               cluster_id, text) == 0) {
            service->machine = machine;
            service->snapshot_index = entries[i].index;
            return true;
        }
        machine_free(machine);
        LOG_ERROR(node->log, "snapshot cannot be used, trying an older one index=%llu: %s",
                  (unsigned long long)entries[i].index, text);
        snprintf(error, 1024, "%s", text);
    }
    service->machine = node_machine_new(node, service->boot, service_sink(service, &sink));
    return count == 0;
}

struct first_append {
    struct journal_append append;
    struct replication *replication;
};
static void on_first_append(struct journal_append *append, int result) {
    struct first_append *first = append->context;
    first->replication->persists--;
    // Without room for this there is none for anything behind it: core meets the full disk by itself, and the next
    // start comes here again.
    if (result != 0)
        LOG_ERROR(first->replication->log, "cannot begin the log behind the snapshot: %s", strerror(-result));
    mem_free(first);
}

// The journal's log does not reach the snapshot, or another log stood in its place (the node ended between taking a
// received snapshot and noting it): the log begins anew behind the snapshot.
static void begin_behind_snapshot(struct replication *replication, uint64_t index, uint64_t term) {
    struct first_append *first = mem_zalloc(sizeof *first);
    first->replication = replication;
    first->append = (struct journal_append){
        .has_start = true, .start_index = index, .start_term = term, .done = on_first_append, .context = first};
    replication->persists++;
    journal_append(replication->journal,
                   &first->append); // durable before anything that core appends: the journal keeps order
}

static void on_journal_fatal(void *context, const char *text) {
    struct node *node = context;
    node->disk_failed = true;
    node_fatal(node, "%s", text);
}

static bool open_folder(struct node *node, char error[1024]) {
    char text[512] = "";
    int e = folder_open(node->options.replication_io, node->options.data_folder, node->options.id, &node->folder, text);
    if (e != 0) {
        snprintf(error, 1024, "%s", text[0] != 0 ? text : strerror(-e));
        return false;
    }
    if (folder_identity(node->folder)->member_id != node->options.id) {
        snprintf(error, 1024, "%s belongs to member %u, and --id says %u: use the folder of this member",
                 folder_path(node->folder), folder_identity(node->folder)->member_id, node->options.id);
        return false;
    }
    e = PLANTED(OLD_BOOT_ACCEPTED) ? 0 : folder_raise_boot(node->folder);
    if (e != 0) {
        snprintf(error, 1024, "cannot write %s/identity: %s", folder_path(node->folder), strerror(-e));
        return false;
    }
    return true;
}

// The state, and whether this node belongs to a cluster. One that has the first snapshot does: it ended between that
// and the note of it in its identity (op_form, op_set_cluster), which is made up for.
static bool load_state(struct node *node, bool *formed, char error[1024]) {
    static const uint8_t zero[16];
    struct service *service = &node->service;
    const struct folder_identity *identity = folder_identity(node->folder);
    uint8_t cluster_id[16] = {0};
    service->boot = identity->boot;
    if (!load_newest(node, cluster_id, error)) return false;
    *formed = memcmp(identity->cluster_id, zero, 16) != 0;
    if (!*formed && machine_applied(service->machine) > 0 && memcmp(cluster_id, zero, 16) != 0) {
        int e = folder_set_cluster(node->folder, cluster_id);
        if (e != 0) {
            snprintf(error, 1024, "cannot write %s/identity: %s", folder_path(node->folder), strerror(-e));
            return false;
        }
        *formed = true;
    }
    if (machine_applied(service->machine) > 0 && memcmp(cluster_id, identity->cluster_id, 16) != 0) {
        snprintf(
            error, 1024,
            "the newest snapshot in %s is of another cluster than its identity: if `parley recover` was broken off "
            "here, run it again; else put this member's own snapshots back",
            folder_path(node->folder));
        return false;
    }
    memcpy(service->cluster_id, identity->cluster_id, 16);
    return true;
}

bool node_recover(struct node *node, char error[1024]) {
    struct service *service = &node->service;
    struct replication *replication = &node->replication;
    struct io *io = node->options.replication_io;
    char text[512] = "", path[4096], torn[4096];
    bool formed;

    if (!open_folder(node, error)) return false;
    snprintf(path, sizeof path, "%s/snapshots", node->options.data_folder);
    int e = snapshot_store_open(io, node->log, path, &node->store, text);
    if (e != 0) {
        snprintf(error, 1024, "cannot open %.400s: %s", path, text[0] != 0 ? text : strerror(-e));
        return false;
    }
    if (!load_state(node, &formed, error)) return false;
    const struct folder_identity *identity = folder_identity(node->folder);
    uint64_t index = machine_applied(service->machine), term = machine_applied_term(service->machine);

    snprintf(path, sizeof path, "%s/journal", node->options.data_folder);
    snprintf(torn, sizeof torn, "%s/torn", node->options.data_folder);
    struct journal_options options = {.io = io,
                                      .log = node->log,
                                      .folder = path,
                                      .torn_folder = torn,
                                      .align = node->options.journal_align == 0 ? 512 : node->options.journal_align,
                                      .segment_bytes =
                                          node->options.segment_bytes == 0 ? 64u << 20 : node->options.segment_bytes};
    struct journal_recovered recovered;
    struct journal_error journal_error = {0};
    struct log_found found = {0};
    e = journal_open(&options, on_batch, &found, &recovered, &replication->journal, &journal_error);
    if (e != 0) {
        snprintf(error, 1024, "%s", journal_error.text[0] != 0 ? journal_error.text : strerror(-e));
        log_found_free(&found);
        return false;
    }
    journal_on_fatal(replication->journal, on_journal_fatal, node);

    // Which of the log's batches follow the snapshot?
    size_t from = 0;
    while (from < found.count && found.batches[from].last <= index) from++;
    bool joined = recovered.start_index == index && recovered.start_term == term;
    if (from > 0 && found.batches[from - 1].last == index && found.batches[from - 1].term == term) joined = true;
    if (!formed && index == 0) joined = true;
    if (recovered.start_index > index) {
        snprintf(error, 1024,
                 "%.400s: the log begins at index %llu, but the newest snapshot that can be read is of %llu: the "
                 "entries between are "
                 "gone. Restore a snapshot, or empty the folder and let this member come back from the others",
                 path, (unsigned long long)recovered.start_index + 1, (unsigned long long)index);
        log_found_free(&found);
        return false;
    }
    if (!joined) {
        LOG_WARN(node->log,
                 "the journal does not join the snapshot: the log begins behind it index=%llu journal_last=%llu",
                 (unsigned long long)index, (unsigned long long)recovered.last_index);
        begin_behind_snapshot(replication, index, term);
        from = found.count;
    }
    struct raft_restored restored = {.term = recovered.hard.term,
                                     .voted_for = PLANTED(VOTE_FORGOTTEN) ? 0 : recovered.hard.voted_for,
                                     .start_index = index,
                                     .start_term = term,
                                     .membership = *machine_membership(service->machine),
                                     .batches = found.batches == NULL ? NULL : found.batches + from,
                                     .batch_count = found.count - from,
                                     .commit = index};
    if (PLANTED(TERM_FORGOTTEN)) restored.term = restored.batch_count > 0 ? found.batches[found.count - 1].term : term;
    if (restored.term < term) restored.term = term;
    uint64_t log_time_ms = machine_log_time_ms(service->machine);
    if (found.log_time_ms > log_time_ms) log_time_ms = found.log_time_ms;

    struct core_options *core = &node->core_options;
    core->id = node->options.id;
    memcpy(core->incarnation, identity->incarnation, INCARNATION_BYTES);
    memcpy(core->cluster_id, identity->cluster_id, 16);
    core->boot = identity->boot;
    core->listed = node->cluster;
    core->listed_count = node->options.cluster_count;
    core->heartbeat_ms = node->options.heartbeat_ms;
    core->election_ms = node->options.election_ms;
    core->forward_bytes_max = FORWARD_BYTES_MAX;
    core->apply_level_max = node->options.apply_level_max;
    core->snapshot_chunk_bytes = node->options.snapshot_chunk_bytes;
    core->log_tail_bytes_max = node->options.log_tail_bytes_max;
    core->apply_ahead_bytes_max = node->options.apply_ahead_bytes_max;
    core->settings[GROUP_SETTING_EPHEMERALS_MAX] = node->options.ephemerals_max;
    core->settings[GROUP_SETTING_MEMORY_MAX] = node->options.memory_max == 0 ? UINT64_MAX : node->options.memory_max;
    core->settings[GROUP_SETTING_CONTAINER_CHECK_MS] = node->options.container_check_ms;
    io->ops->random(io, &core->seed, sizeof core->seed);
    core->log = node->log;
    core->ops = &replication->ops;
    replication->core = core_new(core, &restored, formed, log_time_ms, index, io_now_ms(io));
    LOG_INFO(node->log, "recovered id=%u boot=%llu snapshot=%llu last=%llu term=%llu torn=%d", node->options.id,
             (unsigned long long)identity->boot, (unsigned long long)index, (unsigned long long)recovered.last_index,
             (unsigned long long)restored.term, recovered.torn ? 1 : 0);
    log_found_free(&found);
    struct core_applied applied;
    applied_of_machine(service->machine, &applied);
    applied.epoch = 1;
    core_applied(replication->core, io_now_ms(io), &applied);
    applied_free(&applied);
    return true;
}
