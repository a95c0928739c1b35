// A command's head, the errors' texts and the table of models.
#include "model/guard/guard.h"
#include "model/idempotency/idempotency.h"
#include "model/limiter/limiter.h"
#include "model/lock/lock.h"
#include "model/queue/queue.h"
#include "model/sequence/sequence.h"
#include "model_kit.h"

static void heads_come_back(void **state) {
    static const uint64_t numbers[] = {0, 1, 127, 128, 1ull << 40, UINT64_MAX};
    for (size_t s = 0; s < 6; s++)
        for (size_t a = 0; a < 6; a++) {
            struct writer w = {0};
            struct command c;
            command_write_head(&w, MODEL_TREE, TREE_OP_SET, numbers[s], numbers[a]);
            size_t head = w.len;
            write_span(&w, bytes_of("args", 4));
            assert_true(command_read(&c, kit_bytes(&w)));
            assert_int_equal(c.model, MODEL_TREE);
            assert_int_equal(c.op, TREE_OP_SET);
            assert_true(c.session == numbers[s] && c.attach == numbers[a]);
            assert_true(bytes_equal(c.args, bytes_of("args", 4)));
            for (size_t len = 0; len < head; len++) assert_false(command_read(&c, bytes_of(w.data, len)));
            writer_free(&w);
        }
}

static void every_error_has_its_text(void **state) {
#define X(name, code, text)                                                                                            \
    assert_int_equal(COMMAND_##name, code);                                                                            \
    assert_string_equal(command_error_text(code), text);
    COMMAND_ERRORS(X)
#undef X
    assert_string_equal(command_error_text(0), "ok");
    assert_string_equal(command_error_text(TREE_NONODE), "error of a model");
}

static void the_table_knows_its_models(void **state) {
    assert_ptr_equal(model_table(MODEL_LEASE), &lease_model);
    assert_ptr_equal(model_table(MODEL_TREE), &tree_model);
    assert_ptr_equal(model_table(MODEL_LOCK), &lock_model);
    assert_ptr_equal(model_table(MODEL_SEQUENCE), &sequence_model);
    assert_ptr_equal(model_table(MODEL_IDEMPOTENCY), &idempotency_model);
    assert_ptr_equal(model_table(MODEL_GUARD), &guard_model);
    assert_ptr_equal(model_table(MODEL_LIMITER), &limiter_model);
    assert_ptr_equal(model_table(MODEL_QUEUE), &queue_model);
    assert_int_equal(model_min_apply_level(MODEL_TREE), 1);
    assert_int_equal(model_min_apply_level(MODEL_LOCK), 2);
    for (uint8_t id = MODEL_SEQUENCE; id < MODEL_KEYS; id++)
        assert_int_equal(model_min_apply_level(id), model_table(id) != NULL ? 2 : 0);
    assert_int_equal(model_min_apply_level(MODEL_KEYS), 3);
    assert_int_equal(model_min_apply_level(200), 0);
    assert_null(model_table(MODEL_GROUP));
    assert_null(model_table(200));
    for (uint8_t id = 0; id < MODEL_COUNT; id++)
        if (model_table(id)) assert_int_equal(model_table(id)->id, id);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_come_back),
        cmocka_unit_test(every_error_has_its_text),
        cmocka_unit_test(the_table_knows_its_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
