// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "support/queue_kit.h"
#include <stdio.h>
#include <string.h>

void queue_kit_say(struct queue_kit *k, const char *format, ...) {
    size_t len = strlen(k->log);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(k->log + len, sizeof k->log - len, format, arguments);
    va_end(arguments);
    assert_true(more >= 0 && len + (size_t)more < sizeof k->log);
}

static void say_deliveries(struct queue_kit *k, uint64_t session, const struct queue_delivery *deliveries,
                           size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct queue_delivery *d = &deliveries[i];
        queue_kit_say(k, " [%llu %llu %.*s %.*s %u %u]", (unsigned long long)d->id, (unsigned long long)d->token,
                      (int)d->key.len, (const char *)d->key.data, (int)(d->body.len < 20 ? d->body.len : 20),
                      (const char *)d->body.data, d->tries, d->priority);
        if (k->delivered) k->delivered(k->context, session, d);
    }
    if (count > 0) k->first = deliveries[0];
}

static void on_event(void *context, uint8_t model, const void *event) {
    struct queue_kit *k = context;
    const struct queue_event *e = event;
    static const char *const texts[] = {"delivered", "timed out", "pushed", "gap", "dead"};
    assert_int_equal(model, MODEL_QUEUE);
    queue_kit_say(k, "%s %llu", texts[e->type], (unsigned long long)(e->type == QUEUE_EVENT_DEAD ? e->id : e->ticket));
    if (e->type == QUEUE_EVENT_DELIVERED) {
        queue_kit_say(k, " to %llu:", (unsigned long long)e->session);
        say_deliveries(k, e->session, e->deliveries, e->delivery_count);
    }
    queue_kit_say(k, "\n");
}

void queue_kit_open(struct queue_kit *k) {
    memset(k, 0, sizeof *k);
    k->state = queue_model.create();
    k->apply = (struct apply){.index = 100, .log_time_ms = 1000, .apply_level = 2, .emit = on_event};
    k->apply.emit_context = k;
}

void queue_kit_close(struct queue_kit *k) {
    assert_true(digest_equal(queue_model.digest(k->state), queue_model.digest_recount(k->state)));
    queue_model.destroy(k->state);
}

static void say_result(struct queue_kit *k, uint64_t session, uint8_t op) {
    const struct queue_result *out = &k->out;
    if (k->result.error != 0) {
        queue_kit_say(k, "error %d", k->result.error);
        if (out->token > 0) queue_kit_say(k, " token %llu", (unsigned long long)out->token);
    } else if (op == QUEUE_PUSH) {
        queue_kit_say(k, "push %llu%s%s", (unsigned long long)out->id, out->duplicate ? " again" : "",
                      out->waits ? " waits" : "");
        if (out->replaced > 0) queue_kit_say(k, " for %llu", (unsigned long long)out->replaced);
        if (out->cancelled > 0) queue_kit_say(k, " with %llu", (unsigned long long)out->cancelled);
    } else if (op == QUEUE_CLAIM) {
        queue_kit_say(k, "claim");
        say_deliveries(k, session, out->deliveries, out->delivery_count);
        if (out->waits) queue_kit_say(k, " waits %llu", (unsigned long long)out->ticket);
        if (out->retry_after_ms > 0) queue_kit_say(k, " in %llu ms", (unsigned long long)out->retry_after_ms);
    } else {
        queue_kit_say(k, "ok");
    }
    queue_kit_say(k, "\n");
}

int queue_kit_run(struct queue_kit *k, struct writer *w, uint64_t session) {
    struct command command;
    assert_true(command_read(&command, bytes_of(w->data, w->len)));
    k->apply.index++;
    k->log[0] = '\0';
    memset(&k->result, 0, sizeof k->result);
    queue_model.apply(k->state, &k->apply, &command, &k->result);
    k->out = *(const struct queue_result *)k->result.value;
    say_result(k, session, command.op);
    writer_free(w);
    return k->result.error;
}

size_t queue_kit_pass(struct queue_kit *k, uint64_t ms) {
    k->apply.log_time_ms += ms;
    k->apply.index++;
    k->log[0] = '\0';
    return queue_model.expire(k->state, &k->apply, 100000);
}

void queue_kit_session_end(struct queue_kit *k, uint64_t session) {
    k->apply.index++;
    k->log[0] = '\0';
    queue_model.session_end(k->state, &k->apply, session);
}

void queue_kit_reload(struct queue_kit *k) {
    static uint8_t chunk[SAVE_RECORD_BYTES_MAX];
    struct save_cursor cursor = {0};
    void *copy = queue_model.create();
    for (size_t len; (len = queue_model.save(k->state, &cursor, chunk, sizeof chunk)) > 0;)
        assert_int_equal(queue_model.load(copy, chunk, len), 0);
    assert_true(digest_equal(queue_model.digest(k->state), queue_model.digest(copy)));
    assert_true(digest_equal(queue_model.digest(copy), queue_model.digest_recount(copy)));
    assert_true(queue_model.memory(k->state) == queue_model.memory(copy));
    assert_true(queue_model.next_deadline_ms(k->state) == queue_model.next_deadline_ms(copy));
    queue_model.destroy(k->state);
    k->state = copy;
}
