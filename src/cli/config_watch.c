// `parley config watch NAME -- CMD`: CMD runs with the configuration that this client shall have, and learns of the
// next.
//
//   main      the first configuration (from the cluster, or from --cache), then CMD; starts CMD again when it was ended
//             for a new version
//   watcher   a long poll after the other; hands a new version to main, or writes it and tells CMD (--signal, --reload)
//
// A version whose items cannot be written or be an environment is told of, and CMD keeps the one before.
#include "base/alloc.h"
#include "cli/config.h"
#include "cli/held.h"
#include "server/server.h"
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLL_MS 30000u  // of one watch
#define MARGIN_MS 5000u // a server answers so long behind the waiting time at the latest
#define PAUSE_MS 1000u  // before a cluster that nobody reached is asked again

struct watch {
    struct native_client *client;
    const struct config_watch_options *options;
    struct held held;
    bool started;         // CMD ran: there is a watcher
    pthread_mutex_t lock; // of `next`, and of telling main of it
    json_t *next;         // not run yet; NULL: none
    long long revision;   // the watcher's: of what it got last
    bool unreachable;     // was told
    char previous[4096];  // folder of the version before the one that the link names; "" none
    char **environment;
    size_t environment_own; // entries that are ours, in front
};

// ---- what is told

__attribute__((format(printf, 4, 5))) static void say(const struct watch *watch, const char *event, long long version,
                                                      const char *format, ...) {
    char text[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!watch->options->json) {
        fprintf(stderr, "parley config: %s\n", text);
        return;
    }
    json_t *json = json_pack("{s:s, s:I, s:s*}", "event", event, "version", (json_int_t)version, "text", text);
    char *line = json_dumps(json, JSON_COMPACT);
    fprintf(stderr, "%s\n", line);
    free(line);
    json_decref(json);
}

// ---- the environment

// "db.url" as "CONFIG_DB_URL".
static void variable_name(const char *prefix, const char *key, char *out, size_t size) {
    size_t len = (size_t)snprintf(out, size, "%s", prefix);
    for (; *key != 0 && len + 1 < size; key++) out[len++] = (char)(isalnum((unsigned char)*key) ? toupper(*key) : '_');
    out[len < size ? len : size - 1] = 0;
}

static void environment_free(struct watch *watch) {
    for (size_t i = 0; i < watch->environment_own; i++) mem_free(watch->environment[i]);
    mem_free(watch->environment);
    watch->environment = NULL;
    watch->environment_own = 0;
}

static void environment_add(struct watch *watch, const char *name, const char *value) {
    size_t size = strlen(name) + strlen(value) + 2;
    char *entry = mem_alloc(size);
    snprintf(entry, size, "%s=%s", name, value);
    watch->environment[watch->environment_own++] = entry;
}

static bool is_ours(const struct watch *watch, const char *entry) {
    size_t len = strcspn(entry, "=") + 1;
    for (size_t i = 0; i < watch->environment_own; i++)
        if (strncmp(watch->environment[i], entry, len) == 0) return true;
    return false;
}

// Two items of one variable's name, or bytes that a variable cannot hold.
static bool environment_good(const struct watch *watch, const json_t *items, char error[512]) {
    json_t *seen = json_object(), *item;
    const char *key, *other = NULL;
    char name[512];
    bool good = true;
    json_object_foreach((json_t *)items, key, item) {
        if (!good) break;
        variable_name(watch->options->prefix, key, name, sizeof name);
        other = json_string_value(json_object_get(seen, name));
        good = other == NULL && json_is_string(item) && (name[0] < '0' || name[0] > '9');
        if (other != NULL)
            snprintf(error, 512, "items %.200s and %.200s are one environment variable", other, key);
        else if (!good)
            snprintf(error, 512, "item %.400s can be no environment variable", key);
        json_object_set_new(seen, name, json_string(key));
    }
    json_decref(seen);
    return good;
}

static void environment_make(struct watch *watch, const json_t *now) {
    const struct config_watch_options *o = watch->options;
    const json_t *items = json_object_get(now, "items");
    const char *key;
    char name[512], number[32];
    json_t *item;
    size_t count = 0, at;
    environment_free(watch);
    while (environ[count] != NULL) count++;
    watch->environment = mem_alloc((count + json_object_size(items) + 4) * sizeof(char *));
    snprintf(number, sizeof number, "%lld", native_number(now, "version"));
    environment_add(watch, "PARLEY_CONFIG_NAME", o->name);
    environment_add(watch, "PARLEY_CONFIG_VERSION", number);
    if (o->file != NULL) environment_add(watch, "PARLEY_CONFIG_FILE", o->file);
    json_object_foreach((json_t *)items, key, item) {
        if (!o->environment) break;
        variable_name(o->prefix, key, name, sizeof name);
        environment_add(watch, name, json_string_value(item));
    }
    at = watch->environment_own;
    for (size_t i = 0; i < count; i++)
        if (!is_ours(watch, environ[i])) watch->environment[at++] = environ[i];
    watch->environment[at] = NULL;
    watch->held.environment = watch->environment;
}

// ---- files

static void remove_folder(const char *path) {
    char *const arguments[] = {(char *)"rm", (char *)"-rf", (char *)"--", (char *)path, NULL};
    pid_t child;
    int status;
    if (posix_spawnp(&child, "rm", NULL, NULL, arguments, environ) == 0) waitpid(child, &status, 0);
}

static const char *base_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

// DEST is a link to a folder of one version, so that whoever opens it sees one version or the next. The folder before
// stays for those who are in it, until the next change.
static bool write_linked(struct watch *watch, const char *link, const json_t *now, char error[512]) {
    char folder[4096 - 64], before[4096 - 64] = "", next[4096];
    struct stat info;
    ssize_t len = readlink(link, before, sizeof before - 1);
    before[len > 0 ? len : 0] = 0;
    if (len < 0 && lstat(link, &info) == 0) {
        snprintf(error, 512, "%.400s is there, and no link that this command made", link);
        return false;
    }
    snprintf(folder, sizeof folder, "%.3900s.%lld-%lld", link, native_number(now, "version"),
             native_number(now, "revision"));
    if (!config_folder_write(folder, json_object_get(now, "items"), error)) return false;
    const char *name = base_of(folder), *base = base_of(link);
    if (strcmp(before, name) == 0) return true;
    snprintf(next, sizeof next, "%s.new", link);
    unlink(next);
    if (symlink(name, next) != 0 || rename(next, link) != 0) {
        snprintf(error, 512, "%.300s: %s", link, strerror(errno));
        return false;
    }
    bool ours = strncmp(before, base, strlen(base)) == 0 && before[strlen(base)] == '.' && strchr(before, '/') == NULL;
    if (watch->previous[0] != 0) remove_folder(watch->previous);
    watch->previous[0] = 0;
    if (ours) snprintf(watch->previous, sizeof watch->previous, "%.*s%s", (int)(base - link), link, before);
    return true;
}

static bool write_files(struct watch *watch, const json_t *now, char error[512]) {
    const char *file = watch->options->file;
    struct stat info;
    if (file == NULL) return true;
    size_t len = strlen(file);
    bool slash = len > 1 && file[len - 1] == '/', folder = stat(file, &info) == 0 && S_ISDIR(info.st_mode);
    if (!slash && !folder) return config_items_write(file, json_object_get(now, "items"), error);
    char link[4096 - 64];
    snprintf(link, sizeof link, "%.*s", (int)(slash ? len - 1 : len), file);
    return write_linked(watch, link, now, error);
}

static bool items_good(const struct watch *watch, const json_t *now, char error[512]) {
    const json_t *items = json_object_get(now, "items");
    return !watch->options->environment || environment_good(watch, items, error);
}

// ---- the last known configuration

static void cache_write(const struct watch *watch, const json_t *now) {
    char error[512];
    if (watch->options->cache == NULL) return;
    json_t *json = json_copy((json_t *)now);
    json_object_set_new(json, "name", json_string(watch->options->name));
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (!config_file_write(watch->options->cache, bytes_of_text(text), error))
        say(watch, "cache-failed", native_number(now, "version"), "%s", error);
    free(text);
    json_decref(json);
}

static json_t *cache_read(const struct watch *watch) {
    char error[512] = "it is no configuration of this name";
    json_t *json = NULL;
    struct writer w;
    writer_init(&w);
    if (config_file_read(watch->options->cache, &w, error)) json = json_loadb((const char *)w.data, w.len, 0, NULL);
    writer_free(&w);
    if (strcmp(native_text(json, "name"), watch->options->name) == 0 && native_number(json, "version") > 0 &&
        json_is_object(json_object_get(json, "items")))
        return json;
    say(watch, "cache-failed", 0, "%s: %s", watch->options->cache, error);
    json_decref(json);
    return NULL;
}

// ---- the watcher

// What the client shall have when it is another revision; NULL: nothing new. try_ms: an answer is looked for so long
// while no node gives one.
static json_t *poll_once(struct watch *watch, uint64_t wait_ms, uint64_t try_ms) {
    const struct config_watch_options *o = watch->options;
    struct native_answer answer;
    json_t *body =
        json_pack("{s:s, s:s, s:o, s:I, s:I}", "name", o->name, "id", o->id, "labels", config_labels(o->labels),
                  "revision", (json_int_t)watch->revision, "wait_ms", (json_int_t)wait_ms);
    bool good =
        native_call(watch->client, "config/watch", body, wait_ms + MARGIN_MS, native_now_ms() + try_ms, &answer);
    if (!good && !watch->unreachable) say(watch, "unreachable", 0, "no answer (%s): keeps what it has", answer.error);
    watch->unreachable = !good;
    if (good && json_is_true(json_object_get(answer.json, "changed"))) {
        watch->revision = native_number(answer.json, "revision");
        if (native_number(answer.json, "version") > 0) return answer.json;
        say(watch, "gone", 0, "%s has no configuration any more: keeps what it has", o->name);
    }
    native_answer_free(&answer);
    return NULL;
}

static bool reload(const struct watch *watch) {
    char *const arguments[] = {(char *)"sh", (char *)"-c", (char *)watch->options->reload, NULL};
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t child;
    int status = -1;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    if (posix_spawnp(&child, "sh", NULL, &attributes, arguments, watch->environment) == 0)
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
    posix_spawnattr_destroy(&attributes);
    return status == 0;
}

static void restart_with(struct watch *watch, json_t *now) {
    char reason[64];
    snprintf(reason, sizeof reason, "%lld", native_number(now, "version"));
    pthread_mutex_lock(&watch->lock);
    json_decref(watch->next);
    watch->next = now;
    held_lose(&watch->held, reason, native_now_ms() + watch->options->grace_ms);
    pthread_mutex_unlock(&watch->lock);
}

// Writes what is new and tells CMD; CMD goes on.
static void tell_command(struct watch *watch, json_t *now) {
    const struct config_watch_options *o = watch->options;
    long long version = native_number(now, "version");
    char error[512];
    if (!write_files(watch, now, error)) {
        say(watch, "failed", version, "version %lld is not used: %s", version, error);
        json_decref(now);
        return;
    }
    cache_write(watch, now);
    environment_make(watch, now); // CMD has its own by now
    bool good = o->reload == NULL || reload(watch);
    if (o->signal != 0) held_signal(&watch->held, o->signal);
    say(watch, good ? "reloaded" : "failed", version, "version %lld: %s", version,
        !good ? "the reload command failed" : "CMD was told");
    json_decref(now);
}

static void watch_on(struct watch *watch) {
    char error[512];
    json_t *now = poll_once(watch, POLL_MS, MARGIN_MS);
    if (now == NULL) return;
    if (!items_good(watch, now, error)) {
        long long version = native_number(now, "version");
        say(watch, "failed", version, "version %lld is not used: %s", version, error);
        json_decref(now);
    } else if (watch->options->signal != 0 || watch->options->reload != NULL) {
        tell_command(watch, now);
    } else {
        restart_with(watch, now);
    }
}

static void *watcher(void *context) {
    struct watch *watch = context;
    for (;;) {
        watch_on(watch);
        struct timespec pause = {.tv_sec = PAUSE_MS / 1000};
        if (watch->unreachable) nanosleep(&pause, NULL);
    }
    return NULL;
}

// ---- main

static json_t *first_configuration(struct watch *watch) {
    const struct config_watch_options *o = watch->options;
    uint64_t begin_ms = native_now_ms(), gone_ms = 0;
    while (gone_ms < o->wait_ms) {
        uint64_t left_ms = o->wait_ms - gone_ms;
        json_t *now =
            poll_once(watch, left_ms < POLL_MS ? left_ms : POLL_MS, left_ms < MARGIN_MS ? left_ms : MARGIN_MS);
        if (now != NULL) return now;
        struct timespec pause = {.tv_nsec = 100000000};
        if (watch->unreachable) nanosleep(&pause, NULL);
        gone_ms = native_now_ms() - begin_ms;
    }
    return NULL;
}

static void told(void *context, const char *reason) {
    const struct watch *watch = context;
    say(watch, "restarting", atoll(reason), "version %s: CMD is started again", reason);
}

// Under one lock with the watcher's telling: what it hands over from here on ends CMD.
static json_t *take_next(struct watch *watch) {
    pthread_mutex_lock(&watch->lock);
    held_again(&watch->held);
    json_t *next = watch->next;
    watch->next = NULL;
    pthread_mutex_unlock(&watch->lock);
    return next;
}

static void started(void *context) {
    struct watch *watch = context;
    pthread_t thread;
    if (watch->started) return;
    watch->started = true;
    if (!held_thread(&thread, watcher, watch)) abort(); // the end of the process ends it
}

static bool use(struct watch *watch, const json_t *now) {
    long long version = native_number(now, "version");
    char error[512];
    if (!items_good(watch, now, error) || !write_files(watch, now, error)) {
        say(watch, "failed", version, "version %lld is not used: %s", version, error);
        return false;
    }
    cache_write(watch, now);
    environment_make(watch, now);
    return true;
}

static int run(struct watch *watch, json_t *now) {
    for (;;) {
        bool good = now == NULL || use(watch, now);
        json_decref(now);
        if (!good && !watch->started) return EXIT_FATAL;
        int code = held_run(&watch->held);
        if (code != HELD_EXIT_LOST) return code;
        if (watch->held.signal != 0) return 128 + watch->held.signal; // CMD had it too, and we are asked to end
        now = take_next(watch);
    }
}

int config_watch_run(struct native_client *client, const struct config_watch_options *options) {
    static struct watch watch; // the watcher uses it to the end
    watch = (struct watch){.client = client, .options = options};
    pthread_mutex_init(&watch.lock, NULL);
    held_init(&watch.held);
    watch.held.who = "parley config";
    watch.held.command = options->command;
    watch.held.told = told;
    watch.held.started = started;
    watch.held.context = &watch;
    json_t *now = first_configuration(&watch);
    if (now == NULL && options->cache != NULL && (now = cache_read(&watch)) != NULL) {
        watch.revision = native_number(now, "revision");
        say(&watch, "cached", native_number(now, "version"), "version %lld, as it was last known: %s",
            native_number(now, "version"), options->cache);
    }
    if (now == NULL) {
        say(&watch, "none", 0, "no configuration in the time given; CMD did not run");
        return CONFIG_EXIT_NONE;
    }
    return run(&watch, now);
}
