// The bytes of a snapshot file, shared by its writer and its reader. All integers little-endian.
//
//   header   magic u32, crc32c u32 (of the rest of the header), format u16, zero u16, membership_bytes u32, group u32,
//   zero u32,
//            index u64, term u64, log_time_ms u64, cluster_id 16 bytes, digest lo u64, hi u64, then the membership blob
//   chunk    raw_bytes u32 (>= 1), zstd_bytes u32, crc32c u32 (of the other three fields and the data), model u32, then
//   zstd_bytes trailer  magic u32, crc32c u32 (of the rest of the trailer), chunks u64, bytes u64 (of all before the
//   trailer), digest lo u64,
//            hi u64, crc32c of all before the trailer u32, zero u32
#pragma once
#include "storage/snapshot.h"

#define SNAPSHOT_FORMAT 1u
#define SNAPSHOT_MAGIC 0x504e5350u         // "PSNP"
#define SNAPSHOT_TRAILER_MAGIC 0x454e5350u // "PSNE"
#define SNAPSHOT_HEADER_BYTES 80u          // without the membership
#define SNAPSHOT_MEMBERSHIP_MAX (1u << 20) // MEMBERS_MAX members take a few KB
#define SNAPSHOT_CHUNK_HEADER_BYTES 16u
#define SNAPSHOT_TRAILER_BYTES 48u
