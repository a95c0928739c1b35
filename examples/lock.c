// Takes a lock, works under it with its fencing token, and stops when it is lost.
//
//     cc lock.c $(pkg-config --cflags --libs parley) -o lock && ./lock localhost:7450 orders
#include <parley.h>
#include <poll.h>
#include <stdio.h>

// A store that refuses a writer whose lock another has got meanwhile: it remembers the largest token it has seen.
struct store {
    uint64_t token;
    int writes;
};

static bool store_write(struct store *store, uint64_t token) {
    if (token < store->token) return false;
    store->token = token;
    store->writes++;
    return true;
}

static void on_lost(void *context, struct parley_lock *lock) {
    char why[256];
    parley_lock_lost_why(lock, why, sizeof why);
    fprintf(stderr, "%s was lost: %s\n", (const char *)context, why);
}

static bool work(struct parley_lock *lock, struct store *store) {
    struct pollfd lost = {.fd = parley_lock_fd(lock), .events = POLLIN};
    for (int i = 0; i < 3; i++) {
        if (parley_lock_lost(lock) || !store_write(store, parley_lock_token(lock))) return false;
        if (poll(&lost, 1, 10) != 0) return false; // the pause between two writes ends early if the lock is lost
    }
    return true;
}

int main(int argc, char **argv) {
    const char *nodes = argc > 1 ? argv[1] : "localhost:7450", *name = argc > 2 ? argv[2] : "orders";
    struct parley_client *client;
    struct parley_lock *lock;
    struct parley_problem problem;
    struct store store = {0};
    if (parley_open(nodes, NULL, &client, &problem) != PARLEY_OK) {
        fprintf(stderr, "%s\n", problem.text);
        return 1;
    }
    struct parley_lock_options options = {.wait_ms = 10000, .on_lost = on_lost, .context = (void *)name};
    bool worked = false;
    if (parley_lock(client, name, &options, &lock, &problem) == PARLEY_OK) {
        uint64_t token = parley_lock_token(lock);
        worked = work(lock, &store);
        if (parley_unlock(lock, &problem) == PARLEY_OK && worked)
            printf("%d writes under token %llu\n", store.writes, (unsigned long long)token);
        else
            worked = false;
    }
    if (!worked) fprintf(stderr, "%s\n", problem.text);
    parley_close(client);
    return worked ? 0 : 1;
}
