// `parley backup [FILE]`: GET /v1/backup into a file, verified before it gets its name.
#include "base/alloc.h"
#include "base/limits.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "client/http_client.h"
#include "io/io.h"
#include "server/server.h"
#include "server/verify.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKUP_TIMEOUT_MS 120000u // a large state is saved before the first byte comes

static int store(void *context, const void *data, size_t len) {
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(*(int *)context, at, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static bool fetch(const char *address, const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); // it holds all data
    if (fd < 0) {
        fprintf(stderr, "parley backup: cannot write %s: %s\n", path, strerror(errno));
        return false;
    }
    struct http_reply reply;
    bool came = http_call(address, "GET", "/v1/backup", NULL, BACKUP_TIMEOUT_MS, store, &fd, &reply),
         ok = came && reply.status == 200;
    if (!came) fprintf(stderr, "parley backup: %s\n", reply.error);
    if (came && !ok) {
        json_error_t error;
        json_t *json = json_loadb((const char *)reply.body.data, reply.body.len, 0, &error);
        const char *why = json_string_value(json_object_get(json, "error"));
        fprintf(stderr, "parley backup: %s: %s\n", address, why != NULL ? why : "the answer is no backup");
        json_decref(json);
    }
    http_reply_free(&reply);
    if (ok && fsync(fd) != 0) {
        fprintf(stderr, "parley backup: cannot write %s: %s\n", path, strerror(errno));
        ok = false;
    }
    close(fd);
    return ok;
}

// Every checksum of the file, and the digest of the state in it.
static bool verify(const char *path, struct snapshot_meta *meta) {
    struct io *io = io_uv_new(&(struct io_uv_options){.journal_thread_name = NULL});
    char error[512] = "the system gives no descriptors";
    struct machine *machine = machine_new(0, 0, NULL);
    bool ok = io != NULL && verify_load(io, path, machine, meta, error) == 0;
    if (!ok) fprintf(stderr, "parley backup: what came is not whole: %s\n", error);
    machine_free(machine);
    io_uv_free(io);
    return ok;
}

static int write_backup(const char *address, const char *file, bool force) {
    char name[4096], temporary[4200], folder[4096];
    struct stat status;
    struct snapshot_meta meta;
    if (file != NULL && !force && stat(file, &status) == 0) {
        fprintf(stderr, "parley backup: %s exists; --force replaces it\n", file);
        return EXIT_FATAL;
    }
    snprintf(temporary, sizeof temporary, "%s.tmp", file != NULL ? file : "parley-backup");
    if (!fetch(address, temporary) || !verify(temporary, &meta)) {
        unlink(temporary);
        return EXIT_FATAL;
    }
    if (file != NULL)
        snprintf(name, sizeof name, "%s", file);
    else
        snprintf(name, sizeof name, "parley-backup-%llu.snap", (unsigned long long)meta.index);
    if (rename(temporary, name) != 0 || stat(name, &status) != 0) {
        fprintf(stderr, "parley backup: cannot write %s: %s\n", name, strerror(errno));
        unlink(temporary);
        return EXIT_FATAL;
    }
    snprintf(folder, sizeof folder, "%s", name);
    char *slash = strrchr(folder, '/');
    if (slash != NULL) slash[slash == folder] = 0;
    int fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); // the name too
        close(fd);
    }
    printf("%s: index %llu, %lld bytes, verified\n", name, (unsigned long long)meta.index, (long long)status.st_size);
    return 0;
}

int backup_main(int argc, char **argv) {
    const char *http = ASK_DEFAULT;
    bool force = false;
    const struct option_row rows[] = {ASK_OPTION(http), {"force", 'f', NULL, "replace FILE", NULL, &force}};
    const struct option_table table = {"backup",
                                       "parley backup [FILE]",
                                       "Asks a running node for a consistent snapshot of all data, writes it to FILE "
                                       "(or parley-backup-INDEX.snap) and verifies\n"
                                       "it. `parley restore` makes a data folder from it.",
                                       rows,
                                       2,
                                       0,
                                       1};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), address[ADDRESS_TEXT_MAX];
    size_t count;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code < 0)
        code = ask_address("backup", http, address) ? write_backup(address, count > 0 ? arguments[0] : NULL, force)
                                                    : EXIT_USAGE;
    mem_free(arguments);
    return code;
}
