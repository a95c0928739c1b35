// Sessions on this node: which connection holds which, what is told to the leader as activity, and when a byte may
// leave (replication.md "Sessions" and "Keep-alive").
//
//   activity not yet acknowledged --round every 100 ms--> leader --acknowledged--> v := when that activity was read
//   output leaves while now - v <= T/3 + G/2; at T the connection is closed        (T: session time-out, G = min(T/3, 2
//   s))
//
// Of ten thousand sessions a few hundred talk in a round: only those are looked at (`talking`).
#include "base/assert.h"
#include "base/planted.h"
#include "node/internal.h"

#define GRACE_MAX_MS 2000u

void sessions_init(struct service *service) {
    hash_init(&service->by_session);
}

void sessions_free(struct service *service) {
    hash_free(&service->by_session);
}

static bool matches(const struct hash_node *node, const void *key) {
    return CONTAINER_OF_CONST(node, struct client, by_session)->session == *(const uint64_t *)key;
}

static struct client *holder(const struct service *service, uint64_t session) {
    struct hash_node *node = hash_find(&service->by_session, hash_u64(session), matches, &session);
    return node == NULL ? NULL : CONTAINER_OF(node, struct client, by_session);
}

// ---- attaching

uint64_t client_attach(struct client *client, uint64_t session, const uint8_t password[LEASE_PASSWORD_BYTES],
                       uint32_t timeout_ms, uint8_t kind) {
    struct service *service = client->service;
    uint64_t tag = client->next_tag++;
    if (client->gone) return tag;
    ENSURE(client->attach_tag == 0);
    client->attach_tag = tag;
    client->attach_read_ms = service->now_ms;
    client->held = true;
    struct writer w;
    writer_init(&w);
    lease_write_attach(&w, session, password, timeout_ms, kind, service->node->options.id, service->boot);
    if (service->status.leader != 0) {
        service_submit(service, client, tag, bytes_of(w.data, w.len), true);
        writer_free(&w);
    } else {
        client->attach_command = w; // an attach whose socket ends before there is a leader is not proposed
    }
    return tag;
}

void sessions_leader_known(struct service *service) {
    for (struct list *at = service->clients.next; at != &service->clients; at = at->next) {
        struct client *client = CONTAINER_OF(at, struct client, all);
        if (client->attach_command.len == 0) continue;
        if (!client->closing)
            service_submit(service, client, client->attach_tag,
                           bytes_of(client->attach_command.data, client->attach_command.len), true);
        writer_free(&client->attach_command);
    }
}

static void talks(struct client *client) {
    if (list_empty(&client->talking)) list_push_back(&client->service->talking, &client->talking);
}

void sessions_touch(struct client *client) {
    client->activity_ms = client->service->now_ms;
    if (!list_empty(&client->bound_link)) talks(client);
}

static void unlink_bound(struct client *client) {
    hash_remove(&client->service->by_session, &client->by_session);
    list_remove(&client->bound_link);
    list_remove(&client->talking);
}

// This connection's attach was applied.
void sessions_attached(struct client *client, const struct lease_result *lease) {
    struct service *service = client->service;
    ENSURE(lease != NULL && lease->session != 0);
    sessions_unbind(client); // a connection may take another session
    struct client *older = holder(service, lease->session);
    if (older != NULL) { // the event has asked it to close
        sessions_unbind(older);
        client_close(older, false);
    }
    const struct lease *now = lease_find(machine_leases(service->machine), lease->session);
    client->session = lease->session;
    client->attach = lease->attach;
    client->timeout_ms = lease->timeout_ms;
    // The leader counts from the entry, which was made after these bytes were read.
    client->acked_ms = client->attach_read_ms;
    client->sent[0].round = client->sent[1].round = 0;
    if (now == NULL || now->attach != lease->attach) return; // ended or moved in the same batch: not bound
    hash_insert(&service->by_session, &client->by_session, hash_u64(client->session));
    list_push_back(&service->bound, &client->bound_link);
    if (client->activity_ms > client->acked_ms) talks(client);
    uint64_t silent_at_ms = client->acked_ms + client->timeout_ms;
    if (silent_at_ms < service->silent_at_ms) service->silent_at_ms = silent_at_ms;
}

void sessions_unbind(struct client *client) {
    if (client->session == 0) return;
    if (!list_empty(&client->bound_link)) unlink_bound(client);
    client->session = 0;
}

void sessions_event(struct service *service, const struct lease_event *event) {
    struct client *client = holder(service, event->lease.session);
    if (client == NULL) return;
    if (event->type == LEASE_EVENT_ATTACHED && client->attach < event->lease.attach) {
        client_close(client, true); // moved to another connection, here or elsewhere
    } else if (event->type == LEASE_EVENT_ENDED) {
        // The reply of a closeSession follows in this entry, and leaves: its keep-alive no longer matters. Nothing may
        // be told to the client of a session that ended otherwise, but what the gate lets out now.
        if (event->reason == LEASE_CLOSE) unlink_bound(client);
        client_close(client, true);
    }
}

// ---- the gate

bool sessions_gate_open(const struct client *client, uint64_t now_ms) {
    if (client->session == 0 || list_empty(&client->bound_link) || PLANTED(PINGED_WITHOUT_LEADER)) return true;
    uint64_t grace = client->timeout_ms / 3 < GRACE_MAX_MS ? client->timeout_ms / 3 : GRACE_MAX_MS;
    uint64_t since = now_ms > client->acked_ms ? now_ms - client->acked_ms : 0;
    return since <= client->timeout_ms / 3 + grace / 2;
}

// ---- keep-alive

static void note_sent(struct client *client, uint64_t round) {
    size_t slot = client->sent[0].round == 0 ? 0 : 1;
    client->sent[slot].round = round;
    client->sent[slot].activity_ms = client->activity_ms;
}

void sessions_send_round(struct service *service) {
    struct node_mail *mail = mail_new(MAIL_KEEPALIVE);
    size_t capacity = 0;
    // A round is named by its turn's time (core.h): the leader judges by it what this node had read.
    uint64_t last = service->keepalive_round;
    service->keepalive_round = service->now_ms > last ? service->now_ms : last + 1;
    mail->keepalive.round = service->keepalive_round;
    for (struct list *at = service->talking.next; at != &service->talking; at = at->next) {
        struct client *client = CONTAINER_OF(at, struct client, talking);
        if (client->activity_ms <= client->acked_ms) continue; // the leader knows of all its activity
        if (mail->keepalive.count == capacity) {
            capacity = capacity == 0 ? 64 : capacity * 2;
            mail->keepalive.list = mem_realloc(mail->keepalive.list, capacity * sizeof *mail->keepalive.list);
        }
        mail->keepalive.list[mail->keepalive.count++] =
            (struct core_keepalive){.session = client->session, .attach = client->attach};
        note_sent(client, service->keepalive_round);
    }
    mail_post(&service->node->to_replication, mail);
}

static void mark_unknown(struct service *service, const struct core_keepalive *unknown, size_t count, bool mark) {
    for (size_t i = 0; i < count; i++) {
        struct client *client = holder(service, unknown[i].session);
        if (client != NULL && client->attach == unknown[i].attach) client->unknown_now = mark;
    }
}

static void client_acked(struct client *client, uint64_t round) {
    uint64_t before_ms = client->acked_ms;
    for (size_t i = 0; i < 2; i++) {
        uint64_t sent = client->sent[i].round;
        if (sent == 0 || sent > round) continue;
        // Of a round that was lost, or that its leader did not take, nothing is known: that activity is in the next
        // one again.
        bool told = sent == round && !client->unknown_now;
        if (told && client->sent[i].activity_ms > client->acked_ms) client->acked_ms = client->sent[i].activity_ms;
        client->sent[i].round = 0;
    }
    if (client->sent[0].round == 0 && client->sent[1].round != 0) {
        client->sent[0] = client->sent[1];
        client->sent[1].round = 0;
    }
    if (client->gated)
        client_want_work(client); // only an acknowledgement opens its gate, so it is among those that talk
    if (client->acked_ms != before_ms && client->protocol->kept_alive != NULL && !client->closing)
        client->protocol->kept_alive(client->connection);
}

void sessions_acked(struct service *service, uint64_t round, const struct core_keepalive *unknown, size_t count) {
    mark_unknown(service, unknown, count, true);
    for (struct list *at = service->talking.next, *next; at != &service->talking; at = next) {
        next = at->next;
        struct client *client = CONTAINER_OF(at, struct client, talking);
        client_acked(client, round);
        if (client->activity_ms <= client->acked_ms && client->sent[0].round == 0) list_remove(&client->talking);
    }
    mark_unknown(service, unknown, count, false);
}

static void close_silent(struct service *service) {
    uint64_t now_ms = service->now_ms;
    if (now_ms < service->silent_at_ms) return;
    service->silent_at_ms = UINT64_MAX;
    for (struct list *at = service->bound.next; at != &service->bound; at = at->next) {
        struct client *client = CONTAINER_OF(at, struct client, bound_link);
        uint64_t silent_at_ms = client->acked_ms + client->timeout_ms;
        if (now_ms > client->acked_ms && now_ms >= silent_at_ms)
            client_close(client, false);
        else if (silent_at_ms < service->silent_at_ms)
            service->silent_at_ms = silent_at_ms;
    }
}

void sessions_tick(struct service *service) {
    uint64_t now_ms = service->now_ms;
    close_silent(service);
    if (service->status.leader != 0 || now_ms - service->no_leader_since_ms < NO_LEADER_CLOSE_MS) return;
    for (struct list *at = service->clients.next; at != &service->clients; at = at->next) {
        struct client *client = CONTAINER_OF(at, struct client, all);
        bool has_session = client->session != 0 || client->attach_tag != 0;
        if (client->protocol->closes_without_leader && has_session) client_close(client, false);
    }
}
