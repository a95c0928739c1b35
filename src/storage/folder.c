// DATA/identity, as text so that an operator can read it:
//
//   parley-identity
//   format=1
//   member_id=3
//   incarnation=<32 hex digits>
//   cluster_id=<32 hex digits>
//   boot=17
//   crc32c=<8 hex digits, of all lines above>
//
// It is the first thing that is made durable: a node whose identity is gone but whose journal is not must not make a
// new one, for it would vote again under another incarnation with an old log.
#include "storage/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"

#define IDENTITY_BYTES_MAX 4096u

struct folder {
    struct io *io;
    char *path, *identity_path, *temporary_path;
    struct io_file *lock;
    struct folder_identity identity;
};

static const char *const SUBFOLDERS[] = {"journal", "snapshots", "torn"};

static char *join(const char *path, const char *name) {
    size_t len = strlen(path) + strlen(name) + 2;
    char *joined = mem_alloc(len);
    snprintf(joined, len, "%s/%s", path, name);
    return joined;
}

// ---- text

static void hex(char *out, const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static size_t identity_write(char text[IDENTITY_BYTES_MAX], const struct folder_identity *identity) {
    char incarnation[33], cluster[33];
    hex(incarnation, identity->incarnation, 16);
    hex(cluster, identity->cluster_id, 16);
    int len = snprintf(text, IDENTITY_BYTES_MAX,
                       "parley-identity\nformat=%" PRIu32 "\nmember_id=%" PRIu32
                       "\nincarnation=%s\ncluster_id=%s\nboot=%" PRIu64 "\n",
                       identity->format, identity->member_id, incarnation, cluster, identity->boot);
    int end =
        snprintf(text + len, IDENTITY_BYTES_MAX - (size_t)len, "crc32c=%08" PRIx32 "\n", crc32c(0, text, (size_t)len));
    ENSURE(len > 0 && end > 0);
    return (size_t)(len + end);
}

// The value behind `key=`, up to the line's end. False if the next line is another.
static bool line(const char **at, const char *key, char value[64]) {
    size_t key_len = strlen(key);
    if (strncmp(*at, key, key_len) != 0 || (*at)[key_len] != '=') return false;
    const char *from = *at + key_len + 1, *end = strchr(from, '\n');
    if (!end || end - from >= 64) return false;
    memcpy(value, from, (size_t)(end - from));
    value[end - from] = 0;
    *at = end + 1;
    return true;
}

static bool number(const char *text, uint64_t max, uint64_t *value) {
    if (text[0] < '0' || text[0] > '9') return false;
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *end == 0 && *value <= max;
}

static bool unhex(const char *text, uint8_t *bytes, size_t len) {
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != 2 * len) return false;
    for (size_t i = 0; i < len; i++) {
        const char *high = memchr(digits, text[2 * i], 16), *low = memchr(digits, text[2 * i + 1], 16);
        if (!high || !low) return false;
        bytes[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return true;
}

// 0, -ENOTSUP (newer), -EBADMSG.
static int identity_read(const char *text, struct folder_identity *identity, uint64_t *format) {
    const char *crc_line = strstr(text, "\ncrc32c=");
    const char *head = "parley-identity\n";
    if (!crc_line || strncmp(text, head, strlen(head)) != 0) return -EBADMSG;
    char value[64], want[16];
    const char *at = crc_line + 1;
    if (!line(&at, "crc32c", value) || *at != 0) return -EBADMSG;
    snprintf(want, sizeof want, "%08" PRIx32, crc32c(0, text, (size_t)(crc_line + 1 - text)));
    if (strcmp(value, want) != 0) return -EBADMSG;
    at = text + strlen(head);
    uint64_t id, boot;
    if (!line(&at, "format", value) || !number(value, UINT32_MAX, format)) return -EBADMSG;
    if (*format > FOLDER_FORMAT) return -ENOTSUP;
    identity->format = (uint32_t)*format;
    if (!line(&at, "member_id", value) || !number(value, 255, &id) || id == 0) return -EBADMSG;
    identity->member_id = (uint32_t)id;
    if (!line(&at, "incarnation", value) || !unhex(value, identity->incarnation, 16)) return -EBADMSG;
    if (!line(&at, "cluster_id", value) || !unhex(value, identity->cluster_id, 16)) return -EBADMSG;
    if (!line(&at, "boot", value) || !number(value, UINT64_MAX - 1, &boot)) return -EBADMSG; // one more is to be had
    identity->boot = boot;
    return at == crc_line + 1 ? 0 : -EBADMSG;
}

// ---- files

static int store(struct folder *f, const struct folder_identity *identity) {
    const struct io_ops *ops = f->io->ops;
    char text[IDENTITY_BYTES_MAX];
    size_t len = identity_write(text, identity);
    struct io_file *file;
    int result = ops->file_open(f->io, f->temporary_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600, &file);
    if (result < 0) return result;
    int64_t written = ops->file_write(file, text, len, 0);
    result = written < 0 ? (int)written : ops->file_sync(file);
    ops->file_close(file);
    if (result >= 0) result = ops->rename(f->io, f->temporary_path, f->identity_path);
    if (result >= 0) result = ops->sync_dir(f->io, f->path);
    if (result < 0) return result;
    f->identity = *identity;
    return 0;
}

static int lock(struct folder *f, char error[512]) {
    const struct io_ops *ops = f->io->ops;
    char *path = join(f->path, "lock");
    int result = ops->file_open(f->io, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &f->lock);
    if (result < 0) {
        f->lock = NULL;
        snprintf(error, 512, "cannot open %s: %s", path, strerror(-result));
        mem_free(path);
        return result;
    }
    mem_free(path);
    char pid[32] = "";
    result = ops->file_lock(f->lock);
    if (result < 0) {
        int64_t len = ops->file_read(f->lock, pid, sizeof pid - 1, 0);
        pid[len > 0 ? len : 0] = 0;
        pid[strspn(pid, "0123456789")] = 0;
        if (result == -EWOULDBLOCK) {
            snprintf(error, 512,
                     "another parley (pid %s) uses the data folder %s: stop it, or give this one its own with --data",
                     pid[0] ? pid : "unknown", f->path);
        } else {
            snprintf(error, 512, "cannot lock %s/lock: %s", f->path, strerror(-result));
        }
        return result;
    }
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    ops->file_truncate(f->lock, 0);
    ops->file_write(f->lock, pid, (size_t)len, 0); // only for the text above: a failure changes nothing
    return 0;
}

static void count_name(void *context, const char *name) {
    if (name[0] != '.') ++*(size_t *)context;
}

static int make_identity(struct folder *f, uint32_t member_id, char error[512]) {
    for (size_t i = 0; i < sizeof SUBFOLDERS / sizeof *SUBFOLDERS; i++) {
        size_t names = 0;
        char *path = join(f->path, SUBFOLDERS[i]);
        f->io->ops->list_dir(f->io, path, count_name, &names);
        mem_free(path);
        if (names == 0) continue;
        snprintf(
            error, 512,
            "%s is missing, but %s/%s holds data: a node must not start with another's log. Bring the file back, or "
            "move the whole folder away and start empty",
            f->identity_path, f->path, SUBFOLDERS[i]);
        return -EBADMSG;
    }
    struct folder_identity identity = {.format = FOLDER_FORMAT, .member_id = member_id};
    f->io->ops->random(f->io, identity.incarnation, sizeof identity.incarnation);
    // Commands name (member, boot), so the boots of a wiped node must not meet those of its next incarnation: each
    // begins at its birth in Unix milliseconds, 1,024 boots apart, and a random offset for two born in the same one.
    uint16_t apart;
    f->io->ops->random(f->io, &apart, sizeof apart);
    int64_t born_ms = f->io->ops->unix_ms(f->io);
    identity.boot = ((born_ms > 0 ? (uint64_t)born_ms : 0) << 10) + (apart & 1023u);
    int result = store(f, &identity);
    if (result < 0) snprintf(error, 512, "cannot write %s: %s", f->identity_path, strerror(-result));
    return result;
}

static int load_identity(struct folder *f, uint32_t member_id, char error[512]) {
    const struct io_ops *ops = f->io->ops;
    struct io_file *file;
    int result = ops->file_open(f->io, f->identity_path, O_RDONLY | O_CLOEXEC, 0, &file);
    if (result == -ENOENT) return make_identity(f, member_id, error);
    if (result < 0) {
        snprintf(error, 512, "cannot open %s: %s", f->identity_path, strerror(-result));
        return result;
    }
    char text[IDENTITY_BYTES_MAX];
    int64_t len = ops->file_read(file, text, sizeof text - 1, 0);
    ops->file_close(file);
    if (len < 0) {
        snprintf(error, 512, "cannot read %s: %s", f->identity_path, strerror((int)-len));
        return (int)len;
    }
    text[len] = 0;
    uint64_t format = 0;
    result = strlen(text) == (size_t)len ? identity_read(text, &f->identity, &format) : -EBADMSG;
    if (result == -ENOTSUP) {
        snprintf(error, 512,
                 "the data folder %s has format %" PRIu64
                 ", newer than this binary's %u: start the newer parley that wrote it",
                 f->path, format, FOLDER_FORMAT);
    } else if (result < 0) {
        snprintf(error, 512,
                 "%s is damaged (checksum or text): bring it back from a backup, or move the whole folder away and "
                 "start empty: "
                 "the other nodes rebuild this one",
                 f->identity_path);
    }
    return result;
}

static int make_folders(struct folder *f, char error[512]) {
    const struct io_ops *ops = f->io->ops;
    int result = ops->mkdir(f->io, f->path, 0700);
    for (size_t i = 0; result >= 0 && i < sizeof SUBFOLDERS / sizeof *SUBFOLDERS; i++) {
        char *path = join(f->path, SUBFOLDERS[i]);
        result = ops->mkdir(f->io, path, 0700);
        mem_free(path);
    }
    if (result >= 0) result = ops->sync_dir(f->io, f->path);
    if (result >= 0) { // and its own name
        char *parent = mem_strdup(f->path);
        size_t len = strlen(parent);
        while (len > 1 && parent[len - 1] == '/') parent[--len] = 0;
        char *slash = strrchr(parent, '/');
        if (slash) slash[slash == parent] = 0;
        result = ops->sync_dir(f->io, slash ? parent : ".");
        mem_free(parent);
    }
    if (result < 0) snprintf(error, 512, "cannot make the data folder %s: %s", f->path, strerror(-result));
    return result;
}

int folder_open(struct io *io, const char *path, uint32_t member_id, struct folder **folder, char error[512]) {
    ENSURE(path[0] != 0);
    struct folder *f = mem_zalloc(sizeof *f);
    f->io = io;
    f->path = mem_strdup(path);
    f->identity_path = join(path, "identity");
    f->temporary_path = join(path, "identity.tmp");
    error[0] = 0;
    int result = make_folders(f, error);
    if (result >= 0) result = lock(f, error);
    if (result >= 0) result = load_identity(f, member_id, error);
    if (result < 0) {
        folder_close(f);
        return result;
    }
    *folder = f;
    return 0;
}

void folder_close(struct folder *folder) {
    if (folder->lock) folder->io->ops->file_close(folder->lock);
    mem_free(folder->path);
    mem_free(folder->identity_path);
    mem_free(folder->temporary_path);
    mem_free(folder);
}

const struct folder_identity *folder_identity(const struct folder *folder) {
    return &folder->identity;
}
const char *folder_path(const struct folder *folder) {
    return folder->path;
}

int folder_raise_boot(struct folder *folder) {
    struct folder_identity identity = folder->identity;
    ENSURE(identity.boot < UINT64_MAX);
    identity.boot++;
    return store(folder, &identity);
}

int folder_set_cluster(struct folder *folder, const uint8_t cluster_id[16]) {
    struct folder_identity identity = folder->identity;
    memcpy(identity.cluster_id, cluster_id, sizeof identity.cluster_id);
    return store(folder, &identity);
}
