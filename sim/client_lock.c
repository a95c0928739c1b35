// Locks: no two may believe at the same time that they hold one. A holder believes it until T after the newest bytes
// that its server let go to it; what counts here is only when those bytes left.
#include "sim/client.h"

void client_heard(struct sim_client *client, uint64_t sent_us) {
    struct sim *sim = client->sim;
    if (client->read_only) return; // says nothing about the session
    struct history_session *session = history_session(&sim->history, client->session);
    if (session != NULL && sent_us > session->told_us && !client->closing) {
        session->told_us = sent_us;
        if (session_early(session))
            world_fail(
                &sim->world,
                "session %llx (%llu ms) expired at %llu us, though node %u let bytes go to its client at %llu us",
                (unsigned long long)session->session, (unsigned long long)session->timeout_ms,
                (unsigned long long)session->ended_us, client->server + 1, (unsigned long long)sent_us);
    }
    for (size_t i = 0; i < LOCKS_MAX; i++) {
        if (!client->locks[i].held) continue;
        struct lock_told *mine = &sim->checks->locks[i].told[client->locks[i].at];
        if (sent_us <= mine->last_us) continue;
        mine->last_us = sent_us;
        for (size_t j = client->locks[i].at + 1; j < sim->checks->locks[i].count; j++) {
            const struct lock_told *other = &sim->checks->locks[i].told[j];
            if (other->czxid > mine->czxid && other->first_us <= sent_us && !(mine->shared && other->shared))
                world_fail(
                    &sim->world,
                    "lock %zu is held twice: client %u (zxid %llu) was told at %llu us that it lives, client %u got it "
                    "(zxid %llu) at %llu us",
                    i, client->number, (unsigned long long)mine->czxid, (unsigned long long)sent_us, other->client,
                    (unsigned long long)other->czxid, (unsigned long long)other->first_us);
        }
    }
}

void lock_granted(struct sim_client *client, const struct op *op, uint32_t lock, uint64_t czxid, bool shared) {
    struct sim *sim = client->sim;
    struct lock_told **told = &sim->checks->locks[lock].told;
    size_t *count = &sim->checks->locks[lock].count, *capacity = &sim->checks->locks[lock].capacity;
    *told = oracle_grow(*told, capacity, *count + 1, sizeof **told);
    uint64_t sent_us = net_read_sent_us(client->conn);
    for (size_t j = 0; j < *count; j++) {
        const struct lock_told *other = &(*told)[j];
        if (other->czxid < czxid && other->last_us >= sent_us && !(shared && other->shared))
            client_fail(
                client, op,
                "lock %u is held twice: client %u (zxid %llu) was still told at %llu us that it lives; now zxid %llu",
                lock, other->client, (unsigned long long)other->czxid, (unsigned long long)other->last_us,
                (unsigned long long)czxid);
    }
    client->locks[lock].held = !client->closing; // it has asked for the session's end meanwhile: it does not rely on it
    client->locks[lock].czxid = czxid;
    client->locks[lock].at = *count;
    (*told)[(*count)++] = (struct lock_told){.czxid = czxid,
                                             .first_us = sent_us,
                                             .last_us = client->closing ? 0 : sent_us,
                                             .client = client->number,
                                             .shared = shared};
    if (shared) return; // readers hold it together, and write nothing
    record_lock(client, op, lock, czxid);
    if (!client->closing) lock_fence(client, lock);
}

// What the lock guards is outside of the cluster: it takes a write unless it has seen a newer token.
void lock_fence(struct sim_client *client, uint32_t lock) {
    uint64_t *newest = &client->sim->checks->locks[lock].fence, token = client->locks[lock].czxid;
    bool accepted = token >= *newest;
    if (accepted) *newest = token;
    record_fence(client, lock, token, accepted);
}
