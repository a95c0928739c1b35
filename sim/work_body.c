// Pieces of requests that several workloads need.
#include "sim/client.h"

#include <stdio.h>

void body_path(struct writer *w, const char *format, ...) {
    char path[256];
    va_list list;
    va_start(list, format);
    vsnprintf(path, sizeof path, format, list);
    va_end(list);
    jute_text(w, path);
}

void body_value(struct sim_client *client, struct writer *w) {
    char mark[MARK_BYTES + 1];
    uint64_t most = client->sim->swarm.value_bytes;
    size_t more = (size_t)client_draw(client, client_draw(client, 8) == 0 ? most + 1 : 32);
    mark_write(mark, ++client->sim->marks);
    jute_int(w, (int32_t)(MARK_BYTES + more));
    write_span(w, bytes_of(mark, MARK_BYTES));
    memset(writer_extend(w, more), 'v', more);
}

void body_open_acl(struct writer *w) {
    jute_int(w, 1);
    jute_ace(w, JUTE_ALL, "world", "anyone");
}

void body_watch(struct sim_client *client, struct writer *w, uint32_t one_in) {
    write_u8(w, client->watch_count < WATCHES_WANTED && client_draw(client, one_in) == 0);
}

void body_create(struct sim_client *client, struct writer *w, int32_t flags) {
    body_value(client, w);
    body_open_acl(w);
    jute_int(w, flags);
}
