// What clients ask: one row a workload. The seed draws which of them there are and how often each has its turn; a new
// protocol's workload is a row with a step of its own. Rows only ask; what must be true of an answer is known from the
// request's bytes (client_check.c).
#include "sim/client.h"

const struct work works[] = {
    {"register", 10, register_step, register_answered, NULL, NULL},
    {"set", 6, set_step, NULL, NULL, NULL},
    {"lock", 4, lock_step, lock_answered, NULL, NULL},
    {"recipe", 6, recipe_step, recipe_answered, recipe_event, recipe_lost},
    {"queue", 5, queue_step, queue_answered, NULL, NULL},
    {"acl", 5, acl_step, NULL, NULL, NULL},
    {"container", 3, container_step, NULL, NULL, NULL},
    {"ttl", 4, ttl_step, NULL, NULL, NULL},
    {"branch", 4, branch_step, NULL, NULL, NULL},
    {"multi", 6, multi_step, NULL, NULL, NULL},
    {"watch", 5, watch_step, NULL, NULL, NULL},
    {"odd", 3, odd_step, NULL, NULL, NULL},
    {"bad", 1, bad_step, NULL, NULL, NULL},
    {"life", 1, life_step, NULL, NULL, NULL},
};
const size_t work_count = sizeof works / sizeof works[0];
_Static_assert(sizeof works / sizeof works[0] <= WORKS_MAX, "a weight for each row");

void works_draw(struct sim *sim) {
    struct client_checks *c = sim->checks;
    struct prng prng;
    prng_seed(&prng, hash_u64(sim->world.seed + 0x776f726b));
    c->depth = 1 + (uint32_t)prng_below(&prng, 32);
    c->burst = prng_below(&prng, 2) == 0 ? 1 : 1 + (uint32_t)prng_below(&prng, c->depth < 16 ? c->depth : 16);
    c->keys = sim->swarm.keys;
    c->users = (uint32_t)prng_below(&prng, 1u << 9);
    c->holders = prng_below(&prng, 3) == 0;
    for (size_t i = 0; i < work_count; i++)
        c->weight[i] = prng_below(&prng, 2) == 0 ? 0 : 1 + (uint32_t)prng_below(&prng, works[i].weight);
    c->weight[0] += 2;
}

static bool holds_any(const struct sim_client *client) {
    bool any = false;
    for (size_t i = 0; i < LOCKS_MAX; i++) any = any || client->locks[i].held;
    return any;
}

void work_next(struct sim_client *client) {
    const struct client_checks *c = client->sim->checks;
    if (c->holders && client->number % 3 == 0 && client_draw(client, 300) != 0) {
        if (!holds_any(client) && client_draw(client, 4) == 0)
            lock_step(client, WORK_LOCK);
        else
            register_step(client, WORK_REGISTER);
        return;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < work_count; i++) sum += c->weight[i];
    uint64_t draw = client_draw(client, sum);
    for (size_t i = 0; i < work_count; i++) {
        if (draw < c->weight[i]) {
            works[i].step(client, (uint8_t)i);
            return;
        }
        draw -= c->weight[i];
    }
}

// ---- what all need

static const char *const setup[] = {"/r",   "/l",   "/q", "/s", "/k", "/k/4", "/k/5",
                                    "/k/6", "/k/7", "/a", "/c", "/t", "/d",   "/m"};

void work_setup(struct sim_client *client) {
    if (client->setup_step == sizeof setup / sizeof setup[0]) {
        client->set_up = true;
        return;
    }
    struct writer *w = client_begin(client);
    body_path(w, "%s", setup[client->setup_step++]);
    body_create(client, w, 0);
    client_ask(client, JUTE_CREATE2, WORK_SETUP, 0, 0);
}
