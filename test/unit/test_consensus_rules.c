// One node against messages made by hand: each rule that keeps Raft safe, by the section of the thesis that states it.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/alloc.h"
#include "consensus/raft_internal.h"

static struct raft_options options_of(uint32_t id) {
    struct raft_options o = {.id = id,
                             .seed = 1,
                             .heartbeat_ms = 100,
                             .election_ms = 500,
                             .inflight_bytes_max = 4000,
                             .inflight_messages_max = 4,
                             .message_bytes_max = 1000,
                             .tail_bytes_max = 1 << 20};
    memset(o.incarnation, (int)id, INCARNATION_BYTES);
    return o;
}

static struct batch_ref batch_at(uint64_t first, uint32_t count, uint64_t term, size_t bytes) {
    uint8_t body[2048] = {0};
    struct batch_header h = {.kind = BATCH_COMMANDS, .count = count, .first_index = first, .term = term};
    return batch_make(&h, bytes_of(body, bytes));
}

static void members(struct raft_membership *m, uint32_t voters, uint32_t learners) {
    membership_init(m);
    for (uint32_t id = 1; id <= voters + learners; id++) {
        struct member *member = membership_add(m, id);
        member->role = id <= voters ? MEMBER_VOTER : MEMBER_LEARNER;
        memset(member->incarnation, (int)id, INCARNATION_BYTES);
    }
}

// Node 1 of `voters`; its log has one entry per term given.
static struct raft *solo(uint32_t voters, uint64_t term, const uint64_t *terms, size_t count) {
    struct raft_options o = options_of(1);
    struct batch_ref batches[16];
    struct raft_restored r = {.term = term, .batches = batches, .batch_count = count};
    for (size_t i = 0; i < count; i++) batches[i] = batch_at(i + 1, 1, terms[i], 10);
    members(&r.membership, voters, 0);
    struct raft *raft = raft_new(&o, &r, 1000);
    for (size_t i = 0; i < count; i++) batch_ref_release(&batches[i]);
    membership_free(&r.membership);
    return raft;
}

static const struct raft_update *feed(struct raft *raft, struct raft_event e) {
    if (e.now_ms == 0) e.now_ms = raft->now_ms;
    const struct raft_update *u = raft_step(raft, &e);
    raft_check(raft);
    return u;
}

static const struct raft_update *tell(struct raft *raft, struct raft_message m) {
    m.to = raft->options.id;
    memcpy(m.to_incarnation, raft->options.incarnation, INCARNATION_BYTES);
    const struct raft_update *u = feed(raft, (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &m});
    for (size_t i = 0; i < m.batch_count; i++) batch_ref_release(&m.batches[i]);
    return u;
}

static const struct raft_update *event(struct raft *raft, enum raft_event_type type) {
    return feed(raft, (struct raft_event){.type = type});
}

static const struct raft_update *persisted(struct raft *raft) {
    return feed(raft, (struct raft_event){.type = RAFT_EVENT_PERSISTED, .number = raft->persist_issued});
}

static const struct raft_update *pass(struct raft *raft, uint64_t ms) {
    return feed(raft, (struct raft_event){.type = RAFT_EVENT_TICK, .now_ms = raft->now_ms + ms});
}

static struct raft *leader_of(uint32_t voters, uint64_t term, const uint64_t *terms, size_t count) {
    struct raft *raft = solo(voters, term, terms, count);
    event(raft, RAFT_EVENT_CAMPAIGN);
    persisted(raft);
    for (uint32_t id = 2; id <= voters; id++)
        tell(raft, (struct raft_message){.type = RAFT_MSG_VOTE_ANSWER, .from = id, .term = raft_term(raft)});
    assert_int_equal(raft_role(raft), RAFT_LEADER);
    return raft;
}

static void ack(struct raft *raft, uint32_t from, uint64_t index) {
    tell(raft,
         (struct raft_message){.type = RAFT_MSG_APPEND_ANSWER, .from = from, .term = raft_term(raft), .index = index});
}

static int propose(struct raft *raft, uint32_t count, size_t bytes) {
    struct batch_ref b = batch_at(raft_next_index(raft), count, raft_term(raft), bytes);
    return feed(raft, (struct raft_event){.type = RAFT_EVENT_PROPOSE, .batches = &b, .batch_count = 1})->refused;
}

static const struct raft_message *find(const struct raft_message *list, size_t count, enum raft_message_type type,
                                       uint32_t to) {
    for (size_t i = 0; i < count; i++)
        if (list[i].type == type && (to == 0 || list[i].to == to)) return &list[i];
    return NULL;
}

// ---- commit ----

static void old_term_entry_is_not_committed_by_counting(void **state) { // thesis figure 3.7 (paper figure 8)
    const uint64_t terms[] = {1, 2};
    struct raft *raft = leader_of(5, 3, terms, 2); // term 4; its own entry is 3
    persisted(raft);
    ack(raft, 2, 2);
    ack(raft, 3, 2); // entry 2 of term 2 is on three of five now, and may still be overwritten by a leader of term 3
    assert_int_equal(raft_commit(raft), 0);
    ack(raft, 2, 3);
    assert_int_equal(raft_commit(raft), 0);
    ack(raft, 3, 3);
    assert_int_equal(raft_commit(raft), 3);
    raft_free(raft);
}

static void single_node_commits_only_after_persist(void **state) {
    struct raft *raft = solo(1, 0, NULL, 0);
    const struct raft_update *u = event(raft, RAFT_EVENT_CAMPAIGN);
    assert_true(u->hard_changed && u->persist_number == 1 && u->voted_for == 1);
    assert_int_equal(raft_role(raft), RAFT_CANDIDATE);
    u = persisted(raft);
    assert_int_equal(raft_role(raft), RAFT_LEADER);
    assert_int_equal(u->append_count, 1);
    assert_int_equal(raft_commit(raft), 0);
    persisted(raft);
    assert_int_equal(raft_commit(raft), 1);
    assert_int_equal(propose(raft, 3, 10), RAFT_OK);
    assert_int_equal(raft_commit(raft), 1);
    persisted(raft);
    assert_int_equal(raft_commit(raft), 4);
    raft_free(raft);
}

static void leader_counts_itself_only_after_persist(void **state) {
    struct raft *raft = leader_of(3, 0, NULL, 0);
    persisted(raft);
    ack(raft, 2, 1);
    assert_int_equal(propose(raft, 1, 10), RAFT_OK);
    ack(raft, 2, 2); // one follower and a write under way are no majority
    assert_int_equal(raft_commit(raft), 1);
    const struct raft_update *u = persisted(raft);
    assert_int_equal(u->commit, 2);
    raft_free(raft);
}

static void two_followers_commit_before_the_leaders_disk(void **state) { // thesis 10.2.1
    struct raft *raft = leader_of(3, 0, NULL, 0);
    ack(raft, 2, 1);
    ack(raft, 3, 1);
    assert_int_equal(raft_commit(raft), 1);
    assert_int_equal(raft_persisted_index(raft), 0);
    raft_free(raft);
}

// ---- votes ----

static void own_vote_counts_only_after_persist(void **state) {
    struct raft *raft = solo(3, 0, NULL, 0);
    const struct raft_update *u = event(raft, RAFT_EVENT_CAMPAIGN);
    assert_null(find(u->send, u->send_count, RAFT_MSG_VOTE, 0));
    assert_non_null(find(u->send_after, u->send_after_count, RAFT_MSG_VOTE, 2));
    tell(raft, (struct raft_message){.type = RAFT_MSG_VOTE_ANSWER, .from = 2, .term = 1});
    assert_int_equal(raft_role(raft), RAFT_CANDIDATE);
    persisted(raft);
    assert_int_equal(raft_role(raft), RAFT_LEADER);
    raft_free(raft);
}

static void vote_is_durable_before_it_is_answered(void **state) {
    struct raft *raft = solo(3, 0, NULL, 0);
    const struct raft_update *u = tell(raft, (struct raft_message){.type = RAFT_MSG_VOTE, .from = 2, .term = 1});
    assert_int_equal(u->send_count, 0);
    assert_int_equal(u->send_after_count, 1);
    assert_false(u->send_after[0].reject);
    assert_true(u->hard_changed && u->term == 1 && u->voted_for == 2 && u->persist_number > 0);
    u = tell(raft, (struct raft_message){.type = RAFT_MSG_VOTE, .from = 3, .term = 1}); // one vote a term
    assert_true(u->send_after_count == 1 && u->send_after[0].reject);
    u = tell(raft, (struct raft_message){.type = RAFT_MSG_VOTE, .from = 2, .term = 1}); // asked again: the same vote
    assert_true(u->send_after_count == 1 && !u->send_after[0].reject && !u->hard_changed);
    raft_free(raft);
}

static void vote_goes_only_to_a_log_that_is_up_to_date(void **state) { // thesis 3.6.1
    const uint64_t terms[] = {1, 3};
    struct raft *raft = solo(3, 3, terms, 2);
    struct raft_message m = {.type = RAFT_MSG_VOTE, .from = 2, .term = 4, .index = 9, .log_term = 2};
    const struct raft_update *u = tell(raft, m); // longer, but of an older term
    assert_true(find(u->send_after, u->send_after_count, RAFT_MSG_VOTE_ANSWER, 2)->reject);
    m.index = 1, m.log_term = 3;
    u = tell(raft, m);
    assert_true(find(u->send_after, u->send_after_count, RAFT_MSG_VOTE_ANSWER, 2)->reject);
    m.index = 2;
    u = tell(raft, m);
    assert_false(find(u->send_after, u->send_after_count, RAFT_MSG_VOTE_ANSWER, 2)->reject);
    raft_free(raft);
}

static void wiped_voter_does_not_vote_under_the_old_name(void **state) {
    struct raft *raft = solo(3, 0, NULL, 0);
    struct raft_message m = {.type = RAFT_MSG_VOTE, .from = 2, .to = 1, .term = 1};
    memset(m.to_incarnation, 99, INCARNATION_BYTES); // the incarnation that this disk had before
    const struct raft_update *u = feed(raft, (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &m});
    assert_true(u->send_count == 0 && u->send_after_count == 0 && !u->hard_changed);
    m.type = RAFT_MSG_APPEND;
    u = feed(raft, (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &m});
    assert_true(u->send_count == 0 && u->send_after_count == 0 && !u->hard_changed);
    raft_free(raft);
}

static void answers_of_another_disk_count_for_nothing(void **state) { // found by seed 367, which shut out too much
    struct raft *raft = leader_of(3, 0, NULL, 0);
    persisted(raft);
    uint8_t other[INCARNATION_BYTES] = {99}, own[INCARNATION_BYTES];
    memset(own, 2, sizeof own);
    struct raft_message m = {.type = RAFT_MSG_APPEND_ANSWER, .from = 2, .to = 1, .term = 1, .index = 1};
    feed(raft, (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &m, .from_incarnation = other});
    assert_int_equal(raft_commit(raft), 0);
    feed(raft, (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &m, .from_incarnation = own});
    assert_int_equal(raft_commit(raft), 1);
    // A request is taken from any incarnation: this node may not have heard yet that 2 came back as another and leads.
    m = (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .to = 1, .term = 2, .round = 1};
    memset(m.to_incarnation, 1, INCARNATION_BYTES);
    feed(raft, (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &m, .from_incarnation = other});
    assert_int_equal(raft_leader(raft), 2);
    raft_free(raft);
}

static void disruptive_server_is_not_heard(void **state) { // thesis 4.2.3
    struct raft *raft = solo(3, 1, NULL, 0);
    tell(raft, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .term = 1, .round = 1});
    struct raft_message m = {.type = RAFT_MSG_VOTE, .from = 3, .term = 7};
    const struct raft_update *u = tell(raft, m);
    assert_true(raft_term(raft) == 1 && u->send_count + u->send_after_count == 0);
    m.type = RAFT_MSG_PRE_VOTE;
    u = tell(raft, m);
    assert_true(u->send_after_count + u->send_count == 1 && raft_term(raft) == 1);
    m.type = RAFT_MSG_VOTE, m.disturb = true; // a leader handed over: leases do not hold
    tell(raft, m);
    assert_int_equal(raft_term(raft), 7);
    raft_free(raft);
    raft = leader_of(3, 0, NULL, 0); // nor by a leader
    tell(raft, (struct raft_message){.type = RAFT_MSG_VOTE, .from = 3, .term = 7});
    assert_true(raft_role(raft) == RAFT_LEADER && raft_term(raft) == 1);
    raft_free(raft);
}

static bool pre_vote_granted(struct raft *raft, uint32_t from) {
    const struct raft_update *u =
        tell(raft, (struct raft_message){.type = RAFT_MSG_PRE_VOTE, .from = from, .term = raft_term(raft) + 1});
    const struct raft_message *m = u->send_count > 0 ? &u->send[0] : &u->send_after[0];
    assert_true(u->send_count + u->send_after_count == 1 && m->type == RAFT_MSG_PRE_VOTE_ANSWER);
    assert_true(u->append_count == 0 && !u->hard_changed); // nothing is promised by it
    return !m->reject;
}

static void pre_vote_only_where_the_leader_is_missed(void **state) {
    struct raft *raft = solo(3, 1, NULL, 0);
    tell(raft, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .term = 1, .round = 1});
    assert_false(pre_vote_granted(raft, 3));
    feed(raft, (struct raft_event){.type = RAFT_EVENT_PEER_LOST, .peer = 3}); // another's connection says nothing
    assert_false(pre_vote_granted(raft, 3));
    feed(raft, (struct raft_event){.type = RAFT_EVENT_PEER_LOST, .peer = 2});
    assert_true(raft_next_deadline_ms(raft) <= raft->now_ms + RAFT_HINT_SPREAD_MS);
    assert_true(pre_vote_granted(raft, 3));
    tell(raft,
         (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .term = 1, .round = 1}); // it is there after all
    assert_false(pre_vote_granted(raft, 3));
    feed(raft, (struct raft_event){.type = RAFT_EVENT_PEER_BACK, .peer = 2, .now_ms = raft->now_ms + 499});
    assert_false(pre_vote_granted(raft, 3));
    feed(raft, (struct raft_event){.type = RAFT_EVENT_PEER_BACK, .peer = 3, .now_ms = raft->now_ms + 1});
    assert_true(pre_vote_granted(raft, 3)); // an election time-out since the last contact
    raft_free(raft);
}

static void answers_that_show_a_term_wait_for_it(void **state) {
    struct raft *raft = solo(3, 0, NULL, 0);
    struct raft_message m = {.type = RAFT_MSG_HEARTBEAT, .from = 2, .term = 5, .round = 3};
    const struct raft_update *u = tell(raft, m);
    assert_true(u->send_count == 0 && u->send_after_count == 1 && u->send_after[0].round == 3);
    persisted(raft);
    u = tell(raft, m);
    assert_true(u->send_count == 1 && u->send_after_count == 0); // at once: a slow disk must not look like a dead node
    m.round = 0;
    u = tell(raft, m);
    assert_int_equal(u->send_count + u->send_after_count, 0);
    raft_free(raft);
}

// ---- logs ----

static const struct raft_update *append(struct raft *raft, uint64_t term, uint64_t index, uint64_t log_term,
                                        uint64_t commit, uint32_t count, uint64_t batch_term) {
    struct batch_ref batches[8];
    struct raft_message m = {
        .type = RAFT_MSG_APPEND, .from = 2, .term = term, .index = index, .log_term = log_term, .commit = commit};
    for (uint32_t i = 0; i < count; i++) batches[i] = batch_at(index + 1 + i, 1, batch_term, 10);
    m.batches = batches;
    m.batch_count = count;
    return tell(raft, m);
}

static void append_is_durable_before_it_is_answered(void **state) {
    struct raft *raft = solo(3, 1, NULL, 0);
    const struct raft_update *u = append(raft, 1, 0, 0, 1, 2, 1);
    assert_true(u->append_count == 2 && u->persist_number == 1);
    assert_true(u->send_count == 0 && u->send_after_count == 1 && u->send_after[0].index == 2 &&
                !u->send_after[0].reject);
    assert_int_equal(raft_commit(raft), 1);
    u = append(raft, 1, 0, 0, 1, 2,
               1); // the same again: nothing to write, but the answer still waits for the first write
    assert_true(u->append_count == 0 && u->persist_number == 0 && u->send_after_count == 1 && u->send_count == 0);
    assert_int_equal(raft_persisted_index(raft), 0);
    raft_free(raft);
}

static void conflict_is_cut_at_a_batch_and_hints_go_back_by_terms(void **state) { // thesis 3.5
    const uint64_t terms[] = {1, 2, 2, 2, 3, 3};
    struct raft *raft = solo(3, 5, terms, 6);
    const struct raft_update *u = append(raft, 5, 9, 4, 0, 0, 0);
    assert_true(u->send_count == 1 && u->send[0].reject);
    assert_true(u->send[0].index == 9 && u->send[0].hint_index == 6 && u->send[0].hint_term == 3);
    u = append(raft, 5, 5, 2, 0, 0, 0); // the leader has term 2 there: everything of term 3 is skipped at once
    assert_true(u->send[0].reject && u->send[0].hint_index == 4 && u->send[0].hint_term == 2);
    u = append(raft, 5, 3, 2, 0, 2, 5);
    assert_true(u->truncate_from == 4 && u->append_count == 2 && u->send_after[0].index == 5);
    assert_int_equal(raft_last_index(raft), 5);
    u = append(raft, 5, 1, 1, 9, 0, 0); // an old, short message takes nothing away
    assert_true(u->truncate_from == 0 && raft_last_index(raft) == 5);
    assert_int_equal(raft_commit(raft), 1); // min(leader's commit, what this message vouches for)
    raft_free(raft);
}

static void malformed_appends_change_nothing(void **state) {
    const uint64_t terms[] = {1, 1};
    struct raft *raft = solo(3, 5, terms, 2);
    append(raft, 5, 2, 1, 2, 0, 0);
    assert_int_equal(raft_commit(raft), 2);
    append(raft, 5, 2, 1, 2, 1, 6); // of a term later than the message's
    append(raft, 5, 1, 1, 2, 1, 5); // against what is committed
    assert_int_equal(raft_last_index(raft), 2);
    struct batch_ref gap = batch_at(4, 1, 5, 10);
    tell(raft, (struct raft_message){.type = RAFT_MSG_APPEND,
                                     .from = 2,
                                     .term = 5,
                                     .index = 2,
                                     .log_term = 1,
                                     .batches = &gap,
                                     .batch_count = 1});
    uint8_t bad[4] = {9, 9, 9, 9};
    struct batch_header h = {.kind = BATCH_MEMBERSHIP, .count = 1, .first_index = 3, .term = 5};
    struct batch_ref nonsense = batch_make(&h, bytes_of(bad, 4));
    tell(raft, (struct raft_message){.type = RAFT_MSG_APPEND,
                                     .from = 2,
                                     .term = 5,
                                     .index = 2,
                                     .log_term = 1,
                                     .batches = &nonsense,
                                     .batch_count = 1});
    assert_int_equal(raft_last_index(raft), 2);
    tell(raft, (struct raft_message){
                   .type = RAFT_MSG_APPEND, .from = 3, .term = 5, .index = 2, .log_term = 1}); // a second leader
    assert_int_equal(raft_leader(raft), 2);
    raft_free(raft);
}

// fuzz_peer: the log was committed up to the middle of a batch, which then could neither be applied nor given up.
static void commit_inside_a_batch_ends_before_it(void **state) {
    struct raft *raft = solo(3, 1, (const uint64_t[]){1}, 1);
    struct batch_ref batch = batch_at(2, 3, 1, 10);
    tell(raft, (struct raft_message){.type = RAFT_MSG_APPEND,
                                     .from = 2,
                                     .term = 1,
                                     .index = 1,
                                     .log_term = 1,
                                     .batches = &batch,
                                     .batch_count = 1});
    persisted(raft);
    assert_int_equal(raft_last_index(raft), 4);
    tell(raft, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .term = 1, .commit = 3});
    assert_int_equal(raft_commit(raft), 1);
    tell(raft,
         (struct raft_message){.type = RAFT_MSG_APPEND, .from = 2, .term = 1, .index = 3, .log_term = 1, .commit = 3});
    assert_int_equal(raft_commit(raft), 1);
    tell(raft, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .term = 1, .commit = 4});
    assert_int_equal(raft_commit(raft), 4);
    raft_free(raft);
}

static void membership_rolls_back_with_its_entry(void **state) { // thesis 4.1
    struct raft *raft = solo(3, 1, NULL, 0);
    struct raft_membership m;
    members(&m, 3, 1);
    m.index = 1;
    struct writer w;
    writer_init(&w);
    membership_encode(&m, &w);
    struct batch_header h = {.kind = BATCH_MEMBERSHIP, .count = 1, .first_index = 1, .term = 1};
    struct batch_ref b = batch_make(&h, bytes_of(w.data, w.len));
    const struct raft_update *u = tell(
        raft, (struct raft_message){.type = RAFT_MSG_APPEND, .from = 2, .term = 1, .batches = &b, .batch_count = 1});
    assert_true(u->membership_changed);
    assert_int_equal(raft_membership(raft)->count, 4); // in force when appended
    u = append(raft, 2, 0, 0, 0, 1, 2);
    assert_true(u->membership_changed && u->truncate_from == 1);
    assert_int_equal(raft_membership(raft)->count, 3);
    writer_free(&w);
    membership_free(&m);
    raft_free(raft);
}

static void install_replaces_or_keeps_the_tail(void **state) {
    const uint64_t terms[] = {1, 1, 2};
    struct raft *raft = solo(3, 2, terms, 3);
    struct raft_membership m;
    members(&m, 4, 0);
    m.index = 1;
    struct raft_event e = {.type = RAFT_EVENT_INSTALL, .index = 2, .term = 1, .membership = &m};
    const struct raft_update *u = feed(raft, e);
    assert_true(!u->installed && u->commit == 2 && raft_last_index(raft) == 3); // it was in the log: the tail stays
    e.index = 9, e.term = 5;
    u = feed(raft, e);
    assert_true(u->installed && u->start_index == 9 && u->start_term == 5 && u->persist_number > 0 && u->commit == 9);
    assert_true(u->term == 5 && raft_last_index(raft) == 9 && raft_membership(raft)->count == 4);
    assert_int_equal(raft_persisted_index(raft), 2);
    persisted(raft);
    assert_int_equal(raft_persisted_index(raft), 9);
    e.index = 4;
    u = feed(raft, e);
    assert_true(!u->installed && u->persist_number == 0 && raft_commit(raft) == 9);
    membership_free(&m);
    raft_free(raft);
}

static void tail_is_bounded_and_terms_stay_known(void **state) {
    struct raft *raft = leader_of(1, 0, NULL, 0);
    raft->options.tail_bytes_max = 5000;
    for (int i = 0; i < 100; i++) {
        propose(raft, 2, 500);
        persisted(raft);
    }
    assert_int_equal(raft_commit(raft), 201);
    assert_true(raft->log.bytes <= 5000);
    struct batch_ref out[64];
    uint64_t term = 0;
    assert_int_equal(raft_committed(raft, 1, 1 << 20, out, 64), 0); // storage has it
    assert_true(raft_term_at(raft, 1, &term) && term == 1);
    assert_false(raft_term_at(raft, 202, &term));
    size_t count = raft_committed(raft, 200, 1, out, 64); // at least one, whole
    assert_true(count == 1 && out[0].first == 200 && out[0].last == 201);
    raft_free(raft);
}

// ---- replication ----

static void flow_control_never_exceeds_its_bounds(void **state) {
    struct raft *raft = leader_of(3, 0, NULL, 0);
    ack(raft, 2, 1);
    ack(raft, 3, 1);
    uint64_t messages = 0, bytes = 0;
    for (int i = 0; i < 50; i++) {
        struct batch_ref b = batch_at(raft_next_index(raft), 1, 1, 700);
        const struct raft_update *u =
            feed(raft, (struct raft_event){.type = RAFT_EVENT_PROPOSE, .batches = &b, .batch_count = 1});
        const struct raft_message *m = find(u->send, u->send_count, RAFT_MSG_APPEND, 2);
        if (m == NULL) continue;
        messages++;
        for (size_t k = 0; k < m->batch_count; k++) bytes += m->batches[k].buf->len;
    }
    assert_true(messages == 4 && bytes <= 4000);
    struct raft_progress p;
    assert_true(raft_progress(raft, 2, &p) && p.state == RAFT_REPLICATE && p.inflight_bytes == bytes && p.match == 1);
    ack(raft, 2, 2); // room for exactly one more
    assert_true(raft_progress(raft, 2, &p) && p.inflight_bytes <= 4000 && p.next == 7);
    struct batch_ref big = batch_at(raft_next_index(raft), 1, 1, 2000);
    feed(raft, (struct raft_event){.type = RAFT_EVENT_PROPOSE, .batches = &big, .batch_count = 1});
    raft_free(raft);
}

static void lost_append_is_found_and_sent_again(void **state) {
    struct raft *raft = leader_of(3, 0, NULL, 0);
    ack(raft, 2, 1);
    propose(raft, 1, 10); // lost on its way to 2
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT_ANSWER, .from = 2, .term = 1, .round = 1};
    tell(raft, beat);
    pass(raft, 100);
    const struct raft_update *u = tell(raft, beat); // acknowledgements stood still for a heartbeat: ask
    const struct raft_message *m = find(u->send, u->send_count, RAFT_MSG_APPEND, 2);
    assert_true(m != NULL && m->batch_count == 0 && m->index == 2);
    u = tell(raft, (struct raft_message){.type = RAFT_MSG_APPEND_ANSWER,
                                         .from = 2,
                                         .term = 1,
                                         .index = 2,
                                         .reject = true,
                                         .hint_index = 1,
                                         .hint_term = 1});
    m = find(u->send, u->send_count, RAFT_MSG_APPEND, 2);
    assert_true(m != NULL && m->batch_count == 1 && m->index == 1);
    raft_free(raft);
}

static void new_commit_goes_out_at_once_but_not_beyond_match(void **state) {
    struct raft *raft = leader_of(3, 0, NULL, 0);
    persisted(raft);
    ack(raft, 2, 1);
    ack(raft, 3, 1);
    propose(raft, 1, 10);
    persisted(raft);
    const struct raft_update *u =
        tell(raft, (struct raft_message){.type = RAFT_MSG_APPEND_ANSWER, .from = 2, .term = 1, .index = 2});
    assert_int_equal(raft_commit(raft), 2);
    const struct raft_message *m = find(u->send, u->send_count, RAFT_MSG_HEARTBEAT, 2);
    assert_true(m != NULL && m->commit == 2 && m->round == 0);
    assert_null(find(u->send, u->send_count, RAFT_MSG_HEARTBEAT, 3)); // does not have it yet
    u = pass(raft, 100);
    assert_int_equal(find(u->send, u->send_count, RAFT_MSG_HEARTBEAT, 3)->commit, 1); // min(commit, match)
    u = tell(raft, (struct raft_message){.type = RAFT_MSG_APPEND_ANSWER, .from = 3, .term = 1, .index = 2});
    m = find(u->send, u->send_count, RAFT_MSG_HEARTBEAT, 3);
    assert_true(m != NULL && m->commit == 2);
    assert_null(find(u->send, u->send_count, RAFT_MSG_HEARTBEAT, 2)); // one is enough
    raft_free(raft);
}

static void stale_answer_of_storage_is_not_sent(void **state) {
    struct raft *raft = leader_of(3, 0, NULL, 0);
    raft->options.tail_bytes_max = 100;
    for (int i = 0; i < 5; i++) propose(raft, 1, 100);
    persisted(raft);
    ack(raft, 2, 6);
    const struct raft_update *u = tell(
        raft, (struct raft_message){.type = RAFT_MSG_APPEND_ANSWER, .from = 3, .term = 1, .index = 0, .reject = true});
    assert_true(u->need_count == 1 && u->needs[0].peer == 3 && u->needs[0].first == 1); // older than the tail
    struct batch_ref other = batch_at(1, 1, 9, 10); // what stood there before it was overwritten
    u = feed(raft, (struct raft_event){.type = RAFT_EVENT_ENTRIES, .peer = 3, .batches = &other, .batch_count = 1});
    assert_null(find(u->send, u->send_count, RAFT_MSG_APPEND, 3));
    assert_int_equal(u->need_count, 1); // asked again
    struct batch_ref right = batch_at(1, 1, 1, 10);
    u = feed(raft, (struct raft_event){.type = RAFT_EVENT_ENTRIES, .peer = 3, .batches = &right, .batch_count = 1});
    assert_non_null(find(u->send, u->send_count, RAFT_MSG_APPEND, 3));
    raft_free(raft);
}

static void entries_that_are_gone_need_a_snapshot(void **state) {
    struct raft *raft = leader_of(3, 0, NULL, 0);
    raft->options.tail_bytes_max = 200; // holds the newest batch only
    for (int i = 0; i < 5; i++) propose(raft, 1, 100);
    persisted(raft);
    ack(raft, 2, 6);
    tell(raft, (struct raft_message){.type = RAFT_MSG_APPEND_ANSWER, .from = 3, .term = 1, .index = 0, .reject = true});
    const struct raft_update *u = feed(raft, (struct raft_event){.type = RAFT_EVENT_ENTRIES, .peer = 3});
    assert_true(u->snapshot_count == 1 && u->snapshots[0].peer == 3);
    struct raft_progress p;
    assert_true(raft_progress(raft, 3, &p) && p.state == RAFT_SNAPSHOT);
    u = feed(raft, (struct raft_event){.type = RAFT_EVENT_SNAPSHOT_SENT, .peer = 3, .ok = false});
    assert_true(u->snapshot_count == 0 && raft_progress(raft, 3, &p) && p.state == RAFT_SNAPSHOT);
    for (int i = 0; i < 5; i++) {
        tell(raft, (struct raft_message){.type = RAFT_MSG_HEARTBEAT_ANSWER, .from = 2, .term = 1, .round = 1});
        u = pass(raft, 100);
    }
    assert_int_equal(u->need_count, 1); // tried again
    u = feed(raft, (struct raft_event){.type = RAFT_EVENT_ENTRIES, .peer = 3});
    assert_int_equal(u->snapshot_count, 1);
    u = feed(raft, (struct raft_event){.type = RAFT_EVENT_SNAPSHOT_SENT, .peer = 3, .ok = true, .index = 5, .term = 1});
    const struct raft_message *m = find(u->send, u->send_count, RAFT_MSG_APPEND, 3);
    assert_true(m != NULL && m->index == 5);
    raft_free(raft);
}

// ---- reads ----

static const struct raft_update *beat_answer(struct raft *raft, uint32_t from, uint64_t round) {
    return tell(raft, (struct raft_message){
                          .type = RAFT_MSG_HEARTBEAT_ANSWER, .from = from, .term = raft_term(raft), .round = round});
}

static void read_waits_for_an_entry_of_the_own_term(void **state) { // thesis 6.4, step 1
    const uint64_t terms[] = {1};
    struct raft *raft = leader_of(3, 1, terms, 1);
    persisted(raft);
    uint64_t round = event(raft, RAFT_EVENT_READ)->read_round;
    assert_true(round != 0);
    assert_int_equal(beat_answer(raft, 2, round)->reads_ready_count,
                     0); // an answer from before the round began proves nothing
    const struct raft_update *u =
        tell(raft, (struct raft_message){.type = RAFT_MSG_APPEND_ANSWER, .from = 2, .term = 2, .index = 2});
    const struct raft_message *m = find(u->send, u->send_count, RAFT_MSG_HEARTBEAT, 3);
    while (m != NULL && m->round == 0)
        m = find(m + 1, (size_t)(u->send + u->send_count - m - 1), RAFT_MSG_HEARTBEAT, 3);
    assert_true(m != NULL && m->round == round); // at once, not with the next heartbeat
    u = beat_answer(raft, 2, round);
    assert_true(u->reads_ready_count == 1 && u->reads_ready[0].round == round && u->reads_ready[0].index == 2);
    raft_free(raft);
}

static void read_needs_a_round_begun_after_it(void **state) {
    struct raft *raft = leader_of(3, 0, NULL, 0);
    persisted(raft);
    ack(raft, 2, 1);
    uint64_t first = event(raft, RAFT_EVENT_READ)->read_round;
    propose(raft, 1, 10);
    persisted(raft);
    ack(raft, 2, 2); // committed while the first round is under way
    uint64_t second = event(raft, RAFT_EVENT_READ)->read_round;
    assert_int_equal(second, first + 1);
    assert_int_equal(event(raft, RAFT_EVENT_READ)->read_round, second); // they share it
    const struct raft_update *u = beat_answer(raft, 3, first);
    assert_true(u->reads_ready_count == 1 && u->reads_ready[0].round == first && u->reads_ready[0].index == 1);
    assert_int_equal(find(u->send, u->send_count, RAFT_MSG_HEARTBEAT, 2)->round, second);
    assert_int_equal(beat_answer(raft, 2, first)->reads_ready_count, 0);
    u = beat_answer(raft, 2, second);
    assert_true(u->reads_ready_count == 1 && u->reads_ready[0].index == 2);
    raft_free(raft);
}

static void read_of_a_node_alone_is_answered_at_once(void **state) {
    struct raft *raft = leader_of(1, 0, NULL, 0);
    persisted(raft);
    const struct raft_update *u = event(raft, RAFT_EVENT_READ);
    assert_true(u->read_round != 0 && u->reads_ready_count == 1 && u->reads_ready[0].round == u->read_round);
    raft_free(raft);
    raft = solo(3, 0, NULL, 0);
    assert_int_equal(event(raft, RAFT_EVENT_READ)->read_round, 0); // not the leader
    raft_free(raft);
}

// ---- membership ----

static int change(struct raft *raft, const struct raft_membership *m) {
    return feed(raft, (struct raft_event){.type = RAFT_EVENT_MEMBERSHIP, .membership = m})->refused;
}

static void unsafe_changes_are_refused(void **state) {
    struct raft *raft = leader_of(3, 0, NULL, 0);
    struct raft_membership m;
    members(&m, 3, 1);
    assert_int_equal(change(raft, &m), RAFT_BUSY); // 2015: nothing of this term is committed yet
    persisted(raft);
    ack(raft, 2, 1);
    membership_find(&m, 4)->role = MEMBER_VOTER;
    assert_int_equal(change(raft, &m), RAFT_UNSAFE); // a voter appears without a joint step
    membership_remove(&m, 4);
    membership_remove(&m, 3);
    assert_int_equal(change(raft, &m), RAFT_UNSAFE); // or disappears
    membership_free(&m);
    members(&m, 3, 0);
    membership_find(&m, 3)->incarnation[0] ^= 1;
    assert_int_equal(change(raft, &m), RAFT_UNSAFE); // another disk under a voter's name
    membership_free(&m);
    members(&m, 3, 0);
    for (uint32_t i = 0; i < 3; i++) m.members[i].role = MEMBER_OUTGOING;
    m.joint = true;
    assert_int_equal(change(raft, &m), RAFT_UNSAFE); // nobody left
    membership_free(&m);
    members(&m, 3, 1);
    assert_int_equal(change(raft, &m), RAFT_OK);
    assert_int_equal(change(raft, &m), RAFT_BUSY); // one at a time
    persisted(raft);
    ack(raft, 2, 2);
    assert_int_equal(change(raft, &m), RAFT_OK);
    membership_free(&m);
    raft_free(raft);
}

static void joint_needs_both_majorities(void **state) { // thesis 4.3
    struct raft *raft = leader_of(3, 0, NULL, 0);
    persisted(raft);
    ack(raft, 2, 1);
    struct raft_membership m;
    members(&m, 3, 3);
    for (uint32_t id = 2; id <= 3; id++) membership_find(&m, id)->role = MEMBER_OUTGOING;
    for (uint32_t id = 4; id <= 6; id++) membership_find(&m, id)->role = MEMBER_INCOMING; // {1 2 3} -> {1 4 5 6}
    m.joint = true;
    assert_int_equal(change(raft, &m), RAFT_OK);
    persisted(raft);
    ack(raft, 2, 2);
    ack(raft, 3, 2);
    ack(raft, 4, 2);
    assert_int_equal(raft_commit(raft), 1); // all of the old, two of four of the new
    ack(raft, 5, 2);
    assert_int_equal(raft_commit(raft), 2);
    assert_false(raft_membership(raft)->joint); // left by itself
    assert_int_equal(raft_membership(raft)->count, 4);
    assert_int_equal(raft_last_index(raft), 3);
    membership_free(&m);
    raft_free(raft);
}

static void restored_snapshot_of_a_later_term_raises_the_term(void **state) { // found by seed 761
    struct raft_options o = options_of(1);
    struct raft_restored r = {.term = 3, .voted_for = 2, .start_index = 10, .start_term = 5, .commit = 10};
    members(&r.membership, 3, 0);
    struct raft *raft = raft_new(&o, &r, 1000);
    raft_check(raft);
    assert_int_equal(raft_term(raft), 5);
    membership_free(&r.membership);
    raft_free(raft);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_term_entry_is_not_committed_by_counting),
        cmocka_unit_test(single_node_commits_only_after_persist),
        cmocka_unit_test(leader_counts_itself_only_after_persist),
        cmocka_unit_test(two_followers_commit_before_the_leaders_disk),
        cmocka_unit_test(own_vote_counts_only_after_persist),
        cmocka_unit_test(vote_is_durable_before_it_is_answered),
        cmocka_unit_test(vote_goes_only_to_a_log_that_is_up_to_date),
        cmocka_unit_test(wiped_voter_does_not_vote_under_the_old_name),
        cmocka_unit_test(answers_of_another_disk_count_for_nothing),
        cmocka_unit_test(disruptive_server_is_not_heard),
        cmocka_unit_test(pre_vote_only_where_the_leader_is_missed),
        cmocka_unit_test(answers_that_show_a_term_wait_for_it),
        cmocka_unit_test(append_is_durable_before_it_is_answered),
        cmocka_unit_test(conflict_is_cut_at_a_batch_and_hints_go_back_by_terms),
        cmocka_unit_test(malformed_appends_change_nothing),
        cmocka_unit_test(membership_rolls_back_with_its_entry),
        cmocka_unit_test(install_replaces_or_keeps_the_tail),
        cmocka_unit_test(tail_is_bounded_and_terms_stay_known),
        cmocka_unit_test(flow_control_never_exceeds_its_bounds),
        cmocka_unit_test(lost_append_is_found_and_sent_again),
        cmocka_unit_test(new_commit_goes_out_at_once_but_not_beyond_match),
        cmocka_unit_test(stale_answer_of_storage_is_not_sent),
        cmocka_unit_test(entries_that_are_gone_need_a_snapshot),
        cmocka_unit_test(read_waits_for_an_entry_of_the_own_term),
        cmocka_unit_test(read_needs_a_round_begun_after_it),
        cmocka_unit_test(read_of_a_node_alone_is_answered_at_once),
        cmocka_unit_test(unsafe_changes_are_refused),
        cmocka_unit_test(joint_needs_both_majorities),
        cmocka_unit_test(commit_inside_a_batch_ends_before_it),
        cmocka_unit_test(restored_snapshot_of_a_later_term_raises_the_term),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
