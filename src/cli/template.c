// `parley template SOURCE DEST`: keeps DEST as SOURCE renders the registry, and reloads who reads it. DEST is replaced
// whole (a new file is renamed over it), only when it changes, and stays as it is while the cluster cannot be reached
// or the template is wrong.
#include "cli/template.h"
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/native_client.h"
#include "cli/options.h"
#include "protocol/http/native.h"
#include "server/server.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCH_MS 20000u
#define WATCH_MARGIN_MS 5000u
#define RETRY_S 1u // behind what failed
#define FILE_BYTES_MAX (16u << 20)

struct job {
    struct native_client client;
    const char *source, *destination, *reload;
    bool once, json, away;
};

__attribute__((format(printf, 3, 4))) static void tell(const struct job *job, const char *event, const char *format,
                                                       ...) {
    char text[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!job->json) {
        fprintf(stderr, "parley template: %s\n", text);
        return;
    }
    json_t *json = json_pack("{s:s, s:s, s:s}", "event", event, "file", job->destination, "text", text);
    char *line = json_dumps(json, JSON_COMPACT);
    fprintf(stderr, "%s\n", line);
    free(line);
    json_decref(json);
}

// ---- the registry

static json_t *ask(struct job *job, const char *operation, json_t *body) {
    struct native_answer answer;
    if (native_call(&job->client, operation, body, NATIVE_TIMEOUT_MS, native_now_ms() + NATIVE_TIMEOUT_MS, &answer))
        return answer.json;
    if (!job->away) tell(job, "away", "%s; the file stays as it is", answer.error);
    job->away = true;
    native_answer_free(&answer);
    return NULL;
}

// All pages of a list: `names` of its items are what the next page begins behind.
static json_t *ask_pages(struct job *job, const char *operation, const char *service, const char *list,
                         const char *name) {
    json_t *all = json_array();
    for (bool more = true; more;) {
        json_t *last = json_array_get(all, json_array_size(all) - 1), *body = json_object();
        if (service != NULL) json_object_set_new(body, "service", json_string(service));
        if (last != NULL) json_object_set(body, "after", json_object_get(last, name));
        json_t *page = ask(job, operation, body);
        if (page == NULL) {
            json_decref(all);
            return NULL;
        }
        more = json_is_true(json_object_get(page, "more")) && json_array_size(json_object_get(page, list)) > 0;
        json_array_extend(all, json_object_get(page, list));
        json_decref(page);
    }
    return all;
}

static json_t *services(void *context) {
    return ask_pages(context, "registry/list", NULL, "services", "service");
}
static json_t *instances(void *context, const char *service) {
    return ask_pages(context, "registry/show", service, "instances", "id");
}

// ---- files

static bool read_file(const char *path, struct writer *out) {
    FILE *file = fopen(path, "rbe");
    if (file == NULL) return false;
    uint8_t chunk[8192];
    size_t n;
    while (out->len <= FILE_BYTES_MAX && (n = fread(chunk, 1, sizeof chunk, file)) > 0)
        write_span(out, bytes_of(chunk, n));
    bool good = ferror(file) == 0 && out->len <= FILE_BYTES_MAX;
    if (out->len > FILE_BYTES_MAX) errno = EFBIG;
    int error = errno;
    fclose(file);
    errno = error;
    return good;
}

static bool is_same(const char *path, struct bytes text) {
    struct writer there;
    writer_init(&there);
    bool same = read_file(path, &there) && bytes_equal(bytes_of(there.data, there.len), text);
    writer_free(&there);
    return same;
}

static bool write_all(int fd, struct bytes text) {
    for (size_t done = 0; done < text.len;) {
        ssize_t n = write(fd, text.data + done, text.len - done);
        if (n < 0 && errno != EINTR) return false;
        if (n > 0) done += (size_t)n;
    }
    return fsync(fd) == 0;
}

static void sync_folder(const char *path) { // the name too is there behind a power cut
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

// As the file before: its rights and, where we may, its owner.
static bool replace(const char *path, struct bytes text) {
    char beside[PATH_MAX];
    struct stat before;
    bool there = stat(path, &before) == 0;
    int len = snprintf(beside, sizeof beside, "%s.XXXXXX", path);
    if (len < 0 || (size_t)len >= sizeof beside) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0) return false;
    mode_t mask = umask(0);
    umask(mask);
    bool good = fchmod(fd, there ? before.st_mode & 07777 : 0666 & ~mask) == 0;
    if (there && fchown(fd, before.st_uid, before.st_gid) != 0) errno = 0; // ours, then
    good = good && write_all(fd, text);
    good = close(fd) == 0 && good && rename(beside, path) == 0;
    int error = errno;
    if (!good) unlink(beside);
    if (good) sync_folder(path);
    errno = error;
    return good;
}

// ---- rendering, again and again

static bool reload(const struct job *job) {
    if (job->reload == NULL) return true;
    fflush(stdout);
    int status = system(job->reload);
    if (status == 0) return true;
    tell(job, "reload-failed", "%s: %s %d", job->reload, WIFSIGNALED(status) ? "killed by signal" : "ended with status",
         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

// The code that --once ends with; EXIT_FATAL: the file stays as it was.
static int render(struct job *job) {
    struct template_source source = {services, instances, job};
    struct writer text, out;
    char error[256];
    int code = EXIT_FATAL;
    writer_init(&text);
    writer_init(&out);
    if (!read_file(job->source, &text)) {
        tell(job, "error", "%s: %s", job->source, strerror(errno));
    } else if (!template_render(bytes_of(text.data, text.len), &source, &out, error)) {
        if (error[0] != 0) tell(job, "error", "%s: %s; %s stays as it is", job->source, error, job->destination);
    } else if (is_same(job->destination, bytes_of(out.data, out.len))) {
        code = 0;
    } else if (!replace(job->destination, bytes_of(out.data, out.len))) {
        tell(job, "error", "%s: %s", job->destination, strerror(errno));
    } else {
        tell(job, "written", "%s is written: %zu bytes", job->destination, out.len);
        code = reload(job) ? 0 : EXIT_FATAL;
    }
    writer_free(&text);
    writer_free(&out);
    return code;
}

// The version of all services, once it is another one; -1: nobody says.
static long long next_version(struct job *job, long long known) {
    struct native_answer answer;
    for (;;) {
        json_t *body = json_pack("{s:I, s:i}", "version", (json_int_t)known, "wait_ms", (int)WATCH_MS);
        bool asked = native_call(&job->client, "registry/watch", body, WATCH_MS + WATCH_MARGIN_MS,
                                 native_now_ms() + NATIVE_TIMEOUT_MS, &answer);
        long long version = asked ? native_number(answer.json, "version") : -1;
        if (!asked && !job->away) tell(job, "away", "%s; %s stays as it is", answer.error, job->destination);
        job->away = !asked;
        native_answer_free(&answer);
        if (version != known) return version;
    }
}

static int keep(struct job *job) {
    long long known = 0;
    for (;;) {
        bool was_away = job->away;
        long long version = next_version(job, known);
        int code = version < 0 ? EXIT_FATAL : 0;
        if (version >= 0 && was_away) tell(job, "back", "the cluster answers again");
        if (version >= 0) code = render(job);
        if (job->once) return code;
        if (version >= 0 && !job->away)
            known = version; // a wrong template is tried again when something changes
        else
            sleep(RETRY_S);
    }
}

int template_main(int argc, char **argv) {
    static struct job job;
    const char *server = "localhost:7450", *reload_command = NULL;
    bool once = false, json = false;
    const struct option_row rows[] = {
        {"server", 0, "ADDR[,ADDR...]", "HTTP addresses of nodes [localhost:7450]", &server, NULL},
        {"reload", 0, "CMD", "a shell command, run when DEST has changed", &reload_command, NULL},
        {"once", 0, NULL, "renders once and ends", NULL, &once},
        {"json", 0, NULL, "what is told, as lines of JSON on standard error", NULL, &json}};
    const struct option_table table = {
        "template",
        "parley template SOURCE DEST [FLAGS]",
        "Renders services and their instances into a configuration (HAProxy, nginx), and again when they change.\n"
        "docs/naming.md has the language. DEST is replaced whole, and only when it changes; while no server answers\n"
        "it stays as it is. With --once, exit code 1 says that it is not as it should be.",
        rows,
        sizeof rows / sizeof rows[0],
        2,
        2};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), error[512];
    size_t count;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code < 0 && !native_client_init(&job.client, server, error))
        code = options_wrong(&table, "--server: %s", error);
    if (code < 0) {
        job.source = arguments[0];
        job.destination = arguments[1];
        job.reload = reload_command;
        job.once = once;
        job.json = json;
        code = keep(&job);
    }
    mem_free(arguments);
    return code;
}
