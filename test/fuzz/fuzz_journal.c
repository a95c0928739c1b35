// A small valid journal folder in memory, changed by the input; opening it must recover or refuse, with a text. What
// was recovered can be read back as it was handed over, can be appended to, and is there again at the next opening.
//   first byte: which of four journals. Then changes, each: what (u8), segment (u8), place (u16), and its values
#include <errno.h>

#include "base/crc32c.h"
#include "storage/journal_frame.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/support/journal_rig.h"

#define SEGMENT 8192u
#define ALIGN 512u
#define IMAGES 4
#define BATCHES_MAX 512

static struct memory_io *images[IMAGES];

static struct memory_io *make_image(uint64_t seed) {
    struct journal_rig r;
    journal_rig_init(&r, seed + 1, SEGMENT);
    ENSURE(journal_rig_open(&r) == 0);
    for (uint64_t i = 0; i < 6 + 4 * seed; i++) {
        struct journal_hard hard = {.term = i + 1, .voted_for = 2};
        if (i % 4 == 1) {
            r.term = i + 1;
            journal_rig_append_full(&r, &hard, 0, 0, 0, 1, 40);
        } else if (i == 6) {
            struct journal_rig_state now;
            journal_rig_state_after(&r, r.op_count, &now);
            journal_rig_append_full(&r, NULL, 0, 0, now.batches[now.count - 1].first, 1, 30);
            journal_rig_state_free(&now);
        } else if (i == 9 && seed == 2) {
            journal_rig_append_full(&r, &hard, 1000, r.term, 0, 2, 50);
        } else {
            journal_rig_append(&r, 1 + (uint32_t)(i % 3), 100 * (size_t)i);
        }
        if (i % 3 == 0) memory_io_run(r.m);
        if (i % 5 == 4) memory_io_advance(r.m, 200000); // an empty frame
    }
    memory_io_run(r.m);
    journal_rig_stop(&r);
    struct memory_io *image = memory_io_copy(r.m, 1);
    journal_rig_free(&r);
    return image;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    for (uint64_t i = 0; i < IMAGES; i++) images[i] = make_image(i);
    return 0;
}

static const char *path_of(uint64_t segment) {
    static char path[64];
    snprintf(path, sizeof path, "/d/journal/%020llu.seg", (unsigned long long)segment);
    return path;
}

// Makes the sums of the frame at this sector right again: then what is wrong in it is not seen by them.
static void seal(uint8_t *file, size_t len, size_t at) {
    struct frame_header header;
    if (at == 0 && len >= SEGMENT_HEADER_BYTES) {
        put_u32_le(file + 4, crc32c(0, file + 8, SEGMENT_HEADER_BYTES - 8));
        return;
    }
    if (len - at < FRAME_HEADER_BYTES || !frame_header_decode(file + at, &header)) return;
    uint64_t total = frame_total(header.body_bytes, ALIGN);
    if (total > len - at) return;
    struct record_walk walk = record_walk_of(file + at, &header);
    struct record record;
    while (record_next(&walk, &record)) {
        if (record.kind != RECORD_BATCH || record.batch_bytes < BATCH_HEADER_BYTES) continue;
        uint8_t *batch = file + (record.batch - file);
        uint32_t crc = crc32c(0, batch + 4, record.batch_bytes - 4);
        put_u32_le(batch, crc);
        put_u32_le(file + (walk.directory.data - file) + walk.directory.at - 4, crc);
    }
    uint32_t crc = frame_seal(file + at, &header);
    put_u32_le(file + at + total - FRAME_FOOTER_BYTES, ~crc);
}

static void change(struct take *t, struct memory_io *m) {
    uint8_t what = take_u8(t), segment = take_u8(t);
    size_t at = take_u16(t), len = 0;
    const char *path = path_of(1 + segment % 8);
    uint8_t *file = memory_io_data(m, path, &len);
    if (file == NULL || len == 0) {
        struct bytes raw = take_bytes(t, what & 1 ? take_u16(t) % 2048 : 0);
        if (what & 2) memory_io_put(m, path, raw.data, raw.len);
        return;
    }
    size_t sector = at % len / ALIGN * ALIGN;
    at %= len;
    switch (what % 12) {
    case 0:
        file[at] = take_u8(t);
        break;
    case 1:
        memset(file + sector, 0, len - sector < ALIGN ? len - sector : ALIGN);
        break;
    case 2: { // what stood elsewhere
        size_t other_len;
        uint8_t *other = memory_io_data(m, path_of(1 + take_u8(t) % 8), &other_len);
        size_t from = take_u8(t) * ALIGN;
        if (other != NULL && from + ALIGN <= other_len && sector + ALIGN <= len)
            memmove(file + sector, other + from, ALIGN);
        break;
    }
    case 3:
        memory_io_cut(m, path, at);
        break;
    case 4:
        memory_io_remove(m, path);
        break;
    case 5: { // a file more, of this one's bytes
        uint8_t *copy = exact(bytes_of(file, len));
        memory_io_put(m, path_of(1 + take_u8(t) % 10), copy, len);
        mem_free(copy);
        break;
    }
    case 6:
        seal(file, len, sector);
        break;
    case 7: { // a field of a header, with right sums
        size_t field = sector + 8 + 4 * (take_u8(t) % 14);
        uint64_t value = take_number(t);
        if (field + 8 > len) break;
        if (value > UINT32_MAX || what & 0x80)
            put_u64_le(file + field, value);
        else
            put_u32_le(file + field, (uint32_t)value);
        seal(file, len, sector);
        break;
    }
    default: { // bytes behind the header: records and batches, with right sums
        struct bytes raw = take_bytes(t, 1 + take_u8(t) % 24);
        size_t to = sector + FRAME_HEADER_BYTES + take_u8(t);
        if (to + raw.len <= len && raw.len > 0) memcpy(file + to, raw.data, raw.len);
        seal(file, len, sector);
    }
    }
}

struct kept {
    struct batch_ref batches[BATCHES_MAX];
    size_t count;
};
static void keep(void *context, const struct batch_ref *batch) {
    struct kept *kept = context;
    if (kept->count > 0) {
        const struct batch_ref *before = &kept->batches[kept->count - 1];
        ENSURE(batch->first == before->last + 1 && batch->term >= before->term);
    }
    struct batch_header header;
    ENSURE(batch_decode(batch->buf->data, batch->buf->len, &header));
    ENSURE(header.first_index == batch->first && header.count == batch->last - batch->first + 1);
    ENSURE(kept->count < BATCHES_MAX);
    kept->batches[kept->count] = *batch;
    buf_ref(kept->batches[kept->count++].buf);
}
static void release(struct kept *kept) {
    for (size_t i = 0; i < kept->count; i++) batch_ref_release(&kept->batches[i]);
    kept->count = 0;
}

struct answer {
    bool done;
    int result;
    const struct kept *kept;
    size_t at; // the next that must come
};
static void read_done(void *context, int result, struct batch_ref *batches, size_t count) {
    struct answer *answer = context;
    answer->done = true;
    answer->result = result;
    for (size_t i = 0; i < count; i++) {
        ENSURE(answer->at < answer->kept->count);
        const struct batch_ref *want = &answer->kept->batches[answer->at++];
        ENSURE(want->first == batches[i].first && want->buf->len == batches[i].buf->len);
        ENSURE(memcmp(want->buf->data, batches[i].buf->data, want->buf->len) == 0);
        batch_ref_release(&batches[i]);
    }
}
static void appended(struct journal_append *append, int result) {
    *(int *)append->context = result;
}

static void read_back(struct memory_io *m, struct journal *journal, const struct kept *kept) {
    for (size_t i = 0; i < kept->count;) {
        struct answer answer = {.kept = kept, .at = i};
        journal_read(journal, kept->batches[i].first, kept->batches[kept->count - 1].last, 2000, read_done, &answer);
        while (!answer.done && memory_io_step(m)) {
        }
        ENSURE(answer.done && answer.result == 0 && answer.at > i);
        i = answer.at;
    }
}

static void on_fatal(void *context, const char *text) {
    UNREACHABLE();
}

// Gives false when it was refused.
static bool open_once(struct memory_io *m, bool read_only, struct kept *kept, struct journal_recovered *recovered,
                      uint64_t *end) {
    struct journal_options options = {.io = memory_io_io(m),
                                      .folder = "/d/journal",
                                      .torn_folder = "/d/torn",
                                      .align = ALIGN,
                                      .segment_bytes = SEGMENT,
                                      .read_only = read_only};
    struct journal_error error = {0};
    struct journal *journal = NULL;
    int result = journal_open(&options, keep, kept, recovered, &journal, &error);
    if (result < 0) {
        ENSURE(error.text[0] != 0 && journal == NULL);
        return false;
    }
    ENSURE(recovered->last_index >= recovered->start_index);
    if (kept->count > 0) {
        ENSURE(kept->batches[0].first == recovered->start_index + 1);
        ENSURE(kept->batches[kept->count - 1].last == recovered->last_index);
    }
    *end = recovered->last_index;
    if (!read_only) {
        journal_on_fatal(journal, on_fatal, NULL);
        read_back(m, journal, kept);
        uint64_t term = recovered->start_term > recovered->hard.term ? recovered->start_term : recovered->hard.term;
        if (kept->count > 0 && kept->batches[kept->count - 1].term > term) term = kept->batches[kept->count - 1].term;
        if (recovered->last_index < UINT64_MAX - 8 && term < UINT64_MAX && kept->count < BATCHES_MAX - 8) {
            struct batch_header header = {.kind = BATCH_EMPTY, .count = 1, .first_index = *end + 1, .term = term};
            struct batch_ref batch = batch_make(&header, bytes_of(NULL, 0));
            struct journal_hard hard = {.term = term, .voted_for = 1};
            int answer = 1;
            struct journal_append append = {
                .hard = &hard, .batches = &batch, .batch_count = 1, .done = appended, .context = &answer};
            journal_append(journal, &append);
            memory_io_run(m);
            ENSURE(answer == 0);
            (*end)++;
            keep(kept, &batch);
            batch_ref_release(&batch);
        }
    }
    journal_abandon(journal);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct take t = take_of(data, size);
    struct memory_io *m = memory_io_copy(images[take_u8(&t) % IMAGES], 7);
    for (int i = 0; i < 64 && t.left > 0; i++) change(&t, m);
    static struct kept looked, first, second;
    struct journal_recovered recovered[3];
    uint64_t end[3] = {0};
    struct memory_io *copy = memory_io_copy(m, 8);
    bool read_only = open_once(copy, true, &looked, &recovered[0], &end[0]); // `parley check`
    memory_io_free(copy);
    if (open_once(m, false, &first, &recovered[1], &end[1])) {
        ENSURE(read_only && looked.count <= first.count);
        ENSURE(recovered[0].last_index == recovered[1].last_index && recovered[0].hard.term == recovered[1].hard.term);
        memory_io_kill(m);
        ENSURE(open_once(m, false, &second, &recovered[2], &end[2]));
        ENSURE(!recovered[2].torn && recovered[2].last_index == end[1]);
        for (size_t i = 0; i < first.count; i++) {
            ENSURE(second.batches[i].first == first.batches[i].first);
            ENSURE(second.batches[i].buf->len == first.batches[i].buf->len);
        }
    }
    release(&looked);
    release(&first);
    release(&second);
    memory_io_kill(m);
    memory_io_free(m);
    return 0;
}
