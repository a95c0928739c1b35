#include "test/unit/support/journal_rig.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"

void journal_rig_init(struct journal_rig *r, uint64_t seed, uint64_t segment_bytes) {
    memset(r, 0, sizeof *r);
    r->m = memory_io_new(seed);
    prng_seed(&r->prng, seed ^ 0x5a5a);
    struct io *io = memory_io_io(r->m);
    io->ops->mkdir(io, "/d", 0700);
    r->options = (struct journal_options){
        .io = io, .folder = "/d/journal", .torn_folder = "/d/torn", .align = 512, .segment_bytes = segment_bytes};
    r->term = 1;
}

static void add_batch(struct journal_rig_state *s, const struct batch_ref *b) {
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 64;
        s->batches = mem_realloc(s->batches, s->capacity * sizeof *s->batches);
    }
    s->batches[s->count++] = (struct journal_rig_batch){
        .first = b->first, .last = b->last, .term = b->term, .crc = crc32c(0, b->buf->data, b->buf->len)};
    s->last_index = b->last;
    s->last_term = b->term;
}

void journal_rig_state_free(struct journal_rig_state *s) {
    mem_free(s->batches);
    memset(s, 0, sizeof *s);
}

static void free_ops(struct journal_rig *r) {
    for (size_t i = 0; i < r->op_count; i++) {
        for (size_t b = 0; b < r->ops[i]->append.batch_count; b++) batch_ref_release(&r->ops[i]->append.batches[b]);
        mem_free(r->ops[i]->append.batches);
        mem_free(r->ops[i]);
    }
    r->op_count = r->acknowledged = 0;
}

void journal_rig_stop(struct journal_rig *r) {
    if (r->journal) journal_abandon(r->journal);
    r->journal = NULL;
}

void journal_rig_free(struct journal_rig *r) {
    journal_rig_stop(r);
    free_ops(r);
    journal_rig_state_free(&r->base);
    journal_rig_state_free(&r->found);
    mem_free(r->ops);
    memory_io_free(r->m);
}

static void found_batch(void *context, const struct batch_ref *batch) {
    struct journal_rig *r = context;
    add_batch(&r->found, batch);
}

static void on_fatal(void *context, const char *text) {
    ((struct journal_rig *)context)->fatal++;
}

int journal_rig_open(struct journal_rig *r) {
    journal_rig_state_free(&r->found);
    int result = journal_open(&r->options, found_batch, r, &r->recovered, &r->journal, &r->error);
    if (result < 0) {
        r->journal = NULL;
        return result;
    }
    r->found.hard = r->recovered.hard;
    r->found.start_index = r->recovered.start_index;
    r->found.start_term = r->recovered.start_term;
    if (r->found.count == 0) {
        r->found.last_index = r->recovered.start_index;
        r->found.last_term = r->recovered.start_term;
    }
    ENSURE(r->found.last_index == r->recovered.last_index);
    journal_on_fatal(r->journal, on_fatal, r);
    return 0;
}

static void done(struct journal_append *append, int result) {
    struct journal_rig *r = append->context;
    struct journal_rig_op *op = (struct journal_rig_op *)(void *)append;
    ENSURE(!op->answered);
    op->answered = true;
    op->result = result;
    if (result == 0) {
        ENSURE(r->ops[r->acknowledged] == op); // in order
        r->acknowledged++;
        return;
    }
    ENSURE(result == -ENOSPC);
    op->failed = true;
}

// One section; the last of its commands takes what is left of the bytes, so that they are so many in all.
static void write_commands(struct writer *w, uint32_t count, struct bytes bytes) {
    size_t overhead = SECTION_HEADER_BYTES + 4u * count;
    size_t left = bytes.len > overhead ? bytes.len - overhead : 0;
    write_u32_le(w, 1);
    write_u64_le(w, 1);
    write_u64_le(w, 1);
    write_u32_le(w, count);
    write_u32_le(w, (uint32_t)(4u * count + left));
    for (uint32_t i = 1; i < count; i++) write_u32_le(w, 0);
    write_u32_le(w, (uint32_t)left);
    write_span(w, bytes_of(bytes.data, left));
}

struct journal_rig_op *journal_rig_append_full(struct journal_rig *r, const struct journal_hard *hard, uint64_t start,
                                               uint64_t start_term, uint64_t truncate_from, uint32_t batches,
                                               size_t body_bytes) {
    struct journal_rig_op *op = mem_zalloc(sizeof *op);
    op->append.done = done;
    op->append.context = r;
    if (hard) {
        op->hard = *hard;
        op->has_hard = true;
        op->append.hard = &op->hard;
    }
    if (start) {
        op->append.has_start = true;
        op->append.start_index = start;
        op->append.start_term = start_term;
        r->last_index = r->start_index = start;
    }
    if (truncate_from) {
        op->append.truncate_from = truncate_from;
        r->last_index = truncate_from - 1;
    }
    op->append.batches = mem_zalloc((batches + 1) * sizeof *op->append.batches);
    op->append.batch_count = batches;
    for (uint32_t i = 0; i < batches; i++) {
        uint8_t *body = mem_alloc(body_bytes);
        for (size_t b = 0; b < body_bytes; b++) body[b] = (uint8_t)prng_next(&r->prng);
        uint32_t count = 1 + (uint32_t)prng_below(&r->prng, 3);
        struct writer section;
        writer_init(&section);
        write_commands(&section, count, bytes_of(body, body_bytes));
        if (r->broken_sections) section.data[SECTION_HEADER_BYTES - 4]++; // its length
        struct batch_header header = {.kind = BATCH_COMMANDS,
                                      .count = count,
                                      .first_index = r->last_index + 1,
                                      .term = r->term,
                                      .seed = prng_next(&r->prng)};
        op->append.batches[i] = batch_make(&header, bytes_of(section.data, section.len));
        writer_free(&section);
        mem_free(body);
        r->last_index = op->append.batches[i].last;
    }
    if (r->op_count == r->op_capacity) {
        r->op_capacity = r->op_capacity ? r->op_capacity * 2 : 64;
        r->ops = mem_realloc(r->ops, r->op_capacity * sizeof(struct journal_rig_op *));
    }
    r->ops[r->op_count++] = op;
    journal_append(r->journal, &op->append);
    return op;
}

struct journal_rig_op *journal_rig_append(struct journal_rig *r, uint32_t batches, size_t body_bytes) {
    return journal_rig_append_full(r, NULL, 0, 0, 0, batches, body_bytes);
}

static void copy_state(const struct journal_rig_state *from, struct journal_rig_state *to) {
    *to = *from;
    to->batches = mem_alloc((from->count + 1) * sizeof *to->batches);
    if (from->count) memcpy(to->batches, from->batches, from->count * sizeof *to->batches);
    to->capacity = from->count + 1;
}

void journal_rig_state_after(const struct journal_rig *r, size_t ops, struct journal_rig_state *s) {
    copy_state(&r->base, s);
    for (size_t i = 0; i < ops; i++) {
        const struct journal_rig_op *op = r->ops[i];
        if (op->has_hard) s->hard = op->hard;
        if (op->append.has_start) {
            s->count = 0;
            s->start_index = s->last_index = op->append.start_index;
            s->start_term = s->last_term = op->append.start_term;
        }
        if (op->append.truncate_from) {
            while (s->count > 0 && s->batches[s->count - 1].first >= op->append.truncate_from) s->count--;
            s->last_index = s->count ? s->batches[s->count - 1].last : s->start_index;
            s->last_term = s->count ? s->batches[s->count - 1].term : s->start_term;
            ENSURE(s->last_index == op->append.truncate_from - 1);
        }
        for (size_t b = 0; b < op->append.batch_count; b++) add_batch(s, &op->append.batches[b]);
    }
}

// cut_index: batches at the front may be gone up to there, then the start is the end of what is gone.
bool journal_rig_state_equal(const struct journal_rig_state *want, const struct journal_rig_state *got,
                             uint64_t cut_index) {
    if (want->hard.term != got->hard.term || want->hard.voted_for != got->hard.voted_for) return false;
    if (want->last_index != got->last_index || got->count > want->count) return false;
    size_t gone = want->count - got->count;
    uint64_t start = gone ? want->batches[gone - 1].last : want->start_index;
    uint64_t term = gone ? want->batches[gone - 1].term : want->start_term;
    if (got->start_index != start || got->start_term != term || (gone && start > cut_index)) return false;
    return got->count == 0 || memcmp(want->batches + gone, got->batches, got->count * sizeof *got->batches) == 0;
}

size_t journal_rig_match(const struct journal_rig *r, size_t least, size_t most) {
    for (size_t n = least; n <= most; n++) {
        struct journal_rig_state s;
        journal_rig_state_after(r, n, &s);
        bool equal = journal_rig_state_equal(&s, &r->found, r->cut_index);
        journal_rig_state_free(&s);
        if (equal) return n;
    }
    return SIZE_MAX;
}

void journal_rig_settle(struct journal_rig *r, size_t ops) {
    free_ops(r);
    journal_rig_state_free(&r->base);
    copy_state(&r->found, &r->base);
    r->last_index = r->base.last_index;
    r->start_index = r->base.start_index;
    if (r->term < r->base.last_term) r->term = r->base.last_term;
    if (r->term < r->base.hard.term) r->term = r->base.hard.term;
}

void journal_rig_take_out_failed(struct journal_rig *r) {
    size_t kept = 0;
    bool failed = false;
    for (size_t i = 0; i < r->op_count; i++) {
        struct journal_rig_op *op = r->ops[i];
        if (!op->failed) {
            ENSURE(!failed); // all that was queued behind one failed too
            r->ops[kept++] = op;
            continue;
        }
        failed = true;
        for (size_t b = 0; b < op->append.batch_count; b++) batch_ref_release(&op->append.batches[b]);
        mem_free(op->append.batches);
        mem_free(op);
    }
    r->op_count = kept;
    if (!failed) return;
    ENSURE(r->acknowledged == r->op_count);
    struct journal_rig_state s;
    journal_rig_state_after(r, r->op_count, &s);
    r->last_index = s.last_index;
    r->start_index = s.start_index;
    journal_rig_state_free(&s);
}

struct reading {
    bool answered;
    int result;
    struct journal_rig_state got;
    size_t bytes;
};

static void read_answered(void *context, int result, struct batch_ref *batches, size_t count) {
    struct reading *reading = context;
    ENSURE(!reading->answered);
    reading->answered = true;
    reading->result = result;
    for (size_t i = 0; i < count; i++) {
        add_batch(&reading->got, &batches[i]);
        reading->bytes += batches[i].buf->len;
        batch_ref_release(&batches[i]);
    }
}

int journal_rig_read(struct journal_rig *r, uint64_t first, uint64_t last, size_t bytes_max, size_t *count) {
    struct reading reading = {0};
    journal_read(r->journal, first, last, bytes_max, read_answered, &reading);
    ENSURE(!reading.answered);
    while (!reading.answered) {
        if (!memory_io_step(r->m)) memory_io_run(r->m);
    }
    *count = reading.got.count;
    struct journal_rig_state s;
    journal_rig_state_after(r, r->op_count, &s);
    size_t at = 0;
    while (at < s.count && s.batches[at].last < first) at++;
    for (size_t i = 0; i < reading.got.count; i++) {
        ENSURE(at + i < s.count);
        ENSURE(memcmp(&s.batches[at + i], &reading.got.batches[i], sizeof *s.batches) == 0);
        ENSURE(reading.got.batches[i].first <= last);
    }
    if (reading.result == 0) {
        ENSURE(reading.got.count > 0);
        ENSURE(reading.got.count == 1 || reading.bytes <= bytes_max);
        bool all = reading.got.last_index >= last || reading.got.last_index == s.last_index;
        if (!all)
            ENSURE(reading.bytes + 6000 >
                   bytes_max); // stopped for its bytes only (6000: the largest batch of these tests)
    }
    journal_rig_state_free(&reading.got);
    journal_rig_state_free(&s);
    return reading.result;
}
