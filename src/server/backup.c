// A file stays readable through its descriptor when the node drops it for a newer one meanwhile.
#include "server/backup.h"
#include "base/alloc.h"
#include "base/assert.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct backup {
    int fd;
};

// DATA/snapshots/<index in 20 digits>-<term>.snap (storage/snapshot.h): the newest term of this index.
static bool find(const char *folder, uint64_t index, char name[64]) {
    char prefix[32];
    unsigned long long best = 0;
    snprintf(prefix, sizeof prefix, "%020llu-", (unsigned long long)index);
    DIR *dir = opendir(folder);
    if (dir == NULL) return false;
    const struct dirent *found;
    name[0] = 0;
    while ((found = readdir(dir)) != NULL) {
        unsigned long long term;
        char dot[8];
        size_t len = strlen(found->d_name);
        if (strncmp(found->d_name, prefix, 21) != 0 || len >= 64) continue;
        if (sscanf(found->d_name + 21, "%llu%7s", &term, dot) != 2 || strcmp(dot, ".snap") != 0) continue;
        if (name[0] != 0 && term < best) continue;
        best = term;
        memcpy(name, found->d_name, len + 1);
    }
    closedir(dir);
    return name[0] != 0;
}

void *backup_open(void *data_folder, uint64_t index, uint64_t *bytes, char name[64]) {
    char folder[4096], path[4200];
    struct stat status;
    ENSURE(data_folder != NULL);
    snprintf(folder, sizeof folder, "%s/snapshots", (const char *)data_folder);
    if (!find(folder, index, name)) return NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    if (fstat(fd, &status) != 0) {
        close(fd);
        return NULL;
    }
    *bytes = (uint64_t)status.st_size;
    struct backup *backup = mem_alloc(sizeof *backup);
    backup->fd = fd;
    return backup;
}

int64_t backup_read(void *context, void *data, size_t len) {
    const struct backup *backup = context;
    for (;;) {
        ssize_t n = read(backup->fd, data, len);
        if (n >= 0) return n;
        if (errno != EINTR) return -errno;
    }
}

void backup_close(void *context) {
    struct backup *backup = context;
    close(backup->fd);
    mem_free(backup);
}
