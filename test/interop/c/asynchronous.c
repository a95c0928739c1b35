// Asynchronous calls and watches: order, completions, each kind of event, removal.
#include "kit.h"
#include <stdio.h>
#include <string.h>

#define OPEN &ZOO_OPEN_ACL_UNSAFE
enum { MANY = 500 };

static struct client *begin(const char *folder) {
    struct client *c = client_open(-1, 10000, NULL);
    if (c && zoo_create(c->handle, kit_path(folder), "", 0, OPEN, 0, NULL, 0) != ZOK) return NULL;
    return c;
}

// Completions run on one thread of the client; `done` is read by the test's.
struct tally {
    pthread_mutex_t lock;
    int done, bad, order[MANY];
    char last[200];
};
struct one {
    struct tally *tally;
    int number;
};

static void note(const struct one *one, int code) {
    struct tally *t = one->tally;
    pthread_mutex_lock(&t->lock);
    if (code != ZOK) t->bad++;
    if (t->done < MANY) t->order[t->done] = one->number;
    t->done++;
    pthread_mutex_unlock(&t->lock);
}

static int done(struct tally *t) {
    pthread_mutex_lock(&t->lock);
    int count = t->done;
    pthread_mutex_unlock(&t->lock);
    return count;
}

static void on_string(int code, const char *value, const void *data) {
    const struct one *one = data;
    snprintf(one->tally->last, sizeof one->tally->last, "%s", value ? value : "");
    note(one, code);
}
static void on_void(int code, const void *data) {
    note(data, code);
}
static void on_stat(int code, const struct Stat *stat, const void *data) {
    note(data, code);
}
static void on_data(int code, const char *value, int len, const struct Stat *stat, const void *data) {
    const struct one *one = data;
    snprintf(one->tally->last, sizeof one->tally->last, "%.*s", len > 0 ? len : 0, value ? value : "");
    note(one, code);
}
static void on_strings(int code, const struct String_vector *strings, const void *data) {
    const struct one *one = data;
    snprintf(one->tally->last, sizeof one->tally->last, "%d", strings ? strings->count : -1);
    note(one, code);
}
static void on_strings_stat(int code, const struct String_vector *strings, const struct Stat *stat, const void *data) {
    on_strings(code, strings, data);
}
static void on_acl(int code, struct ACL_vector *acl, struct Stat *stat, const void *data) {
    const struct one *one = data;
    snprintf(one->tally->last, sizeof one->tally->last, "%d", acl ? acl->count : -1);
    note(one, code);
}

static void completions_come_in_order(void) {
    struct client *c = begin("order");
    CHECK(c);
    static struct tally t = {.lock = PTHREAD_MUTEX_INITIALIZER};
    static struct one ones[MANY];
    char value[20];
    const char *path = kit_path("order/n");
    for (int i = 0; i < MANY; i++) {
        ones[i] = (struct one){&t, i};
        snprintf(value, sizeof value, "%d", i);
        int length = (int)strlen(value);
        if (i == 0)
            CHECK_CODE(zoo_acreate(c->handle, path, value, length, OPEN, 0, on_string, &ones[i]), ZOK);
        else if (i % 3 == 0)
            CHECK_CODE(zoo_aget(c->handle, path, 0, on_data, &ones[i]), ZOK);
        else
            CHECK_CODE(zoo_aset(c->handle, path, value, length, -1, on_stat, &ones[i]), ZOK);
    }
    UNTIL(done(&t) == MANY);
    CHECK(t.bad == 0);
    for (int i = 0; i < MANY; i++) CHECK(t.order[i] == i, "completion %d is of request %d", i, t.order[i]);
    CHECK(!strcmp(t.last, "497"), "the read at 498 sees the write at 497: %s", t.last);
    client_close(c);
}

static void each_asynchronous_call(void) {
    struct client *c = begin("each");
    CHECK(c);
    static struct tally t = {.lock = PTHREAD_MUTEX_INITIALIZER};
    static struct one one = {&t, 0};
    static zoo_op_t ops[2];
    static zoo_op_result_t results[2];
    static char made[200];
    zhandle_t *z = c->handle;
    const char *folder = kit_path("each"), *path = kit_path("each/n"), *other = kit_path("each/m");
    int want = 0;
#define CALL(call)                                                                                                     \
    CHECK_CODE(call, ZOK);                                                                                             \
    want++;                                                                                                            \
    UNTIL(done(&t) == want);                                                                                           \
    CHECK(t.bad == 0, "%s", #call)
    CALL(zoo_acreate(z, path, "x", 1, OPEN, 0, on_string, &one));
    CHECK(!strcmp(t.last, path), "%s", t.last);
    CALL(zoo_aexists(z, path, 0, on_stat, &one));
    CALL(zoo_aset(z, path, "yy", 2, 0, on_stat, &one));
    CALL(zoo_aget(z, path, 0, on_data, &one));
    CHECK(!strcmp(t.last, "yy"));
    CALL(zoo_aget_children(z, folder, 0, on_strings, &one));
    CHECK(!strcmp(t.last, "1"));
    CALL(zoo_aget_children2(z, folder, 0, on_strings_stat, &one));
    CALL(zoo_aget_acl(z, path, on_acl, &one));
    CHECK(!strcmp(t.last, "1"));
    CALL(zoo_aset_acl(z, path, 0, OPEN, on_void, &one));
    CALL(zoo_async(z, folder, on_string, &one));
    CHECK(!strcmp(t.last, folder));
    zoo_create_op_init(&ops[0], other, "", 0, OPEN, 0, made, sizeof made);
    zoo_delete_op_init(&ops[1], path, -1);
    CALL(zoo_amulti(z, 2, ops, results, on_void, &one));
    CHECK(results[0].err == ZOK && results[1].err == ZOK);
    CALL(zoo_adelete(z, other, 0, on_void, &one));
    CALL(zoo_agetconfig(z, 0, on_data, &one));
#undef CALL
    CHECK_CODE(zoo_adelete(z, other, 0, on_void, &one), ZOK);
    UNTIL(done(&t) == want + 1);
    CHECK(t.bad == 1, "an error comes to the completion");
    client_close(c);
}

static void each_kind_of_event(void) {
    struct client *c = begin("events"), *other = client_open(-1, 10000, NULL);
    CHECK(c && other);
    const char *folder = kit_path("events"), *path = kit_path("events/n");
    char buffer[20];
    int len = sizeof buffer;
    struct Stat stat;
    struct String_vector names;
    CHECK_CODE(client_sync(other, folder), ZOK);
    CHECK_CODE(zoo_exists(c->handle, path, 1, NULL), ZNONODE);
    CHECK_CODE(zoo_create(other->handle, path, "", 0, OPEN, 0, NULL, 0), ZOK);
    UNTIL(client_events(c, ZOO_CREATED_EVENT, path) == 1);
    CHECK_CODE(zoo_get(c->handle, path, 1, buffer, &len, &stat), ZOK);
    CHECK_CODE(zoo_set(other->handle, path, "1", 1, -1), ZOK);
    UNTIL(client_events(c, ZOO_CHANGED_EVENT, path) == 1);
    CHECK_CODE(zoo_set(other->handle, path, "2", 1, -1), ZOK);
    CHECK_CODE(client_sync(c, path), ZOK);
    CHECK(client_events(c, ZOO_CHANGED_EVENT, path) == 1, "a watch fires once");
    CHECK_CODE(zoo_get_children(c->handle, folder, 1, &names), ZOK);
    deallocate_String_vector(&names);
    CHECK_CODE(zoo_exists(c->handle, path, 1, &stat), ZOK);
    CHECK_CODE(zoo_delete(other->handle, path, -1), ZOK);
    UNTIL(client_events(c, ZOO_CHILD_EVENT, folder) == 1 && client_events(c, ZOO_DELETED_EVENT, path) == 1);
    client_close(c);
    client_close(other);
}

static void watcher_objects_get_their_own_events(void) {
    struct client *c = begin("objects"), *other = client_open(-1, 10000, NULL);
    CHECK(c && other);
    static struct client one = {.lock = PTHREAD_MUTEX_INITIALIZER}, two = {.lock = PTHREAD_MUTEX_INITIALIZER};
    const char *path = kit_path("objects/n");
    char buffer[20];
    int len = sizeof buffer;
    struct Stat stat;
    struct String_vector names;
    CHECK_CODE(zoo_create(c->handle, path, "", 0, OPEN, 0, NULL, 0), ZOK);
    CHECK_CODE(client_sync(other, path), ZOK);
    CHECK_CODE(zoo_wget(c->handle, path, client_watch, &one, buffer, &len, &stat), ZOK);
    CHECK_CODE(zoo_wexists(c->handle, path, client_watch, &two, &stat), ZOK);
    CHECK_CODE(zoo_wget_children2(c->handle, path, client_watch, &two, &names, &stat), ZOK);
    deallocate_String_vector(&names);
    CHECK_CODE(zoo_set(other->handle, path, "x", 1, -1), ZOK);
    UNTIL(client_events(&one, ZOO_CHANGED_EVENT, path) == 1 && client_events(&two, ZOO_CHANGED_EVENT, path) == 1);
    CHECK_CODE(zoo_create(other->handle, kit_path("objects/n/c"), "", 0, OPEN, 0, NULL, 0), ZOK);
    UNTIL(client_events(&two, ZOO_CHILD_EVENT, path) == 1);
    CHECK(client_events(&one, ZOO_CHILD_EVENT, NULL) == 0 && client_events(c, ZOO_CHANGED_EVENT, NULL) == 0);
    client_close(c);
    client_close(other);
}

static void removed_watches_are_silent(void) {
    struct client *c = begin("removed");
    CHECK(c);
    static struct client seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
    const char *path = kit_path("removed/n"), *folder = kit_path("removed");
    struct Stat stat;
    struct String_vector names;
    CHECK_CODE(zoo_create(c->handle, path, "", 0, OPEN, 0, NULL, 0), ZOK);
    CHECK_CODE(zoo_remove_watches(c->handle, path, ZWATCHTYPE_DATA, client_watch, &seen, 0), ZNOWATCHER);
    CHECK_CODE(zoo_wexists(c->handle, path, client_watch, &seen, &stat), ZOK);
    CHECK_CODE(zoo_wget_children(c->handle, folder, client_watch, &seen, &names), ZOK);
    deallocate_String_vector(&names);
    CHECK_CODE(zoo_remove_watches(c->handle, path, ZWATCHTYPE_DATA, client_watch, &seen, 0), ZOK);
    CHECK_CODE(zoo_set(c->handle, path, "x", 1, -1), ZOK);
    CHECK_CODE(zoo_remove_all_watches(c->handle, folder, ZWATCHTYPE_CHILD, 0), ZOK);
    CHECK_CODE(zoo_delete(c->handle, path, -1), ZOK);
    CHECK_CODE(client_sync(c, folder), ZOK);
    CHECK(client_events(&seen, ZOO_CHANGED_EVENT, NULL) == 0 && client_events(&seen, ZOO_CHILD_EVENT, NULL) == 0 &&
          client_events(&seen, ZOO_DELETED_EVENT, NULL) == 0);
    client_close(c);
}

static void sync_sees_other_nodes_writes(void) {
    struct client *writer = client_open(0, 10000, NULL), *reader = client_open(1, 10000, NULL);
    CHECK(writer && reader);
    CHECK_CODE(zoo_create(writer->handle, kit_path("sync"), "", 0, OPEN, 0, NULL, 0), ZOK);
    for (int i = 0; i < 50; i++) {
        char name[40];
        snprintf(name, sizeof name, "sync/n%d", i);
        CHECK_CODE(zoo_create(writer->handle, kit_path(name), "", 0, OPEN, 0, NULL, 0), ZOK);
        CHECK_CODE(client_sync(reader, kit_path("sync")), ZOK);
        CHECK_CODE(zoo_exists(reader->handle, kit_path(name), 0, NULL), ZOK);
    }
    client_close(writer);
    client_close(reader);
}

const struct test asynchronous_tests[] = {
    {"completions_come_in_order", completions_come_in_order, 20},
    {"each_asynchronous_call", each_asynchronous_call, 20},
    {"each_kind_of_event", each_kind_of_event, 20},
    {"watcher_objects_get_their_own_events", watcher_objects_get_their_own_events, 20},
    {"removed_watches_are_silent", removed_watches_are_silent, 20},
    {"sync_sees_other_nodes_writes", sync_sees_other_nodes_writes, 20},
    {NULL, NULL, 0}};
