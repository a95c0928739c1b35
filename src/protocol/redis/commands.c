// COMMAND: what the table of commands says (model/keys/keys_commands.h).
#include "base/alloc.h"
#include "model/keys/glob.h"
#include "protocol/redis/internal.h"
#include <ctype.h>
#include <strings.h>

static const char *stroke_of(const struct keys_row *row) {
    return strchr(row->name, '|');
}

static bool is_child(const struct keys_row *row, const struct keys_row *container) {
    size_t len = strlen(container->name);
    return strncmp(row->name, container->name, len) == 0 && row->name[len] == '|';
}

size_t row_subcommands(const struct keys_row *row) {
    size_t count = 0;
    for (size_t i = 0; i < keys_row_count; i++) count += is_child(&keys_rows[i], row);
    return count;
}

const char *row_group(const struct keys_row *row) {
    static const struct {
        uint16_t from;
        const char *name;
    } groups[] = {{1500, "sentinel"}, {1200, "server"}, {1100, "pubsub"}, {1000, "cluster"}};
    static const struct {
        uint32_t category;
        const char *name;
    } kinds[] = {{KEYS_IN_SCRIPTING, "scripting"},
                 {KEYS_IN_STREAM, "stream"},
                 {KEYS_IN_SORTEDSET, "sorted-set"},
                 {KEYS_IN_GEO, "geo"},
                 {KEYS_IN_LIST, "list"},
                 {KEYS_IN_HASH, "hash"},
                 {KEYS_IN_SET, "set"},
                 {KEYS_IN_BITMAP, "bitmap"},
                 {KEYS_IN_HYPERLOGLOG, "hyperloglog"},
                 {KEYS_IN_STRING, "string"},
                 {KEYS_IN_PUBSUB, "pubsub"},
                 {KEYS_IN_TRANSACTION, "transactions"}};
    if (row->number < 100 || row->number >= 1000) {
        if (row->categories & KEYS_IN_TRANSACTION) return "transactions";
        for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
            if (row->number >= groups[i].from) return groups[i].name;
        return "connection";
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (row->categories & kinds[i].category) return kinds[i].name;
    return "generic";
}

// One that has a place where keys begin, and how they go on.
static void write_key_places(struct reply *reply, const struct keys_row *row) {
    if (row->first == 0) {
        reply_array(reply, 0);
        return;
    }
    bool writes = (row->flags & KEYS_WRITE) != 0;
    reply_array(reply, 1);
    reply_map(reply, 3);
    reply_text(reply, "flags");
    reply_set(reply, 1);
    reply_simple(reply, writes ? "RW" : "RO");
    reply_text(reply, "begin_search");
    reply_map(reply, 2);
    reply_text(reply, "type");
    reply_text(reply, "index");
    reply_text(reply, "spec");
    reply_map(reply, 1);
    reply_text(reply, "index");
    reply_number(reply, row->first);
    reply_text(reply, "find_keys");
    reply_map(reply, 2);
    reply_text(reply, "type");
    reply_text(reply, "range");
    reply_text(reply, "spec");
    reply_map(reply, 3);
    reply_text(reply, "lastkey");
    reply_number(reply, row->last < 0 ? row->last : row->last - row->first);
    reply_text(reply, "keystep");
    reply_number(reply, row->step);
    reply_text(reply, "limit");
    reply_number(reply, 0);
}

static void write_words(struct reply *reply, uint32_t bits, const char *const *names, size_t count, const char *mark) {
    reply_set(reply, (size_t)__builtin_popcount(bits));
    for (size_t i = 0; i < count; i++) {
        char text[64];
        if (!(bits >> i & 1)) continue;
        snprintf(text, sizeof text, "%s%s", mark, names[i]);
        reply_simple(reply, text);
    }
}

static void write_row(struct reply *reply, const struct keys_row *row) {
    reply_array(reply, 10);
    reply_text(reply, row->name);
    reply_number(reply, row->arity);
    write_words(reply, row->flags, keys_flag_names, KEYS_FLAG_COUNT, "");
    reply_number(reply, row->first);
    reply_number(reply, row->last);
    reply_number(reply, row->step);
    write_words(reply, row->categories, keys_category_names, KEYS_CATEGORY_COUNT, "@");
    reply_array(reply, 0); // hints for proxies
    write_key_places(reply, row);
    size_t children = row_subcommands(row);
    reply_array(reply, children);
    for (size_t i = 0; children > 0 && i < keys_row_count; i++)
        if (is_child(&keys_rows[i], row)) write_row(reply, &keys_rows[i]);
}

static size_t top_count(void) {
    size_t count = 0;
    for (size_t i = 0; i < keys_row_count; i++) count += stroke_of(&keys_rows[i]) == NULL;
    return count;
}

// By the whole name, "config|get" too.
static const struct keys_row *row_named(struct bytes name) {
    for (size_t i = 0; i < keys_row_count; i++)
        if (word_is(name, keys_rows[i].name)) return &keys_rows[i];
    return NULL;
}

static void write_all(struct reply *reply) {
    reply_array(reply, top_count());
    for (size_t i = 0; i < keys_row_count; i++)
        if (stroke_of(&keys_rows[i]) == NULL) write_row(reply, &keys_rows[i]);
}

void own_command(struct connection *c, const struct call *call) {
    write_all(call->reply);
}

void own_command_count(struct connection *c, const struct call *call) {
    reply_number(call->reply, (int64_t)top_count());
}

void own_command_info(struct connection *c, const struct call *call) {
    if (call->argc == 2) {
        write_all(call->reply);
        return;
    }
    reply_array(call->reply, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++) {
        const struct keys_row *row = row_named(call->argv[i]);
        if (row == NULL)
            reply_null(call->reply);
        else
            write_row(call->reply, row);
    }
}

static bool listed(const struct call *call, const struct keys_row *row) {
    if (call->argc < 5) return stroke_of(row) == NULL;
    struct bytes what = call->argv[4];
    if (word_is(call->argv[3], "aclcat")) {
        for (size_t i = 0; i < KEYS_CATEGORY_COUNT; i++)
            if (word_is(what, keys_category_names[i])) return (row->categories >> i & 1) != 0;
        return false;
    }
    if (!word_is(call->argv[3], "pattern")) return false; // of a module: there are none
    char pattern[64];
    if (what.len > sizeof pattern) return false;
    for (size_t i = 0; i < what.len; i++) pattern[i] = (char)tolower(what.data[i]);
    return glob_match(bytes_of(pattern, what.len), bytes_of_text(row->name));
}

void own_command_list(struct connection *c, const struct call *call) {
    bool filter =
        call->argc == 5 && word_is(call->argv[2], "filterby") &&
        (word_is(call->argv[3], "module") || word_is(call->argv[3], "aclcat") || word_is(call->argv[3], "pattern"));
    if (call->argc != 2 && !filter) {
        reply_syntax(call->reply);
        return;
    }
    size_t begun = reply_begin(call->reply), count = 0;
    for (size_t i = 0; i < keys_row_count; i++) {
        if (!listed(call, &keys_rows[i])) continue;
        reply_text(call->reply, keys_rows[i].name);
        count++;
    }
    reply_end(call->reply, begun, call->argc == 2 ? '~' : '*', count);
}

// ---- DOCS

static void write_docs(struct reply *reply, const struct keys_row *row) {
    char summary[128];
    size_t children = row_subcommands(row);
    reply_text(reply, row->name);
    reply_map(reply, children > 0 ? 5 : 4);
    snprintf(summary, sizeof summary, "A command of the group %s that %s.", row_group(row),
             row->flags & KEYS_WRITE      ? "changes data"
             : row->flags & KEYS_READONLY ? "reads data"
                                          : "concerns the connection or the server");
    reply_text(reply, "summary");
    reply_text(reply, summary);
    reply_text(reply, "since");
    reply_text(reply, "1.0.0");
    reply_text(reply, "group");
    reply_text(reply, row_group(row));
    reply_text(reply, "arity");
    reply_number(reply, row->arity);
    if (children == 0) return;
    reply_text(reply, "subcommands");
    reply_map(reply, children);
    for (size_t i = 0; i < keys_row_count; i++)
        if (is_child(&keys_rows[i], row)) write_docs(reply, &keys_rows[i]);
}

void own_command_docs(struct connection *c, const struct call *call) {
    size_t begun = reply_begin(call->reply), count = 0;
    for (size_t i = 0; i < keys_row_count; i++) {
        const struct keys_row *row = &keys_rows[i];
        bool wanted = call->argc == 2 && stroke_of(row) == NULL;
        for (size_t k = 2; k < call->argc; k++) wanted = wanted || word_is(call->argv[k], row->name);
        if (!wanted) continue;
        write_docs(call->reply, row);
        count++;
    }
    reply_end(call->reply, begun, '%', count);
}

void own_command_getkeys(struct connection *c, const struct call *call) {
    const struct bytes *argv = call->argv + 2;
    size_t argc = call->argc - 2;
    const struct keys_row *row = keys_row_find(argv[0], argc > 1 ? argv[1] : bytes_of(NULL, 0));
    if (row == NULL) {
        reply_error(call->reply, "ERR Invalid command specified");
        return;
    }
    if (row->arity > 0 ? argc != (size_t)row->arity : argc < (size_t)-row->arity) {
        reply_error(call->reply, "ERR Invalid number of arguments specified for command");
        return;
    }
    uint32_t *positions = mem_alloc(argc * sizeof *positions);
    size_t count = keys_positions(row, argv, argc, positions, argc);
    if (count == 0) reply_error(call->reply, "ERR The command has no key arguments");
    if (count > 0) reply_array(call->reply, count);
    for (size_t i = 0; i < count; i++) reply_bulk(call->reply, argv[positions[i]]);
    mem_free(positions);
}

// ---- HELP of any container

void own_help(struct connection *c, const struct call *call) {
    char name[64];
    size_t begun = reply_begin(call->reply), count = 1;
    size_t len = (size_t)(stroke_of(call->row) - call->row->name);
    snprintf(name, sizeof name, "%.*s", (int)len, call->row->name);
    for (char *at = name; *at != 0; at++) *at = (char)toupper((unsigned char)*at);
    struct writer line = {0};
    text_format(&line, "%s <subcommand> [<arg> ...]. Subcommands are:", name);
    reply_bulk(call->reply, bytes_of(line.data, line.len));
    for (size_t i = 0; i < keys_row_count; i++) {
        const struct keys_row *row = &keys_rows[i];
        if (strncmp(row->name, call->row->name, len + 1) != 0) continue;
        char word[64];
        snprintf(word, sizeof word, "%s", row->name + len + 1);
        for (char *at = word; *at != 0; at++) *at = (char)toupper((unsigned char)*at);
        reply_text(call->reply, word);
        count++;
    }
    reply_end(call->reply, begun, '*', count);
    writer_free(&line);
}
