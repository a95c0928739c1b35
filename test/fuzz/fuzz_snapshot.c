// Snapshot files and the models' chunks, changed. A file is loaded or refused with a text; a chunk is taken or refused;
// a state that was taken has the digest of its recount, saves and loads to the same, and takes commands.
//   first byte & 3: 0 a valid file, changed (sums made right again if 4 is set)   1 bytes as a file
//                   2 chunks of bytes   3 the chunks of a valid state, changed
#include <errno.h>

#include "base/crc32c.h"
#include "model/lease/lease.h"
#include "model/tree/tree.h"
#include "replica/machine.h"
#include "storage/snapshot_format.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/support/memory_io.h"

static struct writer image;  // a valid file
static struct writer chunks; // model u8, length u16 big-endian, bytes each: of the same state

static void section_command(struct writer *body, struct writer *command) {
    struct writer framed = {0};
    write_u32_le(&framed, (uint32_t)command->len);
    write_span(&framed, bytes_of(command->data, command->len));
    struct section section = {.count = 1, .commands = bytes_of(framed.data, framed.len)};
    section_write(body, &section);
    writer_free(&framed);
    writer_free(command);
}

static void apply_one(struct machine *machine, struct writer *command) {
    struct writer body = {0};
    section_command(&body, command);
    struct batch_header header = {.kind = BATCH_COMMANDS,
                                  .count = 1,
                                  .first_index = machine_applied(machine) + 1,
                                  .term = 1,
                                  .log_time_ms = machine_log_time_ms(machine) + 10};
    struct batch_ref batch = batch_make(&header, bytes_of(body.data, body.len));
    char error[256];
    ENSURE(machine_apply(machine, &batch, error) == 0);
    batch_ref_release(&batch);
    writer_free(&body);
}

static struct writer tree_command(uint8_t op, uint64_t session) {
    struct writer w = {0};
    command_write_head(&w, MODEL_TREE, op, session, session);
    write_u8(&w, 0);
    return w;
}

static void create(struct machine *machine, const char *path, const char *data, uint8_t flags, uint64_t session,
                   const char *scheme) {
    struct tree_acl_entry acl = {31, bytes_of_text(scheme), bytes_of_text(scheme[0] == 'w' ? "anyone" : "u:x")};
    struct bytes value = bytes_of_text(data == NULL ? "" : data);
    struct writer w = tree_command(TREE_OP_CREATE, session);
    tree_write_create(&w, bytes_of_text(path), data == NULL ? NULL : &value, &acl, 1, flags, 5000);
    apply_one(machine, &w);
}

static void some_commands(struct machine *machine) {
    static const uint8_t password[LEASE_PASSWORD_BYTES];
    struct writer w = {0};
    lease_write_attach(&w, 0, password, 4000, LEASE_KIND_ZOOKEEPER, 1, 5);
    apply_one(machine, &w);
    uint64_t session = machine_applied(machine);
    create(machine, "/a", "some data", 0, 0, "world");
    create(machine, "/a/b", NULL, 0, 0, "digest");
    create(machine, "/a/n-", "1", TREE_SEQUENTIAL, 0, "world");
    create(machine, "/a/e", "2", TREE_EPHEMERAL, session, "world");
    create(machine, "/c", "", TREE_CONTAINER, 0, "world");
    create(machine, "/c/x", "", 0, 0, "world");
    create(machine, "/t", "ttl", TREE_TTL, 0, "world");
    w = tree_command(TREE_OP_DELETE, 0);
    tree_write_delete(&w, bytes_of_text("/c/x"), -1);
    apply_one(machine, &w);
}

static void save_all(struct machine *machine, int (*take)(void *context, uint8_t model, const void *data, size_t len),
                     void *context) {
    struct machine_cursor cursor = {0};
    static uint8_t chunk[SNAPSHOT_CHUNK_BYTES];
    for (;;) {
        uint8_t model = 0;
        size_t len = machine_save(machine, &cursor, &model, chunk, sizeof chunk);
        if (len == 0) return;
        ENSURE(take(context, model, chunk, len) == 0);
    }
}
static int to_chunks(void *context, uint8_t model, const void *data, size_t len) {
    write_u8(context, model);
    write_u8(context, (uint8_t)(len >> 8));
    write_u8(context, (uint8_t)len);
    write_span(context, bytes_of(data, len));
    return 0;
}
static int to_snapshot(void *context, uint8_t model, const void *data, size_t len) {
    return snapshot_writer_chunk(context, model, data, len);
}
static int to_machine(void *context, uint8_t model, const void *data, size_t len) {
    uint8_t *copy = exact(bytes_of(data, len));
    int result = machine_load(context, model, copy, len);
    ENSURE(result == 0 || result == -EBADMSG || result == -ENOTSUP); // the last: an apply level above this binary's
    mem_free(copy);
    return result;
}
static int to_writer(void *context, const void *data, size_t len) {
    write_span(context, bytes_of(data, len));
    return 0;
}

static void members(struct writer *w) {
    struct raft_membership m;
    membership_init(&m);
    struct member *member = membership_add(&m, 1);
    member->role = MEMBER_VOTER;
    snprintf(member->address[ADVERTISED_ZOOKEEPER], ADDRESS_TEXT_MAX, "localhost:2181");
    membership_encode(&m, w);
    membership_free(&m);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    struct machine *machine = machine_new(1, 5, NULL);
    struct raft_membership m;
    struct writer encoded = {0};
    members(&encoded);
    ENSURE(membership_decode(&m, bytes_of(encoded.data, encoded.len)));
    machine_genesis(machine, 1, 1, 1000, 1700000000000, &m);
    membership_free(&m);
    some_commands(machine);
    struct snapshot_meta meta = {.index = machine_applied(machine),
                                 .term = 1,
                                 .log_time_ms = machine_log_time_ms(machine),
                                 .membership = bytes_of(encoded.data, encoded.len),
                                 .digest = machine_digest(machine)};
    struct snapshot_writer *writer = snapshot_writer_new(&meta);
    struct snapshot_sink sink = {.write = to_writer, .context = &image};
    ENSURE(snapshot_writer_begin(writer, &sink) == 0);
    save_all(machine, to_snapshot, writer);
    save_all(machine, to_chunks, &chunks);
    ENSURE(snapshot_writer_end(writer) == 0);
    snapshot_writer_free(writer);
    machine_free(machine);
    writer_free(&encoded);
    return 0;
}

// A state that was taken from bytes is a state like any other.
static void use(struct machine *machine) {
    struct digest digest = machine_digest(machine);
    ENSURE(digest_equal(digest, machine_digest_recount(machine)));
    struct machine *other = machine_new(2, 9, NULL);
    save_all(machine, to_machine, other);
    ENSURE(digest_equal(digest, machine_digest(other)));
    machine_free(other);
    if (machine_applied(machine) > UINT64_MAX - 100 || machine_log_time_ms(machine) > UINT64_MAX / 2) return;
    some_commands(machine);
    struct writer w = {0};
    group_write_time(&w);
    apply_one(machine, &w);
    static const char *const paths[] = {"/a/b", "/a/e", "/a", "/c", "/t", "/b"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        w = tree_command(TREE_OP_DELETE, 0);
        tree_write_delete(&w, bytes_of_text(paths[i]), -1);
        apply_one(machine, &w);
    }
    struct raft_membership none;
    membership_copy(&none, machine_membership(machine));
    machine_reset(machine, machine_applied(machine) + 10, machine_applied_term(machine), &none); // ends all sessions
    membership_free(&none);
    ENSURE(digest_equal(machine_digest(machine), machine_digest_recount(machine)));
}

static void seal(struct writer *w) {
    if (w->len < SNAPSHOT_HEADER_BYTES + SNAPSHOT_TRAILER_BYTES) return;
    size_t end = w->len - SNAPSHOT_TRAILER_BYTES, at = SNAPSHOT_HEADER_BYTES, members = get_u32_le(w->data + 12);
    uint64_t count = 0;
    if (members > end - at) return;
    put_u32_le(w->data + 4, crc32c(0, w->data + 8, SNAPSHOT_HEADER_BYTES - 8 + members));
    at += members;
    while (end - at >= SNAPSHOT_CHUNK_HEADER_BYTES) {
        uint8_t *head = w->data + at;
        size_t packed = get_u32_le(head + 4);
        if (packed > end - at - SNAPSHOT_CHUNK_HEADER_BYTES) break;
        uint32_t crc = crc32c(crc32c(crc32c(0, head, 8), head + 12, 4), head + SNAPSHOT_CHUNK_HEADER_BYTES, packed);
        put_u32_le(head + 8, crc);
        at += SNAPSHOT_CHUNK_HEADER_BYTES + packed;
        count++;
    }
    uint8_t *trailer = w->data + end;
    put_u64_le(trailer + 8, count);
    put_u64_le(trailer + 16, end);
    put_u32_le(trailer + 40, crc32c(0, w->data, end));
    put_u32_le(trailer + 4, crc32c(0, trailer + 8, SNAPSHOT_TRAILER_BYTES - 8));
}

static void load_file(struct writer *file) {
    struct memory_io *m = memory_io_new(1);
    memory_io_put(m, "/s", file->data, file->len);
    struct snapshot_meta meta = {0}, again = {0};
    struct writer membership = {0};
    char error[512];
    int verified = snapshot_load(memory_io_io(m), "/s", &again, &membership, NULL, NULL, error);
    ENSURE((verified == 0) == (error[0] == 0));
    struct machine *machine = machine_new(1, 5, NULL);
    int result = snapshot_load(memory_io_io(m), "/s", &meta, &membership, to_machine, machine, error);
    ENSURE((result == 0) == (error[0] == 0));
    if (result == 0) ENSURE(verified == 0);
    if (result == 0 &&
        machine_load_finish(machine, meta.index, meta.term, meta.log_time_ms, meta.membership, meta.digest) == 0)
        use(machine);
    machine_free(machine);
    ENSURE(memory_io_open_files(m) == 0);
    writer_free(&membership);
    memory_io_free(m);
}

static void load_chunks(struct take *t) {
    struct machine *machine = machine_new(1, 5, NULL);
    int result = 0;
    while (t->left > 0 && result == 0) {
        uint8_t model = take_u8(t);
        size_t len = take_u16(t);
        struct bytes chunk = take_bytes(t, len);
        result = to_machine(machine, model % (MODEL_COUNT + 1), chunk.data, chunk.len);
    }
    struct writer m = {0};
    members(&m);
    if (result == 0 && machine_load_finish(machine, 5, 1, 77, bytes_of(m.data, m.len), machine_digest(machine)) == 0)
        use(machine);
    writer_free(&m);
    machine_free(machine);
}

static void change(struct take *t, struct writer *to, const struct writer *from) {
    write_span(to, bytes_of(from->data, from->len));
    while (t->left > 0) {
        uint8_t what = take_u8(t);
        size_t at = take_u16(t) % (to->len + 1);
        struct bytes raw = take_bytes(t, what % 16);
        if (what < 240 && at + raw.len <= to->len && raw.len > 0)
            memcpy(to->data + at, raw.data, raw.len);
        else if (what >= 248)
            to->len = at;
        else if (what >= 240)
            write_span(to, raw);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct take t = take_of(data, size);
    uint8_t mode = take_u8(&t);
    struct writer file = {0};
    if ((mode & 3) == 0) {
        change(&t, &file, &image);
        if (mode & 4) seal(&file);
        load_file(&file);
    } else if ((mode & 3) == 3) {
        change(&t, &file, &chunks);
        struct take changed = take_of(file.data, file.len);
        load_chunks(&changed);
    } else if ((mode & 3) == 1) {
        write_span(&file, bytes_of(t.data, t.left));
        load_file(&file);
    } else {
        load_chunks(&t);
    }
    writer_free(&file);
    return 0;
}
