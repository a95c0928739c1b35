// Commands over Raft nodes of test/unit/support/raft_cluster.h (whose observers assert safety behind every step):
//
//   voters 5                     a new cluster of nodes 1..5, all up; nodes 6..8 exist, empty and down
//   seed N                       (before voters) time-outs and incarnations
//   campaign 1 | tick 1          stands at once; lets node 1 look at its timers
//   propose 1 2 [N]              two commands in one batch; N such batches, settled each
//   change 1 +4 ~5 -2 =6        membership: voter 4 in, learner 5, voter 2 out, 6 stays as learner
//   transfer 1 2 | read 1        leadership; a ReadIndex round
//   lost 2 1                     node 2 sees its connection to 1 closed
//   persist 1 [N]                the oldest N (1) writes under way of node 1 are on its disk
//   deliver vote 1 2 | drop append 1 3 | twice append 1 3     the oldest such message (0: any node)
//   forget                       all messages on their way are lost
//   settle | run 600             everything that can happen without time; so many milliseconds of time
//   crash 1 [N] | start 1 | wipe 1   N: writes under way that reached the disk though nobody heard of it
//   cut 1 2 | mend 1 2 | isolate 3 | heal 3 | healall
//   snapshot 1 [cut]             of what is applied; cut: the log before it goes
//   show | flight                all nodes; messages on their way
//
// Each command shows the nodes that it changed:
//   1 leader    t2 vote 1 | log 1:t1 2-3:t2 | disk 2 | commit 1 | voters 1 2 3
#include "consensus/raft_internal.h"
#include "test/script/script.h"
#include "test/unit/support/raft_cluster.h"
#include <stdlib.h>
#include <string.h>

#define LINE 512
struct raft_script {
    struct rafts *cluster;
    uint64_t seed, reads; // reads: answered before this command
    char known[CLUSTER_NODES][LINE];
};

static const char *const message_names[] = {
    [RAFT_MSG_PRE_VOTE] = "prevote",
    [RAFT_MSG_PRE_VOTE_ANSWER] = "prevote-answer",
    [RAFT_MSG_VOTE] = "vote",
    [RAFT_MSG_VOTE_ANSWER] = "vote-answer",
    [RAFT_MSG_APPEND] = "append",
    [RAFT_MSG_APPEND_ANSWER] = "append-answer",
    [RAFT_MSG_HEARTBEAT] = "heartbeat",
    [RAFT_MSG_HEARTBEAT_ANSWER] = "heartbeat-answer",
    [RAFT_MSG_TIMEOUT_NOW] = "timeoutnow",
    [RAFT_MSG_SNAPSHOT_OFFER] = "snapshot-offer",
};

static void *raft_open(void) {
    struct raft_script *s = calloc(1, sizeof *s);
    s->seed = 1;
    return s;
}

static void raft_close(void *room) {
    struct raft_script *s = room;
    if (s->cluster) rafts_free(s->cluster);
    free(s);
}

static void show_range(FILE *out, uint64_t first, uint64_t last, uint64_t term) {
    if (first == last)
        fprintf(out, " %lu:t%lu", first, term);
    else
        fprintf(out, " %lu-%lu:t%lu", first, last, term);
}

static void show_log(const struct raft *raft, FILE *out) {
    uint64_t first = 0, term = 0;
    if (raft->log.start_index > 0) fprintf(out, " snapshot %lu:t%lu", raft->log.start_index, raft->log.start_term);
    for (uint64_t i = raft->log.start_index + 1; i <= raft->log.last; i++) {
        uint64_t of = 0;
        raft_term_at(raft, i, &of);
        if (first != 0 && of != term) show_range(out, first, i - 1, term);
        if (first == 0 || of != term) first = i, term = of;
    }
    if (first != 0) show_range(out, first, raft->log.last, term);
    if (raft->log.last == 0) fprintf(out, " empty");
}

static void show_members(const struct raft_membership *m, FILE *out) {
    static const char *const marks[] = {
        [MEMBER_LEARNER] = "~", [MEMBER_VOTER] = "", [MEMBER_OUTGOING] = "-", [MEMBER_INCOMING] = "+"};
    fprintf(out, " | %s", m->joint ? "joint" : "voters");
    for (uint32_t i = 0; i < m->count; i++) fprintf(out, " %s%u", marks[m->members[i].role], m->members[i].id);
}

static void describe(const struct rafts_node *node, char line[LINE]) {
    static const char *const roles[] = {"follower", "pre-candidate", "candidate", "leader"};
    FILE *out = fmemopen(line, LINE, "w");
    const struct raft *raft = node->raft;
    if (raft == NULL)
        fprintf(out, "%u down", node->id);
    else {
        fprintf(out, "%u %s t%lu", node->id, roles[raft->role], raft->term);
        if (raft->voted_for != 0) fprintf(out, " vote %u", raft->voted_for);
        fprintf(out, " | log");
        show_log(raft, out);
        fprintf(out, " | disk %lu | commit %lu", raft->log.persisted, raft->log.commit);
        show_members(raft_membership(raft), out);
    }
    fclose(out);
}

static void show_changes(struct raft_script *s, FILE *out, bool all) {
    for (uint32_t id = 1; s->cluster && id < CLUSTER_NODES; id++) {
        const struct rafts_node *node = &s->cluster->nodes[id];
        char now[LINE];
        if (node->raft == NULL && s->known[id][0] == '\0') continue;
        describe(node, now);
        if (all || strcmp(now, s->known[id]) != 0) fprintf(out, "%s\n", now);
        memcpy(s->known[id], now, LINE);
    }
}

static void show_flight(const struct raft_script *s, FILE *out) {
    for (size_t i = 0; i < s->cluster->flight_count; i++) {
        const struct raft_message *m = &s->cluster->flight[i].m;
        fprintf(out, "%s %u->%u t%lu", message_names[m->type], m->from, m->to, m->term);
        bool answer = m->type == RAFT_MSG_VOTE_ANSWER || m->type == RAFT_MSG_PRE_VOTE_ANSWER;
        if (m->type == RAFT_MSG_APPEND_ANSWER) answer = true;
        if (answer) fprintf(out, m->reject ? " refused" : " granted");
        if (m->type == RAFT_MSG_VOTE || m->type == RAFT_MSG_PRE_VOTE)
            fprintf(out, " last %lu:t%lu", m->index, m->log_term);
        if (m->type == RAFT_MSG_APPEND) {
            fprintf(out, " after %lu:t%lu", m->index, m->log_term);
            for (size_t k = 0; k < m->batch_count; k++)
                show_range(out, m->batches[k].first, m->batches[k].last, m->batches[k].term);
        }
        if (m->type == RAFT_MSG_APPEND_ANSWER)
            fprintf(out, m->reject ? " hint %lu:t%lu" : " up to %lu", m->reject ? m->hint_index : m->index,
                    m->hint_term);
        fprintf(out, "\n");
    }
}

static void show_error(int error, FILE *out) {
    static const char *const names[] = {"", "not the leader", "busy", "unsafe", "transferring"};
    if (error != RAFT_OK) fprintf(out, "refused: %s\n", names[error]);
}

static int change(struct raft_script *s, uint32_t id, char **words, int count) {
    struct raft_membership m;
    membership_copy(&m, raft_membership(s->cluster->nodes[id].raft));
    for (int i = 0; i < count; i++) {
        uint32_t who = (uint32_t)atoi(words[i] + 1);
        struct member *member = membership_find(&m, who);
        if (member == NULL) {
            member = membership_add(&m, who);
            memcpy(member->incarnation, s->cluster->nodes[who].incarnation, INCARNATION_BYTES);
        }
        enum member_role was = member->role;
        if (words[i][0] == '+') member->role = MEMBER_INCOMING;
        if (words[i][0] == '-') member->role = MEMBER_OUTGOING;
        if (words[i][0] == '=') member->role = MEMBER_OUTGOING, member->stays = true;
        if (words[i][0] == '~') member->role = MEMBER_LEARNER;
        if (words[i][0] == '-' && was == MEMBER_LEARNER) membership_remove(&m, who);
    }
    for (uint32_t i = 0; i < m.count; i++)
        m.joint |= m.members[i].role == MEMBER_INCOMING || m.members[i].role == MEMBER_OUTGOING;
    int error = rafts_change(s->cluster, id, &m);
    membership_free(&m);
    return error;
}

static int propose(struct rafts *c, uint32_t id, uint32_t commands, int times) {
    int error = RAFT_OK;
    for (int i = 0; i < times && error == RAFT_OK; i++) {
        error = rafts_propose(c, id, commands ? commands : 1, 10);
        if (times > 1) rafts_settle(c);
    }
    return error;
}

static bool message_command(struct raft_script *s, char **words, int count, FILE *out) {
    enum raft_message_type type = 0;
    for (size_t i = 1; i < sizeof message_names / sizeof *message_names; i++)
        if (count == 4 && strcmp(words[1], message_names[i]) == 0) type = (enum raft_message_type)i;
    if (type == 0) return false;
    size_t place = rafts_find(s->cluster, type, (uint32_t)atoi(words[2]), (uint32_t)atoi(words[3]));
    if (place == SIZE_MAX) {
        fprintf(out, "no such message\n");
        return true;
    }
    if (strcmp(words[0], "deliver") == 0)
        rafts_deliver(s->cluster, place);
    else if (strcmp(words[0], "drop") == 0)
        rafts_drop(s->cluster, place);
    else if (strcmp(words[0], "twice") == 0)
        rafts_duplicate(s->cluster, place);
    else
        return false;
    return true;
}

// Commands about one node, whose number is the second word.
static bool node_command(struct raft_script *s, char **words, int count, FILE *out) {
    struct rafts *c = s->cluster;
    uint32_t id = (uint32_t)atoi(words[1]);
    uint32_t other = count > 2 ? (uint32_t)atoi(words[2]) : 0;
    const char *what = words[0];
    if (id == 0 || id >= CLUSTER_NODES) return false;
    struct raft_event e = rafts_no_event(RAFT_EVENT_PEER_LOST);
    e.peer = other;
    if (strcmp(what, "start") == 0)
        rafts_start(c, id);
    else if (strcmp(what, "isolate") == 0 || strcmp(what, "heal") == 0)
        rafts_isolate(c, id, what[0] == 'i');
    else if (strcmp(what, "cut") == 0 || strcmp(what, "mend") == 0)
        c->cut[id][other] = what[0] == 'c';
    else if (strcmp(what, "wipe") == 0)
        rafts_wipe(c, id);
    else if (c->nodes[id].raft == NULL)
        fprintf(out, "%u is down\n", id);
    else if (strcmp(what, "campaign") == 0)
        rafts_event(c, id, RAFT_EVENT_CAMPAIGN);
    else if (strcmp(what, "tick") == 0)
        rafts_tick(c, id);
    else if (strcmp(what, "propose") == 0)
        show_error(propose(c, id, other, count > 3 ? atoi(words[3]) : 1), out);
    else if (strcmp(what, "change") == 0)
        show_error(change(s, id, words + 2, count - 2), out);
    else if (strcmp(what, "lost") == 0)
        rafts_step(c, id, &e);
    else if (strcmp(what, "transfer") == 0)
        e.type = RAFT_EVENT_TRANSFER, show_error(rafts_step(c, id, &e)->refused, out);
    else if (strcmp(what, "read") == 0)
        fprintf(out, rafts_read_ask(c, id) ? "a round is wanted\n" : "refused: not the leader\n");
    else if (strcmp(what, "persist") == 0) {
        for (uint32_t i = 0; i < (other ? other : 1); i++)
            if (!rafts_persist(c, id)) fprintf(out, "no write is under way\n");
    } else if (strcmp(what, "crash") == 0)
        rafts_crash(c, id, other);
    else if (strcmp(what, "snapshot") == 0)
        rafts_snapshot(c, id, count > 2);
    else
        return false;
    return true;
}

static bool cluster_command(struct raft_script *s, char **words, int count, FILE *out) {
    struct rafts *c = s->cluster;
    if (strcmp(words[0], "settle") == 0)
        rafts_settle(c);
    else if (strcmp(words[0], "run") == 0 && count == 2)
        rafts_run(c, (uint64_t)atoi(words[1]));
    else if (strcmp(words[0], "healall") == 0)
        memset(c->cut, 0, sizeof c->cut);
    else if (strcmp(words[0], "forget") == 0)
        while (c->flight_count > 0) rafts_drop(c, 0);
    else if (strcmp(words[0], "flight") == 0)
        show_flight(s, out);
    else if (strcmp(words[0], "show") == 0)
        show_changes(s, out, true);
    else if (message_command(s, words, count, out))
        return true;
    else
        return count > 1 && node_command(s, words, count, out);
    return true;
}

static bool raft_command(void *room, char *line, FILE *out) {
    struct raft_script *s = room;
    char *words[WORDS_MAX];
    int count = split_words(line, words);
    if (count == 2 && strcmp(words[0], "seed") == 0) {
        s->seed = strtoull(words[1], NULL, 10);
        return true;
    }
    if (count == 2 && strcmp(words[0], "voters") == 0) {
        if (s->cluster) rafts_free(s->cluster);
        memset(s->known, 0, sizeof s->known);
        s->cluster = rafts_new((uint32_t)atoi(words[1]), s->seed);
        s->reads = 0;
        FILE *unread = fopen("/dev/null", "w"); // they all stand at the beginning
        show_changes(s, unread, false);
        fclose(unread);
    } else if (count == 0 || s->cluster == NULL || !cluster_command(s, words, count, out)) {
        return false;
    }
    show_changes(s, out, false);
    if (s->cluster->reads_done > s->reads) fprintf(out, "%lu read(s) answered\n", s->cluster->reads_done - s->reads);
    s->reads = s->cluster->reads_done;
    return true;
}

const struct room raft_room = {"raft", raft_open, raft_command, raft_close};
