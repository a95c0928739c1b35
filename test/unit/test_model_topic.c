// Partitioned topics: the strategies against allocations written out by hand, and named cases of publishing, groups and
// hand-over. Random commands: test_model_topic_random.c.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "topic_kit.h"

// ---- strategies

static const char *allocated(enum topic_strategy strategy, uint32_t partitions, const char *members,
                             const struct topic_candidate *candidates, const struct bytes *rooms) {
    static char text[TOPIC_PARTITIONS_MAX + 1];
    struct topic_candidate plain[26] = {0};
    struct bytes nowhere[TOPIC_PARTITIONS_MAX] = {0};
    uint32_t places[TOPIC_PARTITIONS_MAX], count = (uint32_t)strlen(members);
    for (uint32_t m = 0; m < count; m++) plain[m].name = bytes_of(members + m, 1);
    struct topic_allocation in = {.strategy = strategy,
                                  .partitions = partitions,
                                  .members = count,
                                  .rooms = rooms ? rooms : nowhere,
                                  .candidates = candidates ? candidates : plain};
    topic_allocate(&in, places);
    for (uint32_t p = 0; p < partitions; p++) text[p] = places[p] == TOPIC_NOBODY ? '-' : members[places[p]];
    text[partitions] = 0;
    return text;
}

static void averagely_gives_each_a_run(void **state) {
    assert_string_equal(allocated(TOPIC_AVERAGELY, 7, "abc", NULL, NULL), "aaabbcc");
    assert_string_equal(allocated(TOPIC_AVERAGELY, 8, "abc", NULL, NULL), "aaabbbcc");
    assert_string_equal(allocated(TOPIC_AVERAGELY, 9, "abc", NULL, NULL), "aaabbbccc");
    assert_string_equal(allocated(TOPIC_AVERAGELY, 2, "abc", NULL, NULL), "ab");
    assert_string_equal(allocated(TOPIC_AVERAGELY, 3, "a", NULL, NULL), "aaa");
    assert_string_equal(allocated(TOPIC_AVERAGELY, 3, "", NULL, NULL), "---");
}

static void by_circle_deals_one_at_a_time(void **state) {
    assert_string_equal(allocated(TOPIC_BY_CIRCLE, 7, "abc", NULL, NULL), "abcabca");
    assert_string_equal(allocated(TOPIC_BY_CIRCLE, 2, "abc", NULL, NULL), "ab");
    assert_string_equal(allocated(TOPIC_BY_CIRCLE, 4, "a", NULL, NULL), "aaaa");
}

static void by_config_follows_the_lists(void **state) {
    const uint8_t first[] = {0x03}, second[] = {0x06, 0x01}; // 0 1; 1 2 8
    struct topic_candidate members[] = {{.name = bytes_of("a", 1), .configured = bytes_of(first, 1)},
                                        {.name = bytes_of("b", 1), .configured = bytes_of(second, 2)}};
    assert_string_equal(allocated(TOPIC_BY_CONFIG, 9, "ab", members, NULL), "aab-----b");
    assert_string_equal(allocated(TOPIC_BY_CONFIG, 9, "b", members + 1, NULL), "-bb-----b"); // b stood by for 1
}

static void by_machine_room_stays_in_the_room(void **state) {
    struct bytes x = bytes_of_text("x"), y = bytes_of_text("y"), z = bytes_of_text("z");
    struct bytes rooms[] = {x, x, x, y, y, z, z, z, x};
    struct topic_candidate members[] = {{.name = bytes_of("a", 1), .room = x},
                                        {.name = bytes_of("b", 1), .room = x},
                                        {.name = bytes_of("c", 1), .room = y}};
    // x (0 1 2 8) to a and b; y (3 4) to c; z (5 6 7), where nobody is, to all
    assert_string_equal(allocated(TOPIC_BY_MACHINE_ROOM, 9, "abc", members, rooms), "aabccabcb");
    assert_string_equal(allocated(TOPIC_BY_MACHINE_ROOM, 9, "c", members + 2, rooms), "ccccccccc");
}

// Who joins takes from others, who leaves gives to others: nothing moves between two that stay.
static void the_ring_moves_the_minimum(void **state) {
    char all[65], less[65];
    for (const char *without = "abcdefg"; *without; without++) {
        char members[8] = {0};
        for (const char *m = "abcdefg"; *m; m++)
            if (*m != *without) strncat(members, m, 1);
        strcpy(all, allocated(TOPIC_CONSISTENT_HASH, 64, "abcdefg", NULL, NULL));
        strcpy(less, allocated(TOPIC_CONSISTENT_HASH, 64, members, NULL, NULL));
        size_t moved = 0;
        for (size_t p = 0; p < 64; p++) {
            assert_true(less[p] == all[p] || all[p] == *without);
            assert_true(less[p] != *without && less[p] != '-');
            moved += less[p] != all[p];
        }
        assert_in_range(moved, 2, 22); // its share of 64, about 9
    }
    assert_string_equal(allocated(TOPIC_CONSISTENT_HASH, 8, "ab", NULL, NULL), "aaaabbab"); // the same for ever
}

static void keys_have_their_partition_for_ever(void **state) {
    static const uint32_t expected[] = {4, 3, 7, 4, 3, 6, 3, 6};
    for (uint32_t i = 0; i < 8; i++) {
        char key[16];
        snprintf(key, sizeof key, "customer-%u", i + 1);
        assert_int_equal(topic_partition_of_key(bytes_of_text(key), 8), expected[i]);
    }
}

// ---- publishing

static void emit(void *context, uint8_t model, const void *value) {
    static const char *const names[] = {"grown", "changed", "published", "gap"};
    const struct topic_event *event = value;
    struct native *n = context;
    size_t len = strlen(n->events);
    assert_int_equal(model, MODEL_TOPIC);
    snprintf(n->events + len, sizeof n->events - len, "%s %llu %llu %llu/%u\n", names[event->type],
             (unsigned long long)event->member, (unsigned long long)event->token, (unsigned long long)event->ticket,
             event->place_count);
}

static void messages_have_offsets(void **state) {
    struct native n;
    native_open(&n, &topic_model, emit);
    assert_int_equal(publish(&n, 0, "x"), TOPIC_NOT_FOUND);
    assert_int_equal(create(&n, (struct topic_options){.partitions = 3}), 0);
    assert_int_equal(create(&n, (struct topic_options){.partitions = 4}), TOPIC_EXISTS);
    assert_int_equal(create(&n, (struct topic_options){.partitions = TOPIC_PARTITIONS_MAX + 1}), TOPIC_BAD_ARGUMENTS);
    assert_int_equal(publish(&n, 3, "x"), TOPIC_PARTITION);
    assert_int_equal(publish(&n, 2, "x"), 0);
    assert_true(out(&n)->place_count == 1 && out(&n)->places[0].partition == 2 && out(&n)->places[0].offset == 0);
    struct topic_entry entries[] = {{.by_key = true, .key = bytes_of_text("k"), .body = bytes_of_text("1")},
                                    {.by_key = true, .body = bytes_of_text("2")},
                                    {.by_key = true, .body = bytes_of_text("3")},
                                    {.partition = 2, .body = bytes_of_text("4")},
                                    {.by_key = true, .key = bytes_of_text("k"), .body = bytes_of_text("5")}};
    assert_int_equal(publish_all(&n, (struct topic_publish){.entries = entries, .count = 5}), 0);
    const struct topic_place *places = out(&n)->places;
    assert_true(places[0].partition == topic_partition_of_key(bytes_of_text("k"), 3)); // 5 right behind 1 in its key
    assert_true(places[4].partition == places[0].partition && places[4].offset > places[0].offset);
    assert_true(places[1].partition == 0 && places[2].partition == 1); // by turns
    assert_true(places[3].partition == 2);
    native_close(&n);
}

static void retention_comes_before_full(void **state) {
    struct native n;
    native_open(&n, &topic_model, emit);
    static char body[100 << 10];
    memset(body, 'x', sizeof body - 1);
    assert_int_equal(create(&n, (struct topic_options){.partitions = 2, .bytes_max = 250 << 10}), 0);
    assert_int_equal(publish(&n, 0, body), 0);
    assert_int_equal(publish(&n, 1, body), 0);
    assert_int_equal(publish(&n, 1, body), TOPIC_FULL); // no retention: nothing is dropped
    struct topic_options options = {.partitions = 2, .bytes_max = 250 << 10, .retention_bytes = 120 << 10};
    assert_int_equal(create(&n, options), 0);
    assert_int_equal(publish(&n, 1, body), 0); // the oldest went
    join(&n, 7, "a");
    struct topic_fetch one = {.token = see(&n).tokens[1], .partition = 1};
    fetch(&n, &one);
    assert_int_equal(one.next, 2);
    native_close(&n);
}

static void what_is_old_goes(void **state) {
    struct native n;
    native_open(&n, &topic_model, emit);
    create(&n, (struct topic_options){.partitions = 1, .retention_ms = 5000, .retention_count = 3});
    for (int i = 0; i < 5; i++) {
        char body[2] = {(char)('a' + i), 0};
        publish(&n, 0, body);
        native_pass(&n, 1000);
    }
    join(&n, 7, "a");
    struct topic_fetch all = {.token = see(&n).tokens[0]};
    assert_string_equal(fetch(&n, &all).text, "0:2=c 0:3=d 0:4=e"); // three, the newest
    native_pass(&n, 2999); // c and d are 5 s old by now, which is looked at once a second
    assert_string_equal(fetch(&n, &all).text, "0:2=c 0:3=d 0:4=e");
    native_pass(&n, 1);
    assert_string_equal(fetch(&n, &all).text, "0:4=e");
    native_pass(&n, 2000);
    assert_string_equal(fetch(&n, &all).text, "");
    assert_int_equal(all.next, 5);
    publish(&n, 0, "f");
    assert_string_equal(fetch(&n, &all).text, "0:5=f");
    native_close(&n);
}

static int publish_dedup(struct native *n, const char *dedup, const char *body) {
    struct topic_entry entry = {.body = bytes_of_text(body)};
    return publish_all(
        n, (struct topic_publish){.dedup = bytes_of_text(dedup), .dedup_ms = 5000, .entries = &entry, .count = 1});
}

static void a_repeat_answers_what_the_first_did(void **state) {
    struct native n;
    native_open(&n, &topic_model, emit);
    create(&n, (struct topic_options){.partitions = 1});
    publish(&n, 0, "x");
    assert_int_equal(publish_dedup(&n, "id", "y"), 0);
    assert_true(!out(&n)->duplicate && out(&n)->places[0].offset == 1);
    publish(&n, 0, "z");
    assert_int_equal(publish_dedup(&n, "id", "y"), 0);
    assert_true(out(&n)->duplicate && out(&n)->place_count == 1 && out(&n)->places[0].offset == 1);
    native_ends_alike(&n);
    native_pass(&n, 7000); // it is forgotten
    assert_int_equal(publish_dedup(&n, "id", "y"), 0);
    assert_true(!out(&n)->duplicate && out(&n)->places[0].offset == 3);
    native_close(&n);
}

static int publish_number(struct native *n, uint64_t number, const char *body) {
    struct topic_entry entry = {.body = bytes_of_text(body)};
    return publish_all(
        n, (struct topic_publish){.producer = bytes_of_text("p"), .number = number, .entries = &entry, .count = 1});
}

static void numbers_of_a_producer_are_published_in_order_and_once(void **state) {
    struct native n;
    char expected[128];
    native_open(&n, &topic_model, emit);
    create(&n, (struct topic_options){.partitions = 1});
    assert_int_equal(publish_number(&n, 2, "2"), 0);
    assert_true(out(&n)->waits && !out(&n)->duplicate);
    uint64_t ticket = out(&n)->ticket;
    assert_int_equal(publish_number(&n, 2, "2"), 0); // again: the same ticket
    assert_true(out(&n)->waits && out(&n)->duplicate && out(&n)->ticket == ticket);
    assert_int_equal(publish_number(&n, 4, "4"), 0);
    uint64_t lost = out(&n)->ticket;
    assert_int_equal(publish_number(&n, 1, "1"), 0);
    assert_true(!out(&n)->waits && out(&n)->places[0].offset == 0);
    snprintf(expected, sizeof expected, "published 0 0 %llu/1\n", (unsigned long long)ticket);
    assert_string_equal(n.events, expected);
    assert_int_equal(publish_number(&n, 1, "1"), 0);
    assert_true(out(&n)->duplicate && out(&n)->place_count == 0);
    native_ends_alike(&n);
    native_pass(&n, TOPIC_GAP_MS); // 3 never came
    snprintf(expected, sizeof expected, "gap 0 0 %llu/0\n", (unsigned long long)lost);
    assert_string_equal(n.events, expected);
    join(&n, 7, "a");
    assert_string_equal(fetch(&n, &(struct topic_fetch){.token = see(&n).tokens[0]}).text, "0:0=1 0:1=2");
    native_close(&n);
}

static void a_topic_that_goes_takes_all_with_it(void **state) {
    struct native n;
    struct writer w = {0};
    native_open(&n, &topic_model, emit);
    struct digest empty = n.ops->digest(n.state);
    create(&n, (struct topic_options){.partitions = 4});
    publish(&n, 0, "x");
    publish_dedup(&n, "id", "y");
    publish_number(&n, 2, "2");
    publish_number(&n, 5, "5");
    join(&n, 7, "a");
    join(&n, 0 + 8, "b");
    topic_write_delete(&w, T);
    assert_int_equal(native_run(&n, &w), 0);
    assert_true(strstr(n.events, "gap") != NULL && strstr(n.events, "changed") != NULL);
    assert_true(n.ops->memory(n.state) == 0 && n.ops->next_deadline_ms(n.state) == UINT64_MAX);
    assert_false(digest_equal(empty, n.ops->digest(n.state))); // numbers are never given twice
    native_close(&n);
}

// ---- groups

static void three(struct native *n, uint32_t partitions) {
    native_open(n, &topic_model, emit);
    assert_int_equal(create(n, (struct topic_options){.partitions = partitions}), 0);
}

static void a_partition_is_handed_over_when_it_is_given_back(void **state) {
    struct native n;
    three(&n, 3);
    publish(&n, 1, "x");
    publish(&n, 1, "y");
    join(&n, 7, "a");
    assert_string_equal(see(&n).text, "a0 a1 a2");
    uint64_t old = see(&n).tokens[2];
    assert_int_equal(commit(&n, 1, see(&n).tokens[1], 1), 0);
    join(&n, 8, "b");
    assert_string_equal(see(&n).text, "a0 a1 a2!"); // averagely: a keeps 0 1
    struct topic_fetch fetched = {.token = old, .partition = 2};
    publish(&n, 2, "z");
    assert_string_equal(fetch(&n, &fetched).text, ""); // it gets no more of it
    assert_int_equal(fetched.error, 0);
    assert_int_equal(commit(&n, 2, old, 0), 0); // but may commit
    assert_true(out(&n)->revoked);
    assert_int_equal(release(&n, 2, old), 0);
    assert_string_equal(see(&n).text, "a0 a1 b2");
    assert_true(see(&n).tokens[2] > old);
    assert_int_equal(commit(&n, 2, old, 1), TOPIC_NOT_ASSIGNED);
    fetch(&n, &fetched);
    assert_int_equal(fetched.error, TOPIC_NOT_ASSIGNED);
    fetched.token = see(&n).tokens[2];
    assert_string_equal(fetch(&n, &fetched).text, "2:0=z");
    native_close(&n);
}

static void a_hand_over_takes_only_so_long(void **state) {
    struct native n;
    three(&n, 2);
    join(&n, 7, "a");
    uint64_t old = see(&n).tokens[1];
    join(&n, 8, "b");
    native_pass(&n, 999);
    assert_string_equal(see(&n).text, "a0 a1!");
    join(&n, 9, "c"); // more rebalances do not make it longer
    assert_string_equal(see(&n).text, "a0 a1!");
    native_ends_alike(&n);
    native_pass(&n, 1);
    assert_string_equal(see(&n).text, "a0 b1");
    assert_true(see(&n).tokens[1] > old);
    native_close(&n);
}

static void who_is_gone_is_not_waited_for(void **state) {
    struct native n;
    three(&n, 4);
    join(&n, 7, "a");
    join(&n, 8, "b");
    native_pass(&n, 1000);
    assert_string_equal(see(&n).text, "a0 a1 b2 b3");
    struct seen before = see(&n);
    native_end_session(&n, 7);
    assert_string_equal(see(&n).text, "b0 b1 b2 b3"); // in the entry that ended the session
    assert_true(see(&n).tokens[2] == before.tokens[2] && see(&n).tokens[0] > before.tokens[3]);
    assert_int_equal(commit(&n, 0, before.tokens[0], 0), TOPIC_NOT_ASSIGNED);
    native_close(&n);
}

static void what_is_wanted_back_may_be_kept_after_all(void **state) {
    struct native n;
    three(&n, 2);
    join(&n, 7, "a");
    struct seen before = see(&n);
    uint64_t b = join(&n, 8, "b");
    assert_string_equal(see(&n).text, "a0 a1!");
    assert_int_equal(leave(&n, b), 0);
    assert_string_equal(see(&n).text, "a0 a1");
    assert_true(see(&n).tokens[1] == before.tokens[1]);
    assert_int_equal(leave(&n, b), TOPIC_NOT_MEMBER);
    assert_true(n.ops->next_deadline_ms(n.state) == UINT64_MAX);
    native_close(&n);
}

static void a_member_with_a_ttl_lives_by_heartbeats(void **state) {
    struct native n;
    three(&n, 1);
    assert_int_equal(join_with(&n, 0, (struct topic_join){.member = bytes_of_text("a")}), TOPIC_BAD_ARGUMENTS);
    struct topic_join q = {.member = bytes_of_text("a"), .ttl_ms = 3000};
    assert_int_equal(join_with(&n, 0, q), 0);
    uint64_t a = out(&n)->member;
    native_pass(&n, 2000);
    assert_int_equal(heartbeat(&n, a), 0);
    native_pass(&n, 2999);
    assert_string_equal(see(&n).text, "a0");
    native_pass(&n, 1);
    assert_string_equal(see(&n).text, "-0");
    assert_int_equal(heartbeat(&n, a), TOPIC_NOT_MEMBER);
    native_close(&n);
}

static void a_name_goes_to_who_joins_last(void **state) {
    struct native n;
    three(&n, 1);
    uint64_t first = join(&n, 7, "a"), token = see(&n).tokens[0];
    assert_true(join(&n, 7, "a") == first && see(&n).tokens[0] == token); // a retry: the same
    uint64_t second = join(&n, 8, "a");                                   // another process of that name
    assert_true(second != first && see(&n).tokens[0] > token);
    struct topic_fetch old = {.member = first};
    fetch(&n, &old);
    assert_int_equal(old.error, TOPIC_NOT_MEMBER);
    native_close(&n);
}

static void members_have_one_strategy(void **state) {
    struct native n;
    three(&n, 4);
    struct topic_join a = {.member = bytes_of_text("a"), .strategy = TOPIC_BY_CIRCLE, .handover_ms = 10};
    struct topic_join b = {.member = bytes_of_text("b"), .strategy = TOPIC_AVERAGELY};
    assert_int_equal(join_with(&n, 7, a), 0);
    assert_int_equal(join_with(&n, 8, b), TOPIC_STRATEGY);
    b.strategy = TOPIC_STRATEGY_ANY;
    assert_int_equal(join_with(&n, 8, b), 0);
    native_pass(&n, 10);
    assert_string_equal(see(&n).text, "a0 b1 a2 b3");
    native_end_session(&n, 7);
    native_end_session(&n, 8);
    b.strategy = TOPIC_AVERAGELY; // a group without members may be shared anew
    assert_int_equal(join_with(&n, 8, b), 0);
    native_close(&n);
}

static void commits_only_go_forward(void **state) {
    struct native n;
    three(&n, 1);
    for (int i = 0; i < 3; i++) publish(&n, 0, "m");
    join(&n, 7, "a");
    uint64_t token = see(&n).tokens[0];
    assert_int_equal(commit(&n, 0, token, 4), TOPIC_OFFSET);
    assert_int_equal(commit(&n, 0, token, 2), 0);
    assert_int_equal(commit(&n, 0, token, 1), 0);
    assert_int_equal(out(&n)->committed, 2);
    assert_int_equal(commit(&n, 0, token + 1, 3), TOPIC_NOT_ASSIGNED);
    native_end_session(&n, 7);
    join(&n, 8, "b"); // goes on where a was
    assert_string_equal(fetch(&n, &(struct topic_fetch){.token = see(&n).tokens[0]}).text, "0:2=m");
    native_close(&n);
}

static void a_group_is_deleted_when_nobody_is_in_it(void **state) {
    struct native n;
    three(&n, 2);
    join(&n, 7, "a");
    struct writer w = {0};
    topic_write_group_delete(&w, T, G);
    assert_int_equal(native_run(&n, &w), TOPIC_NOT_EMPTY);
    native_end_session(&n, 7);
    topic_write_group_delete(&w, T, G);
    assert_int_equal(native_run(&n, &w), 0);
    assert_string_equal(see(&n).text, "");
    native_close(&n);
}

static void a_session_has_so_many_memberships(void **state) {
    struct native n;
    three(&n, 1);
    for (unsigned i = 0; i < TOPIC_SESSION_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%u", i);
        join(&n, 7, name);
    }
    struct topic_join more = {.member = bytes_of_text("more")};
    assert_int_equal(join_with(&n, 7, more), TOPIC_LIMIT);
    assert_int_equal(join_with(&n, 8, more), 0);
    native_end_session(&n, 7);
    assert_string_equal(see(&n).text, "more0");
    native_close(&n);
}

static void a_poll_gives_every_partition_its_turn(void **state) {
    struct native n;
    three(&n, 3);
    for (uint32_t p = 0; p < 3; p++) publish(&n, p, "x");
    for (uint32_t p = 0; p < 3; p++) publish(&n, p, "y");
    uint64_t a = join(&n, 7, "a");
    struct topic_fetch poll = {.member = a, .behind = 0, .max = 1};
    assert_string_equal(fetch(&n, &poll).text, "1:0=x 2:0=x 0:0=x");
    poll.max = 10;
    poll.max_bytes = 1;
    assert_string_equal(fetch(&n, &poll).text, "1:0=x");
    poll.behind = 1;
    assert_string_equal(fetch(&n, &poll).text, "2:0=x");
    native_close(&n);
}

static void damaged_state_and_commands_do_no_harm(void **state) {
    struct native n;
    three(&n, 5);
    publish_dedup(&n, "id", "body");
    publish_number(&n, 1, "1");
    publish_number(&n, 3, "3");
    publish(&n, 2, "x");
    join(&n, 7, "a");
    join(&n, 8, "b");
    join_with(&n, 0, (struct topic_join){.member = bytes_of_text("c"), .ttl_ms = 3000, .room = bytes_of_text("r")});
    native_damage(&n, 11);
    native_garbage(&n, 12);
    native_close(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(averagely_gives_each_a_run),
        cmocka_unit_test(by_circle_deals_one_at_a_time),
        cmocka_unit_test(by_config_follows_the_lists),
        cmocka_unit_test(by_machine_room_stays_in_the_room),
        cmocka_unit_test(the_ring_moves_the_minimum),
        cmocka_unit_test(keys_have_their_partition_for_ever),
        cmocka_unit_test(messages_have_offsets),
        cmocka_unit_test(retention_comes_before_full),
        cmocka_unit_test(what_is_old_goes),
        cmocka_unit_test(a_repeat_answers_what_the_first_did),
        cmocka_unit_test(numbers_of_a_producer_are_published_in_order_and_once),
        cmocka_unit_test(a_topic_that_goes_takes_all_with_it),
        cmocka_unit_test(a_partition_is_handed_over_when_it_is_given_back),
        cmocka_unit_test(a_hand_over_takes_only_so_long),
        cmocka_unit_test(who_is_gone_is_not_waited_for),
        cmocka_unit_test(what_is_wanted_back_may_be_kept_after_all),
        cmocka_unit_test(a_member_with_a_ttl_lives_by_heartbeats),
        cmocka_unit_test(a_name_goes_to_who_joins_last),
        cmocka_unit_test(members_have_one_strategy),
        cmocka_unit_test(commits_only_go_forward),
        cmocka_unit_test(a_group_is_deleted_when_nobody_is_in_it),
        cmocka_unit_test(a_session_has_so_many_memberships),
        cmocka_unit_test(a_poll_gives_every_partition_its_turn),
        cmocka_unit_test(damaged_state_and_commands_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
