// docs/redis-commands.md: every row of the table of commands, and whether it is served.
#include "cli/generate.h"
#include "model/keys/keys.h"
#include "protocol/redis/redis.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void add(struct writer *w, const char *text) {
    write_span(w, bytes_of_text(text));
}

static void add_row(struct writer *w, const struct keys_row *row) {
    char text[512], name[64];
    size_t at = 0;
    for (; row->name[at] != 0 && at < sizeof name - 1; at++)
        name[at] = row->name[at] == '|' ? ' ' : (char)toupper((unsigned char)row->name[at]);
    name[at] = 0;
    const char *how = !redis_serves(row)           ? "no: an error says so"
                      : row->run == NULL           ? "yes, by the node that is asked"
                      : row->flags & KEYS_READONLY ? "yes, a linearizable read"
                                                   : "yes, an entry of the log";
    snprintf(text, sizeof text, "| `%s` | %d | %s |\n", name, row->arity, how);
    add(w, text);
}

void generate_redis(struct writer *w) {
    add(w,
        "# Commands of Redis\n\n"
        "One row for each command in the table (`src/model/keys/keys_commands.h`) that drives decoding, arity, flags,\n"
        "key positions, dispatch and `COMMAND`. Made by `parley generate redis`; a test compares them. A command that\n"
        "is not here is unknown to the server, and gets Redis's text for that. See docs/redis.md.\n\n"
        "| command | arguments with the name (negative: at least) | served |\n| --- | --- | --- |\n");
    for (size_t i = 0; i < keys_row_count; i++) add_row(w, &keys_rows[i]);
}
