// Batches, sections, memberships, and what the state machine does with decoded ones.
//   first byte & 3: 0 bytes as a batch (sealed again if 4 is set)   1 bytes as sections   2 bytes as a membership
//                   3 a program: batches of commands, applied; then saved, loaded, compared
#include "consensus/batch.h"
#include "consensus/membership.h"
#include "model/lease/lease.h"
#include "model/tree/tree.h"
#include "replica/machine.h"
#include "test/fuzz/fuzz.h"

static void walk_sections(struct bytes body) {
    struct reader r = reader_of(body.data, body.len);
    struct section section;
    struct writer again = {0};
    while (section_read(&r, &section)) {
        struct reader commands = reader_of(section.commands.data, section.commands.len);
        for (uint32_t i = 0; i < section.count; i++) {
            struct command command;
            struct bytes span = read_span(&commands, read_u32_le(&commands));
            ENSURE(!commands.failed); // section_read's promise
            command_read(&command, span);
        }
        ENSURE(reader_done(&commands));
        section_write(&again, &section);
    }
    if (!r.failed) ENSURE(again.len == body.len && (body.len == 0 || memcmp(again.data, body.data, body.len) == 0));
    writer_free(&again);
}

static void one_membership(struct bytes span) {
    struct raft_membership m, again;
    if (!membership_decode(&m, span)) {
        ENSURE(m.count == 0 && m.members == NULL);
        return;
    }
    struct writer w = {0}, v = {0};
    membership_encode(&m, &w);
    ENSURE(membership_decode(&again, bytes_of(w.data, w.len)));
    membership_encode(&again, &v);
    ENSURE(w.len == v.len && memcmp(w.data, v.data, w.len) == 0);
    ENSURE(m.joint == again.joint && m.count <= MEMBERS_MAX);
    membership_voters(&m);
    bool joint = m.joint;
    ENSURE(membership_leave_joint(&m) == joint);
    ENSURE(!m.joint);
    membership_free(&m);
    membership_free(&again);
    writer_free(&w);
    writer_free(&v);
}

// ---- programs

static uint64_t owns, events;
static void count_own(void *context, uint64_t seq, const struct result *result) {
    owns++;
}
static void count_event(void *context, uint8_t model, const void *event) {
    events++;
    if (model != MODEL_TREE) return;
    const struct tree_event *e = event;
    ENSURE(e->path.len > 0 && e->path.data[0] == '/');
    tree_event_allows(e, (struct tree_identities){bytes_of(NULL, 0)});
}

static const char *const paths[] = {"/",  "/a",     "/a/b",     "/a/b/c", "/zookeeper",       "/zookeeper/config",
                                    "/q", "/q/job", "/x/y/z/w", "/a/b-",  "/zookeeper/quota", "a",
                                    "//", "/a/",    "/c",       "/a/d"};

static struct bytes take_path(struct take *t) {
    uint8_t which = take_u8(t);
    if (which < 240) return bytes_of_text(paths[which % 16]);
    return take_bytes(t, which - 239u);
}

static void operation(struct take *t, struct writer *w, uint8_t *op) {
    struct tree_acl_entry acl[3] = {{31, bytes_of_text("world"), bytes_of_text("anyone")},
                                    {take_u8(t), bytes_of_text("digest"), bytes_of_text("u:p")},
                                    {1, bytes_of_text("ip"), bytes_of_text("10.0.0.0/8")}};
    struct bytes path = take_path(t);
    uint8_t flags = take_u8(t);
    int32_t version = (int32_t)(flags >> 4) - 1;
    struct bytes value = take_bytes(t, take_u8(t));
    switch (*op) {
    case TREE_OP_CREATE:
        tree_write_create(w, path, flags & 64 ? NULL : &value, acl, 1 + (flags >> 7), flags & 15,
                          flags & TREE_TTL ? take_number(t) : 0);
        break;
    case TREE_OP_DELETE:
        tree_write_delete(w, path, version);
        break;
    case TREE_OP_SET:
        tree_write_set(w, path, flags & 1 ? NULL : &value, version);
        break;
    case TREE_OP_SET_ACL:
        tree_write_set_acl(w, path, acl, flags & 3, version);
        break;
    default:
        *op = TREE_OP_CHECK;
        tree_write_check(w, path, version);
    }
}

static void command(struct take *t, struct writer *w, struct machine *machine) {
    uint8_t kind = take_u8(t);
    uint64_t session = 0, attach = 0;
    if (kind & 0x80) { // a session that may be there
        session = attach = take_u8(t);
        const struct lease *lease = lease_find(machine_leases(machine), session);
        if (lease != NULL) attach = lease->attach;
    }
    static const uint8_t password[LEASE_PASSWORD_BYTES];
    uint8_t op = 0;
    switch (kind & 15) {
    case 0: // anything
        write_span(w, take_bytes(t, take_u8(t)));
        break;
    case 1:
        lease_write_attach(w, kind & 0x10 ? session : 0, password, take_u16(t) * 10, LEASE_KIND_ZOOKEEPER, 1, 5);
        break;
    case 2:
        lease_write_close(w, session, attach);
        break;
    case 3:
        lease_write_expire(w, session, attach);
        break;
    case 4:
        group_write_time(w);
        break;
    case 5:
        group_write_unix_offset(w, (int64_t)take_number(t));
        break;
    case 6: {
        command_write_head(w, MODEL_TREE, TREE_OP_MULTI, session, attach);
        write_u8(w, 0); // no identities
        size_t count = take_u8(t) % 6;
        tree_write_multi(w, count + (kind >> 6 & 1));
        for (size_t i = 0; i < count; i++) {
            struct writer part = {0};
            op = (uint8_t)(1 + take_u8(t) % 5);
            operation(t, &part, &op);
            tree_multi_part(w, op, bytes_of(part.data, part.len));
            writer_free(&part);
        }
        break;
    }
    case 7: {
        struct lease checkpoint = {.session = session, .attach = attach, .remaining_ms = take_number(t)};
        lease_write_checkpoint(w, &checkpoint, 1);
        break;
    }
    case 8: // head of a known model, arguments of any bytes
        command_write_head(w, take_u8(t) % MODEL_COUNT, take_u8(t) % 8, session, attach);
        write_span(w, take_bytes(t, take_u8(t)));
        break;
    default:
        op = (uint8_t)(1 + kind % 4);
        command_write_head(w, MODEL_TREE, op, session, attach);
        write_u8(w, 0);
        operation(t, w, &op);
    }
}

static void add_members(struct raft_membership *m, uint8_t count) {
    for (uint8_t id = 1; id <= count; id++) {
        struct member *member = membership_add(m, id);
        memset(member->incarnation, id, INCARNATION_BYTES);
        member->role = MEMBER_VOTER;
        snprintf(member->address[ADVERTISED_ZOOKEEPER], ADDRESS_TEXT_MAX, "node%u:2181", id);
    }
}

static void make_body(struct take *t, struct machine *machine, struct batch_header *header, struct writer *body) {
    if (header->kind == BATCH_MEMBERSHIP) {
        struct raft_membership m;
        membership_init(&m);
        add_members(&m, take_u8(t) % 5);
        membership_encode(&m, body);
        membership_free(&m);
        return;
    }
    if (header->kind == BATCH_EMPTY) return;
    uint8_t sections = (uint8_t)(1 + take_u8(t) % 3);
    header->count = 0;
    for (uint8_t s = 0; s < sections; s++) {
        struct writer commands = {0};
        uint8_t how = take_u8(t);
        struct section section = {.origin = how & 3, .count = 1 + (how >> 2 & 3)};
        if (section.origin != 0) {
            section.boot = 5 + (how >> 7);
            struct machine_stream streams[8];
            size_t count = machine_streams(machine, streams, 8);
            section.first_seq = 1 + (how >> 4 & 3);
            for (size_t i = 0; i < count; i++)
                if (streams[i].member == section.origin && how & 64) section.first_seq = streams[i].last_seq + 1;
        }
        for (uint32_t i = 0; i < section.count; i++) {
            struct writer one = {0};
            if (section.origin != 0 && section.first_seq + i == 1) {
                uint8_t incarnation[INCARNATION_BYTES];
                memset(incarnation, (int)section.origin, sizeof incarnation);
                group_write_stream_open(&one, incarnation, section.origin, section.boot);
            } else {
                command(t, &one, machine);
            }
            write_u32_le(&commands, (uint32_t)one.len);
            write_span(&commands, bytes_of(one.data, one.len));
            writer_free(&one);
        }
        section.commands = bytes_of(commands.data, commands.len);
        section_write(body, &section);
        header->count += section.count;
        writer_free(&commands);
    }
}

static struct machine *start(void) {
    struct machine_sink sink = {.own = count_own, .event = count_event};
    struct machine *machine = machine_new(1, 5, &sink);
    struct raft_membership m;
    membership_init(&m);
    add_members(&m, 3);
    machine_genesis(machine, 1, 1, 1000, 1700000000000, &m);
    membership_free(&m);
    return machine;
}

static void save_load_compare(struct machine *machine) {
    struct digest digest = machine_digest(machine);
    ENSURE(digest_equal(digest, machine_digest_recount(machine)));
    struct machine *other = machine_new(2, 9, NULL);
    struct machine_cursor cursor = {0};
    static uint8_t chunk[256u << 10];
    for (;;) {
        uint8_t model = 0;
        size_t len = machine_save(machine, &cursor, &model, chunk, sizeof chunk);
        if (len == 0) break;
        uint8_t *copy = exact(bytes_of(chunk, len));
        ENSURE(machine_load(other, model, copy, len) == 0);
        mem_free(copy);
    }
    struct writer m = {0};
    membership_encode(machine_membership(machine), &m);
    ENSURE(machine_load_finish(other, machine_applied(machine), machine_applied_term(machine),
                               machine_log_time_ms(machine), bytes_of(m.data, m.len), digest) == 0);
    ENSURE(digest_equal(digest, machine_digest_recount(other)));
    ENSURE(machine_memory(machine) == machine_memory(other));
    ENSURE(machine_next_deadline_ms(machine) == machine_next_deadline_ms(other));
    writer_free(&m);
    machine_free(other);
}

static void program(struct take *t) {
    struct machine *machine = start();
    uint64_t log_time = 1000;
    bool stopped = false;
    for (int i = 0; i < 64 && t->left > 0 && !stopped; i++) {
        uint8_t how = take_u8(t);
        struct batch_header header = {.kind = how % 8 == 0   ? BATCH_MEMBERSHIP
                                              : how % 8 == 1 ? BATCH_EMPTY
                                                             : BATCH_COMMANDS,
                                      .count = 1,
                                      .first_index = machine_applied(machine) + 1,
                                      .term = machine_applied_term(machine) + (how >> 7),
                                      .seed = how};
        log_time += how & 0x40 ? take_number(t) : how;
        header.log_time_ms = log_time;
        struct writer body = {0};
        make_body(t, machine, &header, &body);
        uint8_t twist = take_u8(t);
        if (twist >= 250) header.count += (uint32_t)twist - 249; // another number than its sections hold
        if (twist >= 240 && twist < 250 && body.len > 0) {       // a byte of the body is another
            body.data[take_u16(t) % body.len] = take_u8(t);
        }
        struct batch_ref ref = batch_make(&header, bytes_of(body.data, body.len));
        writer_free(&body);
        struct batch_header decoded;
        if (batch_decode(ref.buf->data, ref.buf->len, &decoded)) { // what it refuses never comes here
            char error[256] = "";
            int result = machine_apply(machine, &ref, error);
            ENSURE((result == 0) == (error[0] == 0));
            if (result != 0) stopped = true; // the node stops
            if (result == 0) ENSURE(machine_applied(machine) == ref.last);
        }
        batch_ref_release(&ref);
    }
    if (!stopped) save_load_compare(machine);
    machine_free(machine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct take t = take_of(data, size);
    uint8_t mode = take_u8(&t);
    if ((mode & 3) == 3) {
        program(&t);
        return 0;
    }
    struct bytes rest = bytes_of(NULL, t.left);
    uint8_t *copy = exact(bytes_of(t.data, t.left));
    rest.data = copy;
    if ((mode & 3) == 0) {
        struct batch_header header;
        if (mode & 4 && rest.len >= BATCH_HEADER_BYTES) {
            struct buf *buf = buf_copy(copy, rest.len);
            put_u32_le(buf->data + 4, BATCH_MAGIC);
            put_u16_le(buf->data + 14, BATCH_VERSION);
            put_u32_le(buf->data + 16, (uint32_t)(rest.len - BATCH_HEADER_BYTES));
            batch_seal(buf);
            memcpy(copy, buf->data, rest.len);
            buf_unref(buf);
        }
        if (batch_decode(copy, rest.len, &header)) {
            ENSURE(header.count >= 1 && header.body_bytes == rest.len - BATCH_HEADER_BYTES);
            ENSURE(header.first_index + header.count > header.first_index);
            walk_sections(bytes_of(copy + BATCH_HEADER_BYTES, header.body_bytes));
        }
    } else if ((mode & 3) == 1) {
        walk_sections(rest);
    } else {
        one_membership(rest);
    }
    mem_free(copy);
    return 0;
}
