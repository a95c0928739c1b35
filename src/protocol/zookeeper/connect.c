// The connect request: a session is made, taken up again, or told to have ended.
//
// Who has ended is judged when the attach entry is applied, by the state, never by what this node happens to know: a
// follower that is behind must not tell a living session that it is dead (replication.md "Sessions"). Only two answers
// come from here: ids that this cluster cannot have given out, and passwords that cannot be right.
#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "protocol/zookeeper/internal.h"
#include <string.h>

#define READ_ONLY_SHOWN_BASE 0x0200000000000000ull // a read-only node's own ids: no session is ever attached by one

static void connect_respond(struct connection *c, uint32_t timeout_ms, uint64_t shown, const uint8_t *password) {
    static const uint8_t nothing[LEASE_PASSWORD_BYTES];
    const struct connect_wait *wait = c->connect;
    struct writer *w = client_output(c->client);
    uint32_t len = 4 + 4 + 8 + 4 + LEASE_PASSWORD_BYTES + (wait->sent_read_only ? 1u : 0u);
    write_u32_be(w, len);
    jute_write_int(w, 0); // protocol version
    jute_write_int(w, (int32_t)timeout_ms);
    write_u64_be(w, shown);
    jute_write_bytes(
        w, bytes_of(password ? password : nothing, LEASE_PASSWORD_BYTES)); // the C client reads 16 bytes always
    if (wait->sent_read_only) write_u8(w, c->read_only); // clients before 3.4 neither send nor expect it
    client_output_ready(c->client);
    c->sent++;
    c->instance->packets_sent++;
}

static void connect_expired(struct connection *c) {
    connect_respond(c, 0, 0, NULL);
    connection_end(c, true);
}

void connect_forget(struct connection *c) {
    if (!c->connect) return;
    list_remove(&c->connect->link);
    mem_free(c->connect);
    c->connect = NULL;
}

static void connect_read_on(struct connection *c) {
    if (!c->paused) return;
    c->paused = false;
    client_resume(c->client);
}

static void connect_open(struct connection *c, uint32_t timeout_ms, uint64_t shown, const uint8_t *password) {
    connect_respond(c, timeout_ms, shown, password);
    c->timeout_ms = timeout_ms;
    c->session_shown = shown;
    c->state = CONNECTION_OPEN;
    connect_forget(c);
    connect_read_on(c);
}

static uint64_t session_number(uint64_t shown) {
    return shown & 0x00ffffffffffffffull;
}

// A node that holds no state yet (its disk was lost) has nothing to show, and a client never goes back behind what it
// has seen elsewhere.
static bool read_only_allowed(const struct connection *c) {
    uint64_t zxid = zookeeper_zxid(c->instance);
    return c->connect->read_only && !c->instance->settings.read_only_off && zxid > 0 && c->connect->last_zxid <= zxid;
}

// A client that allows it, where no leader is: its session is kept as it is (or a passing one is given), and writes are
// refused.
static void connect_read_only(struct connection *c) {
    struct connect_wait *wait = c->connect;
    c->read_only = true;
    if (wait->session_shown != 0) {
        const struct lease *lease = service_lease(c->instance->service, session_number(wait->session_shown));
        bool ours = lease && memcmp(lease->password, wait->password, LEASE_PASSWORD_BYTES) == 0;
        if (!ours)
            connection_end(c, true); // neither alive nor dead can be told here
        else
            connect_open(c, lease->timeout_ms, wait->session_shown, lease->password);
        return;
    }
    uint64_t id;
    uint8_t password[LEASE_PASSWORD_BYTES];
    service_random(c->instance->service, &id, sizeof id);
    service_random(c->instance->service, password, sizeof password);
    connect_open(c, wait->timeout_ms, READ_ONLY_SHOWN_BASE | (id >> 8), password);
}

static void connect_wait_more(struct connection *c) {
    if (!list_empty(&c->connect->link)) return;
    list_push_back(&c->instance->waiting, &c->connect->link);
    client_pause(c->client);
    c->paused = true;
}

static void connect_attach(struct connection *c) {
    struct connect_wait *wait = c->connect;
    list_remove(&wait->link);
    connect_read_on(c); // the node itself reads nothing until the attach is applied
    uint8_t password[LEASE_PASSWORD_BYTES];
    if (wait->session_shown == 0)
        service_random(c->instance->service, password, sizeof password);
    else
        memcpy(password, wait->password, sizeof password);
    wait->attach_tag =
        client_attach(c->client, session_number(wait->session_shown), password, wait->timeout_ms, LEASE_KIND_ZOOKEEPER);
}

void connect_continue(struct connection *c) {
    struct instance *instance = c->instance;
    struct connect_wait *wait = c->connect;
    struct service_status status;
    ENSURE(c->state == CONNECTION_CONNECTING && wait != NULL);
    service_status(instance->service, &status);
    if (!status.has_leader) {
        uint64_t since = instance->no_leader_since_ms;
        bool long_enough = since != 0 && instance->now_ms - since >= instance->settings.read_only_after_ms;
        if (!long_enough)
            connect_wait_more(c);
        else if (read_only_allowed(c))
            connect_read_only(c);
        else
            connection_end(c, false); // it tries another server
        return;
    }
    bool known = wait->session_shown != 0 && service_lease(instance->service, session_number(wait->session_shown));
    if (PLANTED(EXPIRED_BY_FOLLOWER) && !known && wait->session_shown != 0) {
        connect_expired(c);
        return;
    }
    if (known && wait->last_zxid > zookeeper_zxid(instance)) { // it has seen more elsewhere; never show it less
        if (instance->now_ms < wait->deadline_ms)
            connect_wait_more(c);
        else
            connection_end(c, false);
        return;
    }
    connect_attach(c);
}

void connect_request(struct connection *c, struct bytes frame) {
    struct instance *instance = c->instance;
    struct reader r = reader_of(frame.data, frame.len);
    jute_int(&r); // protocol version
    uint64_t last_zxid = read_u64_be(&r);
    int32_t timeout_ms = jute_int(&r);
    uint64_t shown = read_u64_be(&r);
    bool null;
    struct bytes password = jute_buffer(&r, &null);
    if (r.failed) {
        connection_bad_input(c, "not a connect request");
        return;
    }
    struct connect_wait *wait = c->connect = mem_zalloc(sizeof *wait);
    list_init(&wait->link);
    wait->owner = c;
    wait->sent_read_only = reader_left(&r) > 0;
    wait->read_only = wait->sent_read_only && jute_bool(&r);
    wait->last_zxid = last_zxid;
    wait->session_shown = shown;
    uint32_t least = instance->settings.session_timeout_min_ms, most = instance->settings.session_timeout_max_ms;
    uint32_t asked = timeout_ms < 0 ? 0 : (uint32_t)timeout_ms;
    wait->timeout_ms = asked < least ? least : asked > most ? most : asked;
    wait->deadline_ms = instance->now_ms + instance->settings.connect_wait_ms;
    c->state = CONNECTION_CONNECTING;
    list_remove(&c->greeting);
    bool ours = shown >> 56 == SESSION_SHOWN_BASE >> 56 && session_number(shown) != 0;
    if (shown != 0 && (!ours || password.len != LEASE_PASSWORD_BYTES)) {
        connect_expired(c);
        return;
    }
    if (shown != 0) memcpy(wait->password, password.data, LEASE_PASSWORD_BYTES);
    connect_continue(c);
}

void connect_attached(struct connection *c, const struct result *result) {
    ENSURE(c->connect != NULL);
    if (result->error == COMMAND_SESSION_EXPIRED) {
        connect_expired(c);
        return;
    }
    if (result->error) { // unknown or not applied: the client tries again, here or elsewhere
        connection_end(c, false);
        return;
    }
    const struct lease_result *lease = result->value;
    c->session = lease->session;
    c->attach = lease->attach;
    connection_index(c);
    connect_open(c, lease->timeout_ms, SESSION_SHOWN_BASE | lease->session, lease->password);
}
