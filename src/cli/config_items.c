// Items of a configuration as files: a folder with a file for each, one JSON object, or lines of KEY=VALUE.
#include "base/base64.h"
#include "cli/config.h"
#include "model/config/config.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (4u << 20) // of a file with all items: more than a version may have

__attribute__((format(printf, 2, 3))) static bool fails(char error[512], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, 512, format, arguments);
    va_end(arguments);
    return false;
}

// ---- items

json_t *config_item_new(struct bytes value) {
    const char *data = value.len > 0 ? (const char *)value.data : "";
    json_t *text = memchr(data, 0, value.len) == NULL ? json_stringn(data, value.len) : NULL;
    if (text != NULL) return text;
    struct writer w;
    writer_init(&w);
    base64_write(&w, value);
    json_t *json = json_pack("{s:o}", "base64", json_stringn((const char *)w.data, w.len));
    writer_free(&w);
    return json;
}

void config_item_bytes(const json_t *item, struct writer *to) {
    const char *encoded = json_string_value(json_object_get(item, "base64"));
    if (encoded != NULL)
        base64_read(to, bytes_of_text(encoded));
    else
        write_span(to, bytes_of(json_string_value(item), json_string_length(item)));
}

json_t *config_labels(const char *words) {
    json_t *labels = json_array();
    while (words != NULL && *words != 0) {
        size_t len = strcspn(words, ",");
        if (len > 0) json_array_append_new(labels, json_stringn(words, len));
        words += len + (words[len] == ',');
    }
    return labels;
}

// No file outside the folder, and none that another item's folder needs the name of (which the file system tells).
bool config_path_good(const char *key) {
    for (;;) {
        size_t len = strcspn(key, "/");
        if (len == 0 || (len == 1 && key[0] == '.') || (len == 2 && key[0] == '.' && key[1] == '.')) return false;
        if (key[len] == 0) return true;
        key += len + 1;
    }
}

// ---- files

bool config_file_read(const char *path, struct writer *to, char error[512]) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fails(error, "%s: %s", path, strerror(errno));
    ssize_t n;
    do {
        uint8_t piece[16384];
        n = read(fd, piece, sizeof piece);
        if (n > 0) write_span(to, bytes_of(piece, (size_t)n));
    } while ((n > 0 && to->len <= FILE_BYTES_MAX) || (n < 0 && errno == EINTR));
    int wrong = n < 0 ? errno : n > 0 ? EFBIG : 0;
    close(fd);
    return wrong == 0 || fails(error, "%s: %s", path, strerror(wrong));
}

static bool write_all(int fd, struct bytes bytes) {
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);
        if (n < 0 && errno != EINTR) return false;
        if (n > 0) bytes = bytes_of(bytes.data + n, bytes.len - (size_t)n);
    }
    return fsync(fd) == 0;
}

bool config_file_write(const char *path, struct bytes bytes, char error[512]) {
    char next[4096];
    if (snprintf(next, sizeof next, "%s.new-%ld", path, (long)getpid()) >= (int)sizeof next)
        return fails(error, "%.400s: the name is too long", path);
    int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); // there may be passwords in it
    bool good = fd >= 0 && write_all(fd, bytes);
    int wrong = errno;
    if (fd >= 0 && close(fd) != 0 && good) {
        good = false;
        wrong = errno;
    }
    if (good && rename(next, path) == 0) return true;
    if (good) wrong = errno;
    if (fd >= 0) unlink(next);
    return fails(error, "%s: %s", path, strerror(wrong));
}

static bool make_parents(const char *root, char *path, char error[512]) {
    for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = 0;
        bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
        if (!made) fails(error, "%s: %s", path, strerror(errno));
        *at = '/';
        if (!made) return false;
    }
    return true;
}

bool config_folder_write(const char *folder, const json_t *items, char error[512]) {
    const char *key;
    json_t *item;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) return fails(error, "%s: %s", folder, strerror(errno));
    json_object_foreach((json_t *)items, key, item) {
        char path[4096];
        struct writer w;
        if (!config_path_good(key)) return fails(error, "%s: this item can be no file in a folder", key);
        if (snprintf(path, sizeof path, "%s/%s", folder, key) >= (int)sizeof path)
            return fails(error, "%.400s: the name is too long", key);
        writer_init(&w);
        config_item_bytes(item, &w);
        bool good = make_parents(folder, path, error) && config_file_write(path, bytes_of(w.data, w.len), error);
        writer_free(&w);
        if (!good) return false;
    }
    return true;
}

static bool is_json(const char *path) {
    size_t len = strlen(path);
    return len >= 5 && strcmp(path + len - 5, ".json") == 0;
}

static bool write_lines(struct writer *w, const json_t *items, char error[512]) {
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)items, key, item) {
        const char *words = json_string_value(item);
        if (words == NULL || strchr(words, '\n') != NULL || strchr(key, '=') != NULL || strchr(key, '\n') != NULL ||
            key[0] == '#')
            return fails(error, "%s: this item fits in no line of KEY=VALUE: a folder or a .json file has room", key);
        write_span(w, bytes_of_text(key));
        write_u8(w, '=');
        write_span(w, bytes_of_text(words));
        write_u8(w, '\n');
    }
    return true;
}

static bool is_folder(const char *path) {
    struct stat info;
    size_t len = strlen(path);
    return (len > 0 && path[len - 1] == '/') || (stat(path, &info) == 0 && S_ISDIR(info.st_mode));
}

bool config_items_write(const char *path, const json_t *items, char error[512]) {
    if (is_folder(path)) return config_folder_write(path, items, error);
    struct writer w;
    writer_init(&w);
    bool good = true;
    if (is_json(path)) {
        char *text = json_dumps(items, JSON_INDENT(2) | JSON_SORT_KEYS);
        write_span(&w, bytes_of_text(text));
        write_u8(&w, '\n');
        free(text);
    } else {
        good = write_lines(&w, items, error);
    }
    good = good && config_file_write(path, bytes_of(w.data, w.len), error);
    writer_free(&w);
    return good;
}

// ---- reading

static bool read_json(const char *path, struct bytes bytes, json_t *items, char error[512]) {
    json_error_t wrong;
    const char *key;
    json_t *json = json_loadb((const char *)bytes.data, bytes.len, JSON_REJECT_DUPLICATES, &wrong), *item;
    bool good = json_is_object(json);
    json_object_foreach(json, key, item) {
        good = good && (json_is_string(item) || json_is_string(json_object_get(item, "base64")));
    }
    if (good)
        json_object_update(items, json);
    else
        fails(error, "%s: an object is wanted, with text or {\"base64\": text} for each item", path);
    json_decref(json);
    return good;
}

static bool read_lines(const char *path, char *text, json_t *items, char error[512]) {
    size_t number = 0;
    for (char *line = text; line != NULL;) {
        char *next = strchr(line, '\n'), *equals = strchr(line, '=');
        if (next != NULL) *next++ = 0;
        number++;
        bool blank = line[0] == 0 || line[0] == '#';
        equals = blank ? NULL : strchr(line, '=');
        if (!blank && (equals == NULL || equals == line))
            return fails(error, "%s:%zu: KEY=VALUE is wanted", path, number);
        if (equals != NULL) *equals++ = 0;
        if (equals != NULL && json_object_set_new(items, line, json_string(equals)) != 0)
            return fails(error, "%s:%zu: it is no UTF-8", path, number);
        line = next;
    }
    return true;
}

// key: of the folder's items, "" for those of the first one. Names that begin with a dot are no items.
static bool read_folder(const char *folder, const char *prefix, json_t *items, char error[512]) {
    DIR *dir = opendir(folder);
    if (dir == NULL) return fails(error, "%s: %s", folder, strerror(errno));
    bool good = true;
    for (struct dirent *entry; good && (entry = readdir(dir)) != NULL;) {
        char path[4096], key[CONFIG_KEY_BYTES_MAX + 2];
        struct writer w;
        if (entry->d_name[0] == '.') continue;
        good = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < (int)sizeof path &&
               snprintf(key, sizeof key, "%s%s", prefix, entry->d_name) <= (int)CONFIG_KEY_BYTES_MAX;
        if (!good) fails(error, "%.200s/%.200s: the name is too long", folder, entry->d_name);
        if (good && is_folder(path)) {
            size_t len = strlen(key);
            snprintf(key + len, sizeof key - len, "/");
            good = read_folder(path, key, items, error);
        } else if (good) {
            writer_init(&w);
            good = config_file_read(path, &w, error);
            if (good && json_object_set_new(items, key, config_item_new(bytes_of(w.data, w.len))) != 0)
                good = fails(error, "%s: its name is no UTF-8", path);
            writer_free(&w);
        }
    }
    closedir(dir);
    return good;
}

bool config_items_read(const char *path, json_t *items, char error[512]) {
    if (is_folder(path)) return read_folder(path, "", items, error);
    struct writer w;
    writer_init(&w);
    bool good = config_file_read(path, &w, error);
    if (good && is_json(path)) {
        good = read_json(path, bytes_of(w.data, w.len), items, error);
    } else if (good && w.len > 0 && memchr(w.data, 0, w.len) != NULL) {
        good = fails(error, "%s: it is no text", path);
    } else if (good) {
        write_u8(&w, 0);
        good = read_lines(path, (char *)w.data, items, error);
    }
    writer_free(&w);
    return good;
}
