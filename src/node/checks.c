// Who is checked, when, and what is told of it. See checks.h.
#include "node/checks.h"
#include "base/alloc.h"
#include "base/assert.h"
#include <string.h>

// ---- the checks of this leader

static bool name_matches(const struct hash_node *node, const void *key) {
    const struct check *check = CONTAINER_OF_CONST(node, struct check, by_name);
    const struct registry_info *info = key;
    return bytes_equal(check->service, info->service) && bytes_equal(check->id, info->id);
}

static uint64_t name_hash(const struct registry_info *info) {
    return hash_bytes(info->service.data, info->service.len, hash_bytes(info->id.data, info->id.len, 0));
}

static struct check *check_find(const struct checks *checks, const struct registry_info *info) {
    struct hash_node *node = hash_find(&checks->by_name, name_hash(info), name_matches, info);
    return node ? CONTAINER_OF(node, struct check, by_name) : NULL;
}

static struct bytes keep(uint8_t **at, struct bytes bytes) {
    struct bytes kept = bytes_of(*at, bytes.len);
    if (bytes.len > 0) memcpy(*at, bytes.data, bytes.len);
    *at += bytes.len;
    return kept;
}

static void set_due(struct check *check, uint64_t at_ms) {
    heap_set(&check->checks->due, &check->due, at_ms, ++check->checks->number);
}

static void check_add(void *context, const struct registry_info *info) {
    struct checks *checks = context;
    size_t text = info->service.len + info->id.len + info->address.len + info->check.path.len;
    struct check *check = mem_zalloc(sizeof *check + text);
    uint8_t *at = check->text;
    check->service = keep(&at, info->service);
    check->id = keep(&at, info->id);
    check->address = keep(&at, info->address);
    check->path = keep(&at, info->check.path);
    check->checks = checks;
    check->probe.check = check;
    check->probe.until_ms = NO_DEADLINE;
    list_init(&check->probe.link);
    check->registration = info->registration;
    check->interval_ms = info->check.interval_ms;
    check->timeout_ms = info->check.timeout_ms;
    check->failures = info->check.failures;
    check->successes = info->check.successes;
    check->http = info->check.kind == REGISTRY_CHECK_HTTP;
    check->health = info->health;
    hash_insert(&checks->by_name, &check->by_name, name_hash(info));
    list_push_back(&checks->all, &check->all);
    // At once, but a new leader does not look at thousands in one moment: who was well a moment ago can wait a little.
    uint64_t wait_ms = check->health == REGISTRY_UNKNOWN ? 0 : hash_u64(check->registration) % check->interval_ms;
    set_due(check, checks->service->now_ms + wait_ms);
}

static void check_free(struct check *check) {
    struct registry_info info = {.service = check->service, .id = check->id};
    ENSURE(check_find(check->checks, &info) == check);
    probe_end(&check->probe);
    heap_remove(&check->checks->due, &check->due);
    hash_remove(&check->checks->by_name, &check->by_name);
    list_remove(&check->all);
    mem_free(check);
}

// ---- reports

static void reporter_reply(void *connection, uint64_t tag, const struct result *result) {
} // what was void was late; what got lost is made again
static void reporter_read_ready(void *connection, uint64_t tag, int error) {
    UNREACHABLE();
}
static void reporter_close(void *connection) {
    ((struct checks *)connection)->client = NULL;
}
static const struct protocol reporter = {
    .name = "checks", .reply = reporter_reply, .read_ready = reporter_read_ready, .close = reporter_close};

static void report(struct check *check, enum registry_health health, const char *words) {
    struct checks *checks = check->checks;
    uint64_t now_ms = checks->service->now_ms;
    if (check->reported == health && now_ms < check->reported_ms + CHECKS_REPEAT_MS) return;
    if (checks->client == NULL) checks->client = service_client_open(checks->service, &reporter, checks);
    if (checks->client == NULL) return;
    struct writer w;
    writer_init(&w);
    registry_write_report(&w, check->service, check->id, check->registration, checks->term, health,
                          bytes_of_text(words));
    client_submit(checks->client, bytes_of(w.data, w.len));
    writer_free(&w);
    check->reported = health;
    check->reported_ms = now_ms;
}

void checks_seen(struct check *check, bool passes, const char *words) {
    struct checks *checks = check->checks;
    check->streak = check->passed == passes ? check->streak + 1 : 1;
    check->passed = passes;
    checks->service->now_ms = io_now_ms(checks->service->io);
    set_due(check, checks->service->now_ms + check->interval_ms);
    enum registry_health found = passes ? REGISTRY_PASSING : REGISTRY_FAILING;
    if (check->streak >= (passes ? check->successes : check->failures) && found != check->health)
        report(check, found, words);
}

// ---- what the node tells

static void stop(struct checks *checks) {
    checks->running = false;
    while (!list_empty(&checks->all)) check_free(CONTAINER_OF(checks->all.next, struct check, all));
    if (checks->client != NULL) client_close(checks->client, false);
}

static void begin(struct checks *checks) {
    struct service *service = checks->service;
    struct registry_query query = {.on_instance = check_add, .context = checks};
    struct result result;
    checks->running = true;
    checks->term = service->status.term;
    checks->epoch = service->epoch;
    service_query(service, MODEL_REGISTRY, &query, &result);
}

static struct checks *checks_new(struct service *service) {
    struct checks *checks = mem_zalloc(sizeof *checks);
    checks->service = service;
    hash_init(&checks->by_name);
    list_init(&checks->all);
    list_init(&checks->probes);
    heap_init(&checks->due);
    return checks;
}

void checks_tick(struct service *service) {
    const struct core_status *status = &service->status;
    if (service->node->options.checks_off) return;
    if (service->checks == NULL) service->checks = checks_new(service);
    struct checks *checks = service->checks;
    bool leads = status->role == RAFT_LEADER && status->ready && !status->diverged;
    bool same = checks->running && checks->term == status->term && checks->epoch == service->epoch;
    if (checks->running && (!leads || !same)) stop(checks);
    if (!leads) return;
    if (!checks->running) begin(checks);
    for (struct list *at = checks->probes.next, *next; at != &checks->probes; at = next) {
        next = at->next;
        probe_tick(CONTAINER_OF(at, struct probe, link), service->now_ms);
    }
    struct heap_item *first;
    while (checks->under_way < CHECKS_UNDER_WAY_MAX && (first = heap_first(&checks->due)) != NULL &&
           first->time <= service->now_ms) {
        heap_remove(&checks->due, first); // until it is over
        probe_begin(&CONTAINER_OF(first, struct check, due)->probe, service->now_ms);
    }
}

void checks_event(struct service *service, const struct registry_event *event) {
    struct checks *checks = service->checks;
    if (checks == NULL || !checks->running) return; // it will read what there is when it begins
    struct check *check = check_find(checks, &event->instance);
    if (event->type == REGISTRY_EVENT_CHANGED) {
        if (check == NULL) return;
        check->health = event->instance.health;
        check->reported = REGISTRY_UNKNOWN;
        return;
    }
    if (check != NULL) check_free(check);
    if (event->type == REGISTRY_EVENT_REGISTERED && event->instance.check.kind != REGISTRY_CHECK_NONE)
        check_add(checks, &event->instance);
}

void checks_free(struct service *service) { // its clients have ended
    struct checks *checks = service->checks;
    if (checks == NULL) return;
    ENSURE(checks->client == NULL);
    stop(checks);
    hash_free(&checks->by_name);
    heap_free(&checks->due);
    mem_free(checks);
    service->checks = NULL;
}
