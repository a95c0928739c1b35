// Sessions of the C client: taking one over, its end, and the death of a leader in the middle of everything.
#include "kit.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPEN &ZOO_OPEN_ACL_UNSAFE

static void ephemerals_end_with_their_session(void) {
    struct client *c = client_open(0, 10000, NULL), *other = client_open(1, 10000, NULL);
    CHECK(c && other);
    const char *path = kit_path("ephemeral");
    struct Stat stat;
    CHECK_CODE(zoo_create(c->handle, path, "", 0, OPEN, ZOO_EPHEMERAL, NULL, 0), ZOK);
    CHECK_CODE(client_sync(other, path), ZOK);
    CHECK_CODE(zoo_exists(other->handle, path, 1, &stat), ZOK);
    CHECK(stat.ephemeralOwner == zoo_client_id(c->handle)->client_id);
    CHECK_CODE(client_close(c), ZOK);
    UNTIL(client_events(other, ZOO_DELETED_EVENT, path) == 1);
    client_close(other);
}

// A process that opens a session with an ephemeral at `path`, tells its id, and stays until it is killed.
static pid_t owner(const char *path, clientid_t *id) {
    int out[2];
    if (pipe(out)) return -1;
    char self[300];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = 0;
    pid_t child = fork();
    if (child == 0) { // exec at once: the parent has threads
        dup2(out[1], 3);
        setenv("KIT_OWNER", path, 1);
        execl(self, self, (char *)NULL);
        _exit(1);
    }
    close(out[1]);
    size_t got = 0;
    ssize_t n;
    while (got < sizeof *id && (n = read(out[0], (char *)id + got, sizeof *id - got)) > 0) got += (size_t)n;
    close(out[0]);
    return got == sizeof *id ? child : -1;
}

// Runs before main in the child that owner() made.
__attribute__((constructor)) static void own(void) {
    const char *path = getenv("KIT_OWNER"), *hosts = getenv("ZK_HOSTS");
    if (!path) return;
    zoo_set_debug_level(0);
    zhandle_t *z = zookeeper_init(hosts ? hosts : "127.0.0.1:2181", NULL, 4000, NULL, NULL, 0);
    while (zoo_state(z) != ZOO_CONNECTED_STATE) kit_pause();
    if (zoo_create(z, path, "", 0, OPEN, ZOO_EPHEMERAL, NULL, 0) != ZOK) _exit(1);
    if (write(3, zoo_client_id(z), sizeof(clientid_t)) != sizeof(clientid_t)) _exit(1);
    close(3);
    for (;;) pause();
}

static void a_session_is_taken_over(void) {
    clientid_t id;
    const char *path = kit_path("taken");
    pid_t child = owner(path, &id);
    CHECK(child > 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    struct client *c = client_open(1, 10000, &id);
    CHECK(c, "the session cannot be taken over");
    CHECK(zoo_client_id(c->handle)->client_id == id.client_id);
    struct Stat stat;
    CHECK_CODE(client_sync(c, path), ZOK);
    CHECK_CODE(zoo_exists(c->handle, path, 0, &stat), ZOK);
    CHECK(stat.ephemeralOwner == id.client_id);
    CHECK_CODE(zoo_delete(c->handle, path, -1), ZOK);
    client_close(c);
    CHECK(!client_open(-1, 4000, &id), "a closed session must not come back");
}

static void a_wrong_password_is_expired(void) {
    struct client *c = client_open(-1, 10000, NULL);
    CHECK(c);
    clientid_t id = *zoo_client_id(c->handle);
    id.passwd[3] = (char)(id.passwd[3] ^ 1);
    CHECK(!client_open(-1, 10000, &id));
    CHECK_CODE(zoo_exists(c->handle, "/", 0, NULL), ZOK);
    client_close(c);
}

static void a_frozen_process_loses_its_session(void) {
    struct client *c = client_open(-1, 10000, NULL);
    CHECK(c);
    clientid_t id;
    const char *path = kit_path("frozen");
    pid_t child = owner(path, &id);
    CHECK(child > 0);
    CHECK_CODE(client_sync(c, path), ZOK);
    CHECK_CODE(zoo_exists(c->handle, path, 1, NULL), ZOK);
    long began = kit_ms();
    kill(child, SIGSTOP);
    UNTIL(client_events(c, ZOO_DELETED_EVENT, path) == 1);
    CHECK(kit_ms() - began > 2400, "gone after %ld ms; its time-out is 4 s, a ping comes within a third of it",
          kit_ms() - began);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    client_close(c);
}

static void other_servers_are_taken(void) {
    struct client *c = client_open(0, 10000, NULL);
    CHECK(c);
    long long session = zoo_client_id(c->handle)->client_id;
    CHECK_CODE(zoo_create(c->handle, kit_path("servers"), "", 0, OPEN, ZOO_EPHEMERAL, NULL, 0), ZOK);
    CHECK_CODE(zoo_set_servers(c->handle, kit_hosts(kit_host_count() - 1)), ZOK);
    struct Stat stat;
    UNTIL(zoo_exists(c->handle, kit_path("servers"), 0, &stat) == ZOK);
    CHECK(zoo_client_id(c->handle)->client_id == session && stat.ephemeralOwner == session);
    client_close(c);
}

// ---- the death of a leader

enum { WRITERS = 3, HOLDERS = 3, WRITES_BEFORE = 50, WRITES_AFTER = 50, FLIGHT = 40 };
struct writer {
    pthread_t thread;
    int number, acknowledged;
    bool stop, broken;
};
static pthread_mutex_t writers_lock = PTHREAD_MUTEX_INITIALIZER;

static void *write_on(void *argument) {
    struct writer *w = argument;
    struct client *c = client_open(w->number, 10000, NULL);
    for (int i = 0; c; i++) {
        char name[60];
        snprintf(name, sizeof name, "death/w%d-%06d", w->number, i);
        int code;
        do {
            code = zoo_create(c->handle, kit_path(name), "", 0, OPEN, 0, NULL, 0);
            if (code == ZCONNECTIONLOSS || code == ZOPERATIONTIMEOUT) kit_pause();
        } while (code == ZCONNECTIONLOSS || code == ZOPERATIONTIMEOUT);
        pthread_mutex_lock(&writers_lock);
        bool ok = code == ZOK || code == ZNODEEXISTS; // the latter: applied, its reply lost
        if (ok) w->acknowledged = i + 1;
        w->broken = !ok;
        bool stop = w->stop || !ok;
        pthread_mutex_unlock(&writers_lock);
        if (stop) break;
    }
    if (c) client_close(c);
    return NULL;
}

static bool all_wrote(struct writer *writers, const int *before, int more) {
    bool all = true;
    pthread_mutex_lock(&writers_lock);
    for (int i = 0; i < WRITERS; i++) all = all && writers[i].acknowledged >= before[i] + more;
    pthread_mutex_unlock(&writers_lock);
    return all;
}

static int codes[FLIGHT], answered;
static void in_flight(int code, const struct Stat *stat, const void *data) {
    pthread_mutex_lock(&writers_lock);
    codes[(size_t)data] = code;
    answered++;
    pthread_mutex_unlock(&writers_lock);
}
static int answered_now(void) {
    pthread_mutex_lock(&writers_lock);
    int n = answered;
    pthread_mutex_unlock(&writers_lock);
    return n;
}

static void all_outlives_the_leader(void) {
    struct client *boss = client_open(-1, 10000, NULL), *holders[HOLDERS];
    struct writer writers[WRITERS] = {0};
    long long sessions[HOLDERS];
    int before[WRITERS] = {0};
    char name[60];
    struct Stat stat;
    CHECK(boss);
    CHECK_CODE(zoo_create(boss->handle, kit_path("death"), "", 0, OPEN, 0, NULL, 0), ZOK);
    CHECK_CODE(zoo_create(boss->handle, kit_path("death-held"), "", 0, OPEN, 0, NULL, 0), ZOK);
    CHECK_CODE(zoo_create(boss->handle, kit_path("death-watched"), "", 0, OPEN, 0, NULL, 0), ZOK);
    for (int i = 0; i < HOLDERS; i++) {
        CHECK((holders[i] = client_open(i, 8000, NULL)) != NULL);
        snprintf(name, sizeof name, "death-held/h%d", i);
        CHECK_CODE(client_sync(holders[i], kit_path("death")), ZOK);
        CHECK_CODE(zoo_create(holders[i]->handle, kit_path(name), "", 0, OPEN, ZOO_EPHEMERAL, NULL, 0), ZOK);
        CHECK_CODE(zoo_exists(holders[i]->handle, kit_path("death-watched"), 1, &stat), ZOK);
        sessions[i] = zoo_client_id(holders[i]->handle)->client_id;
    }
    for (int i = 0; i < WRITERS; i++) {
        writers[i].number = i;
        pthread_create(&writers[i].thread, NULL, write_on, &writers[i]);
    }
    UNTIL(all_wrote(writers, before, WRITES_BEFORE));
    for (size_t i = 0; i < FLIGHT; i++)
        CHECK_CODE(zoo_aset(boss->handle, kit_path("death"), "x", 1, -1, in_flight, (void *)i), ZOK);
    kit_kill_leader();
    UNTIL(answered_now() == FLIGHT); // each is answered: done, or its fate unknown
    for (int i = 0; i < FLIGHT; i++)
        CHECK(codes[i] == ZOK || codes[i] == ZCONNECTIONLOSS || codes[i] == ZOPERATIONTIMEOUT, "%d", codes[i]);
    pthread_mutex_lock(&writers_lock);
    for (int i = 0; i < WRITERS; i++) before[i] = writers[i].acknowledged;
    pthread_mutex_unlock(&writers_lock);
    UNTIL(all_wrote(writers, before, WRITES_AFTER));
    UNTIL(zoo_set(boss->handle, kit_path("death-watched"), "after", 5, -1) == ZOK);
    for (int i = 0; i < HOLDERS; i++) {
        UNTIL(client_events(holders[i], ZOO_CHANGED_EVENT, kit_path("death-watched")) == 1);
        snprintf(name, sizeof name, "death-held/h%d", i);
        UNTIL(zoo_exists(holders[i]->handle, kit_path(name), 0, &stat) == ZOK);
        CHECK(stat.ephemeralOwner == sessions[i] && zoo_client_id(holders[i]->handle)->client_id == sessions[i]);
        CHECK(!client_expired(holders[i]));
    }
    pthread_mutex_lock(&writers_lock);
    for (int i = 0; i < WRITERS; i++) writers[i].stop = true;
    pthread_mutex_unlock(&writers_lock);
    for (int i = 0; i < WRITERS; i++) pthread_join(writers[i].thread, NULL);
    for (int node = 0; node < kit_host_count(); node++) {
        struct client *c = client_open(node, 10000, NULL);
        struct String_vector names;
        CHECK(c);
        CHECK_CODE(client_sync(c, kit_path("death")), ZOK);
        CHECK_CODE(zoo_get_children(c->handle, kit_path("death"), 0, &names), ZOK);
        int wanted = 0;
        for (int i = 0; i < WRITERS; i++) wanted += writers[i].acknowledged;
        CHECK(names.count == wanted, "node %d has %d, %d were acknowledged", node, names.count, wanted);
        deallocate_String_vector(&names);
        client_close(c);
    }
    for (int i = 0; i < HOLDERS; i++) client_close(holders[i]);
    client_close(boss);
}

const struct test session_tests[] = {{"ephemerals_end_with_their_session", ephemerals_end_with_their_session, 20},
                                     {"a_session_is_taken_over", a_session_is_taken_over, 40},
                                     {"a_wrong_password_is_expired", a_wrong_password_is_expired, 40},
                                     {"a_frozen_process_loses_its_session", a_frozen_process_loses_its_session, 30},
                                     {"other_servers_are_taken", other_servers_are_taken, 30},
                                     {"all_outlives_the_leader", all_outlives_the_leader, 45},
                                     {NULL, NULL, 0}};
