// Locks in one view: native ones first, then what clients of ZooKeeper build of ephemeral sequential children. A cursor
// is n and a native lock's name, or z and where the query of recipes goes on.
//
// Of a recipe the names tell the kind, as the common clients write them: readers (Curator "__READ__", kazoo
// "__rlock__", the recipe's own "read-") hold together until the first that is none; leases of a semaphore (Curator
// "lease-") all hold, since how many there may be is known to its clients alone; of everything else the first holds.
#include "model/tree/tree.h"
#include "protocol/http/view.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum recipe_kind { RECIPE_EXCLUSIVE, RECIPE_READER, RECIPE_LEASE };

struct locks {
    struct view_page *page;
    json_t *row, *claims; // of the lock that is being told; NULL: none, or there is no room for it
    // of the recipe that is being told
    uint64_t holders, waiters;
    bool writer, reader, lease;
};

static json_t *add_row(struct locks *locks, const char *source, struct bytes name, const char *mode) {
    json_t *row = json_object();
    locks->row = row;
    locks->claims = json_array();
    json_object_set_new(row, "source", json_string(source));
    json_object_set_new(row, "name", json_bytes(name));
    json_object_set_new(row, "mode", json_string(mode));
    json_object_set_new(row, "claims", locks->claims);
    json_array_append_new(locks->page->rows, row);
    return row;
}

static void set_counts(json_t *row, uint64_t holders, uint64_t waiters) {
    json_object_set_new(row, "holders", json_number(holders));
    json_object_set_new(row, "waiters", json_number(waiters));
}

// ---- native

static void add_lock(void *context, struct bytes name, enum lock_mode mode, uint32_t total, uint32_t holders,
                     uint32_t waiters) {
    json_t *row = add_row(context, "native", name, lock_mode_name(mode));
    json_object_set_new(row, "total", json_number(total));
    set_counts(row, holders, waiters);
}

static void add_claim(void *context, const struct lock_claim_info *claim) {
    struct locks *locks = context;
    json_array_append_new(locks->claims, lock_claim_json(claim, locks->page->now_ms));
}

static void add_native(struct locks *locks, enum lock_only only) {
    struct view_page *page = locks->page;
    uint8_t name[ITEM_NAME_BYTES_MAX];
    struct result result;
    struct lock_query query = {.name = bytes_of("", 0),
                               .after = view_after_name(page->after, name),
                               .max = page->limit + 1,
                               .claims_max = VIEW_CLAIMS_MAX,
                               .only = only,
                               .count = &page->count,
                               .lock = add_lock,
                               .claim = add_claim,
                               .context = locks};
    service_query(page->instance->service, MODEL_LOCK, &query, &result);
    view_next_name(page, "name");
}

// ---- recipes

static bool ends_with(struct bytes name, const char *end) {
    size_t len = strlen(end);
    return name.len >= len && memcmp(name.data + name.len - len, end, len) == 0;
}

static enum recipe_kind kind_of(struct bytes name) {
    while (name.len > 0 && name.data[name.len - 1] >= '0' && name.data[name.len - 1] <= '9') name.len--;
    if (ends_with(name, "lease-")) return RECIPE_LEASE;
    bool reader = ends_with(name, "__READ__") || ends_with(name, "__rlock__") || ends_with(name, "read-");
    return reader ? RECIPE_READER : RECIPE_EXCLUSIVE;
}

static void finish_recipe(struct locks *locks) {
    if (locks->row == NULL) return;
    set_counts(locks->row, locks->holders, locks->waiters);
    const char *mode = locks->lease ? "leases" : locks->reader ? "shared" : "exclusive";
    json_object_set_new(locks->row, "mode", json_string(mode));
    *locks = (struct locks){.page = locks->page};
}

static bool begin_recipe(void *context, struct bytes path) {
    struct locks *locks = context;
    finish_recipe(locks);
    if (json_array_size(locks->page->rows) == locks->page->limit) return false;
    add_row(locks, "zookeeper", path, "");
    return true;
}

static void add_contender(void *context, const struct tree_contender *contender) {
    struct locks *locks = context;
    enum recipe_kind kind = kind_of(contender->name);
    bool first = locks->holders + locks->waiters == 0;
    bool holds = kind == RECIPE_LEASE || (kind == RECIPE_READER ? !locks->writer : first);
    uint64_t *count = holds ? &locks->holders : &locks->waiters;
    locks->writer |= kind == RECIPE_EXCLUSIVE;
    locks->reader |= kind == RECIPE_READER;
    locks->lease |= kind == RECIPE_LEASE;
    ++*count;
    if (*count > VIEW_CLAIMS_MAX) return;
    json_t *json = json_object();
    int64_t for_ms = locks->page->unix_ms - contender->ctime;
    json_object_set_new(json, "owner", json_bytes(contender->name));
    json_object_set_new(json, "session", json_number(contender->session));
    json_object_set_new(json, "mode", json_string(kind == RECIPE_READER ? "shared" : "exclusive"));
    json_object_set_new(json, "holds", json_number(holds ? 1 : 0));
    json_object_set_new(json, "for_ms", json_integer(for_ms > 0 ? for_ms : 0));
    json_array_append_new(locks->claims, json);
}

static void add_recipes(struct locks *locks) {
    struct view_page *page = locks->page;
    struct result result;
    struct tree_query query = {.op = TREE_RECIPES,
                               .steps_max = VIEW_CONTENDERS_MAX,
                               .recipe = begin_recipe,
                               .contender = add_contender,
                               .context = locks};
    if (page->after[0] == 'z') {
        char *order;
        query.session = strtoull(page->after + 1, &order, 10);
        query.order = *order == '.' ? strtoull(order + 1, NULL, 10) : 0;
    }
    service_query(page->instance->service, MODEL_TREE, &query, &result);
    const struct tree_answer *answer = result.value;
    if (locks->row != NULL) json_object_set_new(locks->row, "cut", json_boolean(answer->cut));
    finish_recipe(locks);
    if (answer->session == 0) return;
    snprintf(page->next, sizeof page->next, "z%llu.%llu", (unsigned long long)answer->session,
             (unsigned long long)answer->order);
}

void view_locks(struct view_page *page) {
    struct locks locks = {.page = page};
    struct lock_query counted = {.only = LOCK_NO_ELECTIONS, .max = 1, .count = &page->count};
    if (page->after[0] == 'z')
        view_ask(page, MODEL_LOCK, &counted);
    else
        add_native(&locks, LOCK_NO_ELECTIONS);
    locks.row = NULL;
    if (page->next[0] == 0) add_recipes(&locks);
}

void view_elections(struct view_page *page) {
    struct locks locks = {.page = page};
    add_native(&locks, LOCK_ELECTIONS);
}
