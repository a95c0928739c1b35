// The output of a run as it is stored: {"stdout": base64, "stderr": base64, "cut": bool}.
#include "base/base64.h"
#include "cli/once.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {"stdout", "stderr"};

void once_output_init(struct once_output *output) {
    output->cut = false;
    for (int i = 0; i < 2; i++) writer_init(&output->streams[i]);
}

void once_output_free(struct once_output *output) {
    for (int i = 0; i < 2; i++) writer_free(&output->streams[i]);
}

void once_output_add(struct once_output *output, int stream, const void *data, size_t len) {
    size_t room = ONCE_OUTPUT_BYTES_MAX - output->streams[0].len - output->streams[1].len;
    if (len > room) output->cut = true;
    write_span(&output->streams[stream], bytes_of(data, len < room ? len : room));
}

char *once_output_text(const struct once_output *output) {
    json_t *json = json_object();
    for (int i = 0; i < 2; i++) {
        struct writer w;
        writer_init(&w);
        base64_write(&w, bytes_of(output->streams[i].data, output->streams[i].len));
        write_u8(&w, 0);
        json_object_set_new(json, names[i], json_string((const char *)w.data));
        writer_free(&w);
    }
    json_object_set_new(json, "cut", json_boolean(output->cut));
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

bool once_output_read(struct once_output *output, const char *text) {
    json_t *json = text != NULL ? json_loads(text, 0, NULL) : NULL;
    bool good = json_is_object(json);
    for (int i = 0; good && i < 2; i++) {
        const char *words = json_string_value(json_object_get(json, names[i]));
        good = words != NULL && base64_read(&output->streams[i], bytes_of_text(words));
    }
    output->cut = json_is_true(json_object_get(json, "cut"));
    json_decref(json);
    return good;
}

void once_write_all(int fd, const void *data, size_t len) {
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return; // nobody reads; the run goes on, and its output is stored
        at += n;
        len -= (size_t)n;
    }
}

void once_output_replay(const struct once_output *output, const char *key) {
    for (int i = 0; i < 2; i++) once_write_all(i + 1, output->streams[i].data, output->streams[i].len);
    if (output->cut)
        fprintf(stderr, "parley once: %s: only the first %u bytes of the output were stored\n", key,
                ONCE_OUTPUT_BYTES_MAX);
}
