// CLIENT TRACKING: who has read which key is told once when it changes (or, in BCAST mode, whoever asked for its
// prefix, each time). Which keys were read is this node's knowledge; changes come from apply, so a client that reads
// here is told here.
//
//   hash of names --> struct tracked --> its holdings <-- struct tracker (a connection's)
//   hash of (name, connection) ------------^
#include "base/alloc.h"
#include "base/assert.h"
#include "protocol/redis/internal.h"

#define TRACKED_MAX 1000000u // Redis's tracking-table-max-keys; of more the oldest is told as if it had changed
#define INVALIDATE "invalidate"

struct tracked {
    struct hash_node by_name;
    struct list age;
    struct list holdings;
    size_t len;
    uint8_t name[];
};
struct holding {
    struct hash_node by_pair;
    struct list of_tracked, of_tracker;
    struct tracked *tracked;
    struct connection *connection;
};
struct tracker {
    struct list link; // in table->trackers
    struct connection *connection;
    struct list holdings;
    struct ring prefixes; // struct bytes, owned
    uint64_t redirect;    // 0: the connection itself
    bool broadcast, opt_in, opt_out, no_loop, caching, caching_said;
};
struct tracking {
    struct hash names, pairs;
    struct list oldest, trackers;
    bool flushed; // all were told so, and have read nothing since: FLUSHALL is an event for each database
    uint64_t seed;
};

struct tracking *tracking_new(uint64_t seed) {
    struct tracking *table = mem_zalloc(sizeof *table);
    hash_init(&table->names);
    hash_init(&table->pairs);
    list_init(&table->oldest);
    list_init(&table->trackers);
    table->seed = seed;
    return table;
}

void tracking_free(struct tracking *table) {
    ENSURE(table->names.count == 0 && table->pairs.count == 0);
    hash_free(&table->names);
    hash_free(&table->pairs);
    mem_free(table);
}

size_t tracking_clients(const struct tracking *table) {
    size_t count = 0;
    for (const struct list *at = table->trackers.next; at != &table->trackers; at = at->next) count++;
    return count;
}

// ---- who holds what

static bool name_matches(const struct hash_node *node, const void *key) {
    const struct tracked *tracked = CONTAINER_OF_CONST(node, struct tracked, by_name);
    return bytes_equal(bytes_of(tracked->name, tracked->len), *(const struct bytes *)key);
}

static struct tracked *tracked_find(const struct tracking *table, struct bytes name) {
    struct hash_node *node =
        hash_find(&table->names, hash_bytes(name.data, name.len, table->seed), name_matches, &name);
    return node == NULL ? NULL : CONTAINER_OF(node, struct tracked, by_name);
}

static bool pair_matches(const struct hash_node *node, const void *key) {
    const struct holding *holding = CONTAINER_OF_CONST(node, struct holding, by_pair), *wanted = key;
    return holding->tracked == wanted->tracked && holding->connection == wanted->connection;
}

static uint64_t pair_hash(const struct holding *holding) {
    return hash_u64((uint64_t)(uintptr_t)holding->tracked ^ hash_u64(holding->connection->id));
}

static void holding_end(struct tracking *table, struct holding *holding) {
    struct tracked *tracked = holding->tracked;
    hash_remove(&table->pairs, &holding->by_pair);
    list_remove(&holding->of_tracked);
    list_remove(&holding->of_tracker);
    mem_free(holding);
    if (!list_empty(&tracked->holdings)) return;
    hash_remove(&table->names, &tracked->by_name);
    list_remove(&tracked->age);
    mem_free(tracked);
}

// ---- telling

static void tell(struct connection *c, const struct bytes *name) { // NULL: all keys
    struct connection *to = c;
    uint64_t redirect = c->tracker->redirect;
    if (redirect != 0) to = redis_connection_by_id(c->instance, redirect);
    if (to == NULL || to->closing) {
        if (!c->resp3 || c->closing) return;
        struct reply broken = reply_to(client_output(c->client), c);
        reply_push(&broken, 2);
        reply_text(&broken, "tracking-redir-broken");
        reply_number(&broken, (int64_t)redirect);
        client_output_ready(c->client);
        return;
    }
    struct reply reply = reply_to(client_output(to->client), to);
    if (to->resp3) {
        reply_push(&reply, 2);
        reply_text(&reply, INVALIDATE);
    } else if (subscriber_count(to, false) > 0) {
        reply_array(&reply, 3);
        reply_text(&reply, "message");
        reply_text(&reply, "__redis__:invalidate");
    } else {
        return; // a RESP2 connection has no way to be told
    }
    if (name == NULL) {
        reply_null_array(&reply);
    } else {
        reply_array(&reply, 1);
        reply_bulk(&reply, *name);
    }
    client_output_ready(to->client);
}

static void tracked_changed(struct tracking *table, struct tracked *tracked, uint64_t client) {
    struct bytes name = bytes_of(tracked->name, tracked->len);
    for (bool more = true; more;) {
        struct holding *holding = CONTAINER_OF(tracked->holdings.next, struct holding, of_tracked);
        struct connection *c = holding->connection;
        if (!(c->tracker->no_loop && c->id == client)) tell(c, &name);
        more = holding->of_tracked.next != &tracked->holdings;
        holding_end(table, holding); // the last one frees what it held
    }
}

static bool wants(const struct tracker *tracker, struct bytes name) {
    if (tracker->prefixes.count == 0) return true;
    for (size_t i = 0; i < tracker->prefixes.count; i++) {
        const struct bytes *prefix = ring_at(&tracker->prefixes, i);
        if (name.len >= prefix->len && memcmp(name.data, prefix->data, prefix->len) == 0) return true;
    }
    return false;
}

static void tell_all(struct tracking *table) {
    for (struct list *at = table->trackers.next; at != &table->trackers; at = at->next) {
        struct tracker *tracker = CONTAINER_OF(at, struct tracker, link);
        tell(tracker->connection, NULL);
        while (!list_empty(&tracker->holdings))
            holding_end(table, CONTAINER_OF(tracker->holdings.next, struct holding, of_tracker));
    }
}

void tracking_event(struct instance *instance, const struct keys_event *event) {
    struct tracking *table = instance->tracking;
    if (list_empty(&table->trackers)) return;
    if (event->kind == KEYS_EVENT_FLUSHED && !table->flushed) {
        tell_all(table);
        table->flushed = true;
    }
    if (event->kind != KEYS_EVENT_CHANGED) return;
    struct tracked *tracked = tracked_find(table, event->key);
    if (tracked != NULL) tracked_changed(table, tracked, event->client);
    for (struct list *at = table->trackers.next; at != &table->trackers; at = at->next) {
        const struct tracker *tracker = CONTAINER_OF(at, struct tracker, link);
        struct connection *c = tracker->connection;
        if (!tracker->broadcast || !wants(tracker, event->key)) continue;
        if (!(tracker->no_loop && c->id == event->client)) tell(c, &event->key);
    }
}

// ---- reads

bool tracking_wanted(const struct connection *c) {
    const struct tracker *t = c->tracker;
    if (t == NULL || t->broadcast) return false;
    return t->opt_in ? t->caching_said && t->caching : !(t->opt_out && t->caching_said && !t->caching);
}

void tracking_command_done(struct connection *c, const struct keys_row *row) {
    if (c->tracker == NULL || transaction_open(c) || (row != NULL && strcmp(row->name, "client|caching") == 0)) return;
    c->tracker->caching_said = false;
}

void tracking_seen(struct connection *c) {
    c->instance->tracking->flushed = false;
}

// Read and written in one entry: its events came ahead of what was read, so that is told to be old behind it.
void tracking_forget(struct connection *c, const struct keys_row *row, const struct bytes *argv, size_t argc) {
    uint32_t *positions = mem_alloc(argc * sizeof *positions);
    size_t count = c->tracker == NULL ? 0 : keys_positions(row, argv, argc, positions, argc);
    for (size_t i = 0; i < count; i++) tell(c, &argv[positions[i]]);
    mem_free(positions);
}

void tracking_read(struct connection *c, const struct keys_row *row, const struct bytes *argv, size_t argc) {
    struct tracking *table = c->instance->tracking;
    uint32_t *positions = mem_alloc(argc * sizeof *positions);
    size_t count = c->tracker == NULL ? 0 : keys_positions(row, argv, argc, positions, argc);
    for (size_t i = 0; i < count; i++) {
        struct bytes name = argv[positions[i]];
        struct tracked *tracked = tracked_find(table, name);
        if (tracked == NULL) {
            tracked = mem_zalloc(sizeof *tracked + name.len);
            tracked->len = name.len;
            if (name.len > 0) memcpy(tracked->name, name.data, name.len);
            list_init(&tracked->holdings);
            list_push_back(&table->oldest, &tracked->age);
            hash_insert(&table->names, &tracked->by_name, hash_bytes(name.data, name.len, table->seed));
        }
        struct holding wanted = {.tracked = tracked, .connection = c};
        if (hash_find(&table->pairs, pair_hash(&wanted), pair_matches, &wanted) != NULL) continue;
        struct holding *holding = mem_zalloc(sizeof *holding);
        *holding = wanted;
        hash_insert(&table->pairs, &holding->by_pair, pair_hash(holding));
        list_push_back(&tracked->holdings, &holding->of_tracked);
        list_push_back(&c->tracker->holdings, &holding->of_tracker);
        if (table->names.count > TRACKED_MAX)
            tracked_changed(table, CONTAINER_OF(table->oldest.next, struct tracked, age), 0);
    }
    mem_free(positions);
}

// ---- CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO

static void prefixes_free(struct ring *prefixes) {
    for (size_t i = 0; i < prefixes->count; i++)
        mem_free((void *)(uintptr_t)((struct bytes *)ring_at(prefixes, i))->data);
    ring_free(prefixes);
}

void tracking_end(struct connection *c) {
    struct tracker *tracker = c->tracker;
    if (tracker == NULL) return;
    while (!list_empty(&tracker->holdings))
        holding_end(c->instance->tracking, CONTAINER_OF(tracker->holdings.next, struct holding, of_tracker));
    list_remove(&tracker->link);
    prefixes_free(&tracker->prefixes);
    mem_free(tracker);
    c->tracker = NULL;
}

struct wish { // of CLIENT TRACKING ON
    bool broadcast, opt_in, opt_out, no_loop;
    uint64_t redirect;
    size_t prefixes; // how many
};

static bool wish_word(struct connection *c, const struct call *call, size_t *at, struct wish *wish) {
    struct bytes word = call->argv[*at];
    bool more = *at + 1 < call->argc;
    int64_t id;
    if (word_is(word, "bcast")) {
        wish->broadcast = true;
    } else if (word_is(word, "optin")) {
        wish->opt_in = true;
    } else if (word_is(word, "optout")) {
        wish->opt_out = true;
    } else if (word_is(word, "noloop")) {
        wish->no_loop = true;
    } else if (word_is(word, "prefix") && more) {
        ++*at;
        wish->prefixes++;
    } else if (word_is(word, "redirect") && more) {
        if (!parse_number(call->argv[++*at], &id)) {
            reply_error(call->reply, "ERR value is not an integer or out of range");
            return false;
        }
        wish->redirect = (uint64_t)id;
        if (id == 0 || redis_connection_by_id(c->instance, wish->redirect) != NULL) return true;
        reply_error(call->reply, "ERR The client ID you want redirect to does not exist");
        return false;
    } else {
        reply_syntax(call->reply);
        return false;
    }
    return true;
}

static const char *wish_wrong(const struct connection *c, const struct wish *wish) {
    const struct tracker *now = c->tracker;
    if (wish->prefixes > 0 && !wish->broadcast) return "PREFIX option requires BCAST mode to be enabled";
    if (now != NULL && now->broadcast != wish->broadcast)
        return "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it "
               "with a different mode.";
    if (wish->broadcast && (wish->opt_in || wish->opt_out)) return "OPTIN and OPTOUT are not compatible with BCAST";
    if (wish->opt_in && wish->opt_out) return "You can't specify both OPTIN mode and OPTOUT mode";
    if (now != NULL && ((wish->opt_in && now->opt_out) || (wish->opt_out && now->opt_in)))
        return "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it "
               "with a different mode.";
    return NULL;
}

static bool overlaps(struct bytes a, struct bytes b) {
    size_t len = a.len < b.len ? a.len : b.len;
    return len == 0 || memcmp(a.data, b.data, len) == 0;
}

// The prefixes of this call, which may not overlap with each other or those there are.
static bool prefixes_fit(const struct connection *c, const struct call *call) {
    for (size_t i = 3; i < call->argc; i++) {
        if (!word_is(call->argv[i], "prefix")) {
            i += word_is(call->argv[i], "redirect");
            continue;
        }
        struct bytes one = call->argv[++i];
        for (size_t k = 0; c->tracker != NULL && k < c->tracker->prefixes.count; k++) {
            const struct bytes *other = ring_at(&c->tracker->prefixes, k);
            if (bytes_equal(one, *other) || !overlaps(one, *other)) continue;
            reply_error(call->reply,
                        "ERR Prefix '%.*s' overlaps with an existing prefix '%.*s'. Prefixes for a single client must "
                        "not overlap.",
                        (int)one.len, (const char *)one.data, (int)other->len, (const char *)other->data);
            return false;
        }
        for (size_t k = i + 1; k + 1 < call->argc; k++) {
            if (!word_is(call->argv[k], "prefix") || !overlaps(one, call->argv[k + 1])) continue;
            reply_error(call->reply,
                        "ERR Prefix '%.*s' overlaps with another provided prefix '%.*s'. Prefixes for a single client "
                        "must not overlap.",
                        (int)one.len, (const char *)one.data, (int)call->argv[k + 1].len,
                        (const char *)call->argv[k + 1].data);
            return false;
        }
    }
    return true;
}

static void prefixes_add(struct connection *c, const struct call *call) {
    for (size_t i = 3; i + 1 < call->argc; i++) {
        if (word_is(call->argv[i], "redirect")) i++;
        if (!word_is(call->argv[i], "prefix")) continue;
        struct bytes prefix = call->argv[++i];
        bool known = false;
        for (size_t k = 0; k < c->tracker->prefixes.count; k++)
            known = known || bytes_equal(prefix, *(struct bytes *)ring_at(&c->tracker->prefixes, k));
        if (known) continue;
        uint8_t *copy = mem_alloc(prefix.len);
        if (prefix.len > 0) memcpy(copy, prefix.data, prefix.len);
        *(struct bytes *)ring_push(&c->tracker->prefixes) = bytes_of(copy, prefix.len);
    }
}

void own_client_tracking(struct connection *c, const struct call *call) {
    struct wish wish = {0};
    for (size_t i = 3; i < call->argc; i++)
        if (!wish_word(c, call, &i, &wish)) return;
    if (word_is(call->argv[2], "off")) {
        tracking_end(c);
        reply_ok(call->reply);
        return;
    }
    if (!word_is(call->argv[2], "on")) {
        reply_syntax(call->reply);
        return;
    }
    const char *wrong = wish_wrong(c, &wish);
    if (wrong != NULL) reply_error(call->reply, "ERR %s", wrong);
    if (wrong != NULL || !prefixes_fit(c, call)) return;
    if (c->tracker == NULL) {
        c->tracker = mem_zalloc(sizeof *c->tracker);
        c->tracker->connection = c;
        list_init(&c->tracker->holdings);
        ring_init(&c->tracker->prefixes, sizeof(struct bytes));
        list_push_back(&c->instance->tracking->trackers, &c->tracker->link);
    }
    c->tracker->broadcast = wish.broadcast;
    c->tracker->opt_in = wish.opt_in;
    c->tracker->opt_out = wish.opt_out;
    c->tracker->no_loop = wish.no_loop;
    c->tracker->redirect = wish.redirect;
    prefixes_add(c, call);
    reply_ok(call->reply);
}

void own_client_caching(struct connection *c, const struct call *call) {
    struct tracker *t = c->tracker;
    bool yes = word_is(call->argv[2], "yes"), no = word_is(call->argv[2], "no");
    if (t == NULL) {
        reply_error(call->reply, "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN "
                                 "or OPTOUT mode enabled");
    } else if (yes && !t->opt_in) {
        reply_error(call->reply, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
    } else if (no && !t->opt_out) {
        reply_error(call->reply, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
    } else if (!yes && !no) {
        reply_syntax(call->reply);
    } else {
        t->caching_said = true;
        t->caching = yes;
        reply_ok(call->reply);
    }
}

void own_client_getredir(struct connection *c, const struct call *call) {
    reply_number(call->reply, c->tracker == NULL ? -1 : (int64_t)c->tracker->redirect);
}

void own_client_trackinginfo(struct connection *c, const struct call *call) {
    const struct tracker *t = c->tracker;
    const struct {
        const char *name;
        bool set;
    } flags[] = {{"off", t == NULL},
                 {"on", t != NULL},
                 {"bcast", t != NULL && t->broadcast},
                 {"optin", t != NULL && t->opt_in},
                 {"caching-yes", t != NULL && t->opt_in && t->caching_said},
                 {"optout", t != NULL && t->opt_out},
                 {"caching-no", t != NULL && t->opt_out && t->caching_said},
                 {"noloop", t != NULL && t->no_loop}};
    reply_map(call->reply, 3);
    reply_text(call->reply, "flags");
    size_t begun = reply_begin(call->reply), count = 0;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (!flags[i].set) continue;
        reply_text(call->reply, flags[i].name);
        count++;
    }
    reply_end(call->reply, begun, '~', count);
    reply_text(call->reply, "redirect");
    reply_number(call->reply, t == NULL ? -1 : (int64_t)t->redirect);
    reply_text(call->reply, "prefixes");
    reply_array(call->reply, t == NULL ? 0 : t->prefixes.count);
    for (size_t i = 0; t != NULL && i < t->prefixes.count; i++)
        reply_bulk(call->reply, *(struct bytes *)ring_at(&t->prefixes, i));
}
