// docs/native.md, from the table of native operations.
#include "cli/generate.h"
#include "protocol/http/native.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void text(struct writer *w, const char *words) {
    write_span(w, bytes_of_text(words));
}

__attribute__((format(printf, 2, 3))) static void format(struct writer *w, const char *pattern, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, pattern);
    vsnprintf(line, sizeof line, pattern, arguments);
    va_end(arguments);
    text(w, line);
}

static const char intro[] =
    "# Native operations\n\n"
    "Made from the table by `parley generate native`; a test compares them.\n\n"
    "Each operation is `POST /v1/MODEL/OPERATION` on the HTTP listener, with a JSON object as body, of at most 1,024 "
    "KiB. "
    "One\n"
    "connection may carry up to 1,024 operations at once (HTTP/1.1 pipelining; 16 in a crowd, see limits.md): those "
    "that\n"
    "write begin in the order of their requests without waiting for each other, one that only reads begins when all\n"
    "before it are answered, and answers come in the order of the requests, so one that waits holds back the answers\n"
    "behind it. A connection whose answers wait with more\n"
    "than 16 MiB is closed. Requests from web pages (with an `Origin` header) are refused. `docs/openapi.json` says "
    "the same\n"
    "for programs (`parley generate openapi`).\n\n"
    "Numbers are JSON integers, tokens too: they follow the log's index, and stay below 2^53 unless a cluster was "
    "restored\n"
    "thousands of times. Times are in milliseconds of the cluster's log time: a clock that jumps expires nothing, and "
    "time\n"
    "without a majority does not count. Limits: a name or an owner has at most 255 bytes of UTF-8, a lock 1,000,000\n"
    "waiters, a session 10,000 claims.\n\n"
    "A session belongs to no connection: any connection to any node may use it. It lives as long as requests name it; "
    "send\n"
    "a keepalive every quarter of its `ttl_ms`, to the node that has it: a request that names it at another node moves "
    "it\n"
    "there, and what waits at the former node is told `session-moved` (its place in line stays; ask again with the "
    "same\n"
    "owner). Answers that say that a session lives wait until the leader knows of activity that is recent enough.\n\n"
    "An acquire that waits is answered when the lock is granted. Who closes the connection waits no longer, and does "
    "not\n"
    "keep a lock that it was not told of. After `unknown` ask again with the same owner, and release with `all`. A "
    "release\n"
    "whose answer never came is repeated until one comes (`not-held` is one): it may still be under way at another "
    "node, and\n"
    "would end a later hold of the same token. Behind that answer a new grant has another token.\n\n"
    "A claim of a queue waits in the same way, and so does a push with a number. What was delivered to a claim whose\n"
    "connection has closed goes back at once and counts as no try. A claim belongs to the session that it named: ack, "
    "nack "
    "and\n"
    "extend name the same one, or none. A limiter's refusal is an answer (`allowed`: false), not an error.\n\n"
    "With `Accept: text/event-stream` what has to wait is answered by one server-sent event, and the connection is "
    "kept "
    "open\n"
    "by comments until then: [page.md](page.md), where `GET /v1/events` is too.\n\n"
    "Errors are problem documents (RFC 9457): `type` is `/errors/NAME`, and `title`, `status` and perhaps `detail` say "
    "more.\n"
    "`not-applied` was not done and may be sent again; `unknown` may have been done or not.\n";

static const char once_intro[] =
    "\n## What is done once\n\n"
    "An idempotency key: `begin` answers `run` to one of all who ask, and he ends it by `complete` or `fail` with his\n"
    "token; the others wait (`wait_ms`) or are told `in-progress`; later ones get what was stored. A run ends with "
    "its\n"
    "lease (`extend` moves it on) or its session; then the next one runs, with a larger token and `attempt`, and what\n"
    "the former would store is refused (`not-held`). Choose the `owner` anew for each call, and keep it in its "
    "retries:\n"
    "they get the same run or place in line, at any node. Who closes the connection waits no longer; one that had "
    "begun\n"
    "to run without being told goes on until its lease ends if it has an owner (its retry may have been told), else "
    "it\n"
    "is freed at once.\n\n"
    "The header `Idempotency-Key` (a quoted string, or bare text, of 1 to 240 visible characters) lets an operation "
    "that says so\n"
    "below take effect once: whether the key was used, the effect, and what is kept of the answer are one entry of the "
    "log.\n"
    "The same request under the same key, at any node, now or within 24 hours, gets the same answer, errors of the "
    "model too (they\n"
    "changed nothing); another request (path or JSON) is `mismatch` (422). Two at the same moment are one behind the "
    "other, so none\n"
    "is told that one is under way; `in-progress` is of `begin`. After `unknown` or `not-applied`, which are never "
    "kept, send\n"
    "the same again. At most 1,000,000 keys are remembered (`limit`); they are apart from those of `begin`, and all "
    "callers share\n"
    "them. Of queues, locks and limits only what was done is kept: after `busy`, `full` or `allowed`: false the same\n"
    "request asks anew. A lock or a permit that was got under a key stays when its connection closes, until its "
    "session\n"
    "ends; the same request is told of it again while it is held, then `not-held`. With `wait_ms` or `ttl_ms` they "
    "take no\n"
    "key (`bad-request`), since what was kept would not be true any more when it is told again: there an owner that "
    "asks\n"
    "again keeps its place, or has one hold more.\n\n"
    "Where nothing is changed the header says nothing; other operations that change something refuse it "
    "(`bad-request`),\n"
    "since they have means of their own: `version` (values), tokens and tickets.\n"
    "A restore from a backup forgets the keys that were used since it was made.\n\n"
    "`sequence/next` with a `key`, `guard/counter_add` and `guard/entity_transition` with a `request` remember their\n"
    "answer in the same step: after `unknown`, ask the same again. Without one, `unknown` may have left a gap, or "
    "have\n"
    "counted. Stored bodies and values are text (`body`, `value`), or any bytes as base64 (`body_base64`,\n"
    "`value_base64`); answers give text where it is UTF-8 without a zero byte. Limits: docs/limits.md.\n\n"
    "## Who leads, and who waits for whom\n\n"
    "    curl -d '{\"ttl_ms\": 10000}' localhost:7450/v1/session/create\n"
    "    curl -d '{\"name\": \"web\", \"session\": \"7-5f...\", \"value\": \"10.0.0.7\", \"wait_ms\": 60000}' \\\n"
    "        localhost:7450/v1/election/campaign\n"
    "    curl -d '{\"name\": \"web\", \"version\": 4711}' localhost:7450/v1/election/observe\n\n"
    "An election is a lock whose holder leads: campaign waits in line as acquire does, the leader's token is one of "
    "the\n"
    "same line of tokens, and `lock/verify`, `lock/watch` and `lock/break` are for it too. Elections and locks share "
    "their\n"
    "names. `version` grows with each leader and each value that one proclaims; observe answers when it is another "
    "than\n"
    "the caller's, with the newest state: states that came and went between two requests are skipped, none is told "
    "twice\n"
    "or after a newer one. 0 says that nobody leads.\n\n"
    "A barrier's round begins when as many wait as `members` says, in the order in which they came, and is over when "
    "all\n"
    "have left; a member whose session ends has left. `leave` names its round, so it may be repeated: of a round that "
    "is\n"
    "over it is answered at once. A latch is at zero until it is set anew; `count_down` with a `request_id` counts "
    "once.\n";

static const char *type_name(enum native_type type) {
    static const char *const names[] = {[NATIVE_TEXT] = "string",
                                        [NATIVE_TEXTS] = "strings",
                                        [NATIVE_NUMBER] = "number",
                                        [NATIVE_BOOL] = "true, false",
                                        [NATIVE_CHOICE] = "",
                                        [NATIVE_SESSION] = "session",
                                        [NATIVE_OBJECTS] = "array",
                                        [NATIVE_SIGNED] = "number",
                                        [NATIVE_DELTAS] = "numbers by name",
                                        [NATIVE_BASE64] = "base64",
                                        [NATIVE_NUMBERS] = "numbers",
                                        [NATIVE_ITEMS] = "items by name",
                                        [NATIVE_PLACES] = "numbers",
                                        [NATIVE_PAIRS] = "strings by name",
                                        [NATIVE_OBJECT] = "object"};
    return names[type];
}

static void write_choices(struct writer *w, const char *choices) {
    for (; *choices != 0; choices++) {
        if (*choices == '|')
            text(w, ", ");
        else
            write_u8(w, (uint8_t)*choices);
    }
}

static void write_field(struct writer *w, const struct native_field *field) {
    format(w, "| `%s` | ", field->name);
    if (field->type == NATIVE_CHOICE)
        write_choices(w, field->choices);
    else
        text(w, type_name(field->type));
    text(w, " | ");
    if (field->required)
        text(w, "wanted");
    else if (field->type == NATIVE_NUMBER)
        format(w, "%llu", (unsigned long long)field->standard);
    else if (field->type == NATIVE_SIGNED)
        format(w, "%lld", (long long)field->standard);
    else if (field->type == NATIVE_BOOL)
        text(w, "false");
    else if (field->type == NATIVE_CHOICE)
        format(w, "%.*s", (int)strcspn(field->choices, "|"), field->choices);
    format(w, " | %s", field->help);
    if (field->type == NATIVE_NUMBER && field->high != 0 && field->high < INT64_MAX)
        format(w, " (%llu to %llu)", (unsigned long long)field->low, (unsigned long long)field->high);
    text(w, " |\n");
}

static void write_operation(struct writer *w, const struct native_operation *operation) {
    format(w, "\n## POST %s\n\n%s\n", operation->path, operation->about);
    const char *only = operation->keyed_if;
    if (operation->keyed)
        format(w, "\nHonours `Idempotency-Key`%s%s (errors: `mismatch`, `limit`).\n", only != NULL ? " " : "",
               only != NULL ? only : "");
    if (operation->administration) text(w, "\nFrom the node's own machine only, unless `allow-remote` is on.\n");
    if (operation->fields[0].name != NULL) text(w, "\n| field | type | default | |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; operation->fields[i].name != NULL; i++) write_field(w, &operation->fields[i]);
    if (operation->answer[0].name != NULL) text(w, "\n| answer | type | |\n| --- | --- | --- |\n");
    for (size_t i = 0; operation->answer[i].name != NULL; i++)
        format(w, "| `%s` | %s | %s |\n", operation->answer[i].name, type_name(operation->answer[i].type),
               operation->answer[i].help);
    if (operation->errors[0] == 0) return;
    text(w, "\nErrors:");
    for (const char *at = operation->errors; *at != 0; at += strcspn(at, " ") + 1)
        format(w, "%s `%.*s`", at == operation->errors ? "" : ",", (int)strcspn(at, " "), at);
    text(w, ".\n");
}

void generate_native(struct writer *w) {
    text(w, intro);
    text(w, once_intro);
    for (size_t i = 0; native_at(i) != NULL; i++) write_operation(w, native_at(i));
    text(w, "\n## Errors\n\nThose that every operation may give:");
    for (const char *at = native_common_errors; *at != 0; at += strcspn(at, " ") + 1)
        format(w, "%s `%.*s`", at == native_common_errors ? "" : ",", (int)strcspn(at, " "), at);
    text(w, ".\n\n| name | status | |\n| --- | --- | --- |\n");
    for (size_t i = 0; i < native_error_count; i++)
        format(w, "| `%s` | %d | %s |\n", native_errors[i].name, native_errors[i].status, native_errors[i].title);
    text(w,
         "\nMembers beside: `field` (bad-request), `holder` and `token` of one holder (busy), `name` (acquire_all: "
         "the lock\n"
         "that could not be had), `circle` (deadlock: who waits for whom); `token`, `holder`, `for_ms` and "
         "`due_in_ms` of\n"
         "the run (in-progress), `retry_ms` (later), `by` and `at_unix_ms` (consumed), `state` and `version` (state), "
         "`version`\n"
         "and the value (version), `token` and `version` (old-token), `name` and `value` of the counter (below, "
         "above), `token` of the first that is not (not-claimed).\n");
}
