// The keyed executor. A key with tasks stands in the table; one that has none does not.
//
//   ready --> key c --> key a         each worker takes the first key, runs its first task, and puts the key to the end
//                |        |           of the line if it has more: so no key is run twice at once, and none starves
//              task      task
//                        task
#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/list.h"
#include "parley.h"
#include <pthread.h>
#include <signal.h>
#include <sys/random.h>

#define THREADS_MAX 1024u

struct task {
    struct list link;
    parley_task_fn run;
    void *context;
};
struct lane { // one key's tasks, in their order
    struct hash_node node;
    struct list ready; // of the executor, unless its first task runs
    struct list tasks;
    size_t key_bytes;
    uint8_t key[];
};
struct parley_executor {
    pthread_mutex_t mutex;
    pthread_cond_t has_ready, is_empty;
    struct hash lanes;
    struct list ready;
    size_t pending;
    uint64_t seed; // keys may be chosen by strangers
    bool closing;
    unsigned thread_count;
    pthread_t threads[];
};

static bool lane_matches(const struct hash_node *node, const void *key) {
    const struct lane *lane = CONTAINER_OF_CONST(node, struct lane, node);
    return bytes_equal(bytes_of(lane->key, lane->key_bytes), *(const struct bytes *)key);
}

static struct lane *lane_of(struct parley_executor *e, struct bytes key) {
    uint64_t hash = hash_bytes(key.data, key.len, e->seed);
    struct hash_node *node = hash_find(&e->lanes, hash, lane_matches, &key);
    if (node != NULL) return CONTAINER_OF(node, struct lane, node);
    struct lane *lane = mem_zalloc(sizeof *lane + key.len);
    lane->key_bytes = key.len;
    if (key.len > 0) memcpy(lane->key, key.data, key.len);
    list_init(&lane->tasks);
    list_init(&lane->ready);
    list_push_back(&e->ready, &lane->ready);
    hash_insert(&e->lanes, &lane->node, hash);
    return lane;
}

static void run_first(struct parley_executor *e, struct lane *lane) {
    struct task *task = CONTAINER_OF(lane->tasks.next, struct task, link);
    list_remove(&lane->ready);
    pthread_mutex_unlock(&e->mutex);
    task->run(task->context);
    pthread_mutex_lock(&e->mutex);
    list_remove(&task->link);
    mem_free(task);
    if (list_empty(&lane->tasks)) {
        hash_remove(&e->lanes, &lane->node);
        mem_free(lane);
    } else {
        list_push_back(&e->ready, &lane->ready);
        pthread_cond_signal(&e->has_ready);
    }
    if (--e->pending > 0) return;
    pthread_cond_broadcast(&e->is_empty);
    if (e->closing) pthread_cond_broadcast(&e->has_ready); // workers may go
}

static void *work(void *context) {
    struct parley_executor *e = context;
    pthread_mutex_lock(&e->mutex);
    while (!e->closing || e->pending > 0) {
        if (list_empty(&e->ready))
            pthread_cond_wait(&e->has_ready, &e->mutex);
        else
            run_first(e, CONTAINER_OF(e->ready.next, struct lane, ready));
    }
    pthread_mutex_unlock(&e->mutex);
    return NULL;
}

enum parley_error parley_executor_open(unsigned threads, struct parley_executor **out) {
    *out = NULL;
    if (threads == 0 || threads > THREADS_MAX) return PARLEY_BAD_ARGUMENTS;
    struct parley_executor *e = mem_zalloc(sizeof *e + threads * sizeof e->threads[0]);
    pthread_mutex_init(&e->mutex, NULL);
    pthread_cond_init(&e->has_ready, NULL);
    pthread_cond_init(&e->is_empty, NULL);
    hash_init(&e->lanes);
    list_init(&e->ready);
    if (getrandom(&e->seed, sizeof e->seed, 0) != sizeof e->seed) e->seed = (uint64_t)(uintptr_t)e;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (e->thread_count < threads && pthread_create(&e->threads[e->thread_count], NULL, work, e) == 0)
        e->thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e->thread_count < threads) {
        parley_executor_close(e);
        return PARLEY_SYSTEM;
    }
    *out = e;
    return PARLEY_OK;
}

enum parley_error parley_executor_submit(struct parley_executor *e, const void *key, size_t key_bytes,
                                         parley_task_fn run, void *context) {
    struct task *task = mem_alloc(sizeof *task);
    *task = (struct task){.run = run, .context = context};
    pthread_mutex_lock(&e->mutex);
    if (e->closing) {
        pthread_mutex_unlock(&e->mutex);
        mem_free(task);
        return PARLEY_CLOSED;
    }
    struct lane *lane = lane_of(e, bytes_of(key, key_bytes));
    list_push_back(&lane->tasks, &task->link);
    e->pending++;
    if (!list_empty(&lane->ready)) pthread_cond_signal(&e->has_ready);
    pthread_mutex_unlock(&e->mutex);
    return PARLEY_OK;
}

void parley_executor_drain(struct parley_executor *e) {
    pthread_mutex_lock(&e->mutex);
    while (e->pending > 0) pthread_cond_wait(&e->is_empty, &e->mutex);
    pthread_mutex_unlock(&e->mutex);
}

size_t parley_executor_pending(struct parley_executor *e) {
    pthread_mutex_lock(&e->mutex);
    size_t pending = e->pending;
    pthread_mutex_unlock(&e->mutex);
    return pending;
}

void parley_executor_close(struct parley_executor *e) {
    if (e == NULL) return;
    pthread_mutex_lock(&e->mutex);
    e->closing = true;
    pthread_cond_broadcast(&e->has_ready);
    pthread_mutex_unlock(&e->mutex);
    for (unsigned i = 0; i < e->thread_count; i++) pthread_join(e->threads[i], NULL);
    ENSURE(e->pending == 0 && e->lanes.count == 0);
    hash_free(&e->lanes);
    pthread_mutex_destroy(&e->mutex);
    pthread_cond_destroy(&e->has_ready);
    pthread_cond_destroy(&e->is_empty);
    mem_free(e);
}
