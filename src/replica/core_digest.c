// Digests (replication.md "Digests"): samples of like indexes are compared by the leader. Who differs from a majority
// stops serving and rebuilds; where no majority is alike, all stop and none rebuilds (nobody knows who is right).
#include "base/planted.h"
#include "replica/core_internal.h"

enum { DIVERGED_REBUILD = 2 };

void core_digest_forget(struct core *core) {
    core->sample_count = 0;
    memset(core->samples, 0, sizeof core->samples);
    core->diverged = core->want_rebuild = false;
}

static const struct sample_slot *own_sample(const struct core *core, uint64_t index) {
    for (uint32_t i = 0; i < DIGEST_SAMPLES_KEPT; i++)
        if (core->samples[i].index == index) return &core->samples[i];
    return NULL;
}

static const struct sample_slot *sample_of(const struct core *core, uint32_t id, uint64_t index) {
    if (id == core->options.id) return own_sample(core, index);
    if (!core_peer_trusted(core, id)) return NULL;
    for (uint32_t i = 0; i < CORE_PEER_SAMPLES; i++)
        if (core->peers[id]->samples[i].index == index) return &core->peers[id]->samples[i];
    return NULL;
}

static void diverge_self(struct core *core, bool diverged, bool rebuild) {
    if (core->diverged != diverged) {
        if (diverged)
            LOG_ERROR(core->options.log, "this node's state differs from the others': it stops serving");
        else
            LOG_INFO(core->options.log, "this node's state agrees with the majority again");
        core->rebuild_above = core->handed;
        core->want_told_ms = 0;
    }
    core->diverged = diverged;
    core->want_rebuild = diverged && rebuild;
    if (diverged && rebuild && core->role == RAFT_LEADER) core_step_simple(core, RAFT_EVENT_TRANSFER, 0, true);
}

static void tell(struct core *core, uint32_t id, uint64_t index, bool diverged, bool rebuild) {
    if (id == core->options.id) {
        diverge_self(core, diverged, rebuild);
        return;
    }
    struct peer_state *peer = core_peer(core, id);
    if (!diverged && !peer->diverged) return;
    peer->diverged = diverged;
    struct core_frame frame = {.type = FRAME_DIVERGED,
                               .term = core->term,
                               .a = index,
                               .flags = (uint8_t)((diverged ? DIVERGED_YES : 0) | (rebuild ? DIVERGED_REBUILD : 0))};
    core_send_frame(core, id, CORE_CONTROL, &frame, NULL, 0);
}

static void compare(struct core *core, uint64_t index) {
    if (core->role != RAFT_LEADER || PLANTED(DIGEST_MISMATCH_IGNORED)) return;
    const struct raft_membership *m = raft_membership(core->raft);
    uint32_t voters = membership_voters(m), waiting = 0, best_count = 0;
    const struct sample_slot *best = NULL;
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->members[i].role == MEMBER_LEARNER) continue;
        const struct sample_slot *sample = sample_of(core, m->members[i].id, index);
        if (sample == NULL) {
            const struct peer_state *peer = core->peers[m->members[i].id];
            if (m->members[i].id == core->options.id ||
                (peer != NULL && core->now_ms < peer->member_heard_ms + core->options.election_ms))
                waiting++; // it may still speak
            continue;
        }
        uint32_t alike = 0;
        for (uint32_t k = 0; k < m->count; k++) {
            const struct sample_slot *other = sample_of(core, m->members[k].id, index);
            if (m->members[k].role != MEMBER_LEARNER && other != NULL && digest_equal(other->digest, sample->digest))
                alike++;
        }
        if (alike > best_count) {
            best_count = alike;
            best = sample;
        }
    }
    if (best == NULL) return;
    bool majority = best_count > voters / 2;
    if (!majority) {
        bool differ = false;
        for (uint32_t i = 0; i < m->count; i++) {
            const struct sample_slot *sample = sample_of(core, m->members[i].id, index);
            if (sample != NULL && !digest_equal(sample->digest, best->digest)) differ = true;
        }
        if (!differ || best_count + waiting > voters / 2) return;
    }
    struct digest right = best->digest;
    uint32_t ids[MEMBERS_MAX], count = 0; // telling may change the leader, and with it nothing of this list
    bool wrong[MEMBERS_MAX];
    for (uint32_t i = 0; i < m->count; i++) {
        const struct sample_slot *sample = sample_of(core, m->members[i].id, index);
        if (sample == NULL) continue;
        wrong[count] = !majority || !digest_equal(sample->digest, right);
        ids[count++] = m->members[i].id;
    }
    for (uint32_t i = 0; i < count; i++) tell(core, ids[i], index, wrong[i], majority);
}

void core_digest_sample(struct core *core, const struct machine_sample *sample) {
    if (core->sample_count > 0 && core->samples[(core->sample_count - 1) % DIGEST_SAMPLES_KEPT].index >= sample->index)
        return;
    core->samples[core->sample_count % DIGEST_SAMPLES_KEPT] = (struct sample_slot){sample->index, sample->digest};
    core->sample_count++;
    compare(core, sample->index);
}

void core_digest_peer(struct core *core, uint32_t from, uint64_t index, struct digest digest) {
    struct peer_state *peer = core_peer(core, from);
    for (uint32_t i = 0; i < CORE_PEER_SAMPLES; i++)
        if (peer->samples[i].index == index && digest_equal(peer->samples[i].digest, digest)) return; // the same again
    peer->samples[peer->sample_at] = (struct sample_slot){index, digest};
    peer->sample_at = (peer->sample_at + 1) % CORE_PEER_SAMPLES;
    compare(core, index);
}

void core_digest_frame(struct core *core, uint32_t from, const struct core_frame *frame) {
    if (frame->term != core->term || from != core->leader || core->role != RAFT_FOLLOWER) return;
    diverge_self(core, (frame->flags & DIVERGED_YES) != 0, (frame->flags & DIVERGED_REBUILD) != 0);
}
