// Watches. The oracle's log of events says what each watch must give, in which order; a client walks it: an event that
// comes must be the next one that one of its watches matches, and an answer may not come before an event of its own
// zxid or an older one. After a session move, setWatches must give exactly what was missed.
#include "sim/client.h"

static struct watch *find(struct sim_client *client, const struct oracle_node *node) {
    for (size_t i = 0; i < client->watch_count; i++)
        if (client->watches[i].node == node) return &client->watches[i];
    return NULL;
}

static void drop(struct sim_client *client, struct watch *watch, uint8_t modes) {
    watch->modes &= (uint8_t)~modes;
    if (watch->modes == 0) *watch = client->watches[--client->watch_count];
}

static void add(struct sim_client *client, const struct oracle_node *node, uint8_t mode) {
    struct watch *watch = find(client, node);
    if (watch == NULL) {
        ENSURE(client->watch_count < WATCHES_MAX);
        watch = &client->watches[client->watch_count++];
        *watch = (struct watch){.node = node};
    }
    watch->modes |= mode;
}

bool watches_any(const struct sim_client *client, const struct oracle_node *node, uint8_t modes) {
    for (size_t i = 0; i < client->watch_count; i++)
        if (client->watches[i].node == node) return client->watches[i].modes & modes;
    return false;
}

// Takes the event's one-shot watches away. False: no watch matches.
static bool fire(struct sim_client *client, const struct oracle_event *event) {
    static const uint8_t modes[] = {
        [JUTE_EVENT_CREATED] = WATCHED_DATA | WATCHED_EXIST | WATCHED_PERSISTENT,
        [JUTE_EVENT_DELETED] = WATCHED_DATA | WATCHED_EXIST | WATCHED_CHILD | WATCHED_PERSISTENT,
        [JUTE_EVENT_DATA] = WATCHED_DATA | WATCHED_EXIST | WATCHED_PERSISTENT,
        [JUTE_EVENT_CHILD] = WATCHED_CHILD | WATCHED_PERSISTENT,
    };
    struct watch *watch = find(client, event->node);
    bool any = watch != NULL && (watch->modes & modes[event->type]);
    if (any) drop(client, watch, modes[event->type] & (WATCHED_DATA | WATCHED_EXIST | WATCHED_CHILD));
    if (event->type == JUTE_EVENT_CHILD) return any; // recursive ones are told of the child itself
    for (const struct oracle_node *at = event->node; at != NULL && !any; at = at->parent)
        any = watches_any(client, at, WATCHED_RECURSIVE);
    return any;
}

static bool may_know(const struct sim_client *client, const struct oracle_event *event) {
    return oracle_allows(&client->sim->history.oracle, event->acl, JUTE_READ,
                         bytes_of(client->who.data, client->who.len));
}

void watches_told(struct sim_client *client, const struct op *op, uint64_t zxid) {
    const struct oracle *oracle = &client->sim->history.oracle;
    if (op->code == JUTE_SET_WATCHES || op->code == JUTE_SET_WATCHES2) return;
    if (client->rearming) client_fail(client, op, "answered before the setWatches ahead of it");
    if (client->watch_count == 0) {
        client->event_at = oracle_event_behind(oracle, zxid);
        return;
    }
    for (; client->event_at < oracle->event_count; client->event_at++) {
        const struct oracle_event *event = &oracle->events[client->event_at];
        if (event->zxid > zxid) return;
        if (fire(client, event) && may_know(client, event))
            client_fail(client, op, "zxid %llu is told before the event %d of %s at %llu, which it watches",
                        (unsigned long long)zxid, event->type, event->node->path, (unsigned long long)event->zxid);
    }
}

// What the client is told of while setWatches is under way: it can be held against the state when the answer names it.
static void note_missed(struct sim_client *client, const struct oracle_node *node, int32_t type) {
    if (client->missed_count == 2 * WATCHES_MAX)
        world_fail(&client->sim->world, "client %u is told of more than it watched", client->number);
    else
        client->missed[client->missed_count++] = (struct watch_event){node, type};
}

static void tell_works(struct sim_client *client, const struct oracle_node *node, int32_t type) {
    for (size_t i = 0; i < work_count; i++)
        if (works[i].event != NULL) works[i].event(client, node, type);
}

void watches_event(struct sim_client *client, struct reader *r) {
    struct oracle *oracle = &client->sim->history.oracle;
    int32_t type = jute_read_int(r), state = jute_read_int(r);
    struct bytes path = jute_read_data(r);
    if (!reader_done(r) || type < JUTE_EVENT_CREATED || type > JUTE_EVENT_CHILD || state != 3) {
        world_fail(&client->sim->world, "client %u got a broken event", client->number);
        return;
    }
    const struct oracle_node *node = oracle_path(oracle, path);
    world_trace_line(&client->sim->world, "c%u event %d %s", client->number, type, node->path);
    if (client->rearming) {
        note_missed(client, node, type);
        tell_works(client, node, type);
        return;
    }
    for (; client->event_at < oracle->event_count; client->event_at++) {
        const struct oracle_event *event = &oracle->events[client->event_at];
        if (!fire(client, event) || !may_know(client, event)) continue;
        client->event_at++;
        if (event->node != node || event->type != type)
            world_fail(&client->sim->world, "client %u got event %d of %s; its next one is %d of %s at %llu",
                       client->number, type, node->path, event->type, event->node->path,
                       (unsigned long long)event->zxid);
        tell_works(client, node, type);
        return;
    }
    world_fail(&client->sim->world, "client %u got event %d of %s, which has not happened, or it does not watch",
               client->number, type, node->path);
}

// ---- a session that moves

static const uint8_t lists[] = {WATCHED_DATA, WATCHED_EXIST, WATCHED_CHILD, WATCHED_PERSISTENT, WATCHED_RECURSIVE};

static bool has_lasting(const struct sim_client *client) {
    for (size_t i = 0; i < client->watch_count; i++)
        if (client->watches[i].modes & (WATCHED_PERSISTENT | WATCHED_RECURSIVE)) return true;
    return false;
}

void watches_rearm(struct sim_client *client) {
    client->missed_count = 0;
    client->rearming = client->watch_count > 0;
    if (!client->rearming) return;
    size_t kinds = has_lasting(client) || client_draw(client, 2) == 0 ? 5 : 3;
    struct writer *w = client_begin(client);
    write_u64_be(w, client->last_zxid);
    for (size_t k = 0; k < kinds; k++) {
        int32_t count = 0;
        for (size_t i = 0; i < client->watch_count; i++) count += (client->watches[i].modes & lists[k]) != 0;
        jute_int(w, count);
        for (size_t i = 0; i < client->watch_count; i++)
            if (client->watches[i].modes & lists[k]) jute_text(w, client->watches[i].node->path);
    }
    client_ask(client, kinds == 5 ? JUTE_SET_WATCHES2 : JUTE_SET_WATCHES, WORK_NONE, 0, 0);
}

static int32_t missed_type(const struct oracle_state *state, uint8_t mode, uint64_t since) {
    if (mode == WATCHED_EXIST) return state != NULL ? JUTE_EVENT_CREATED : 0;
    if (mode != WATCHED_DATA && mode != WATCHED_CHILD) return 0;
    if (state == NULL) return JUTE_EVENT_DELETED;
    if (mode == WATCHED_DATA) return state->mzxid > since ? JUTE_EVENT_DATA : 0;
    return state->pzxid > since ? JUTE_EVENT_CHILD : 0;
}

static void rearmed(struct sim_client *client, const struct op *op, uint64_t zxid) {
    struct watch before[WATCHES_MAX];
    size_t count = client->watch_count, at = 0;
    uint64_t since = get_u64_be(op->body);
    memcpy(before, client->watches, count * sizeof before[0]);
    for (size_t k = 0; k < sizeof lists; k++) {
        for (size_t i = 0; i < count; i++) {
            if ((before[i].modes & lists[k]) == 0) continue;
            int32_t type = missed_type(oracle_at(before[i].node, zxid), lists[k], since);
            if (type == 0) continue;
            if (at == client->missed_count || client->missed[at].node != before[i].node ||
                client->missed[at].type != type)
                client_fail(client, op,
                            "setWatches from zxid %llu to %llu must tell event %d of %s as number %zu, but tells %d of "
                            "%s",
                            (unsigned long long)since, (unsigned long long)zxid, type, before[i].node->path, at + 1,
                            at < client->missed_count ? client->missed[at].type : 0,
                            at < client->missed_count ? client->missed[at].node->path : "nothing");
            at++;
            drop(client, find(client, before[i].node), lists[k]);
        }
    }
    if (at < client->missed_count)
        client_fail(client, op, "setWatches tells event %d of %s, which was not missed", client->missed[at].type,
                    client->missed[at].node->path);
    client->rearming = false;
    client->missed_count = 0;
    client->event_at = oracle_event_behind(&client->sim->history.oracle, zxid);
}

// Events that came before the connection broke again have been told: their watches are used up.
void watches_dropped(struct sim_client *client) {
    for (size_t i = 0; client->rearming && i < client->missed_count; i++) {
        struct watch *watch = find(client, client->missed[i].node);
        if (watch == NULL) continue;
        bool child = client->missed[i].type == JUTE_EVENT_CHILD;
        uint8_t modes = child                                          ? WATCHED_CHILD
                        : client->missed[i].type == JUTE_EVENT_DELETED ? WATCHED_DATA | WATCHED_CHILD
                                                                       : WATCHED_DATA | WATCHED_EXIST;
        drop(client, watch, modes);
    }
    client->rearming = false;
    client->missed_count = 0;
}

// ---- answers that set watches or take them away

static uint8_t lasting_or(uint8_t have, uint8_t once) {
    return have & once ? have & once : have & (WATCHED_PERSISTENT | WATCHED_RECURSIVE);
}

static uint8_t asked_modes(struct sim_client *client, const struct op *op, const struct oracle_node **node) {
    struct oracle *oracle = &client->sim->history.oracle;
    struct reader r = reader_of(op->body, op->len);
    *node = oracle_path(oracle, jute_read_data(&r));
    int32_t type = jute_read_int(&r);
    const struct watch *watch = find(client, *node);
    uint8_t have = watch == NULL ? 0 : watch->modes;
    switch (type) {
    case 1:
        return lasting_or(have, WATCHED_CHILD);
    case 2:
        return lasting_or(have, WATCHED_DATA | WATCHED_EXIST);
    case 3:
        return have;
    case 4:
        return have & WATCHED_PERSISTENT;
    default:
        return have & WATCHED_RECURSIVE;
    }
}

int32_t watches_expected(struct sim_client *client, const struct op *op) {
    const struct oracle_node *node;
    return asked_modes(client, op, &node) == 0 ? JUTE_NO_WATCHER : 0;
}

static void read_sets(struct sim_client *client, const struct op *op, int32_t error) {
    struct reader r = reader_of(op->body, op->len);
    const struct oracle_node *node = oracle_path(&client->sim->history.oracle, jute_read_data(&r));
    if (read_u8(&r) == 0 || r.failed) return;
    if (op->code == JUTE_EXISTS && error == JUTE_NONODE)
        add(client, node, WATCHED_EXIST);
    else if (error == 0)
        add(client, node, op->code == JUTE_EXISTS || op->code == JUTE_GET ? WATCHED_DATA : WATCHED_CHILD);
}

void watches_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error) {
    if (op->refused != 0) return;
    switch (op->code) {
    case JUTE_SET_WATCHES:
    case JUTE_SET_WATCHES2:
        if (error != 0) client_fail(client, op, "error %d", error);
        rearmed(client, op, zxid);
        return;
    case JUTE_EXISTS:
    case JUTE_GET:
    case JUTE_CHILDREN:
    case JUTE_CHILDREN2:
        read_sets(client, op, error);
        return;
    case JUTE_ADD_WATCH: {
        struct reader r = reader_of(op->body, op->len);
        const struct oracle_node *node = oracle_path(&client->sim->history.oracle, jute_read_data(&r));
        if (error == 0) add(client, node, jute_read_int(&r) == 0 ? WATCHED_PERSISTENT : WATCHED_RECURSIVE);
        return;
    }
    case JUTE_REMOVE_WATCHES: {
        const struct oracle_node *node;
        uint8_t modes = error == 0 ? asked_modes(client, op, &node) : 0;
        if (modes != 0) drop(client, find(client, node), modes);
        return;
    }
    default:
        return;
    }
}
