// Apply takes any bytes: valid commands are damaged at random, and pure noise is tried too. Nothing may crash, and what
// an error leaves behind is nothing. FUZZ=n repeats it n times over.
#include "model_kit.h"

#include "base/prng.h"

static size_t seed_command(struct kit *k, struct prng *p, uint8_t *out, size_t capacity) {
    static const char *const paths[] = {"/", "/a", "/a/b", "/c", "/a/b/c", "/zookeeper", "/n", "/a/n"};
    static const char *const whos[] = {"", "digest a:b", "ip 10.0.0.1", "super -", "ip ::1 x509 CN=x digest u:v"};
    static const uint8_t ops[] = {TREE_OP_CREATE, TREE_OP_DELETE, TREE_OP_SET, TREE_OP_SET_ACL, TREE_OP_CHECK};
    struct tree_acl_entry acl[] = {kit_open[0],
                                   {TREE_READ, bytes_of_text("ip"), bytes_of_text("10.0.0.0/8")},
                                   {TREE_ALL, bytes_of_text("auth"), bytes_of_text("")},
                                   {TREE_ALL, bytes_of_text("digest"), bytes_of_text("a:b")}};
    k->acl = acl + (prng_below(p, 4) ? 0 : prng_below(p, 4));
    k->acl_count = k->acl == acl ? 1 : 1 + prng_below(p, (uint64_t)(acl + 4 - k->acl));
    struct writer w = {0}, multi = {0};
    uint8_t op = ops[prng_below(p, 5)];
    bool is_multi = prng_below(p, 3) == 0;
    size_t parts = is_multi ? 1 + prng_below(p, 5) : 1;
    if (is_multi) tree_write_multi(&multi, parts);
    struct bytes args = {NULL, 0};
    for (size_t i = 0; i < parts; i++) {
        op = ops[prng_below(p, 5)];
        const char *path = paths[prng_below(p, 8)];
        int32_t version = prng_below(p, 4) ? -1 : (int32_t)prng_below(p, 3);
        uint8_t flags = (uint8_t)(prng_below(p, 3) ? prng_below(p, 4) : prng_below(p, 16));
        args = op == TREE_OP_CREATE    ? kit_args_create(k, path, "payload", flags, prng_below(p, 500))
               : op == TREE_OP_DELETE  ? kit_args_delete(k, path, version)
               : op == TREE_OP_SET     ? kit_args_set(k, path, "other payload", version)
               : op == TREE_OP_SET_ACL ? kit_args_set_acl(k, path, version)
                                       : kit_args_check(k, path, version);
        if (is_multi) tree_multi_part(&multi, op, args);
    }
    command_write_head(&w, MODEL_TREE, is_multi ? TREE_OP_MULTI : op, 1 + prng_below(p, 3), 0);
    kit_write_who(&w, whos[prng_below(p, 5)]);
    write_span(&w, is_multi ? kit_bytes(&multi) : args);
    size_t len = w.len < capacity ? w.len : capacity;
    memcpy(out, w.data, len);
    writer_free(&w);
    writer_free(&multi);
    return len;
}

static size_t damage(struct prng *p, uint8_t *bytes, size_t len) {
    for (uint64_t n = prng_below(p, 2) * prng_below(p, 4); n > 0 && len > 1; n--) {
        size_t at = prng_below(p, len);
        switch (prng_below(p, 5)) {
        case 0:
            bytes[at] = (uint8_t)prng_next(p);
            break;
        case 1:
            bytes[at] ^= (uint8_t)(1u << prng_below(p, 8));
            break;
        case 2:
            len = at + 1;
            break;
        case 3:
            memmove(bytes + at, bytes + at + 1, len - at - 1);
            len--;
            break;
        default:
            bytes[at] = prng_below(p, 2) ? 0xff : 0x80;
        }
    }
    return len;
}

static void apply_survives_any_bytes(void **state) {
    struct kit k;
    struct prng prng;
    uint8_t bytes[4096];
    const char *times = getenv("FUZZ");
    uint64_t rounds = 60000 * (times ? strtoull(times, NULL, 10) : 1);
    size_t good = 0;
    kit_open_tree(&k);
    prng_seed(&prng, times ? rounds : 42);
    tree_set_ephemerals_max(k.tree, 20);
    for (uint64_t i = 0; i < rounds; i++) {
        size_t len;
        if (prng_below(&prng, 50) == 0) {
            len = prng_below(&prng, 100);
            for (size_t b = 0; b < len; b++) bytes[b] = (uint8_t)prng_next(&prng);
        } else {
            len = damage(&prng, bytes, seed_command(&k, &prng, bytes, sizeof bytes));
        }
        uint8_t *exact = malloc(len ? len : 1); // so that ASan sees a read past its end
        memcpy(exact, bytes, len);
        struct command command;
        if (command_read(&command, bytes_of(exact, len))) {
            struct digest before = tree_model.digest(k.tree);
            k.apply.index++;
            k.apply.log_time_ms += prng_below(&prng, 20);
            if (command.model == MODEL_LEASE) {
                lease_model.apply(k.leases, &k.apply, &command, &k.result);
            } else {
                tree_model.apply(k.tree, &k.apply, &command, &k.result);
                if (k.result.error)
                    assert_true(digest_equal(before, tree_model.digest(k.tree)));
                else
                    good++;
            }
        }
        free(exact);
        if (prng_below(&prng, 100) == 0) tree_model.expire(k.tree, &k.apply, 5);
        if (prng_below(&prng, 1000) == 0) tree_model.session_end(k.tree, &k.apply, 1 + prng_below(&prng, 3));
        writer_clear(&k.events);
        if (i % 500 == 0) kit_check_digest(&k);
        if (i % 300 == 0) { // or some SET_ACL of the root ends it all
            tree_model.destroy(k.tree);
            k.tree = tree_model.create();
        }
    }
    print_message("%zu of %llu were applied\n", good, (unsigned long long)rounds);
    assert_true(good > 5000); // else it tests nothing but the decoder
    kit_check_digest(&k);
    kit_close(&k);
}

static void queries_survive_any_bytes(void **state) {
    struct kit k;
    struct prng prng;
    kit_open_tree(&k);
    k.session = 1;
    kit_create(&k, "/a", "x", TREE_EPHEMERAL);
    struct tree_acl_entry acl = {TREE_READ, bytes_of_text("digest"), bytes_of_text("a:b")};
    k.acl = &acl;
    kit_create(&k, "/b", "x", 0);
    prng_seed(&prng, 9);
    for (int i = 0; i < 50000; i++) {
        uint8_t path[8], who[24];
        size_t path_len = prng_below(&prng, 8), who_len = prng_below(&prng, sizeof who);
        for (size_t b = 0; b < path_len; b++) path[b] = (uint8_t) "//ab.\0zx"[prng_below(&prng, 8)];
        for (size_t b = 0; b < who_len; b++)
            who[b] = (uint8_t)(prng_below(&prng, 3) ? prng_below(&prng, 8) : prng_next(&prng));
        uint8_t *p = malloc(path_len + 1), *w = malloc(who_len + 1);
        memcpy(p, path, path_len);
        memcpy(w, who, who_len);
        struct tree_query query = {.op = (enum tree_query_op)prng_below(&prng, 9),
                                   .path = bytes_of(p, path_len),
                                   .identities = {bytes_of(w, who_len)},
                                   .session = prng_below(&prng, 3)};
        tree_model.query(k.tree, &query, &k.result);
        free(p);
        free(w);
    }
    kit_close(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(apply_survives_any_bytes),
        cmocka_unit_test(queries_survive_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
