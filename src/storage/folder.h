// The data folder: its lock and its identity file. DATA/identity is text (key=value lines with a crc), rewritten aside
// and renamed: format, cluster_id, member id, incarnation (random, made and fsynced before anything else), boot
// counter.
#pragma once
#include "base/log.h"
#include "io/io.h"

#define FOLDER_FORMAT 1u
struct folder_identity {
    uint32_t format;
    uint32_t member_id;
    uint8_t incarnation[16];
    uint8_t cluster_id[16]; // all zero until formed
    uint64_t boot; // raised and fsynced at each start and after each snapshot install; begins at Unix ms x 1024
};
struct folder;
// Makes DATA and its subfolders if absent, locks DATA/lock, reads or makes the identity (member_id is used only when it
// is new). Errors: negative errno; text says what to do ("another parley (pid ...) uses ...", "format 7 is newer than
// this binary").
int folder_open(struct io *io, const char *path, uint32_t member_id, struct folder **folder, char error[512]);
void folder_close(struct folder *folder);
const struct folder_identity *folder_identity(const struct folder *folder);
int folder_raise_boot(struct folder *folder); // +1, durable when it returns 0
int folder_set_cluster(struct folder *folder, const uint8_t cluster_id[16]);
const char *folder_path(const struct folder *folder);
