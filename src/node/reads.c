// Linearizable reads (replication.md "Reads"): all that arrive in one turn share a round; a read runs once this node
// has applied the index that its round was given, or just before a command that the same client sent after it.
#include "base/assert.h"
#include "base/planted.h"
#include "node/internal.h"

uint64_t client_read_index(struct client *client) {
    struct service *service = client->service;
    uint64_t tag = client->next_tag++;
    if (client->gone) return tag;
    struct waiting_read *read = mem_zalloc(sizeof *read);
    read->client = client;
    read->tag = tag;
    read->command_tag = service->pending_first + service->pending.count;
    read->round = service->read_round + 1;
    read->since_ms = service->now_ms;
    service->read_wanted = true;
    service->metrics.queries++;
    list_push_back(&service->reads, &read->all);
    list_push_back(&client->reads, &read->of_client);
    return tag;
}

static void run(struct service *service, struct waiting_read *read, int error) {
    struct client *client = read->client;
    uint64_t tag = read->tag;
    list_remove(&read->all);
    list_remove(&read->of_client);
    mem_free(read);
    client->protocol->read_ready(client->connection, tag, error);
    if (client->eof) client_want_work(client);
}

void reads_catch_up(struct service *service) {
    if (service->catch_up != CATCH_UP_UNKNOWN || !service->status.ready) return;
    service->catch_up = CATCH_UP_ASKED;
    service->catch_up_round = service->read_round + 1;
    service->read_wanted = true;
}

// A round's answer: all that waited for it or for an earlier one know their index now.
void reads_ready(struct service *service, uint64_t round, uint64_t index, int error) {
    if (service->catch_up == CATCH_UP_ASKED && round >= service->catch_up_round) {
        service->catch_up = error != 0 ? CATCH_UP_UNKNOWN : CATCH_UP_GOAL; // the tick asks again
        service->catch_up_index = index;
    }
    for (struct list *at = service->reads.next; at != &service->reads; at = at->next) {
        struct waiting_read *read = CONTAINER_OF(at, struct waiting_read, all);
        if (read->round > round) continue; // not `break`: one that is asked again stands ahead of older rounds
        if (read->ready) continue;
        if (error != 0) {
            read->round = UINT64_MAX; // asked again by the tick, until READ_WAIT_MAX_MS
            continue;
        }
        read->ready = true;
        read->index = index;
    }
}

// Are all commands that the client submitted before it answered?
static bool in_its_place(const struct waiting_read *read) {
    return read->client->first_pending == 0 || read->client->first_pending >= read->command_tag;
}

static bool due(const struct service *service, const struct waiting_read *read) {
    bool applied = read->index <= machine_applied(service->machine) || PLANTED(SYNC_BEFORE_APPLIED);
    return read->ready && applied && in_its_place(read);
}

void reads_run(struct service *service) {
    struct list *at = service->reads.next;
    while (at != &service->reads) {
        struct waiting_read *read = CONTAINER_OF(at, struct waiting_read, all);
        if (!read->ready) return; // rounds are answered in order
        at = at->next;
        if (due(service, read)) run(service, read, 0);
    }
}

// A command of this client was answered: reads that stood behind it.
void reads_after(struct service *service, struct client *client) {
    while (!list_empty(&client->reads)) {
        struct waiting_read *read = CONTAINER_OF(client->reads.next, struct waiting_read, of_client);
        if (!due(service, read)) return;
        run(service, read, 0);
    }
}

// The client's next command is about to be applied: what stood before it sees all that was committed before that, so
// also all that was when the read came.
void reads_before(struct service *service, struct client *client, uint64_t command_tag) {
    while (!list_empty(&client->reads)) {
        struct waiting_read *read = CONTAINER_OF(client->reads.next, struct waiting_read, of_client);
        if (read->command_tag > command_tag) return;
        run(service, read, 0);
    }
}

void reads_fail(struct service *service, struct client *client, int error) {
    struct list *at = service->reads.next;
    while (at != &service->reads) {
        struct waiting_read *read = CONTAINER_OF(at, struct waiting_read, all);
        at = at->next;
        if (client == NULL || read->client == client) run(service, read, error);
    }
}

void reads_drop(struct client *client) {
    while (!list_empty(&client->reads)) {
        struct waiting_read *read = CONTAINER_OF(client->reads.next, struct waiting_read, of_client);
        list_remove(&read->all);
        list_remove(&read->of_client);
        mem_free(read);
    }
}

void reads_tick(struct service *service) {
    struct list *at = service->reads.next;
    while (at != &service->reads) {
        struct waiting_read *read = CONTAINER_OF(at, struct waiting_read, all);
        at = at->next;
        if (!read->ready && service->now_ms - read->since_ms > READ_WAIT_MAX_MS) {
            run(service, read, COMMAND_NOT_APPLIED);
            at = service->reads.next; // the protocol may have asked for more
        } else if (read->round == UINT64_MAX) {
            read->round = service->read_round + 1;
            service->read_wanted = true;
        }
    }
}
