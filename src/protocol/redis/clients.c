// CLIENT: the connections of this node.
#include "base/alloc.h"
#include "io/io.h"
#include "protocol/redis/internal.h"
#include <stdlib.h>
#include <strings.h>

void redis_client_line(const struct connection *c, struct writer *out) {
    struct io_conn_info info;
    struct service *service = c->instance->service;
    client_info(c->client, &info);
    const struct transaction *t = c->transaction;
    long long queued = t != NULL && t->open ? (long long)t->queue.count : -1;
    char flags[8] = "";
    size_t at = 0;
    if (subscriber_count(c, false) + subscriber_count(c, true) > 0) flags[at++] = 'P';
    if (queued >= 0) flags[at++] = 'x';
    if (c->local_reads) flags[at++] = 'r';
    if (c->no_evict) flags[at++] = 'e';
    if (c->ends) flags[at++] = 'c';
    if (at == 0) flags[at++] = 'N';
    flags[at] = 0;
    size_t output = client_output_pending(c->client);
    text_format(out, "id=%llu addr=%s laddr=%s fd=0 name=%s age=%lld idle=%llu flags=%s db=%u sub=%zu psub=%zu ssub=0 ",
                (unsigned long long)c->id, info.remote, info.local, c->name == NULL ? "" : c->name,
                (long long)(service_unix_ms(service) - c->opened_unix_ms) / 1000,
                (unsigned long long)(service_now_ms(service) - c->last_ms) / 1000, flags, c->database,
                subscriber_count(c, false), subscriber_count(c, true));
    text_format(out,
                "multi=%lld qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=%zu rbs=0 rbp=0 obl=0 oll=0 omem=%zu tot-mem=%zu "
                "events=r cmd=%s user=default redir=-1 resp=%d lib-name=%s lib-ver=%s\n",
                queued, t == NULL ? 0 : t->bytes.capacity + t->keys.capacity, output,
                sizeof *c + c->held.capacity + output, c->last_row == NULL ? "NULL" : c->last_row->name,
                c->resp3 ? 3 : 2, c->library == NULL ? "" : c->library,
                c->library_version == NULL ? "" : c->library_version);
}

void own_client_id(struct connection *c, const struct call *call) {
    reply_number(call->reply, (int64_t)c->id);
}

void own_client_getname(struct connection *c, const struct call *call) {
    if (c->name == NULL)
        reply_null(call->reply);
    else
        reply_text(call->reply, c->name);
}

void own_client_getredir(struct connection *c, const struct call *call) {
    reply_number(call->reply, -1);
}

void own_client_info(struct connection *c, const struct call *call) {
    struct writer text = {0};
    c->last_row = call->row;
    redis_client_line(c, &text);
    reply_verbatim(call->reply, bytes_of(text.data, text.len));
    writer_free(&text);
}

// ---- LIST

enum client_type { TYPE_NORMAL, TYPE_PUBSUB, TYPE_REPLICA, TYPE_MASTER, TYPE_WRONG };
static enum client_type type_of(struct bytes word) {
    static const struct {
        const char *word;
        enum client_type type;
    } words[] = {{"normal", TYPE_NORMAL},
                 {"pubsub", TYPE_PUBSUB},
                 {"replica", TYPE_REPLICA},
                 {"slave", TYPE_REPLICA},
                 {"master", TYPE_MASTER}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (word_is(word, words[i].word)) return words[i].type;
    return TYPE_WRONG;
}

static bool is_type(const struct connection *c, enum client_type type) {
    bool subscriber = subscriber_count(c, false) + subscriber_count(c, true) > 0;
    return type == (subscriber ? TYPE_PUBSUB : TYPE_NORMAL);
}

static bool wanted_id(const struct call *call, uint64_t id) {
    int64_t number;
    for (size_t i = 3; i < call->argc; i++)
        if (parse_number(call->argv[i], &number) && (uint64_t)number == id) return true;
    return false;
}

static bool list_arguments(const struct call *call, enum client_type *type, bool *ids) {
    int64_t number;
    if (call->argc == 2) return true;
    if (call->argc == 4 && word_is(call->argv[2], "type")) {
        *type = type_of(call->argv[3]);
        if (*type != TYPE_WRONG) return true;
        reply_error(call->reply, "ERR Unknown client type '%.*s'", (int)call->argv[3].len,
                    (const char *)call->argv[3].data);
        return false;
    }
    *ids = call->argc > 3 && word_is(call->argv[2], "id");
    if (!*ids) reply_syntax(call->reply);
    for (size_t i = 3; *ids && i < call->argc; i++) {
        if (parse_number(call->argv[i], &number)) continue;
        reply_error(call->reply, "ERR Invalid client ID");
        return false;
    }
    return *ids;
}

void own_client_list(struct connection *c, const struct call *call) {
    enum client_type type = TYPE_WRONG;
    bool ids = false;
    if (!list_arguments(call, &type, &ids)) return;
    c->last_row = call->row;
    struct writer text = {0};
    struct list *head = &c->instance->connections;
    for (struct list *at = head->next; at != head; at = at->next) {
        const struct connection *other = CONTAINER_OF(at, struct connection, link);
        if (other->closing || (type != TYPE_WRONG && !is_type(other, type)) || (ids && !wanted_id(call, other->id)))
            continue;
        redis_client_line(other, &text);
    }
    reply_verbatim(call->reply, bytes_of(text.data, text.len));
    writer_free(&text);
}

// ---- KILL

struct kill {
    struct bytes address, local, user;
    int64_t id; // -1: any
    enum client_type type;
    bool skip_me;
};

static bool kill_word(struct kill *kill, struct bytes word, struct bytes value, struct reply *reply) {
    if (word_is(word, "id")) {
        if (parse_number(value, &kill->id) && kill->id > 0) return true;
        reply_error(reply, "ERR client-id should be greater than 0");
        return false;
    }
    if (word_is(word, "type")) {
        kill->type = type_of(value);
        if (kill->type != TYPE_WRONG) return true;
        reply_error(reply, "ERR Unknown client type '%.*s'", (int)value.len, (const char *)value.data);
        return false;
    }
    if (word_is(word, "user") && !bytes_equal(value, bytes_of_text("default"))) {
        reply_error(reply, "ERR No such user '%.*s'", (int)value.len, (const char *)value.data);
        return false;
    }
    bool yes = word_is(value, "yes"), known = word_is(word, "user");
    if (word_is(word, "addr")) kill->address = value, known = true;
    if (word_is(word, "laddr")) kill->local = value, known = true;
    if (word_is(word, "skipme") && (yes || word_is(value, "no"))) kill->skip_me = yes, known = true;
    if (!known) reply_syntax(reply);
    return known;
}

static bool kill_matches(const struct kill *kill, const struct connection *c) {
    struct io_conn_info info;
    client_info(c->client, &info);
    if (kill->id >= 0 && (uint64_t)kill->id != c->id) return false;
    if (kill->type != TYPE_WRONG && !is_type(c, kill->type)) return false;
    if (kill->address.data != NULL && !word_is(kill->address, info.remote)) return false;
    return kill->local.data == NULL || word_is(kill->local, info.local);
}

void own_client_kill(struct connection *c, const struct call *call) {
    struct kill kill = {.id = -1, .type = TYPE_WRONG, .skip_me = call->argc > 3};
    if (call->argc == 3) {
        kill.address = call->argv[2];
    } else if (call->argc % 2 != 0) {
        reply_syntax(call->reply);
        return;
    }
    for (size_t i = 2; call->argc > 3 && i < call->argc; i += 2)
        if (!kill_word(&kill, call->argv[i], call->argv[i + 1], call->reply)) return;
    int64_t killed = 0;
    struct list *head = &c->instance->connections, *at = head->next;
    while (at != head) {
        struct connection *other = CONTAINER_OF(at, struct connection, link);
        at = at->next;
        if (other->closing || !kill_matches(&kill, other) || (other == c && kill.skip_me)) continue;
        killed++;
        if (other == c)
            c->ends = true; // the answer leaves first
        else
            redis_end(other, false);
    }
    if (call->argc > 3)
        reply_number(call->reply, killed);
    else if (killed > 0)
        reply_ok(call->reply);
    else
        reply_error(call->reply, "ERR No such client");
}

// ---- switches

void own_client_reply(struct connection *c, const struct call *call) {
    struct bytes word = call->argv[2];
    if (word_is(word, "on")) {
        c->silent = c->silent_now = false;
        reply_ok(call->reply);
    } else if (word_is(word, "off")) {
        c->silent = true;
    } else if (word_is(word, "skip")) {
        c->silent_next = !c->silent;
    } else {
        reply_syntax(call->reply);
    }
}

static void set_switch(bool *to, const struct call *call) {
    bool on = word_is(call->argv[2], "on");
    if (!on && !word_is(call->argv[2], "off")) {
        reply_syntax(call->reply);
        return;
    }
    *to = on;
    reply_ok(call->reply);
}

void own_client_no_evict(struct connection *c, const struct call *call) {
    set_switch(&c->no_evict, call);
}

void own_client_no_touch(struct connection *c, const struct call *call) {
    bool on; // reads of this node touch nothing that another could see
    set_switch(&on, call);
}
