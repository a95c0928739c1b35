// Recipes of ZooKeeper's clients, as the tree tells them: parents of ephemeral sequential children, in bounded steps.
// Named cases, and random trees held against a list that the test keeps.
#include "model/tree/tree_internal.h"
#include "test/unit/model_kit.h"

#include "base/prng.h"

#define PARENTS 12

struct seen {
    char told[PARENTS + 1][32]; // parents, in the order in which they were told
    size_t contenders[PARENTS + 1];
    uint64_t sessions[PARENTS + 1]; // of the first contender
    size_t count, room;
};

static bool see_recipe(void *context, struct bytes path) {
    struct seen *seen = context;
    if (seen->count == seen->room) return false;
    assert_true(path.len < sizeof seen->told[0] && seen->count < PARENTS + 1);
    memcpy(seen->told[seen->count], path.data, path.len);
    seen->told[seen->count][path.len] = 0;
    seen->contenders[seen->count] = 0;
    seen->count++;
    return true;
}

static void see_contender(void *context, const struct tree_contender *contender) {
    struct seen *seen = context;
    assert_true(seen->count > 0 && contender->name.len >= 10);
    if (seen->contenders[seen->count - 1]++ == 0) seen->sessions[seen->count - 1] = contender->session;
}

static const struct tree_answer *ask(struct kit *k, struct seen *seen, uint64_t session, uint64_t order, size_t steps) {
    struct tree_query query = {.op = TREE_RECIPES,
                               .session = session,
                               .order = order,
                               .steps_max = steps,
                               .recipe = see_recipe,
                               .contender = see_contender,
                               .context = seen};
    memset(&k->result, 0, sizeof k->result);
    tree_model.query(k->tree, &query, &k->result);
    assert_int_equal(k->result.error, 0);
    return k->result.value;
}

static int setup(void **state) {
    struct kit *k = malloc(sizeof *k);
    kit_open_tree(k);
    *state = k;
    return 0;
}
static int teardown(void **state) {
    kit_close(*state);
    free(*state);
    return 0;
}

static void contend(struct kit *k, uint64_t session, const char *path) {
    k->session = session;
    assert_int_equal(kit_create(k, path, "", TREE_EPHEMERAL | TREE_SEQUENTIAL), 0);
}

static void only_ephemeral_sequential_children_are_contenders(void **state) {
    struct kit *k = *state;
    struct seen seen = {.room = PARENTS};
    kit_create(k, "/l", "", 0);
    kit_create(k, "/l/lock-0000000009", "", 0); // no ephemeral
    k->session = 7;
    kit_create(k, "/l/plain", "", TREE_EPHEMERAL);
    kit_create(k, "/l/123456789", "", TREE_EPHEMERAL); // nine digits
    assert_int_equal(ask(k, &seen, 0, 0, 100)->session, 0);
    assert_int_equal(seen.count, 0);
    contend(k, 8, "/l/lock-");
    contend(k, 7, "/l/lock-");
    assert_false(ask(k, &seen, 0, 0, 100)->cut);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.told[0], "/l");
    assert_int_equal(seen.contenders[0], 2);
    assert_int_equal(seen.sessions[0], 8); // the first in line, though session 7 is looked at first
    contend(k, 7, "/0000000001-");         // of the root
    seen.count = 0;
    ask(k, &seen, 0, 0, 100);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.told[0], "/");
}

static void a_crowd_is_cut_at_the_steps(void **state) {
    struct kit *k = *state;
    struct seen seen = {.room = PARENTS};
    kit_create(k, "/l", "", 0);
    for (int i = 0; i < 50; i++) contend(k, 5, "/l/n-");
    const struct tree_answer *answer = ask(k, &seen, 0, 0, 21);
    assert_true(answer->cut);
    assert_int_equal(seen.contenders[0], 20);
    assert_int_equal(answer->session, 5);
    assert_true(answer->order != 0); // and goes on behind it: the others are no first ones
    uint64_t order = answer->order;
    answer = ask(k, &seen, 5, order, 1000);
    assert_int_equal(answer->session, 0);
    assert_int_equal(seen.count, 1);
}

static void who_has_ended_leads_to_the_first(void **state) {
    struct kit *k = *state;
    struct seen seen = {.room = 1};
    kit_create(k, "/a", "", 0);
    kit_create(k, "/b", "", 0);
    contend(k, 5, "/a/n-");
    contend(k, 6, "/b/n-");
    const struct tree_answer *answer = ask(k, &seen, 0, 0, 100);
    assert_int_equal(answer->session, 6); // there was no room for the second
    assert_string_equal(seen.told[0], "/a");
    uint64_t order = answer->order;
    tree_model.session_end(k->tree, &k->apply, 6);
    seen.count = 0;
    assert_int_equal(ask(k, &seen, 6, order, 100)->session, 0);
    assert_string_equal(seen.told[0], "/a");
}

// Sessions contend for some parents and end; whatever the steps and the room, each parent is told once.
static void every_parent_is_told_once(void **state) {
    struct kit *k = *state;
    struct prng prng;
    prng_seed(&prng, 11);
    size_t wanted[PARENTS];
    char path[32];
    for (int i = 0; i < PARENTS; i++) {
        snprintf(path, sizeof path, "/p%d", i);
        kit_create(k, path, "", 0);
    }
    for (int round = 0; round < 300; round++) {
        uint64_t session = 1 + prng_next(&prng) % 9;
        snprintf(path, sizeof path, "/p%d/n-", (int)(prng_next(&prng) % PARENTS));
        if (prng_next(&prng) % 12 == 0)
            tree_model.session_end(k->tree, &k->apply, session);
        else
            contend(k, session, path);
        memset(wanted, 0, sizeof wanted);
        for (int i = 0; i < PARENTS; i++) {
            snprintf(path, sizeof path, "/p%d", i);
            wanted[i] = tree_node_children(tree_find(k->tree, bytes_of_text(path)));
        }
        size_t told[PARENTS] = {0};
        uint64_t at = 0, order = 0;
        do {
            struct seen seen = {.room = 1 + prng_next(&prng) % PARENTS};
            const struct tree_answer *answer = ask(k, &seen, at, order, 1 + prng_next(&prng) % 400);
            for (size_t i = 0; i < seen.count; i++) {
                int place = atoi(seen.told[i] + 2);
                told[place]++;
                bool cut = answer->cut && i == seen.count - 1;
                assert_true(cut ? seen.contenders[i] < wanted[place] : seen.contenders[i] == wanted[place]);
            }
            assert_true(answer->session != at || answer->order != order || answer->session == 0);
            at = answer->session;
            order = answer->order;
        } while (at != 0);
        for (int i = 0; i < PARENTS; i++) assert_int_equal(told[i], wanted[i] > 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(only_ephemeral_sequential_children_are_contenders),
        TEST(a_crowd_is_cut_at_the_steps),
        TEST(who_has_ended_leads_to_the_first),
        TEST(every_parent_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
