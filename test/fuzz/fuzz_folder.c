// DATA/identity of any text: the folder opens, or is refused with a text that says what to do; what opened is written
// and read again as it was.
//   first byte: 1 puts the right checksum behind the text; the rest is the text
#include "base/crc32c.h"
#include "storage/folder.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/support/memory_io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct take t = take_of(data, size);
    bool sum = take_u8(&t) & 1;
    struct memory_io *m = memory_io_new(1);
    struct io *io = memory_io_io(m);
    struct writer text = {0};
    write_span(&text, take_bytes(&t, t.left));
    if (sum) {
        char line[24];
        snprintf(line, sizeof line, "crc32c=%08x\n", crc32c(0, text.data, text.len));
        write_span(&text, bytes_of_text(line));
    }
    io->ops->mkdir(io, "/d", 0700);
    memory_io_put(m, "/d/identity", text.data, text.len);
    struct folder *folder = NULL;
    char error[512] = "";
    if (folder_open(io, "/d", 3, &folder, error) < 0) {
        ENSURE(error[0] != 0);
    } else {
        struct folder_identity before = *folder_identity(folder);
        uint8_t cluster[16] = "a new cluster id";
        ENSURE(before.member_id >= 1 && before.member_id <= 255);
        bool last = before.boot == UINT64_MAX - 1; // the next would have no next one; 2^51 is today's
        if (!last) ENSURE(folder_raise_boot(folder) == 0);
        ENSURE(folder_set_cluster(folder, cluster) == 0);
        folder_close(folder);
        ENSURE(folder_open(io, "/d", 9, &folder, error) == 0);
        const struct folder_identity *again = folder_identity(folder);
        ENSURE(again->member_id == before.member_id && again->format == before.format);
        ENSURE(again->boot == before.boot + !last);
        ENSURE(memcmp(again->incarnation, before.incarnation, 16) == 0);
        ENSURE(memcmp(again->cluster_id, cluster, 16) == 0);
        folder_close(folder);
    }
    ENSURE(memory_io_open_files(m) == 0);
    memory_io_free(m);
    writer_free(&text);
    return 0;
}
