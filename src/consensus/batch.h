// A batch: consecutive commands that share a term and a log time, encoded once. The same bytes stand in the journal, in
// peer messages and in apply's queue. One command has one index. A batch is never split: within a term only its leader
// makes batches, so (last index, term) names the same bytes on every node, and logs are cut only between batches.
//
//   header, BATCH_HEADER_BYTES, little-endian:
//     0 crc32c u32 (of all behind it)   4 magic u32   8 group u32   12 kind u16   14 version u16
//     16 body_bytes u32   20 count u32   24 first_index u64   32 term u64   40 log_time_ms u64   48 seed u64
//   body of BATCH_COMMANDS: sections; a section is the commands of one origin in their stream's order (see section
//   below). body of BATCH_MEMBERSHIP: an encoded raft_membership (count is 1). BATCH_EMPTY: nothing (count is 1; a new
//   leader's first entry).
#pragma once
#include "base/buf.h"
#include "base/bytes.h"
#include <stdbool.h>

#define BATCH_HEADER_BYTES 56u
#define BATCH_MAGIC 0x504c5942u // "BYLP"
#define BATCH_VERSION 1u

enum batch_kind { BATCH_EMPTY = 1, BATCH_COMMANDS = 2, BATCH_MEMBERSHIP = 3 };

struct batch_header {
    uint32_t group;
    enum batch_kind kind;
    uint32_t body_bytes, count;
    uint64_t first_index, term, log_time_ms, seed;
};

struct batch_ref { // one batch by reference; first..last are its indexes
    uint64_t first, last, term;
    struct buf *buf; // whole encoded batch: header and body
};
void batch_ref_release(struct batch_ref *batch); // unrefs

// Checks magic, version, crc, lengths, count >= 1 (first_index + count must not wrap), and the whole body of EMPTY and
// MEMBERSHIP. false: not a batch.
bool batch_decode(const void *data, size_t len, struct batch_header *header);
// Of COMMANDS: its sections are whole, and hold as many commands as the header says (other kinds: true). Asked of what
// a peer sends, before it is kept: a batch that apply must stop at would stop this node at every start.
bool batch_sections_good(const struct batch_header *header, struct bytes body);
void batch_encode_header(uint8_t *at, const struct batch_header *header); // fills all but the crc
void batch_seal(struct buf *buf);                                         // computes and writes the crc
struct batch_ref batch_make(const struct batch_header *header,
                            struct bytes body); // encodes, seals; the caller owns the reference
static inline struct bytes batch_body(const struct batch_ref *b) {
    return bytes_of(b->buf->data + BATCH_HEADER_BYTES, b->buf->len - BATCH_HEADER_BYTES);
}

// A section: origin u32 (member id; 0: made by the leader itself), boot u64, first_seq u64, count u32, bytes u32, then
// `count` commands, each u32 length and its bytes. For origin 0, boot and first_seq are 0.
#define SECTION_HEADER_BYTES 28u
struct section {
    uint32_t origin;
    uint64_t boot, first_seq;
    uint32_t count;
    struct bytes commands;
};
bool section_read(struct reader *reader,
                  struct section *section); // false at the end or on bad bytes (reader->failed tells)
void section_write(struct writer *writer, const struct section *section);
