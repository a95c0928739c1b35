// A connection's send queue.
//
//   first                                    last
//   [own: reply reply re..] -> [ref: a buf] -> [own: ply reply ....room]
#include "base/alloc.h"
#include "base/assert.h"
#include "io/io_uv_internal.h"
#include <string.h>

#define SMALL_BYTES (2048u - sizeof(struct out_chunk)) // most turns of most connections: a few replies
#define LARGE_BYTES (32768u - sizeof(struct out_chunk))
#define SMALL_KEPT 256u // in stock: 512 KB
#define LARGE_KEPT 64u  // 2 MB

static struct out_chunk *chunk_take(struct out_stock *stock, size_t size) {
    struct out_chunk **kept = size == SMALL_BYTES ? &stock->small : size == LARGE_BYTES ? &stock->large : NULL;
    struct out_chunk *chunk;
    if (kept != NULL && *kept != NULL) {
        chunk = *kept;
        *kept = chunk->next;
        *(size == SMALL_BYTES ? &stock->small_count : &stock->large_count) -= 1;
    } else {
        chunk = mem_alloc(sizeof *chunk + size);
    }
    *chunk = (struct out_chunk){.data = chunk->own, .room = size, .size = size};
    return chunk;
}

static void chunk_give(struct out_stock *stock, struct out_chunk *chunk) {
    buf_unref(chunk->ref);
    if (chunk->size == SMALL_BYTES && stock->small_count < SMALL_KEPT) {
        chunk->next = stock->small;
        stock->small = chunk;
        stock->small_count++;
    } else if (chunk->size == LARGE_BYTES && stock->large_count < LARGE_KEPT) {
        chunk->next = stock->large;
        stock->large = chunk;
        stock->large_count++;
    } else {
        mem_free(chunk);
    }
}

static void queue_push(struct out_queue *queue, struct out_chunk *chunk) {
    chunk->next = NULL;
    if (queue->last != NULL)
        queue->last->next = chunk;
    else
        queue->first = chunk;
    queue->last = chunk;
}

void out_append(struct out_stock *stock, struct out_queue *queue, const void *data, size_t len) {
    ENSURE(data != NULL || len == 0);
    const uint8_t *from = data;
    queue->bytes += len;
    while (len > 0) {
        struct out_chunk *last = queue->last;
        if (last == NULL || last->room == 0) {
            size_t size = last == NULL && len <= SMALL_BYTES ? SMALL_BYTES : len <= LARGE_BYTES ? LARGE_BYTES : len;
            last = chunk_take(stock, size);
            queue_push(queue, last);
        }
        size_t part = len < last->room ? len : last->room;
        memcpy(last->data + last->len, from, part);
        last->len += part;
        last->room -= part;
        from += part;
        len -= part;
    }
}

void out_append_buf(struct out_stock *stock, struct out_queue *queue, struct buf *buf, size_t offset, size_t len) {
    ENSURE(offset <= buf->len && len <= buf->len - offset);
    if (len < UV_COPY_MAX) {
        out_append(stock, queue, buf->data + offset, len);
        return;
    }
    struct out_chunk *chunk = chunk_take(stock, 0);
    chunk->ref = buf_ref(buf);
    chunk->data = buf->data + offset;
    chunk->len = len;
    queue_push(queue, chunk);
    queue->bytes += len;
}

int out_gather(const struct out_queue *queue, struct iovec *iov, int max, size_t *bytes) {
    int count = 0;
    *bytes = 0;
    for (const struct out_chunk *chunk = queue->first; chunk != NULL && count < max; chunk = chunk->next) {
        iov[count++] = (struct iovec){.iov_base = chunk->data, .iov_len = chunk->len};
        *bytes += chunk->len;
    }
    return count;
}

void out_consume(struct out_stock *stock, struct out_queue *queue, size_t bytes) {
    ENSURE(bytes <= queue->bytes);
    queue->bytes -= bytes;
    while (bytes > 0) {
        struct out_chunk *first = queue->first;
        if (bytes < first->len) {
            first->data += bytes;
            first->len -= bytes;
            return;
        }
        bytes -= first->len;
        queue->first = first->next;
        if (queue->first == NULL) queue->last = NULL;
        chunk_give(stock, first);
    }
    ENSURE((queue->first == NULL) == (queue->bytes == 0));
}

void out_clear(struct out_stock *stock, struct out_queue *queue) {
    out_consume(stock, queue, queue->bytes);
}

static void free_chunks(struct out_chunk *chunk) {
    while (chunk != NULL) {
        struct out_chunk *next = chunk->next;
        mem_free(chunk);
        chunk = next;
    }
}

void out_stock_free(struct out_stock *stock) {
    free_chunks(stock->small);
    free_chunks(stock->large);
    *stock = (struct out_stock){0};
}
