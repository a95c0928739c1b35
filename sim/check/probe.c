// What a working leader never does: it proposes commands twice, with a gap before them, or of an older boot. Apply has
// to skip them alike on every replica all the same, so now and then a copy of the reference machine is given such a
// batch, and must be left as it was.
#include "sim/check/history.h"

#include <string.h>

// The batch's sections again, behind what has been applied. False: some of them are not of a stream.
static bool again(const struct batch_ref *batch, uint64_t gap, uint64_t older, struct writer *body) {
    struct bytes old = batch_body(batch);
    struct reader r = reader_of(old.data, old.len);
    struct section section;
    while (section_read(&r, &section)) {
        if (section.origin == 0 || section.boot <= older) return false;
        section.first_seq += gap;
        section.boot -= older;
        section_write(body, &section);
    }
    return true;
}

void history_probe(struct history *h, const struct batch_ref *batch) {
    static const char *const kinds[] = {"twice", "behind a gap", "of an older boot"};
    if (get_u16_le(batch->buf->data + 12) != BATCH_COMMANDS) return;
    uint64_t kind = h->probes % 3;
    struct writer body;
    writer_init(&body);
    if (again(batch, kind == 1 ? batch->last + 100 : 0, kind == 2, &body)) {
        struct machine *copy = history_copy(h, h->machine, NULL);
        struct batch_header header = {.kind = BATCH_COMMANDS,
                                      .body_bytes = (uint32_t)body.len,
                                      .count = get_u32_le(batch->buf->data + 20),
                                      .first_index = batch->last + 1,
                                      .term = batch->term,
                                      .log_time_ms = get_u64_le(batch->buf->data + 40)};
        struct batch_ref twice = batch_make(&header, bytes_of(body.data, body.len));
        char error[256];
        h->probes++;
        if (copy != NULL && (machine_apply(copy, &twice, error) != 0 ||
                             !digest_equal(machine_digest(copy), machine_digest(h->machine))))
            world_fail(h->world, "commands of a stream that come %s change the state behind index %llu", kinds[kind],
                       (unsigned long long)h->last);
        batch_ref_release(&twice);
        machine_free(copy);
    }
    writer_free(&body);
}
