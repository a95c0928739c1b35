// The bytes of the journal: segment headers and frames, made and judged here and nowhere else. No files, no state. The
// layout stands in journal.h.
#pragma once
#include "base/bytes.h"
#include "consensus/batch.h"

#define JOURNAL_FORMAT 1u
#define SEGMENT_MAGIC 0x47534a50u // "PJSG"
#define SEGMENT_HEADER_BYTES 40u
#define FRAME_MAGIC 0x52464a50u // "PJFR"
#define FRAME_HEADER_BYTES 64u
#define FRAME_FOOTER_BYTES 4u
#define JOURNAL_ALIGN_MIN 512u
#define JOURNAL_ALIGN_MAX 65536u

struct place { // in the journal
    uint64_t segment, offset;
};
static inline int place_compare(struct place a, struct place b) {
    if (a.segment != b.segment) return a.segment < b.segment ? -1 : 1;
    return a.offset < b.offset ? -1 : a.offset > b.offset;
}

struct segment_header {
    uint32_t align;
    uint64_t segment, salt;
};
void segment_header_encode(uint8_t at[SEGMENT_HEADER_BYTES], const struct segment_header *header);
enum segment_header_state { SEGMENT_HEADER_GOOD, SEGMENT_HEADER_BAD, SEGMENT_HEADER_NEWER };
enum segment_header_state segment_header_decode(const uint8_t at[SEGMENT_HEADER_BYTES], struct segment_header *header);

enum frame_kind { FRAME_RECORDS = 1, FRAME_EMPTY = 2 }; // EMPTY: only vouches for what stands before it

struct frame_header {
    enum frame_kind kind;
    uint32_t directory_bytes, body_bytes, records, crc;
    uint64_t salt;
    struct place place, synced;
};
// Whole units that a frame of so many body bytes takes.
uint64_t frame_total(uint64_t body_bytes, uint32_t align);
// Writes the header in front of a finished directory (at + FRAME_HEADER_BYTES) and the crc over both; gives the crc.
uint32_t frame_seal(uint8_t *at, const struct frame_header *header);
// Reads the header only: magic, format, and sizes that do not contradict each other. Not yet the crc.
bool frame_header_decode(const uint8_t at[FRAME_HEADER_BYTES], struct frame_header *header);
// Judges a whole frame (frame_total bytes at `at`): every sum, every record, every batch.
bool frame_check(const uint8_t *at, const struct frame_header *header, uint32_t align);

enum record_kind { RECORD_HARD = 1, RECORD_BASE = 2, RECORD_START = 3, RECORD_TRUNCATE = 4, RECORD_BATCH = 5 };
#define RECORD_BYTES_MAX 17u
#define RECORD_BATCH_BYTES 9u
struct record {
    enum record_kind kind;
    uint64_t index, term; // BASE, START: as they are; TRUNCATE: from, term of from-1; HARD: term
    uint32_t voted_for;   // HARD
    uint32_t batch_bytes, batch_crc;
    const uint8_t *batch; // points into the frame
};
void journal_record_write(struct writer *directory, const struct record *record);
// Walks the records of a checked frame.
struct record_walk {
    struct reader directory;
    const uint8_t *batch, *end;
};
struct record_walk record_walk_of(const uint8_t *frame, const struct frame_header *header);
bool record_next(struct record_walk *walk,
                 struct record *record); // false at the end or on bad bytes (walk->directory.failed)
