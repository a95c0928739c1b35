// What the page lives on, against a node that is made up: its files and who may have them, the view's pages, and the
// framing, resuming and bounds of server-sent events.
#include "model/tree/tree.h"
#include "protocol/http/view.h"
#include "test/unit/http_native_kit.h"

static const char *output(struct client *client) {
    write_u8(&client->output, 0);
    client->output.len--;
    return (const char *)client->output.data;
}

static const char *get_with(struct client *client, const char *path, const char *headers) {
    char request[2048];
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n%s\r\n", path, headers);
    assert_true(len > 0 && (size_t)len < sizeof request);
    writer_clear(&client->output);
    fake_send(client, request, (size_t)len);
    return output(client);
}
static const char *get(struct client *client, const char *path) {
    return get_with(client, path, "Host: localhost:7450\r\n");
}

static int status_of(const char *answer) {
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : -1;
}
static const char *body_of(const char *answer) {
    const char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

// The view's panel; the room keeps it until the next.
static json_t *panel(struct room *room, const char *name, const char *query) {
    char path[1024];
    snprintf(path, sizeof path, "/v1/view?panels=%s%s", name, query);
    const char *answer = get(room->one, path);
    assert_int_equal(status_of(answer), 200);
    json_decref(room->seen);
    room->seen = json_loads(body_of(answer), 0, NULL);
    writer_clear(&room->one->output);
    assert_non_null(room->seen);
    json_t *found = json_object_get(json_object_get(room->seen, "panels"), name);
    assert_non_null(found);
    return found;
}
static size_t count_rows(const json_t *panel) {
    return json_array_size(json_object_get(panel, "rows"));
}
static const json_t *row(const json_t *panel, size_t i) {
    const json_t *found = json_array_get(json_object_get(panel, "rows"), i);
    assert_non_null(found);
    return found;
}
static const char *text(const json_t *object, const char *key) {
    const char *found = json_string_value(json_object_get(object, key));
    return found != NULL ? found : "";
}
static json_int_t figure(const json_t *object, const char *key) {
    assert_true(json_is_integer(json_object_get(object, key)));
    return json_integer_value(json_object_get(object, key));
}

// A znode, as a client of ZooKeeper's protocol with this session makes it.
static void make_znode(struct room *room, uint64_t session, const char *path, uint8_t flags) {
    static const struct tree_acl_entry open[1] = {
        {TREE_ALL, {(const uint8_t *)"world", 5}, {(const uint8_t *)"anyone", 6}}};
    struct writer w = {0};
    struct result result = {0};
    uint64_t attach = session == 0 ? 0 : lease_find(room->fake->leases, session)->attach;
    command_write_head(&w, MODEL_TREE, TREE_OP_CREATE, session, attach);
    write_blob(&w, bytes_of("", 0));
    tree_write_create(&w, bytes_of_text(path), NULL, open, 1, flags, 0);
    apply_command(room->fake, bytes_of(w.data, w.len), &result);
    assert_int_equal(result.error, 0);
    writer_free(&w);
}
static void contend(struct room *room, uint64_t session, const char *path) {
    make_znode(room, session, path, TREE_EPHEMERAL | TREE_SEQUENTIAL);
}

// ---- files

static void browsers_get_the_page_and_others_the_list(void **state) {
    struct room *room = *state;
    const char *answer = get_with(room->one, "/", "Host: localhost:7450\r\nAccept: text/html,*/*;q=0.8\r\n");
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "Content-Type: text/html; charset=utf-8\r\n"));
    assert_non_null(strstr(answer, "Content-Security-Policy: default-src 'self'; "));
    assert_non_null(strstr(answer, "frame-ancestors 'none'"));
    assert_non_null(strstr(answer, "X-Content-Type-Options: nosniff\r\n"));
    assert_null(strstr(answer, "Set-Cookie"));
    assert_non_null(strstr(answer, "/page.js"));
    const char *script = strstr(answer, "<script");
    assert_non_null(strstr(script, "src=")); // none that stands in the document
    assert_null(strstr(script + 1, "<script"));
    answer = get_with(room->one, "/", "Host: localhost:7450\r\nAccept: */*\r\n");
    assert_non_null(strstr(answer, "text/plain"));
    assert_non_null(strstr(answer, "/v1/events"));
    static const char *const files[][2] = {
        {"/page.css", "text/css"}, {"/page.js", "text/javascript"}, {"/icon.svg", "image/svg+xml"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        answer = get(room->one, files[i][0]);
        assert_int_equal(status_of(answer), 200);
        assert_non_null(strstr(answer, files[i][1]));
        assert_true(strlen(body_of(answer)) > 100);
    }
    assert_int_equal(status_of(get(room->one, "/page.html")), 404);
}

static void other_sites_and_machines_see_nothing(void **state) {
    struct room *room = *state;
    static const char *const paths[] = {"/page.js", "/v1/view", "/v1/events"};
    static const struct {
        const char *headers;
        bool may;
    } cases[] = {
        {"Host: localhost:7450\r\nOrigin: http://evil.example\r\n", false},
        {"Host: localhost:7450\r\nOrigin: null\r\n", false},
        {"Host: localhost:7450\r\nOrigin: http://localhost:7451\r\n", false},
        {"Host: localhost:7450\r\nSec-Fetch-Site: cross-site\r\n", false},
        {"Host: localhost:7450\r\nSec-Fetch-Site: same-site\r\n", false},
        {"Host: evil.example\r\n", false}, // a name that was made to point here
        {"Host: localhost:7450\r\nOrigin: http://localhost:7450\r\nSec-Fetch-Site: same-origin\r\n", true},
        {"Host: 127.0.0.1:7450\r\nSec-Fetch-Site: none\r\n", true},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
            struct client *client = fake_connect(room->fake, "127.0.0.1:9");
            assert_int_equal(status_of(get_with(client, paths[i], cases[k].headers)), cases[k].may ? 200 : 403);
        }
        struct client *far = fake_connect(room->fake, "10.0.0.8:9");
        assert_int_equal(status_of(get_with(far, paths[i], "Host: parley.example\r\n")), 403);
        room->settings.allow_remote = true;
        assert_int_equal(status_of(get_with(far, paths[i], "Host: parley.example\r\n")), 200);
        room->settings.allow_remote = false;
    }
    // A link on another site may lead here.
    const char *link = "Host: localhost:7450\r\nAccept: text/html\r\nSec-Fetch-Site: cross-site\r\n";
    assert_int_equal(status_of(get_with(room->one, "/", link)), 200);
    struct client *far = fake_connect(room->fake, "10.0.0.8:9");
    assert_int_equal(status_of(get_with(far, "/", "Host: parley\r\nAccept: text/html\r\n")), 403);
}

// ---- the view

static void a_view_has_what_was_asked_for(void **state) {
    struct room *room = *state;
    const char *answer = get(room->one, "/v1/view");
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "\"cluster\":{"));
    assert_non_null(strstr(answer, "\"sessions\":{\"count\":0,\"rows\":[],\"next\":null}"));
    answer = get(room->one, "/v1/view?panels=queues%2ckeys");
    assert_non_null(strstr(answer, "\"keys\":{\"count\":0,"));
    assert_null(strstr(answer, "\"cluster\""));
    assert_int_equal(status_of(get(room->one, "/v1/view?panels=queues,nothing")), 400);
    assert_int_equal(status_of(get(room->one, "/v1/view?panels=")), 400);
    assert_int_equal(status_of(get(room->one, "/v1/view?limit=0")), 400);
    assert_int_equal(status_of(get(room->one, "/v1/view?limit=101")), 400);
    assert_int_equal(status_of(get(room->one, "/v1/view?limit=5x")), 400);
    assert_int_equal(status_of(get(room->one, "/v1/view?after=n61")), 400); // of which panel?
    assert_int_equal(status_of(get(room->one, "/v1/view?panels=locks&after=zz%ff&limit=100#x")), 200);
    room->node.diverged = true;
    answer = get(room->one, "/v1/view");
    assert_non_null(strstr(answer, "\"panels\":{}"));
}

static void every_kind_comes_in_pages(void **state) {
    struct room *room = *state;
    static const struct {
        const char *panel, *key, *operation, *body;
    } kinds[] = {
        {"locks", "name", "lock/acquire", "{\"name\": \"x%02d\", \"owner\": \"o\", \"ttl_ms\": 60000}"},
        {"queues", "name", "queue/push", "{\"name\": \"x%02d\", \"key\": \"k\", \"body\": \"b\"}"},
        {"limits", "name", "limiter/take",
         "{\"name\": \"x%02d\", \"algorithm\": \"token-bucket\", \"rate\": 5, \"window_ms\": 9000}"},
        {"keys", "key", "idempotency/begin", "{\"key\": \"x%02d\", \"owner\": \"o\"}"},
        {"elections", "name", "election/campaign", "{\"name\": \"e%02d\", \"session\": \"%s\"}"},
        {"topics", "name", "topic/create", "{\"name\": \"x%02d\", \"partitions\": 2}"},
        {"services", "service", "registry/register",
         "{\"service\": \"x%02d\", \"id\": \"i\", \"address\": \"h:1\", \"session\": \"%s\"}"},
        {"config", "name", "config/publish", "{\"name\": \"x%02d\", \"items\": {\"a\": \"b\"}}"},
        {"sequences", "name", "sequence/create", "{\"name\": \"x%02d\"}"},
    };
    make_session(room);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (int i = 0; i < 7; i++) {
            char body[256];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(body, sizeof body, kinds[k].body, i, room->session);
#pragma GCC diagnostic pop
            send_headers(room, room->one, kinds[k].operation, "", body);
            expect(room, room->one, 200, NULL);
        }
        char after[128] = "&limit=3";
        for (int i = 0, pages = 0; pages < 3; pages++) {
            const json_t *seen = panel(room, kinds[k].panel, after);
            assert_int_equal(figure(seen, "count"), 7);
            assert_int_equal(count_rows(seen), pages < 2 ? 3 : 1);
            for (size_t n = 0; n < count_rows(seen); n++, i++) {
                char name[8];
                snprintf(name, sizeof name, "%c%02d", kinds[k].panel[0] == 'e' ? 'e' : 'x', i);
                assert_string_equal(text(row(seen, n), kinds[k].key), name);
            }
            const char *next = text(seen, "next");
            assert_int_equal(next[0] != 0, pages < 2);
            snprintf(after, sizeof after, "&limit=3&after=%s", next);
        }
    }
}

static void sessions_say_how_much_they_have(void **state) {
    struct room *room = *state;
    uint64_t numbers[3];
    for (int i = 0; i < 3; i++) {
        make_session(room);
        numbers[i] = session_number(room);
    }
    ask(room, room->one, "lock/acquire", "{\"name\": \"a\", \"session\": \"%s\"}", room->session);
    expect(room, room->one, 200, NULL);
    make_znode(room, 0, "/l", 0);
    contend(room, numbers[2], "/l/n-");
    const json_t *seen = panel(room, "sessions", "&limit=2");
    assert_int_equal(figure(seen, "count"), 3);
    assert_int_equal(figure(row(seen, 0), "session"), (json_int_t)numbers[0]);
    assert_int_equal(figure(row(seen, 0), "things"), 0);
    char after[64];
    snprintf(after, sizeof after, "&limit=2&after=%s", text(seen, "next"));
    seen = panel(room, "sessions", after);
    assert_int_equal(count_rows(seen), 1);
    assert_int_equal(figure(row(seen, 0), "things"), 2);
    assert_string_equal(text(row(seen, 0), "kind"), "native");
    assert_int_equal(figure(row(seen, 0), "timeout_ms"), 6000);
    fake_expire(room->fake, numbers[1]); // a page behind one that has ended begins anew
    assert_int_equal(count_rows(panel(room, "sessions", after)), 2);
}

static void native_locks_and_recipes_stand_in_one_list(void **state) {
    struct room *room = *state;
    make_session(room);
    uint64_t a = session_number(room);
    ask(room, room->one, "lock/acquire", "{\"name\": \"native\", \"owner\": \"me\", \"session\": \"%s\"}",
        room->session);
    expect(room, room->one, 200, NULL);
    make_session(room);
    uint64_t b = session_number(room);
    make_znode(room, 0, "/curator", 0);
    make_znode(room, 0, "/curator/0000000000", 0); // no ephemeral
    contend(room, b, "/curator/_c_7b6a-lock-");
    contend(room, a, "/curator/_c_9912-lock-");
    make_znode(room, 0, "/rw", 0);
    contend(room, a, "/rw/1__READ__");
    contend(room, b, "/rw/2__rlock__");
    contend(room, a, "/rw/3__WRIT__");
    contend(room, b, "/rw/4__READ__");
    make_znode(room, 0, "/sem", 0);
    contend(room, a, "/sem/_c_1-lease-");
    contend(room, b, "/sem/_c_2-lease-");
    make_znode(room, a, "/here", TREE_EPHEMERAL); // a service's, not a lock's
    const json_t *seen = panel(room, "locks", "");
    static const struct {
        const char *source, *name, *mode;
        int holders, waiters;
    } rows[] = {{"native", "native", "exclusive", 1, 0},
                {"zookeeper", "/curator", "exclusive", 1, 1},
                {"zookeeper", "/rw", "shared", 2, 2},
                {"zookeeper", "/sem", "leases", 2, 0}};
    assert_int_equal(count_rows(seen), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(text(row(seen, i), "source"), rows[i].source);
        assert_string_equal(text(row(seen, i), "name"), rows[i].name);
        assert_string_equal(text(row(seen, i), "mode"), rows[i].mode);
        assert_int_equal(figure(row(seen, i), "holders"), rows[i].holders);
        assert_int_equal(figure(row(seen, i), "waiters"), rows[i].waiters);
    }
    const json_t *claims = json_object_get(row(seen, 1), "claims");
    assert_string_equal(text(json_array_get(claims, 0), "owner"), "_c_7b6a-lock-0000000001");
    assert_int_equal(figure(json_array_get(claims, 0), "session"), (json_int_t)b);
    assert_int_equal(figure(json_array_get(claims, 0), "holds"), 1);
    assert_int_equal(figure(json_array_get(claims, 1), "holds"), 0);
    char after[64] = "&limit=1"; // and page by page
    for (size_t i = 0; i < 4; i++) {
        seen = panel(room, "locks", after);
        assert_int_equal(count_rows(seen), 1);
        assert_string_equal(text(row(seen, 0), "name"), rows[i].name);
        snprintf(after, sizeof after, "&limit=1&after=%s", text(seen, "next"));
    }
    assert_string_equal(text(seen, "next"), "");
}

static void a_crowd_at_one_lock_is_counted_and_not_listed(void **state) {
    struct room *room = *state;
    make_session(room);
    make_znode(room, 0, "/l", 0);
    for (int i = 0; i < 100; i++) contend(room, session_number(room), "/l/n-");
    const json_t *seen = panel(room, "locks", "");
    assert_int_equal(figure(row(seen, 0), "waiters"), 99);
    assert_int_equal(json_array_size(json_object_get(row(seen, 0), "claims")), 1 + VIEW_CLAIMS_MAX);
}

static void elections_stand_apart_from_locks(void **state) {
    struct room *room = *state;
    make_session(room);
    ask(room, room->one, "election/campaign",
        "{\"name\": \"e\", \"session\": \"%s\", \"candidate\": \"c\", \"value\": \"secret\", \"delay_ms\": 5000}",
        room->session);
    expect(room, room->one, 200, NULL);
    ask(room, room->one, "lock/acquire", "{\"name\": \"l\", \"owner\": \"o\", \"ttl_ms\": 60000}");
    expect(room, room->one, 200, NULL);
    const json_t *seen = panel(room, "locks", "");
    assert_int_equal(figure(seen, "count"), 1);
    assert_int_equal(count_rows(seen), 1);
    assert_string_equal(text(row(seen, 0), "name"), "l");
    seen = panel(room, "elections", "");
    assert_int_equal(figure(seen, "count"), 1);
    assert_string_equal(text(row(seen, 0), "name"), "e");
    const json_t *leader = json_array_get(json_object_get(row(seen, 0), "claims"), 0);
    assert_string_equal(text(leader, "owner"), "c");
    assert_null(json_object_get(leader, "value"));
    // Its delay keeps it when the leader is lost; then it is asked for as a lock, and is one.
    fake_expire(room->fake, session_number(room));
    seen = panel(room, "elections", "");
    assert_int_equal(figure(seen, "count"), 1);
    ask(room, room->two, "lock/acquire", "{\"name\": \"e\", \"owner\": \"o\", \"ttl_ms\": 60000, \"wait_ms\": 60000}");
    fake_step(room->fake);
    assert_int_equal(count_rows(panel(room, "elections", "")), 0);
    seen = panel(room, "locks", "");
    assert_int_equal(figure(seen, "count"), 2);
    assert_string_equal(text(row(seen, 1), "name"), "e");
    assert_int_equal(count_rows(panel(room, "locks", "&limit=1&after=n6c")), 1); // behind l
}

static void services_show_their_health_and_their_first_instances(void **state) {
    struct room *room = *state;
    json_int_t registrations[20];
    for (int i = 0; i < 20; i++) {
        ask(room, room->one, "registry/register",
            "{\"service\": \"s\", \"id\": \"i%02d\", \"address\": \"h:1\", \"ttl_ms\": 60000}", i);
        expect(room, room->one, 200, NULL);
        registrations[i] = number(room, "registration");
    }
    for (int i = 0; i < 3; i++) {
        ask(room, room->one, "registry/report",
            "{\"service\": \"s\", \"id\": \"i%02d\", \"registration\": %lld, \"passing\": false}", i,
            (long long)registrations[i]);
        expect(room, room->one, 200, NULL);
    }
    for (int i = 2; i < 4; i++) {
        ask(room, room->one, "registry/update", "{\"service\": \"s\", \"id\": \"i%02d\", \"drain\": true}", i);
        expect(room, room->one, 200, NULL);
    }
    const json_t *seen = row(panel(room, "services", ""), 0);
    assert_int_equal(figure(seen, "instances"), 20);
    assert_int_equal(figure(seen, "ready"), 16);
    assert_int_equal(figure(seen, "failing"), 3);
    const json_t *shown = json_object_get(seen, "shown");
    assert_int_equal(json_array_size(shown), VIEW_INSTANCES_MAX);
    assert_string_equal(text(json_array_get(shown, 0), "health"), "failing");
    assert_string_equal(text(json_array_get(shown, 3), "health"), "passing");
    assert_true(json_is_true(json_object_get(json_array_get(shown, 3), "draining")));
    ask(room, room->one, "registry/deregister", "{\"service\": \"s\", \"id\": \"i00\"}");
    expect(room, room->one, 200, NULL);
    seen = row(panel(room, "services", ""), 0);
    assert_int_equal(figure(seen, "failing"), 2);
    assert_int_equal(figure(seen, "ready"), 16);
}

static void topics_show_who_reads_what_within_bounds(void **state) {
    struct room *room = *state;
    ask(room, room->one, "topic/create", "{\"name\": \"a\", \"partitions\": 1024}");
    expect(room, room->one, 200, NULL);
    for (int i = 0; i < 16; i++) { // 10 readers of one group, and six groups more
        ask(room, room->one, "topic/join",
            "{\"name\": \"a\", \"group\": \"g%d\", \"member\": \"m%02d\", \"ttl_ms\": 60000, \"handover_ms\": 1}",
            i < 10 ? 0 : i - 9, i);
        expect(room, room->one, 200, NULL);
        fake_pass_time(room->fake, 1);
    }
    const json_t *seen = row(panel(room, "topics", ""), 0), *groups = json_object_get(seen, "groups");
    assert_int_equal(figure(seen, "group_count"), 7);
    assert_int_equal(json_array_size(groups), VIEW_GROUPS_MAX);
    const json_t *first = json_array_get(groups, 0), *readers = json_object_get(first, "readers");
    assert_string_equal(text(first, "name"), "g0");
    assert_int_equal(figure(first, "member_count"), 10);
    assert_int_equal(figure(first, "idle"), 0);
    assert_int_equal(json_array_size(readers), VIEW_READERS_MAX);
    const json_t *reader = json_array_get(readers, 0);
    assert_string_equal(text(reader, "member"), "m00");
    assert_true(figure(reader, "count") > VIEW_READS_MAX);
    assert_int_equal(json_array_size(json_object_get(reader, "partitions")), VIEW_READS_MAX);
    assert_true(json_is_false(json_object_get(seen, "cut")));
    for (int i = 0; i < 3; i++) { // all of them are more than is looked at for one answer
        ask(room, room->one, "topic/create", "{\"name\": \"b%d\", \"partitions\": 1024}", i);
        expect(room, room->one, 200, NULL);
        for (int g = 0; g < 4; g++) {
            ask(room, room->one, "topic/join",
                "{\"name\": \"b%d\", \"group\": \"g%d\", \"member\": \"m\", \"ttl_ms\": 60000}", i, g);
            expect(room, room->one, 200, NULL);
        }
    }
    const json_t *rows = panel(room, "topics", "");
    for (size_t i = 0; i < 4; i++) {
        bool cut = (i + 1) * 2 * 1024 * VIEW_GROUPS_MAX > VIEW_PARTITIONS_MAX;
        assert_int_equal(json_is_true(json_object_get(row(rows, i), "cut")), cut);
        assert_int_equal(json_array_size(json_object_get(row(rows, i), "groups")), cut ? 0 : VIEW_GROUPS_MAX);
    }
}

static void queues_show_their_deepest_keys(void **state) {
    struct room *room = *state;
    for (int i = 0; i < 20; i++) {
        ask(room, room->one, "queue/push", "{\"name\": \"q\", \"key\": \"%s\", \"body\": \"b\"}",
            i % 2 == 0   ? "hot"
            : i % 4 == 1 ? "warm"
                         : "mild");
        expect(room, room->one, 200, NULL);
    }
    const json_t *hot = json_object_get(row(panel(room, "queues", ""), 0), "hot_keys");
    assert_int_equal(json_array_size(hot), 3);
    assert_string_equal(text(json_array_get(hot, 0), "key"), "hot");
    assert_int_equal(figure(json_array_get(hot, 0), "depth"), 10);
}

// ---- events

static const char *stream(struct room *room, struct client *client, const char *query, const char *headers) {
    char path[256], all[256];
    snprintf(path, sizeof path, "/v1/events%s", query);
    snprintf(all, sizeof all, "Host: localhost:7450\r\n%s", headers);
    return get_with(client, path, all);
}

// What came since the last call; each event ends with an empty line.
static const char *events(struct room *room, struct client *client, uint64_t ms) {
    writer_clear(&client->output);
    fake_tick(room->fake, ms);
    const char *seen = output(client);
    size_t len = strlen(seen);
    assert_true(len == 0 || (len > 2 && strcmp(seen + len - 2, "\n\n") == 0));
    return seen;
}

static void streams_say_what_changed(void **state) {
    struct room *room = *state;
    fake_tick(room->fake, 100);
    const char *head = stream(room, room->two, "?topics=locks,sessions", "Accept: text/event-stream\r\n");
    assert_int_equal(status_of(head), 200);
    assert_non_null(strstr(head, "Content-Type: text/event-stream\r\n"));
    assert_non_null(strstr(head, "Cache-Control: no-store\r\n"));
    assert_null(strstr(head, "Content-Length"));
    assert_string_equal(body_of(head), "retry: 1000\n\nevent: resync\nid: 1\n"
                                       "data: {\"index\":1,\"topics\":[\"sessions\",\"locks\"]}\n\n");
    assert_string_equal(events(room, room->two, 100), "");
    make_session(room);
    assert_string_equal(events(room, room->two, 100), "event: sessions\nid: 2\ndata: {\"index\":2}\n\n");
    ask(room, room->one, "lock/acquire", "{\"name\": \"a\", \"session\": \"%s\"}", room->session);
    expect(room, room->one, 200, NULL);
    assert_string_equal(events(room, room->two, 100), "event: locks\nid: 3\ndata: {\"index\":3}\n\n");
    ask(room, room->one, "queue/push", "{\"name\": \"q\", \"body\": \"b\"}%s", ""); // not of its topics
    expect(room, room->one, 200, NULL);
    make_znode(room, 0, "/plain", 0);
    assert_string_equal(events(room, room->two, 100), "");
    contend(room, session_number(room), "/n-");
    assert_string_equal(events(room, room->two, 100), "event: locks\nid: 6\ndata: {\"index\":6}\n\n");
}

static void a_change_of_the_cluster_is_an_event(void **state) {
    struct room *room = *state;
    fake_tick(room->fake, 100);
    stream(room, room->two, "", "");
    assert_string_equal(events(room, room->two, 100), "");
    room->node.leader = 3;
    assert_non_null(strstr(events(room, room->two, 100), "event: members\n"));
    room->node.count = 2;
    room->node.members[1].member.id = 2;
    assert_non_null(strstr(events(room, room->two, 100), "event: members\n"));
    room->node.members[1].connected = true;
    assert_non_null(strstr(events(room, room->two, 100), "event: members\n"));
    room->node.members[1].match = 17; // only counts on
    assert_string_equal(events(room, room->two, 100), "");
}

static void who_comes_back_misses_nothing(void **state) {
    struct room *room = *state;
    fake_tick(room->fake, 100); // changes are known from index 1 on
    make_session(room);         // 2
    fake_tick(room->fake, 100);
    ask(room, room->one, "queue/push", "{\"name\": \"q\", \"body\": \"b\"}%s", ""); // 3
    expect(room, room->one, 200, NULL);
    fake_tick(room->fake, 100);
    static const struct {
        const char *last, *told, *not_told;
    } cases[] = {
        {"1", "event: sessions\n", "resync"},       {"2", "event: queues\n", "event: sessions"},
        {"3", "event: members\n", "event: queues"}, // members are no entry's: they are always told
        {"4", "event: resync\n", "event: queues"},  // of a node that is ahead of this one
        {"0", "event: resync\n", "event: queues"},  {"-1", "event: resync\n", "event: queues"},
        {"3x", "event: resync\n", "event: queues"}, {"99999999999999999999999", "event: resync\n", "queues\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client *client = fake_connect(room->fake, "127.0.0.1:9");
        char header[64];
        snprintf(header, sizeof header, "Last-Event-ID: %s\r\n", cases[i].last);
        const char *seen = body_of(stream(room, client, "", header));
        if (strstr(seen, cases[i].told) == NULL || strstr(seen, cases[i].not_told) != NULL)
            fail_msg("%s: %s", cases[i].last, seen);
    }
    stream(room, room->two, "?topics=queues", "");
    fake_replace_state(room->fake); // a snapshot took this one's place
    assert_non_null(strstr(events(room, room->two, 100), "event: resync\n"));
    struct client *client = fake_connect(room->fake, "127.0.0.1:9");
    assert_non_null(strstr(stream(room, client, "", "Last-Event-ID: 2\r\n"), "event: resync\n"));
}

static void who_does_not_read_is_told_to_read_anew(void **state) {
    struct room *room = *state;
    stream(room, room->two, "?topics=sessions", "");
    fake_tick(room->fake, 100);
    writer_clear(&room->two->output);
    writer_extend(&room->two->output, HTTP_EVENT_PENDING_MAX + 1);
    room->two->reads_nothing = true;
    for (int i = 0; i < 200; i++) {
        make_session(room);
        fake_tick(room->fake, 100);
    }
    assert_int_equal(room->two->output.len, HTTP_EVENT_PENDING_MAX + 1); // not one byte is kept for it
    room->two->reads_nothing = false;
    assert_string_equal(events(room, room->two, 100),
                        "event: resync\nid: 201\ndata: {\"index\":201,\"topics\":[\"sessions\"]}\n\n");
    assert_string_equal(events(room, room->two, 100), "");
    writer_extend(&room->two->output, HTTP_EVENT_PENDING_MAX + 1);
    room->two->reads_nothing = true;
    fake_tick(room->fake, 100);
    fake_tick(room->fake, HTTP_EVENT_STUCK_MS - 1);
    assert_false(room->two->closed);
    fake_tick(room->fake, 1);
    assert_true(room->two->closed);
}

static void silent_streams_are_kept_open_and_old_ones_end(void **state) {
    struct room *room = *state;
    stream(room, room->two, "", "");
    fake_tick(room->fake, 100);
    assert_string_equal(events(room, room->two, HTTP_EVENT_KEEP_MS - 200), "");
    assert_string_equal(events(room, room->two, 200), ": still here\n\n");
    assert_string_equal(events(room, room->two, HTTP_EVENT_KEEP_MS - 1), "");
    assert_string_equal(events(room, room->two, 1), ": still here\n\n");
    fake_send(room->two, "GET / HTTP/1.1\r\n\r\n", 18); // nothing behind it is read
    assert_string_equal(events(room, room->two, 100), "");
    fake_tick(room->fake, HTTP_EVENT_STREAM_MS);
    assert_true(room->two->closed);
}

static void there_are_so_many_streams_and_no_more(void **state) {
    struct room *room = *state;
    struct client *first = NULL;
    for (unsigned i = 0; i < HTTP_EVENT_STREAMS_MAX; i++) {
        struct client *client = fake_connect(room->fake, "127.0.0.1:9");
        assert_int_equal(status_of(stream(room, client, "", "")), 200);
        if (first == NULL) first = client;
    }
    const char *answer = stream(room, room->two, "", "");
    assert_int_equal(status_of(answer), 503);
    assert_non_null(strstr(answer, "Retry-After: 5\r\n"));
    fake_disconnect(first);
    assert_int_equal(status_of(stream(room, room->two, "", "")), 200);
    assert_int_equal(status_of(stream(room, room->one, "?topics=nothing", "")), 400);
}

// ---- waits as events

static void a_wait_may_be_answered_by_an_event(void **state) {
    struct room *room = *state;
    const char *accept = "Accept: text/event-stream\r\n";
    make_session(room);
    ask(room, room->one, "lock/acquire", "{\"name\": \"a\", \"session\": \"%s\", \"owner\": \"x\"}", room->session);
    expect(room, room->one, 200, NULL);
    json_int_t token = number(room, "token");
    char body[256];
    snprintf(body, sizeof body, "{\"name\": \"a\", \"session\": \"%s\", \"owner\": \"y\", \"wait_ms\": 600000}",
             room->session);
    send_headers(room, room->two, "lock/acquire", accept, body);
    fake_step(room->fake);
    const char *head = output(room->two);
    assert_int_equal(status_of(head), 200);
    assert_non_null(strstr(head, "Content-Type: text/event-stream\r\n"));
    assert_null(strstr(head, "Content-Length"));
    assert_string_equal(body_of(head), ": it waits\n\n");
    assert_string_equal(events(room, room->two, HTTP_EVENT_KEEP_MS), ": still here\n\n");
    writer_clear(&room->two->output);
    snprintf(body, sizeof body, "{\"name\": \"a\", \"session\": \"%s\", \"owner\": \"x\", \"token\": %lld}",
             room->session, (long long)token);
    send_headers(room, room->one, "lock/release", "", body);
    expect(room, room->one, 200, NULL);
    const char *seen = output(room->two);
    assert_memory_equal(seen, "event: answer\ndata: {\"token\":", 29);
    assert_string_equal(seen + strlen(seen) - 3, "}\n\n");
    assert_true(room->two->closed); // the answer's end
}

static void a_wait_that_fails_is_a_problem_as_an_event(void **state) {
    struct room *room = *state;
    const char *accept = "Accept: text/event-stream\r\n";
    send_headers(room, room->one, "lock/acquire", "", "{\"name\": \"a\", \"owner\": \"x\", \"ttl_ms\": 900000}");
    expect(room, room->one, 200, NULL);
    // What is known at once is answered as always.
    send_headers(room, room->two, "lock/acquire", accept, "{\"name\": \"a\", \"owner\": \"y\", \"ttl_ms\": 9000}");
    expect(room, room->two, 409, "busy");
    send_headers(room, room->two, "lock/acquire", accept,
                 "{\"name\": \"a\", \"owner\": \"y\", \"ttl_ms\": 9000, \"wait_ms\": 500}");
    fake_step(room->fake);
    writer_clear(&room->two->output);
    fake_pass_time(room->fake, 600);
    const char *seen = output(room->two);
    assert_memory_equal(seen, "event: problem\ndata: {\"type\":\"/errors/timed-out\"", 48);
    assert_true(room->two->closed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(browsers_get_the_page_and_others_the_list),
        TEST(other_sites_and_machines_see_nothing),
        TEST(a_view_has_what_was_asked_for),
        TEST(every_kind_comes_in_pages),
        TEST(sessions_say_how_much_they_have),
        TEST(native_locks_and_recipes_stand_in_one_list),
        TEST(a_crowd_at_one_lock_is_counted_and_not_listed),
        TEST(elections_stand_apart_from_locks),
        TEST(services_show_their_health_and_their_first_instances),
        TEST(topics_show_who_reads_what_within_bounds),
        TEST(queues_show_their_deepest_keys),
        TEST(streams_say_what_changed),
        TEST(a_change_of_the_cluster_is_an_event),
        TEST(who_comes_back_misses_nothing),
        TEST(who_does_not_read_is_told_to_read_anew),
        TEST(silent_streams_are_kept_open_and_old_ones_end),
        TEST(there_are_so_many_streams_and_no_more),
        TEST(a_wait_may_be_answered_by_an_event),
        TEST(a_wait_that_fails_is_a_problem_as_an_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
