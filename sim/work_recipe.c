// ZooKeeper's recipe for locks (4, 5) and for locks with readers (6, 7): a sequential ephemeral node below the lock;
// whoever has nothing in its way before it holds it, the others watch for the end of what is in their way. The token
// for what the lock guards is the node's czxid.
#include "sim/client.h"

#include <stdio.h>

enum { STEP_CREATE = 1, STEP_LIST, STEP_WATCH, STEP_DELETE };
#define GIVE_UP_US 8000000u

static void list(struct sim_client *client, uint8_t work, uint32_t lock) {
    struct writer *w = client_begin(client);
    body_path(w, "/k/%u", lock);
    write_u8(w, 0);
    client_ask(client, JUTE_CHILDREN2, work, STEP_LIST, lock);
    client->recipes[lock].phase = RECIPE_LISTED;
}

static void give_back(struct sim_client *client, uint8_t work, uint32_t lock) {
    struct recipe *recipe = &client->recipes[lock];
    client->locks[lock].held = false;
    struct writer *w = client_begin(client);
    body_path(w, "/k/%u/%s", lock, recipe->name);
    jute_int(w, -1);
    client_ask(client, JUTE_DELETE, work, STEP_DELETE, lock);
    recipe->phase = RECIPE_IDLE;
}

void recipe_step(struct sim_client *client, uint8_t work) {
    uint32_t lock = LOCKS_PLAIN + (uint32_t)client_draw(client, LOCKS_MAX - LOCKS_PLAIN);
    struct recipe *recipe = &client->recipes[lock];
    uint64_t now_us = client->sim->world.now_us;
    switch (recipe->phase) {
    case RECIPE_IDLE: {
        recipe->shared = lock >= 6 && client_draw(client, 3) != 0;
        recipe->generation++;
        recipe->named = false;
        recipe->since_us = now_us;
        snprintf(recipe->name, sizeof recipe->name, "%c%u.%u.%llx-", recipe->shared ? 'r' : 'w', client->number,
                 recipe->generation, (unsigned long long)client->session);
        struct writer *w = client_begin(client);
        body_path(w, "/k/%u/%s", lock, recipe->name);
        body_create(client, w, JUTE_EPHEMERAL | JUTE_SEQUENTIAL);
        client_ask(client, JUTE_CREATE2, work, STEP_CREATE, lock);
        recipe->phase = RECIPE_ASKED;
        return;
    }
    case RECIPE_LIST:
        list(client, work, lock);
        return;
    case RECIPE_WATCHED:
        if (now_us - recipe->since_us > GIVE_UP_US) give_back(client, work, lock);
        return;
    case RECIPE_HELD:
        if (client_draw(client, 4) == 0)
            give_back(client, work, lock);
        else if (client->locks[lock].held && !recipe->shared)
            lock_fence(client, lock);
        return;
    default:
        return; // an answer is to come
    }
}

static uint64_t number_of(struct bytes name) {
    uint64_t number = 0;
    for (size_t i = name.len < 10 ? 0 : name.len - 10; i < name.len; i++)
        number = number * 10 + (uint64_t)(name.data[i] - '0');
    return number;
}

// Looks for its own node and for what stands before it. False: its own is not there.
static bool look(struct recipe *recipe, struct reader r, bool *free_now) {
    struct reader again = r;
    size_t len = strlen(recipe->name);
    uint64_t own = 0, best = 0;
    bool found = false;
    for (int32_t i = jute_read_int(&r); i > 0; i--) {
        struct bytes name = jute_read_data(&r);
        if (name.len < len || memcmp(name.data, recipe->name, len) != 0) continue;
        found = true;
        own = number_of(name);
        snprintf(recipe->name, sizeof recipe->name, "%.*s", (int)name.len, (const char *)name.data);
        recipe->named = true;
        break;
    }
    *free_now = true;
    for (int32_t i = jute_read_int(&again); found && i > 0; i--) {
        struct bytes name = jute_read_data(&again);
        uint64_t number = number_of(name);
        if (number >= own || (recipe->shared && name.data[0] == 'r')) continue;
        if (!*free_now && number < best) continue;
        *free_now = false;
        best = number;
        snprintf(recipe->before, sizeof recipe->before, "%.*s", (int)name.len, (const char *)name.data);
    }
    return found;
}

static void watch_before(struct sim_client *client, const struct op *op) {
    struct recipe *recipe = &client->recipes[op->key];
    struct writer *w = client_begin(client);
    body_path(w, "/k/%u/%s", op->key, recipe->before);
    write_u8(w, client->watch_count < WATCHES_WANTED);
    client_ask(client, JUTE_EXISTS, op->work, STEP_WATCH, op->key);
    recipe->phase = client->watch_count < WATCHES_WANTED ? RECIPE_WATCHED : RECIPE_LIST;
}

static void listed(struct sim_client *client, const struct op *op, struct reader r) {
    struct recipe *recipe = &client->recipes[op->key];
    bool free_now;
    if (!look(recipe, r, &free_now)) { // the create was lost, or the session has ended meanwhile
        recipe->phase = RECIPE_IDLE;
        return;
    }
    if (!free_now) {
        watch_before(client, op);
        return;
    }
    if (recipe->czxid == 0) { // it learns it from its node
        const struct oracle_node *parent = client_path(client, op);
        char path[128];
        snprintf(path, sizeof path, "%s/%s", parent->path, recipe->name);
        const struct oracle_node *node = oracle_path(&client->sim->history.oracle, bytes_of_text(path));
        if (node->count > 0) recipe->czxid = node->states[0].czxid;
    }
    lock_granted(client, op, op->key, recipe->czxid, recipe->shared);
    recipe->phase = RECIPE_HELD;
}

void recipe_answered(struct sim_client *client, const struct op *op, uint64_t zxid, int32_t error, struct reader r) {
    struct recipe *recipe = &client->recipes[op->key];
    bool can_ask = !client->closing && !client->broken && !client->read_only;
    if (op->step == STEP_CREATE && recipe->phase == RECIPE_ASKED) {
        if (error != 0) {
            recipe->phase = RECIPE_IDLE;
            return;
        }
        struct bytes path = jute_read_data(&r);
        snprintf(recipe->name, sizeof recipe->name, "%.*s", (int)path.len - 5, (const char *)path.data + 5);
        recipe->named = true;
        recipe->czxid = zxid;
        recipe->phase = RECIPE_LIST;
        if (can_ask) list(client, op->work, op->key);
    } else if (op->step == STEP_LIST && recipe->phase == RECIPE_LISTED) {
        recipe->phase = RECIPE_LIST;
        if (error == 0 && can_ask) listed(client, op, r);
    } else if (op->step == STEP_WATCH && error != 0 && recipe->phase == RECIPE_WATCHED) {
        recipe->phase = RECIPE_LIST;
    }
}

void recipe_event(struct sim_client *client, const struct oracle_node *node, int32_t type) {
    for (uint32_t lock = LOCKS_PLAIN; lock < LOCKS_MAX; lock++) {
        struct recipe *recipe = &client->recipes[lock];
        char path[128];
        snprintf(path, sizeof path, "/k/%u/%s", lock, recipe->before);
        if (recipe->phase == RECIPE_WATCHED && strcmp(node->path, path) == 0) recipe->phase = RECIPE_LIST;
    }
}

void recipe_lost(struct sim_client *client, bool session) {
    for (uint32_t lock = LOCKS_PLAIN; lock < LOCKS_MAX; lock++) {
        struct recipe *recipe = &client->recipes[lock];
        if (session)
            recipe->phase = RECIPE_IDLE;
        else if (recipe->phase == RECIPE_ASKED || recipe->phase == RECIPE_LISTED || recipe->phase == RECIPE_WATCHED)
            recipe->phase = RECIPE_LIST; // the create may have been applied: it looks for its node by the prefix
        if (recipe->phase == RECIPE_LIST && !recipe->named) recipe->czxid = 0;
    }
}
