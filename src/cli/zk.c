// `parley zk`: a small ZooKeeper shell. Each of its commands is a row of the table below.
#include "base/alloc.h"
#include "base/assert.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/zk_client.h"
#include "server/config.h"
#include "server/server.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WORDS_MAX 32
#define LINE_BYTES_MAX (2u << 20)

struct shell {
    struct zk_client *client;
    uint64_t events;
};

struct words { // of one command line; words[0] is the command
    char **at;
    size_t count;
};

static void on_event(void *context, const struct zk_event *event) {
    static const char *const names[] = {"none", "created", "deleted", "changed", "children changed"};
    struct shell *shell = context;
    if (event->type < 1 || event->type > 4) return; // of the session, not of a node
    shell->events++;
    printf("%s: %.*s\n", names[event->type], (int)event->path.len, (const char *)event->path.data);
}

static int failed(const char *what, int error) {
    fprintf(stderr, "parley zk: %s: %s\n", what, zk_error_text(error));
    return EXIT_FATAL;
}

// ---- stat: czxid mzxid ctime mtime version cversion aversion owner length children pzxid
struct zk_stat {
    uint64_t czxid, mzxid, ctime, mtime, owner, pzxid;
    int32_t version, cversion, aversion, length, children;
};

static struct zk_stat read_stat(struct reader *r) {
    struct zk_stat s = {0};
    s.czxid = read_u64_be(r);
    s.mzxid = read_u64_be(r);
    s.ctime = read_u64_be(r);
    s.mtime = read_u64_be(r);
    s.version = (int32_t)read_u32_be(r);
    s.cversion = (int32_t)read_u32_be(r);
    s.aversion = (int32_t)read_u32_be(r);
    s.owner = read_u64_be(r);
    s.length = (int32_t)read_u32_be(r);
    s.children = (int32_t)read_u32_be(r);
    s.pzxid = read_u64_be(r);
    return s;
}

static void print_time(const char *name, uint64_t ms) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    char text[32];
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    printf("%-10s %s\n", name, text);
}

// ---- the commands
static bool take_switch(struct words *words, const char *name) { // removes it
    for (size_t i = 1; i < words->count; i++) {
        if (strcmp(words->at[i], name) != 0) continue;
        memmove(&words->at[i], &words->at[i + 1], (words->count - i - 1) * sizeof *words->at);
        words->count--;
        return true;
    }
    return false;
}

static bool take_number(struct words *words, const char *name, long long *value) { // -v 3; false: it is there and bad
    for (size_t i = 1; i < words->count; i++) {
        if (strcmp(words->at[i], name) != 0) continue;
        unsigned long long n;
        if (i + 1 >= words->count || !options_number(words->at[i + 1], 0, INT32_MAX, &n)) return false;
        *value = (long long)n;
        memmove(&words->at[i], &words->at[i + 2], (words->count - i - 2) * sizeof *words->at);
        words->count -= 2;
        return true;
    }
    return true;
}

static int request_path(struct shell *shell, enum zk_op op, const char *path, struct reader *answer) {
    struct writer w;
    writer_init(&w);
    zk_put_text(&w, bytes_of_text(path));
    write_u8(&w, 0); // no watch
    int error = zk_call(shell->client, op, bytes_of(w.data, w.len), answer);
    writer_free(&w);
    return error;
}

static int compare_names(const void *a, const void *b) {
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static int run_ls(struct shell *shell, struct words *words) {
    struct reader answer;
    const char *path = words->count > 1 ? words->at[1] : "/";
    int error = request_path(shell, ZK_OP_CHILDREN, path, &answer);
    if (error != 0) return failed(path, error);
    uint32_t count = read_u32_be(&answer);
    if (count > reader_left(&answer) / 4) return failed(path, -5);
    struct bytes *names = mem_alloc((count + 1) * sizeof *names);
    for (uint32_t i = 0; i < count; i++) names[i] = zk_get_text(&answer);
    if (count > 0) qsort(names, count, sizeof *names, compare_names);
    for (uint32_t i = 0; i < count && !answer.failed; i++)
        printf("%.*s\n", (int)names[i].len, (const char *)names[i].data);
    mem_free(names);
    return 0;
}

static int run_get(struct shell *shell, struct words *words) {
    struct reader answer;
    int error = request_path(shell, ZK_OP_GET, words->at[1], &answer);
    if (error != 0) return failed(words->at[1], error);
    struct bytes data = zk_get_text(&answer);
    fwrite(data.data, 1, data.len, stdout);
    printf("\n");
    return 0;
}

static int run_stat(struct shell *shell, struct words *words) {
    struct reader answer;
    int error = request_path(shell, ZK_OP_EXISTS, words->at[1], &answer);
    if (error != 0) return failed(words->at[1], error);
    struct zk_stat s = read_stat(&answer);
    printf("%-10s %llu\n%-10s %llu\n%-10s %llu\n", "czxid", (unsigned long long)s.czxid, "mzxid",
           (unsigned long long)s.mzxid, "pzxid", (unsigned long long)s.pzxid);
    print_time("created", s.ctime);
    print_time("modified", s.mtime);
    printf("%-10s %d\n%-10s %d\n%-10s %d\n", "version", s.version, "cversion", s.cversion, "aversion", s.aversion);
    printf("%-10s 0x%llx\n%-10s %d\n%-10s %d\n", "ephemeral", (unsigned long long)s.owner, "bytes", s.length,
           "children", s.children);
    return 0;
}

static int run_set(struct shell *shell, struct words *words) {
    struct reader answer;
    struct writer w;
    long long version = -1;
    if (!take_number(words, "-v", &version) || words->count != 3) {
        fprintf(stderr, "parley zk: write set PATH DATA [-v VERSION]\n");
        return EXIT_USAGE;
    }
    writer_init(&w);
    zk_put_text(&w, bytes_of_text(words->at[1]));
    zk_put_text(&w, bytes_of_text(words->at[2]));
    write_u32_be(&w, (uint32_t)(int32_t)version);
    int error = zk_call(shell->client, ZK_OP_SET, bytes_of(w.data, w.len), &answer);
    writer_free(&w);
    if (error != 0) return failed(words->at[1], error);
    printf("version %d\n", read_stat(&answer).version);
    return 0;
}

static int run_create(struct shell *shell, struct words *words) {
    struct reader answer;
    struct writer w;
    bool ephemeral = take_switch(words, "-e"), sequential = take_switch(words, "-s"),
         container = take_switch(words, "-c");
    if (words->count < 2 || words->count > 3 || (container && (ephemeral || sequential))) {
        fprintf(stderr, "parley zk: write create [-e] [-s] PATH [DATA], or create -c PATH [DATA]\n");
        return EXIT_USAGE;
    }
    writer_init(&w);
    zk_put_text(&w, bytes_of_text(words->at[1]));
    zk_put_text(&w, bytes_of_text(words->count > 2 ? words->at[2] : ""));
    write_u32_be(&w, 1); // one ACL entry: all rights, world:anyone
    write_u32_be(&w, 31);
    zk_put_text(&w, bytes_of_text("world"));
    zk_put_text(&w, bytes_of_text("anyone"));
    write_u32_be(&w, container ? 4u : (ephemeral ? 1u : 0u) | (sequential ? 2u : 0u));
    int error =
        zk_call(shell->client, container ? ZK_OP_CREATE_CONTAINER : ZK_OP_CREATE, bytes_of(w.data, w.len), &answer);
    writer_free(&w);
    if (error != 0) return failed(words->at[1], error);
    struct bytes path = zk_get_text(&answer);
    printf("%.*s\n", (int)path.len, (const char *)path.data);
    return 0;
}

static int run_delete(struct shell *shell, struct words *words) {
    struct reader answer;
    struct writer w;
    long long version = -1;
    if (!take_number(words, "-v", &version) || words->count != 2) {
        fprintf(stderr, "parley zk: write delete PATH [-v VERSION]\n");
        return EXIT_USAGE;
    }
    writer_init(&w);
    zk_put_text(&w, bytes_of_text(words->at[1]));
    write_u32_be(&w, (uint32_t)(int32_t)version);
    int error = zk_call(shell->client, ZK_OP_DELETE, bytes_of(w.data, w.len), &answer);
    writer_free(&w);
    return error != 0 ? failed(words->at[1], error) : 0;
}

// Persistent watches (ZooKeeper 3.6): they stay, so no change between two events is missed. Until Ctrl-C, or -n events.
static int run_watch(struct shell *shell, struct words *words) {
    struct reader answer;
    struct writer w;
    bool below = take_switch(words, "-r");
    long long wanted = -1;
    if (!take_number(words, "-n", &wanted) || words->count != 2) {
        fprintf(stderr, "parley zk: write watch [-r] [-n EVENTS] PATH\n");
        return EXIT_USAGE;
    }
    writer_init(&w);
    zk_put_text(&w, bytes_of_text(words->at[1]));
    write_u32_be(&w, below ? 1 : 0);
    int error = zk_call(shell->client, ZK_OP_ADD_WATCH, bytes_of(w.data, w.len), &answer);
    writer_free(&w);
    if (error != 0) return failed(words->at[1], error);
    printf("watching %s%s\n", words->at[1], below ? " and all below" : "");
    uint64_t from = shell->events;
    while (error == 0 && (wanted < 0 || shell->events - from < (uint64_t)wanted)) error = zk_take_one(shell->client);
    return error != 0 ? failed(words->at[1], error) : 0;
}

static int run_help(struct shell *shell, struct words *words);

static const struct zk_command {
    const char *name, *usage, *about;
    size_t words_min, words_max; // behind the name, flags included
    int (*run)(struct shell *shell, struct words *words);
} zk_commands[] = {
    {"ls", "ls [PATH]", "names of the children", 0, 1, run_ls},
    {"get", "get PATH", "its data", 1, 1, run_get},
    {"set", "set PATH DATA [-v VERSION]", "new data; only over this version", 2, 4, run_set},
    {"create", "create [-e] [-s] [-c] PATH [DATA]", "a node: ephemeral, sequential, or a container", 1, 5, run_create},
    {"delete", "delete PATH [-v VERSION]", "removes a node without children", 1, 3, run_delete},
    {"stat", "stat PATH", "its versions, times and size", 1, 1, run_stat},
    {"watch", "watch [-r] [-n EVENTS] PATH", "prints changes of it (-r: and all below) as they come", 1, 4, run_watch},
    {"help", "help", "this list", 0, 0, run_help},
    {"quit", "quit", "ends the session", 0, 0, NULL},
};
#define ZK_COMMANDS (sizeof zk_commands / sizeof zk_commands[0])

static int run_help(struct shell *shell, struct words *words) {
    for (size_t i = 0; i < ZK_COMMANDS; i++) printf("  %-36s %s\n", zk_commands[i].usage, zk_commands[i].about);
    return 0;
}

static int run_words(struct shell *shell, struct words *words) {
    for (size_t i = 0; i < ZK_COMMANDS; i++) {
        const struct zk_command *command = &zk_commands[i];
        if (strcmp(command->name, words->at[0]) != 0) continue;
        size_t behind = words->count - 1;
        if (behind < command->words_min || behind > command->words_max) {
            fprintf(stderr, "parley zk: write %s\n", command->usage);
            return EXIT_USAGE;
        }
        return command->run == NULL ? -1 : command->run(shell, words);
    }
    fprintf(stderr, "parley zk: '%s' is no command; help lists them\n", words->at[0]);
    return EXIT_USAGE;
}

// ---- a line into words: blanks part them, "..." and '...' hold them together
static size_t split(char *line, char *out[WORDS_MAX]) {
    size_t count = 0;
    char *at = line, *to;
    for (;;) {
        at += strspn(at, " \t\r");
        if (*at == 0 || count == WORDS_MAX) return count;
        out[count++] = to = at;
        char quote = 0;
        for (; *at != 0 && (quote != 0 || strchr(" \t\r", *at) == NULL); at++) {
            if (quote == 0 && (*at == '"' || *at == '\''))
                quote = *at;
            else if (quote != 0 && *at == quote)
                quote = 0;
            else
                *to++ = *at;
        }
        bool end = *at == 0;
        *to = 0;
        if (end) return count;
        at++;
    }
}

static int run_line(struct shell *shell, char *line) {
    char *at[WORDS_MAX];
    struct words words = {at, split(line, at)};
    if (words.count == 0 || words.at[0][0] == '#') return 0;
    return run_words(shell, &words);
}

// Reads with read(2), not stdio: what waits in a buffer of stdio is not seen by poll.
static int run_shell(struct shell *shell) {
    bool person = isatty(STDIN_FILENO) != 0, open = true;
    struct writer input;
    int code = 0, worst = 0;
    writer_init(&input);
    if (person)
        printf("connected to %s, session 0x%llx; help lists the commands\n", zk_server(shell->client),
               (unsigned long long)zk_session(shell->client));
    while (open && code >= 0) {
        if (person) printf("zk> ");
        fflush(stdout);
        uint8_t *end;
        while ((end = input.len > 0 ? memchr(input.data, '\n', input.len) : NULL) == NULL) {
            if (zk_wait(shell->client, STDIN_FILENO) != 0) {
                worst = failed(zk_server(shell->client), ZK_LOST);
                code = -2;
                break;
            }
            writer_reserve(&input, 4096);
            ssize_t n = read(STDIN_FILENO, input.data + input.len, 4096);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0 || input.len > LINE_BYTES_MAX) {
                open = false;
                break;
            }
            input.len += (size_t)n;
        }
        if (code < 0) break;
        size_t len = end != NULL ? (size_t)(end - input.data) : input.len;
        if (!open && len == 0) break;
        char *line = mem_alloc(len + 1);
        memcpy(line, input.data, len);
        line[len] = 0;
        writer_consume(&input, end != NULL ? len + 1 : len);
        code = run_line(shell, line);
        mem_free(line);
        if (code > worst) worst = code;
    }
    writer_free(&input);
    if (person && code != -1) printf("\n");
    return worst;
}

static int with_auth(struct shell *shell, const char *auth) {
    char scheme[64];
    const char *colon = strchr(auth, ':');
    if (colon == NULL || (size_t)(colon - auth) >= sizeof scheme) {
        fprintf(stderr, "parley zk: --auth: write SCHEME:CREDENTIALS, such as digest:user:password\n");
        return EXIT_USAGE;
    }
    snprintf(scheme, sizeof scheme, "%.*s", (int)(colon - auth), auth);
    int error = zk_auth(shell->client, scheme, bytes_of_text(colon + 1));
    return error != 0 ? failed("--auth", error) : 0;
}

// Flags end where the shell's command begins: its -s is another one.
static int first_word(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') return i;
        bool value = strchr(argv[i], '=') == NULL && strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0;
        if (value) i++;
    }
    return argc;
}

int zk_main(int argc, char **argv) {
    const char *server = "localhost:2181", *timeout = "10s", *auth = NULL;
    const struct option_row rows[] = {
        {"server", 's', "HOST:PORT,...", "servers to try in turn [localhost:2181]", &server, NULL},
        {"timeout", 't', "TIME", "session time-out [10s]", &timeout, NULL},
        {"auth", 'a', "SCHEME:CRED", "authenticate, such as digest:user:password", &auth, NULL}};
    const struct option_table table = {"zk",
                                       "parley zk [FLAGS] [COMMAND...]",
                                       "A ZooKeeper shell (also for ZooKeeper itself), or one command of it: ls, get, "
                                       "set, create [-e -s], delete, stat,\n"
                                       "watch. Ephemeral nodes go when it ends. Exit code 1 when a command failed.",
                                       rows,
                                       3,
                                       0,
                                       0};
    int from = first_word(argc, argv);
    char **none = mem_alloc((size_t)argc * sizeof *none), error[512];
    size_t count;
    uint64_t timeout_ms = 0;
    int code = options_read(&table, from, argv, none, &count);
    mem_free(none);
    if (code >= 0) return code;
    if (!config_parse_duration(timeout, &timeout_ms) || timeout_ms < 100 || timeout_ms > 3600000)
        return options_wrong(&table, "--timeout: '%s' is out of range: allowed are 100ms to 1h", timeout);
    struct words words = {argv + from, (size_t)(argc - from)};
    struct shell shell = {0};
    signal(SIGPIPE, SIG_IGN);
    shell.client = zk_open(server, (unsigned)timeout_ms, on_event, &shell, error);
    if (shell.client == NULL) {
        fprintf(stderr, "parley zk: %s\n", error);
        return EXIT_FATAL;
    }
    code = auth != NULL ? with_auth(&shell, auth) : 0;
    if (code == 0) code = words.count > 0 ? run_words(&shell, &words) : run_shell(&shell);
    zk_close(shell.client);
    return code < 0 ? 0 : code;
}
