// `parley config`: publishes and shows namespaces of configuration; files and folders of items; `watch` is in
// config_watch.c.
#include "cli/config.h"
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/held.h"
#include "cli/options.h"
#include "model/config/config.h"
#include "server/server.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct texts { // flags as given
    const char *server, *version, *labels, *id, *percent, *expected, *author, *comment;
    const char *file, *prefix, *signal, *reload, *cache, *wait, *grace;
    bool replace, json;
};
struct call { // of one verb
    const struct option_table *table;
    const struct texts *texts;
    struct native_client *client;
    char **arguments; // behind the verb: NAME and more
    size_t count;
    char **command; // behind --; NULL: none
};

// ---- what verbs share

static json_t *body_of(const struct call *call) {
    json_t *body = json_object();
    if (call->count > 0) json_object_set_new(body, "name", json_string(call->arguments[0]));
    return body;
}

// false: it is no number, which was printed.
static bool set_number(const struct call *call, json_t *body, const char *name, const char *text, uint64_t low,
                       uint64_t high) {
    uint64_t number = 0;
    if (text == NULL) return true;
    if (!options_u64(text, low, high, &number)) {
        options_wrong(call->table, "%s: '%.100s' is no number from %llu to %llu", name, text, (unsigned long long)low,
                      (unsigned long long)high);
        return false;
    }
    json_object_set_new(body, name, json_integer((json_int_t)number));
    return true;
}

static json_t *ask(const struct call *call, const char *operation, json_t *body) {
    char path[64];
    snprintf(path, sizeof path, "config/%s", operation);
    return native_ask(call->client, "config", path, body);
}

static bool set_selector(const struct call *call, json_t *body) {
    if (call->texts->labels != NULL) json_object_set_new(body, "labels", config_labels(call->texts->labels));
    return set_number(call, body, "percent", call->texts->percent, 0, 100);
}

static int finish(const struct call *call, const char *operation, json_t *body) {
    json_t *json = ask(call, operation, body);
    if (json == NULL) return EXIT_FATAL;
    if (call->texts->json) return native_print(json);
    long long version = native_number(json, "version"), gradual = native_number(json, "gradual");
    if (strcmp(operation, "delete") == 0)
        printf("deleted\n");
    else if (!json_is_true(json_object_get(json, "changed")))
        printf("version %lld: nothing changed\n", version);
    else
        printf("version %lld%s\n", version, gradual == version ? " (gradual: promote or abandon it)" : "");
    json_decref(json);
    return 0;
}

static int publish(const struct call *call, const char *operation, json_t *body) {
    const struct texts *t = call->texts;
    const char *author = t->author != NULL ? t->author : getenv("USER");
    if (author != NULL) json_object_set_new(body, "author", json_string(author));
    if (t->comment != NULL) json_object_set_new(body, "comment", json_string(t->comment));
    if (t->replace) json_object_set_new(body, "replace", json_true());
    if (set_selector(call, body) && set_number(call, body, "expected", t->expected, 0, INT64_MAX))
        return finish(call, operation, body);
    json_decref(body);
    return EXIT_USAGE;
}

static int publish_items(const struct call *call, json_t *items) {
    json_t *body = body_of(call);
    json_object_set_new(body, "items", items);
    return publish(call, "publish", body);
}

static void print_item(const char *sign, const char *key, const json_t *item) {
    const char *words = json_string_value(item);
    bool plain = words != NULL;
    for (const char *at = words; plain && *at != 0; at++) plain = (unsigned char)*at >= ' ' && *at != 127;
    char *text = plain ? NULL : json_dumps(item, JSON_COMPACT | JSON_ENCODE_ANY);
    printf("%s%s=%s\n", sign, key, plain ? words : text);
    free(text);
}

// ---- publishing

static int set_main(const struct call *call) {
    json_t *items = json_object();
    for (size_t i = 1; i < call->count; i++) {
        char *equals = strchr(call->arguments[i], '=');
        json_t *value = equals != NULL ? json_string(equals + 1) : NULL;
        if (value == NULL || equals == call->arguments[i]) {
            json_decref(value);
            json_decref(items);
            return options_wrong(call->table, "set wants KEY=VALUE, of UTF-8 (import takes any bytes)");
        }
        *equals = 0;
        json_object_set_new(items, call->arguments[i], value);
    }
    return publish_items(call, items);
}

static int unset_main(const struct call *call) {
    json_t *items = json_object();
    for (size_t i = 1; i < call->count; i++) json_object_set_new(items, call->arguments[i], json_null());
    return publish_items(call, items);
}

static int import_main(const struct call *call) {
    char error[512];
    json_t *items = json_object();
    if (config_items_read(call->arguments[1], items, error)) return publish_items(call, items);
    fprintf(stderr, "parley config: %s\n", error);
    json_decref(items);
    return EXIT_FATAL;
}

static int rollback_main(const struct call *call) {
    json_t *body = body_of(call);
    if (set_number(call, body, "version", call->arguments[1], 1, INT64_MAX)) return publish(call, "rollback", body);
    json_decref(body);
    return EXIT_USAGE;
}

static int delete_main(const struct call *call) {
    json_t *body = body_of(call);
    if (set_number(call, body, "expected", call->texts->expected, 0, INT64_MAX)) return finish(call, "delete", body);
    json_decref(body);
    return EXIT_USAGE;
}

// ---- gradual releases: of the version that is named, or of the one that is under way

static int gradual_main(const struct call *call, const char *operation, bool selects) {
    json_t *body = body_of(call);
    bool good = !selects || set_selector(call, body);
    if (good && call->count > 1) {
        good = set_number(call, body, "version", call->arguments[1], 1, INT64_MAX);
    } else if (good) {
        json_t *shown = ask(call, "show", body_of(call));
        if (shown == NULL) {
            json_decref(body);
            return EXIT_FATAL;
        }
        json_object_set(body, "version", json_object_get(shown, "gradual"));
        json_decref(shown);
    }
    if (good) return finish(call, operation, body);
    json_decref(body);
    return EXIT_USAGE;
}

static int release_main(const struct call *call) {
    return gradual_main(call, "release", true);
}
static int promote_main(const struct call *call) {
    return gradual_main(call, "promote", false);
}
static int abandon_main(const struct call *call) {
    return gradual_main(call, "abandon", false);
}

// ---- reading

static json_t *get(const struct call *call, int *code) {
    json_t *body = body_of(call);
    *code = EXIT_USAGE;
    if (call->texts->id != NULL) json_object_set_new(body, "id", json_string(call->texts->id));
    json_object_set_new(body, "labels", config_labels(call->texts->labels));
    if (!set_number(call, body, "version", call->texts->version, 1, INT64_MAX)) {
        json_decref(body);
        return NULL;
    }
    *code = EXIT_FATAL;
    return ask(call, "get", body);
}

static int get_main(const struct call *call) {
    int code;
    const char *key;
    json_t *json = get(call, &code), *items = json_object_get(json, "items"), *item;
    if (json == NULL) return code;
    if (call->texts->json && call->count == 1) return native_print(json);
    if (call->count == 1) {
        json_object_foreach(items, key, item) print_item("", key, item);
        json_decref(json);
        return 0;
    }
    item = json_object_get(items, call->arguments[1]);
    code = item != NULL ? 0 : EXIT_FATAL;
    if (item == NULL) fprintf(stderr, "parley config: %s: there is no such item\n", call->arguments[1]);
    struct writer w;
    writer_init(&w);
    if (item != NULL) config_item_bytes(item, &w);
    if (item != NULL && isatty(STDOUT_FILENO)) write_u8(&w, '\n');
    if (call->texts->json && item != NULL)
        native_print(json_incref(item));
    else if (w.len > 0 && fwrite(w.data, 1, w.len, stdout) != w.len)
        code = EXIT_FATAL;
    writer_free(&w);
    json_decref(json);
    return code;
}

static int export_main(const struct call *call) {
    int code;
    char error[512];
    json_t *json = get(call, &code);
    if (json == NULL) return code;
    bool good = config_items_write(call->arguments[1], json_object_get(json, "items"), error);
    if (good)
        printf("version %lld\n", native_number(json, "version"));
    else
        fprintf(stderr, "parley config: %s\n", error);
    json_decref(json);
    return good ? 0 : EXIT_FATAL;
}

static int show_main(const struct call *call) {
    json_t *json = ask(call, "show", body_of(call)), *label;
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (call->texts->json) return native_print(json);
    printf("version   %lld\n", native_number(json, "version"));
    if (native_number(json, "gradual") != 0) {
        printf("gradual   %lld, for %lld%% of", native_number(json, "gradual"), native_number(json, "percent"));
        json_array_foreach(json_object_get(json, "labels"), i, label) printf(" %s", json_string_value(label));
        printf("%s\n", json_array_size(json_object_get(json, "labels")) == 0 ? " all" : "");
    }
    printf("kept      %lld versions, %lld bytes\n", native_number(json, "kept"), native_number(json, "bytes"));
    json_decref(json);
    return 0;
}

static int list_main(const struct call *call) {
    json_t *json = ask(call, "list", json_object()), *one;
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (call->texts->json) return native_print(json);
    printf("%-40s %8s %8s\n", "NAME", "VERSION", "GRADUAL");
    json_array_foreach(json_object_get(json, "namespaces"), i, one) {
        printf("%-40s %8lld %8lld\n", native_text(one, "name"), native_number(one, "version"),
               native_number(one, "gradual"));
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    json_decref(json);
    return 0;
}

static int history_main(const struct call *call) {
    json_t *json = ask(call, "history", body_of(call)), *one;
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (call->texts->json) return native_print(json);
    printf("%8s %-10s %-20s %5s %5s %-16s %s\n", "VERSION", "STATE", "AT (UTC)", "PUT", "DEL", "AUTHOR", "COMMENT");
    json_array_foreach(json_object_get(json, "releases"), i, one) {
        time_t at = (time_t)(native_number(one, "at_unix_ms") / 1000);
        char when[32] = "";
        struct tm parts;
        if (gmtime_r(&at, &parts) != NULL) strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &parts);
        printf("%8lld %-10s %-20s %5lld %5lld %-16s %s", native_number(one, "version"), native_text(one, "state"), when,
               native_number(one, "puts"), native_number(one, "deletes"), native_text(one, "author"),
               native_text(one, "comment"));
        if (native_number(one, "rollback_to") != 0) printf(" (rollback to %lld)", native_number(one, "rollback_to"));
        printf("\n");
    }
    json_decref(json);
    return 0;
}

// To the version that all have, when only one is named.
static int diff_main(const struct call *call) {
    json_t *body = body_of(call), *one;
    size_t i;
    bool good = set_number(call, body, "from", call->arguments[1], 0, INT64_MAX);
    if (good && call->count > 2) good = set_number(call, body, "to", call->arguments[2], 0, INT64_MAX);
    json_t *shown = good && call->count == 2 ? ask(call, "show", body_of(call)) : NULL;
    if (shown != NULL) json_object_set(body, "to", json_object_get(shown, "version"));
    json_decref(shown);
    if (!good || json_object_get(body, "to") == NULL) {
        json_decref(body);
        return good ? EXIT_FATAL : EXIT_USAGE;
    }
    json_t *json = ask(call, "diff", body);
    if (json == NULL) return EXIT_FATAL;
    if (call->texts->json) return native_print(json);
    json_array_foreach(json_object_get(json, "differences"), i, one) {
        const json_t *from = json_object_get(one, "from"), *to = json_object_get(one, "to");
        if (from != NULL) print_item("- ", native_text(one, "key"), from);
        if (to != NULL) print_item("+ ", native_text(one, "key"), to);
    }
    json_decref(json);
    return 0;
}

// ---- watch

static int signal_number(const char *name) { // 0: there is none
    static const struct {
        const char *name;
        int number;
    } signals[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT},   {"TERM", SIGTERM},
                   {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}, {"CONT", SIGCONT}};
    if (strncmp(name, "SIG", 3) == 0) name += 3;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (strcmp(signals[i].name, name) == 0) return signals[i].number;
    return 0;
}

static int watch_main(const struct call *call) {
    const struct texts *t = call->texts;
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    struct config_watch_options o = {.name = call->arguments[0],
                                     .labels = t->labels,
                                     .id = t->id != NULL ? t->id : host,
                                     .file = t->file,
                                     .prefix = t->prefix != NULL ? t->prefix : "CONFIG_",
                                     .reload = t->reload,
                                     .cache = t->cache,
                                     .environment = t->file == NULL || t->prefix != NULL,
                                     .json = t->json,
                                     .wait_ms = t->cache != NULL ? 5000 : UINT64_MAX,
                                     .grace_ms = HELD_GRACE_MS_DEFAULT,
                                     .command = call->command};
    if (o.command == NULL || o.command[0] == NULL) return options_wrong(call->table, "a command is wanted behind --");
    if (t->signal != NULL && (o.signal = signal_number(t->signal)) == 0)
        return options_wrong(call->table, "--signal is HUP, INT, QUIT, TERM, USR1, USR2, WINCH or CONT");
    if ((o.signal != 0 || o.reload != NULL) && o.environment)
        return options_wrong(call->table,
                             "--signal and --reload go with --file: a running process keeps its environment");
    if (strlen(o.id) > CONFIG_CLIENT_BYTES_MAX || strlen(o.prefix) > 100)
        return options_wrong(call->table, "--id has %u bytes at most, --prefix 100", CONFIG_CLIENT_BYTES_MAX);
    if (!options_u64(t->wait, 0, 1ull << 40, &o.wait_ms) || !options_u64(t->grace, 0, 3600000, &o.grace_ms))
        return options_wrong(call->table, "--wait and --grace are numbers of milliseconds");
    return config_watch_run(call->client, &o);
}

// ---- flags

static const struct {
    const char *verb;
    size_t count_min, count_max; // of what follows it
    int (*main)(const struct call *call);
} verbs[] = {{"get", 1, 2, get_main},         {"set", 2, 1000, set_main},        {"unset", 2, 1000, unset_main},
             {"show", 1, 1, show_main},       {"list", 0, 0, list_main},         {"history", 1, 1, history_main},
             {"diff", 2, 3, diff_main},       {"rollback", 2, 2, rollback_main}, {"release", 1, 2, release_main},
             {"promote", 1, 2, promote_main}, {"abandon", 1, 2, abandon_main},   {"delete", 1, 1, delete_main},
             {"import", 2, 2, import_main},   {"export", 2, 2, export_main},     {"watch", 1, 1, watch_main}};

static int dispatch(const struct option_table *table, const struct texts *t, char **arguments, size_t count,
                    char **command) {
    static struct native_client client; // the watcher of `watch` uses it to the end
    char error[512];
    struct call call = {table, t, &client, arguments + 1, count - 1, command};
    if (!native_client_init(&client, t->server, error)) return options_wrong(table, "--server: %s", error);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i].verb, arguments[0]) == 0 && call.count >= verbs[i].count_min &&
            call.count <= verbs[i].count_max)
            return verbs[i].main(&call);
    return options_wrong(table, "'%.100s' is no verb, or has other arguments: see --help", arguments[0]);
}

int config_main(int argc, char **argv) {
    struct texts t = {.server = "localhost:7450"};
    const struct option_row rows[] = {
        {"server", 0, "ADDR[,ADDR...]", "HTTP addresses of nodes [localhost:7450]", &t.server, NULL},
        {"labels", 0, "L=V[,L=V...]", "a client's, or who gets a gradual release", &t.labels, NULL},
        {"percent", 0, "N", "set, import, rollback, release: a gradual release for so many [100]", &t.percent, NULL},
        {"id", 0, "TEXT", "the client's [watch: the host's name]", &t.id, NULL},
        {"version", 0, "N", "get, export: this one [what the client shall have]", &t.version, NULL},
        {"expected", 0, "N", "only if all have this version now; 0: none", &t.expected, NULL},
        {"author", 0, "TEXT", "for the history [$USER]", &t.author, NULL},
        {"comment", 0, "TEXT", "for the history", &t.comment, NULL},
        {"replace", 0, NULL, "import: what PATH has not is deleted", NULL, &t.replace},
        {"file", 0, "DEST", "watch: items into DEST: FOLDER/, FILE.json, or lines of KEY=VALUE", &t.file, NULL},
        {"prefix", 0, "TEXT", "watch: of environment variables [CONFIG_]; with --file both are made", &t.prefix, NULL},
        {"signal", 0, "NAME", "watch: a change is told by this signal; CMD goes on", &t.signal, NULL},
        {"reload", 0, "COMMAND", "watch: a change is told by this, which a shell runs; CMD goes on", &t.reload, NULL},
        {"cache", 0, "FILE", "watch: keeps the newest there, and starts with it when no node answers", &t.cache, NULL},
        {"wait", 0, "MS", "watch: for a first configuration [for ever; with --cache 5000]", &t.wait, NULL},
        {"grace", 0, "MS", "watch: from SIGTERM to SIGKILL when CMD is started again [3000]", &t.grace, NULL},
        {"json", 0, NULL, "JSON", NULL, &t.json}};
    const struct option_table table = {
        "config",
        "parley config get NAME [KEY] | set NAME KEY=VALUE... | unset NAME KEY... | show NAME | list | history NAME |\n"
        "       diff NAME FROM [TO] | rollback NAME VERSION | release NAME [VERSION] | promote NAME [VERSION] |\n"
        "       abandon NAME [VERSION] | delete NAME | import NAME PATH | export NAME PATH |\n"
        "       watch NAME [FLAGS] -- CMD [ARGUMENT...]",
        "Configuration in namespaces with versions. Each set, unset, import and rollback is one new version; with\n"
        "--labels or --percent only those clients get it, until it is promoted or abandoned. PATH is a folder with a\n"
        "file for each item, FILE.json (an object), or a file with lines of KEY=VALUE. `watch` runs CMD with the\n"
        "items in its environment (db.url as CONFIG_DB_URL) or in files, and starts it again when they change. CMD\n"
        "sees PARLEY_CONFIG_NAME, PARLEY_CONFIG_VERSION and PARLEY_CONFIG_FILE. Its exit code is CMD's own, 75 when\n"
        "there was no configuration in the time given.",
        rows,
        sizeof rows / sizeof rows[0],
        1,
        1002};
    char **command = options_command(&argc, argv);
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code < 0) code = dispatch(&table, &t, arguments, count, command);
    mem_free(arguments);
    return code;
}
