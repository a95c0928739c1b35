// For tests of the machine of one group: what it tells its node, and commands in sections of their own.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/lock/lock.h"
#include "replica/machine.h"

#define SELF 1u
#define BOOT 7u

struct told {
    uint64_t own_seq[4096];
    int own_error[4096];
    size_t own_count, before_count, events;
    uint64_t created_session, created_attach;
    uint8_t model;                                               // of the newest result
    void (*see)(struct told *told, const struct result *result); // each of this node's own; NULL: nobody
    int64_t counter;
    uint64_t token, id;
    uint32_t holds, remaining;
};

static void told_before(void *context, uint64_t seq) {
    struct told *told = context;
    assert_int_equal(told->before_count, told->own_count); // before, not after
    told->before_count++;
    (void)seq;
}
static void told_own(void *context, uint64_t seq, const struct result *result) {
    struct told *told = context;
    told->own_seq[told->own_count] = seq;
    told->own_error[told->own_count] = result->error;
    told->own_count++;
    told->model = result->model;
    if (told->see != NULL) told->see(told, result);
    if (result->model == MODEL_LEASE && result->op == LEASE_ATTACH && result->error == 0) {
        const struct lease_result *lease = result->value;
        told->created_session = lease->session;
        told->created_attach = lease->attach;
    }
}
static void told_event(void *context, uint8_t model, const void *event) {
    (void)model;
    (void)event;
    ((struct told *)context)->events++;
}

struct bench {
    struct machine *machine;
    struct told told;
    uint64_t log_time;
    struct raft_membership membership;
};

static void fill_incarnation(uint8_t out[INCARNATION_BYTES], uint32_t id) {
    memset(out, (int)id + 0x40, INCARNATION_BYTES);
}

static void bench_start(struct bench *b) {
    memset(b, 0, sizeof *b);
    membership_init(&b->membership);
    for (uint32_t id = 1; id <= 3; id++) {
        struct member *member = membership_add(&b->membership, id);
        fill_incarnation(member->incarnation, id);
        member->role = MEMBER_VOTER;
        member->apply_level_max = APPLY_LEVEL_NEWEST;
        snprintf(member->address[ADVERTISED_PEER], ADDRESS_TEXT_MAX, "host%u:7451", id);
        snprintf(member->address[ADVERTISED_ZOOKEEPER], ADDRESS_TEXT_MAX, "host%u:2181", id);
    }
    struct machine_sink sink = {.before_own = told_before, .own = told_own, .event = told_event, .context = &b->told};
    b->machine = machine_new(SELF, BOOT, &sink);
    machine_genesis(b->machine, 1, 1, 1000, 1700000000000, &b->membership);
    b->log_time = 1000;
}
static void bench_end(struct bench *b) {
    machine_free(b->machine);
    membership_free(&b->membership);
}

static int apply_body(struct bench *b, enum batch_kind kind, struct bytes body, uint32_t count) {
    struct batch_header header = {.kind = kind,
                                  .count = count,
                                  .body_bytes = (uint32_t)body.len,
                                  .first_index = machine_applied(b->machine) + 1,
                                  .term = 1,
                                  .log_time_ms = b->log_time,
                                  .seed = machine_applied(b->machine) * 77};
    struct batch_ref batch = batch_make(&header, body);
    char error[256] = "";
    int result = machine_apply(b->machine, &batch, error);
    batch_ref_release(&batch);
    return result;
}

// One command in a section of its own.
static int send_one(struct bench *b, uint32_t origin, uint64_t boot, uint64_t seq, struct writer *command) {
    struct writer framed, body;
    writer_init(&framed);
    writer_init(&body);
    write_u32_le(&framed, (uint32_t)command->len);
    write_span(&framed, bytes_of(command->data, command->len));
    struct section section = {origin, boot, seq, 1, bytes_of(framed.data, framed.len)};
    section_write(&body, &section);
    int result = apply_body(b, BATCH_COMMANDS, bytes_of(body.data, body.len), 1);
    writer_free(&framed);
    writer_free(&body);
    writer_clear(command);
    return result;
}

static void open_stream(struct bench *b, uint32_t origin, uint8_t incarnation_of, uint64_t boot) {
    struct writer w;
    writer_init(&w);
    uint8_t incarnation[INCARNATION_BYTES];
    fill_incarnation(incarnation, incarnation_of);
    group_write_stream_open(&w, incarnation, origin, boot);
    assert_int_equal(send_one(b, origin, boot, 1, &w), 0);
    writer_free(&w);
}

// A new session of this node, as its stream's number `seq`; told.created_session says which.
static void attach_new(struct bench *b, struct writer *w, uint64_t seq) {
    uint8_t password[LEASE_PASSWORD_BYTES] = {1, 2, 3};
    lease_write_attach(w, 0, password, 10000, LEASE_KIND_ZOOKEEPER, SELF, BOOT);
    send_one(b, SELF, BOOT, seq, w);
}

static void write_acquire(struct writer *w, uint64_t session, uint64_t attach, uint64_t ttl_ms, uint64_t wait_ms) {
    struct lock_request request = {.name = bytes_of_text("orders"),
                                   .owner = bytes_of_text("a"),
                                   .permits = 1,
                                   .ttl_ms = ttl_ms,
                                   .wait_ms = wait_ms};
    lock_write_acquire(w, session, attach, &request);
}
