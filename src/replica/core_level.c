// The apply level (machine.h): raised by the leader of a settled membership once every member is here and says that its
// binary can follow. Who cannot follow is not let in.
#include "replica/core_internal.h"

uint32_t core_level_needed(const struct core *core) {
    return core->apply_level > core->level_proposed ? core->apply_level : core->level_proposed;
}

// What a member's binary can follow, as it says now: one that is not here may come back as an older one.
static uint32_t level_of(const struct core *core, const struct member *member) {
    const struct peer_state *peer = core->peers[member->id];
    if (member->id == core->options.id) return core->options.apply_level_max;
    if (!core_peer_trusted(core, member->id) || !peer->up[CORE_CONTROL]) return 0;
    return peer->apply_level_max < member->apply_level_max ? peer->apply_level_max : member->apply_level_max;
}

void core_level_raise(struct core *core) {
    const struct raft_membership *m = raft_membership(core->raft);
    uint32_t level = core->options.apply_level_max;
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t most = level_of(core, &m->members[i]);
        if (most < level) level = most;
    }
    if (level <= core_level_needed(core) || !core_may_propose(core)) return;
    LOG_INFO(core->options.log, "every member can follow: raises the apply level from=%u to=%u", core->apply_level,
             level);
    core->level_proposed = level;
    struct writer w;
    writer_init(&w);
    group_write_apply_level(&w, level);
    core_internal_command(core, bytes_of(w.data, w.len));
    writer_free(&w);
}

bool core_level_too_old(const struct core *core, uint32_t id) {
    const struct peer_state *peer = core->peers[id];
    return peer != NULL && peer->seen && peer->apply_level_max < core_level_needed(core);
}
