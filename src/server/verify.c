#include "server/verify.h"
#include "base/alloc.h"
#include "base/assert.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SNAPSHOTS_SEEN_MAX 16u

__attribute__((format(printf, 2, 3))) static void problem(struct verified *v, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    write_span(&v->problems, bytes_of_text(text));
    write_u8(&v->problems, '\n');
}

const char *verify_problems(struct verified *v) {
    if (v->problems.len == 0) return "";
    writer_reserve(&v->problems, 1);
    v->problems.data[v->problems.len] = 0;
    return (const char *)v->problems.data;
}

// ---- snapshots
static int load_chunk(void *context, uint8_t model, const void *data, size_t len) {
    return machine_load(context, model, data, len);
}

int verify_load(struct io *io, const char *path, struct machine *machine, struct snapshot_meta *meta, char error[512]) {
    struct writer membership;
    writer_init(&membership);
    int result = snapshot_load(io, path, meta, &membership, load_chunk, machine, error);
    if (machine_level_unknown(machine))
        snprintf(error, 512, "%s: it is of apply level %u, which this binary does not know: install a newer one", path,
                 machine_apply_level(machine));
    if (result == 0) {
        result =
            machine_load_finish(machine, meta->index, meta->term, meta->log_time_ms, meta->membership, meta->digest);
        if (result != 0) snprintf(error, 512, "%s: the state that it holds has another digest than it says", path);
    }
    if (result == 0 && !digest_equal(machine_digest(machine), machine_digest_recount(machine))) {
        snprintf(error, 512, "%s: the state's digest differs from its recount", path);
        result = -EBADMSG;
    }
    meta->membership = bytes_of(NULL, 0); // its bytes end here; machine_membership has it
    writer_free(&membership);
    return result;
}

struct file_sink {
    struct io *io;
    struct io_file *file;
    uint64_t at;
};

static int sink_write(void *context, const void *data, size_t len) {
    struct file_sink *sink = context;
    int64_t n = sink->io->ops->file_write(sink->file, data, len, sink->at);
    if (n < 0) return (int)n;
    sink->at += len;
    return 0;
}

int verify_save(struct io *io, struct snapshot_store *store, const struct machine *machine,
                const uint8_t cluster_id[16]) {
    struct writer membership;
    char path[4096];
    uint64_t index = machine_applied(machine), term = machine_applied_term(machine);
    writer_init(&membership);
    membership_encode(machine_membership(machine), &membership);
    struct snapshot_meta meta = {.index = index,
                                 .term = term,
                                 .log_time_ms = machine_log_time_ms(machine),
                                 .membership = bytes_of(membership.data, membership.len),
                                 .digest = machine_digest(machine)};
    memcpy(meta.cluster_id, cluster_id, sizeof meta.cluster_id);
    struct snapshot_writer *writer = snapshot_writer_new(&meta);
    writer_free(&membership);
    snapshot_store_temporary(store, index, term, path);
    struct file_sink file = {.io = io};
    int error = io->ops->file_open(io, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600, &file.file);
    if (error == 0) {
        struct snapshot_sink sink = {.write = sink_write, .context = &file};
        uint8_t *chunk = mem_alloc(SNAPSHOT_CHUNK_BYTES), model = 0;
        struct machine_cursor cursor = {0};
        size_t len;
        error = snapshot_writer_begin(writer, &sink);
        while (error == 0 && (len = machine_save(machine, &cursor, &model, chunk, SNAPSHOT_CHUNK_BYTES)) > 0)
            error = snapshot_writer_chunk(writer, model, chunk, len);
        if (error == 0) error = snapshot_writer_end(writer);
        mem_free(chunk);
        io->ops->file_close(file.file);
    }
    snapshot_writer_free(writer);
    if (error == 0) error = snapshot_store_commit(store, index, term);
    if (error != 0) snapshot_store_abandon(store, index, term);
    return error;
}

// All are verified; the newest readable one becomes the state.
static void read_snapshots(struct io *io, struct verified *v) {
    struct snapshot_entry entries[SNAPSHOTS_SEEN_MAX];
    v->snapshots = snapshot_store_list(v->store, entries, SNAPSHOTS_SEEN_MAX);
    if (v->snapshots > SNAPSHOTS_SEEN_MAX) v->snapshots = SNAPSHOTS_SEEN_MAX;
    for (size_t i = 0; i < v->snapshots; i++) {
        char path[4096], error[512];
        struct snapshot_meta meta;
        struct machine *machine = machine_new(v->identity.member_id, 0, NULL);
        snapshot_store_path(v->store, entries[i].index, entries[i].term, path);
        if (verify_load(io, path, machine, &meta, error) != 0) {
            problem(v, "%s", error);
            v->damaged = true;
            v->snapshots_bad++;
            machine_free(machine);
        } else if (v->machine == NULL) {
            v->machine = machine;
            v->snapshot_index = meta.index;
            v->snapshot_term = meta.term;
            v->snapshot_bytes = entries[i].bytes;
            memcpy(v->cluster_id, meta.cluster_id, sizeof v->cluster_id);
        } else {
            machine_free(machine);
        }
    }
}

// ---- the journal
struct replay {
    struct verified *verified;
    bool stopped;
};

static void replay_batch(void *context, const struct batch_ref *batch) {
    struct replay *replay = context;
    struct verified *v = replay->verified;
    char error[256];
    if (replay->stopped || v->machine == NULL) return;
    uint64_t applied = machine_applied(v->machine);
    if (batch->last <= applied) return;
    if (batch->first != applied + 1) {
        problem(v, "the journal goes on at index %llu, but the state ends at %llu: entries are missing",
                (unsigned long long)batch->first, (unsigned long long)applied);
        v->damaged = replay->stopped = true;
        return;
    }
    if (machine_apply(v->machine, batch, error) != 0) {
        problem(v, "index %llu cannot be applied: %s", (unsigned long long)batch->first, error);
        replay->stopped = true; // a newer binary's entries: not damage
        return;
    }
    v->replayed += batch->last - batch->first + 1;
}

static int read_journal(struct io *io, struct verified *v, const char *path) {
    char folder[4096], torn[4096];
    snprintf(folder, sizeof folder, "%s/journal", path);
    snprintf(torn, sizeof torn, "%s/torn", path);
    struct journal_options options = {
        .io = io, .folder = folder, .torn_folder = torn, .align = 512, .segment_bytes = 64u << 20, .read_only = true};
    struct replay replay = {.verified = v};
    struct journal *journal = NULL;
    struct journal_error error;
    int result = journal_open(&options, replay_batch, &replay, &v->journal, &journal, &error);
    if (result < 0) {
        problem(v, "%s", error.text);
        v->damaged |= error.damage;
        return result;
    }
    journal_close(journal);
    if (v->machine == NULL && v->journal.last_index > 0) {
        problem(v, "the journal holds entries up to %llu, but there is no readable snapshot where they begin",
                (unsigned long long)v->journal.last_index);
        v->damaged = true;
    } else if (v->machine != NULL && v->journal.start_index > v->snapshot_index) {
        problem(
            v, "the journal begins behind index %llu, but the newest readable snapshot is of %llu: entries are missing",
            (unsigned long long)v->journal.start_index, (unsigned long long)v->snapshot_index);
        v->damaged = true;
    }
    return v->damaged || replay.stopped ? -EBADMSG : 0;
}

// ---- all of it
int verify_open(struct io *io, const char *path, struct verified *v) {
    char text[512], place[4200];
    struct stat status;
    ENSURE(path != NULL && path[0] != 0);
    *v = (struct verified){0};
    snprintf(place, sizeof place, "%s/identity", path);
    bool there = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    if (!there || stat(place, &status) != 0) { // opening would make one
        char journal[4200];
        snprintf(journal, sizeof journal, "%s/journal", path);
        if (there && stat(journal, &status) == 0) {
            problem(v, "%s is missing, but the folder holds a journal", place);
            v->damaged = true;
        } else {
            problem(v, "%s is no data folder of Parley: %s", path,
                    there ? "it has no file `identity`" : "no such folder");
        }
        return -ENOENT;
    }
    int result = folder_open(io, path, 0, &v->folder, text);
    if (result != 0) {
        v->folder = NULL;
        v->damaged = result == -EBADMSG;
        problem(v, "%s", text);
        return result;
    }
    v->identity = *folder_identity(v->folder);
    snprintf(place, sizeof place, "%s/snapshots", path);
    result = snapshot_store_open(io, NULL, place, &v->store, text);
    if (result != 0) {
        v->store = NULL;
        problem(v, "%s", text);
        return result;
    }
    read_snapshots(io, v);
    result = read_journal(io, v, path);
    if (v->machine != NULL) {
        v->digest = machine_digest(v->machine);
        if (!digest_equal(v->digest, machine_digest_recount(v->machine))) {
            problem(v, "the digest of the rebuilt state differs from its recount: this is a fault of Parley, please "
                       "report it");
            v->damaged = true;
        }
    }
    return result == 0 && v->damaged ? -EBADMSG : result;
}

void verify_close(struct verified *v) {
    if (v->machine != NULL) machine_free(v->machine);
    if (v->store != NULL) snapshot_store_close(v->store);
    if (v->folder != NULL) folder_close(v->folder);
    writer_free(&v->problems);
}

bool verify_is_damaged(const char *path) {
    struct io *io = io_uv_new(&(struct io_uv_options){.journal_thread_name = NULL});
    struct verified v;
    if (io == NULL) return false;
    verify_open(io, path, &v);
    bool damaged = v.damaged;
    verify_close(&v);
    io_uv_free(io);
    return damaged;
}
