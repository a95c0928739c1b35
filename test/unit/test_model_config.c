// Namespaces of configuration: named cases, and random commands held against a naive model that keeps every version
// whole.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/alloc.h"
#include "model/config/config.h"
#include "native_kit.h"
#include <stdlib.h>

static const struct config_result *out(const struct native *n) {
    return n->result.value;
}

static void emit(void *context, uint8_t model, const void *event) {
    struct native *n = context;
    struct bytes name = ((const struct config_event *)event)->name;
    size_t len = strlen(n->events);
    assert_int_equal(model, MODEL_CONFIG);
    snprintf(n->events + len, sizeof n->events - len, "%.*s;", (int)name.len, (const char *)name.data);
}

// "a=1 b=2 -c": in the order of keys.
static size_t parse(char *text, struct config_change *changes) {
    size_t count = 0;
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
        char *equals = strchr(word, '=');
        bool deletes = word[0] == '-';
        changes[count++] =
            (struct config_change){.key = deletes ? bytes_of_text(word + 1) : bytes_of(word, (size_t)(equals - word)),
                                   .value = deletes ? bytes_of("", 0) : bytes_of_text(equals + 1),
                                   .deletes = deletes};
    }
    return count;
}

struct how {
    uint64_t base, expected;
    const struct config_selector *gradual;
};
static int publish_how(struct native *n, const char *name, const char *words, const struct how *how) {
    char text[4096];
    struct config_change changes[64];
    struct writer w = {0};
    snprintf(text, sizeof text, "%s", words);
    struct config_publish p = {.name = bytes_of_text(name),
                               .author = bytes_of_text("ann"),
                               .comment = bytes_of_text(words),
                               .expected = how->expected,
                               .base = how->base,
                               .gradual = how->gradual,
                               .changes = changes};
    p.change_count = parse(text, changes);
    config_write_publish(&w, &p);
    return native_run(n, &w);
}
static int publish(struct native *n, const char *name, const char *words) {
    return publish_how(n, name, words, &(struct how){.expected = CONFIG_ANY});
}
static int expecting(struct native *n, const char *name, const char *words, uint64_t expected) {
    return publish_how(n, name, words, &(struct how){.expected = expected});
}
static int rollback(struct native *n, const char *name, uint64_t version) {
    return publish_how(n, name, "", &(struct how){.base = version, .expected = CONFIG_ANY});
}

struct labels { // "zone=a rack=1"
    char text[256];
    struct bytes at[CONFIG_LABELS_MAX];
    size_t count;
};
static void split(struct labels *labels, const char *words) {
    labels->count = 0;
    snprintf(labels->text, sizeof labels->text, "%s", words);
    for (char *word = strtok(labels->text, " "); word; word = strtok(NULL, " "))
        labels->at[labels->count++] = bytes_of_text(word);
}
static int gradually(struct native *n, const char *name, const char *words, const char *label_words, uint32_t percent) {
    struct labels labels;
    split(&labels, label_words);
    struct config_selector selector = {percent, labels.at, labels.count};
    return publish_how(n, name, words, &(struct how){.expected = CONFIG_ANY, .gradual = &selector});
}
static int selects(struct native *n, const char *name, uint64_t version, const char *label_words, uint32_t percent) {
    struct labels labels;
    struct writer w = {0};
    split(&labels, label_words);
    config_write_select(&w, bytes_of_text(name), version, &(struct config_selector){percent, labels.at, labels.count});
    return native_run(n, &w);
}
static int promote(struct native *n, const char *name, uint64_t version) {
    struct writer w = {0};
    config_write_promote(&w, bytes_of_text(name), version);
    return native_run(n, &w);
}
static int abandon(struct native *n, const char *name, uint64_t version) {
    struct writer w = {0};
    config_write_abandon(&w, bytes_of_text(name), version);
    return native_run(n, &w);
}
static int forget(struct native *n, const char *name, uint64_t expected) {
    struct writer w = {0};
    config_write_delete(&w, bytes_of_text(name), expected);
    return native_run(n, &w);
}

// ---- what is there, as text

struct seen {
    char text[1 << 14];
    struct config_info info;
    size_t releases;
};
static void append(struct seen *seen, const char *sign, struct bytes key, const struct bytes *value) {
    size_t len = strlen(seen->text);
    snprintf(seen->text + len, sizeof seen->text - len, "%s%s%.*s%s%.*s", len ? " " : "", sign, (int)key.len,
             (const char *)key.data, value ? "=" : "", value ? (int)value->len : 0,
             value ? (const char *)value->data : "");
}
static void see_space(void *context, const struct config_info *info) {
    ((struct seen *)context)->info = *info;
}
static void see_item(void *context, const struct config_item_info *info) {
    append(context, "", info->key, &info->value);
}
static void see_difference(void *context, const struct config_difference *d) {
    if (d->from) append(context, "<", d->key, d->from);
    if (d->to) append(context, ">", d->key, d->to);
}
static void see_release(void *context, const struct config_release_info *info) {
    static const char states[] = {'p', 'r', 'g', 'a'};
    struct seen *seen = context;
    size_t len = strlen(seen->text);
    seen->releases++;
    snprintf(seen->text + len, sizeof seen->text - len, "%s%llu%c+%u-%u", len ? " " : "",
             (unsigned long long)info->version, states[info->state], info->puts, info->deletes);
}
static int ask(const struct native *n, struct seen *seen, struct config_query *query) {
    struct result result;
    memset(seen, 0, sizeof *seen);
    query->context = seen;
    n->ops->query(n->state, query, &result);
    return result.error;
}
static int show(const struct native *n, struct seen *seen, const char *name, uint64_t version) {
    struct config_query query = {
        .page.name = bytes_of_text(name), .version = version, .space = see_space, .item = see_item};
    return ask(n, seen, &query);
}
static uint64_t shall_have(const struct native *n, struct seen *seen, const char *name, const char *id,
                           const char *label_words) {
    struct labels labels;
    split(&labels, label_words);
    struct config_client client = {bytes_of_text(id), labels.at, labels.count};
    struct config_query query = {
        .page.name = bytes_of_text(name), .client = &client, .space = see_space, .item = see_item};
    return ask(n, seen, &query) == 0 ? seen->info.version : UINT64_MAX;
}
static int diff(const struct native *n, struct seen *seen, const char *name, uint64_t from, uint64_t to) {
    struct config_query query = {
        .page.name = bytes_of_text(name), .version = from, .other = to, .difference = see_difference};
    return ask(n, seen, &query);
}
static void history(const struct native *n, struct seen *seen, const char *name, uint64_t before, size_t max) {
    struct config_query query = {
        .page.name = bytes_of_text(name), .before = before, .max = max, .release = see_release};
    assert_int_equal(ask(n, seen, &query), 0);
}

// ---- named cases

static void publish_changes_several_items_in_one_step(void **state) {
    struct native n;
    struct seen seen;
    native_open(&n, &config_model, emit);
    assert_int_equal(publish(&n, "shop", "a=1 b=2 c=3"), 0);
    assert_true(out(&n)->version == 1 && out(&n)->changed && out(&n)->revision == n.apply.index);
    assert_string_equal(n.events, "shop;");
    assert_int_equal(publish(&n, "shop", "a=9 -b d="), 0);
    assert_int_equal(show(&n, &seen, "shop", 0), 0);
    assert_string_equal(seen.text, "a=9 c=3 d=");
    assert_int_equal(show(&n, &seen, "shop", 1), 0);
    assert_string_equal(seen.text, "a=1 b=2 c=3");
    assert_int_equal(show(&n, &seen, "shop", 3), CONFIG_NOT_FOUND);
    assert_int_equal(diff(&n, &seen, "shop", 1, 2), 0);
    assert_string_equal(seen.text, "<a=1 >a=9 <b=2 >d=");
    assert_int_equal(diff(&n, &seen, "shop", 2, 0), 0); // 0: nothing
    assert_string_equal(seen.text, "<a=9 <c=3 <d=");
    history(&n, &seen, "shop", 0, 10);
    assert_string_equal(seen.text, "2r+2-1 1p+3-0");
    history(&n, &seen, "shop", 2, 10);
    assert_string_equal(seen.text, "1p+3-0");
    native_close(&n);
}

static void publish_that_changes_nothing_gives_no_version(void **state) {
    struct native n;
    native_open(&n, &config_model, emit);
    publish(&n, "shop", "a=1");
    uint64_t revision = out(&n)->revision;
    assert_int_equal(publish(&n, "shop", "a=1 -x"), 0);
    assert_true(!out(&n)->changed && out(&n)->version == 1 && out(&n)->revision == revision);
    assert_string_equal(n.events, "");
    native_close(&n);
}

static void publish_at_another_version_is_refused(void **state) {
    struct native n;
    struct seen seen;
    native_open(&n, &config_model, emit);
    assert_int_equal(expecting(&n, "shop", "a=1", 1), CONFIG_VERSION);
    assert_int_equal(expecting(&n, "shop", "a=1", 0), 0);
    assert_int_equal(expecting(&n, "shop", "a=2", 0), CONFIG_VERSION);
    assert_true(out(&n)->released == 1);
    assert_int_equal(expecting(&n, "shop", "a=2", 1), 0);
    show(&n, &seen, "shop", 0);
    assert_string_equal(seen.text, "a=2");
    native_close(&n);
}

static void rollback_publishes_an_old_version_again(void **state) {
    struct native n;
    struct seen seen;
    native_open(&n, &config_model, emit);
    publish(&n, "shop", "a=1 b=1");
    publish(&n, "shop", "a=2 -b c=2");
    assert_int_equal(rollback(&n, "shop", 7), CONFIG_NOT_FOUND);
    assert_int_equal(rollback(&n, "shop", 1), 0);
    assert_true(out(&n)->version == 3);
    show(&n, &seen, "shop", 3);
    assert_string_equal(seen.text, "a=1 b=1");
    // The whole of a version can be given anew: what is not named is not there.
    assert_int_equal(publish_how(&n, "shop", "z=1", &(struct how){.base = CONFIG_BASE_EMPTY, .expected = 3}), 0);
    show(&n, &seen, "shop", 0);
    assert_string_equal(seen.text, "z=1");
    native_close(&n);
}

static void gradual_release_is_for_whom_its_labels_name(void **state) {
    struct native n;
    struct seen seen;
    native_open(&n, &config_model, emit);
    publish(&n, "shop", "a=1");
    assert_int_equal(gradually(&n, "shop", "a=2", "zone=a zone=b rack=1", 100), 0);
    assert_true(out(&n)->version == 2 && out(&n)->gradual == 2 && out(&n)->released == 1);
    assert_true(shall_have(&n, &seen, "shop", "i", "zone=a rack=1") == 2);
    assert_string_equal(seen.text, "a=2");
    assert_true(shall_have(&n, &seen, "shop", "", "rack=1 zone=b disk=x") == 2);
    assert_true(shall_have(&n, &seen, "shop", "i", "zone=c rack=1") == 1);
    assert_true(shall_have(&n, &seen, "shop", "i", "zone=a") == 1);
    assert_string_equal(seen.text, "a=1");
    assert_int_equal(publish(&n, "shop", "a=3"), CONFIG_RELEASING);
    assert_true(out(&n)->gradual == 2);
    assert_int_equal(forget(&n, "shop", CONFIG_ANY), CONFIG_RELEASING);
    assert_int_equal(selects(&n, "shop", 1, "zone=c", 100), CONFIG_NOT_RELEASING);
    assert_int_equal(selects(&n, "shop", 2, "zone=c", 100), 0);
    assert_string_equal(n.events, "shop;");
    assert_true(shall_have(&n, &seen, "shop", "i", "zone=a rack=1") == 1);
    assert_true(shall_have(&n, &seen, "shop", "i", "zone=c") == 2);
    native_close(&n);
}

static void percentage_grows_over_the_same_clients(void **state) {
    struct native n;
    struct seen seen;
    char id[32];
    bool had[2000] = {false};
    native_open(&n, &config_model, emit);
    publish(&n, "shop", "a=1");
    gradually(&n, "shop", "a=2", "", 0);
    static const uint32_t percents[] = {0, 10, 50, 99, 100};
    for (size_t k = 0; k < sizeof percents / sizeof percents[0]; k++) {
        size_t count = 0;
        selects(&n, "shop", 2, "", percents[k]);
        for (size_t i = 0; i < 2000; i++) {
            snprintf(id, sizeof id, "instance-%zu", i);
            bool has = shall_have(&n, &seen, "shop", id, "") == 2;
            assert_true(has || !had[i]);
            had[i] = has;
            count += has;
        }
        double share = (double)count / 20; // percent; four deviations are 4.5
        assert_true(share > percents[k] - 4.5 && share < percents[k] + 4.5);
        if (percents[k] == 0 || percents[k] == 100) assert_true(count == 20u * percents[k]);
        assert_true(shall_have(&n, &seen, "shop", "", "") == (percents[k] == 100 ? 2 : 1)); // no id
    }
    native_close(&n);
}

static void gradual_release_ends_by_promote_or_abandon(void **state) {
    struct native n;
    struct seen seen;
    native_open(&n, &config_model, emit);
    publish(&n, "shop", "a=1 b=1");
    uint64_t first = out(&n)->revision;
    gradually(&n, "shop", "a=2 -b", "zone=a", 100);
    assert_int_equal(promote(&n, "shop", 1), 0); // it is what all have
    assert_false(out(&n)->changed);
    assert_int_equal(promote(&n, "shop", 3), CONFIG_NOT_RELEASING);
    assert_int_equal(abandon(&n, "shop", 2), 0);
    assert_string_equal(n.events, "shop;");
    assert_true(shall_have(&n, &seen, "shop", "i", "zone=a") == 1 && seen.info.revision == first);
    assert_int_equal(abandon(&n, "shop", 2), 0); // a retry
    assert_false(out(&n)->changed);
    assert_int_equal(promote(&n, "shop", 2), CONFIG_NOT_RELEASING);
    show(&n, &seen, "shop", 2); // is still shown
    assert_string_equal(seen.text, "a=2");
    assert_int_equal(publish(&n, "shop", "c=1"), 0); // to what all have
    assert_true(out(&n)->version == 3);
    show(&n, &seen, "shop", 0);
    assert_string_equal(seen.text, "a=1 b=1 c=1");
    gradually(&n, "shop", "a=4", "", 1);
    assert_int_equal(promote(&n, "shop", 4), 0);
    assert_int_equal(promote(&n, "shop", 4), 0);
    assert_true(shall_have(&n, &seen, "shop", "", "") == 4);
    history(&n, &seen, "shop", 0, 10);
    assert_string_equal(seen.text, "4r+1-0 3p+1-0 2a+1-1 1p+2-0");
    assert_int_equal(rollback(&n, "shop", 2), 0); // an abandoned one may be wanted after all
    show(&n, &seen, "shop", 0);
    assert_string_equal(seen.text, "a=2");
    native_close(&n);
}

static void first_release_may_be_gradual(void **state) {
    struct native n;
    struct seen seen;
    native_open(&n, &config_model, emit);
    assert_int_equal(gradually(&n, "shop", "a=1", "zone=a", 100), 0);
    assert_true(shall_have(&n, &seen, "shop", "", "") == 0 && seen.info.revision == 0);
    assert_string_equal(seen.text, "");
    assert_true(shall_have(&n, &seen, "shop", "", "zone=a") == 1);
    abandon(&n, "shop", 1);
    assert_true(shall_have(&n, &seen, "shop", "", "zone=a") == 0);
    assert_int_equal(expecting(&n, "shop", "a=2", 0), 0);
    assert_true(out(&n)->version == 2);
    native_close(&n);
}

static void history_is_bounded_by_count(void **state) {
    struct native n;
    struct seen seen;
    char words[64];
    native_open(&n, &config_model, emit);
    publish(&n, "shop", "a=0 fixed=x");
    for (unsigned i = 1; i < 3 * CONFIG_HISTORY_MAX; i++) { // what all have stays, however much is abandoned
        snprintf(words, sizeof words, "a=%u", i);
        assert_int_equal(gradually(&n, "shop", words, "", 50), 0);
        assert_int_equal(abandon(&n, "shop", i + 1), 0);
        native_check(&n);
    }
    show(&n, &seen, "shop", 0);
    assert_string_equal(seen.text, "a=0 fixed=x");
    assert_true(seen.info.releases == CONFIG_HISTORY_MAX);
    assert_int_equal(show(&n, &seen, "shop", 2), CONFIG_NOT_FOUND);
    uint64_t bytes = seen.info.bytes;
    for (unsigned i = 0; i < 3 * CONFIG_HISTORY_MAX; i++) {
        snprintf(words, sizeof words, "a=%u", i + 1000);
        assert_int_equal(publish(&n, "shop", words), 0);
    }
    show(&n, &seen, "shop", 5 * CONFIG_HISTORY_MAX + 1);
    assert_string_equal(seen.text, "a=1200 fixed=x");
    show(&n, &seen, "shop", 0);
    assert_true(seen.info.releases == CONFIG_HISTORY_MAX && seen.info.bytes >= bytes);
    assert_true(seen.info.bytes == CONFIG_HISTORY_MAX * (CONFIG_ITEM_BYTES + 5) + CONFIG_ITEM_BYTES + 6);
    native_close(&n);
}

static int publish_large(struct native *n, uint8_t *bytes, char fill, unsigned items) {
    struct config_change changes[8];
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct writer w = {0};
    memset(bytes, fill, CONFIG_VALUE_BYTES_MAX);
    for (unsigned i = 0; i < items; i++)
        changes[i] =
            (struct config_change){.key = bytes_of_text(keys[i]), .value = bytes_of(bytes, CONFIG_VALUE_BYTES_MAX - 1)};
    struct config_publish p = {
        .name = bytes_of_text("large"), .expected = CONFIG_ANY, .changes = changes, .change_count = items};
    config_write_publish(&w, &p);
    return native_run(n, &w);
}

static void history_is_bounded_by_bytes(void **state) {
    struct native n, copy;
    struct seen seen;
    uint8_t *bytes = test_malloc(CONFIG_VALUE_BYTES_MAX);
    native_open(&n, &config_model, emit);
    assert_int_equal(publish_large(&n, bytes, 'x', 5), CONFIG_LIMIT);
    for (int i = 0; i < 30; i++) assert_int_equal(publish_large(&n, bytes, (char)('a' + i % 26), 4), 0);
    show(&n, &seen, "large", 30);
    assert_true(seen.info.bytes <= CONFIG_HISTORY_BYTES_MAX && seen.info.releases == 7);
    native_copy(&n, &copy, SAVE_RECORD_BYTES_MAX);
    show(&copy, &seen, "large", 30);
    assert_true(seen.info.bytes <= CONFIG_HISTORY_BYTES_MAX && seen.info.releases == 7);
    native_close(&copy);
    native_close(&n);
    test_free(bytes);
}

static void deleted_namespace_is_gone_and_may_come_again(void **state) {
    struct native n;
    struct seen seen;
    native_open(&n, &config_model, emit);
    assert_int_equal(forget(&n, "shop", CONFIG_ANY), CONFIG_NOT_FOUND);
    publish(&n, "shop", "a=1");
    uint64_t revision = out(&n)->revision;
    uint64_t other = n.ops->memory(n.state);
    publish(&n, "other", "a=1");
    assert_int_equal(forget(&n, "shop", 2), CONFIG_VERSION);
    assert_int_equal(forget(&n, "shop", 1), 0);
    assert_string_equal(n.events, "shop;");
    assert_true(n.ops->memory(n.state) == other + 1); // the name's length
    assert_int_equal(show(&n, &seen, "shop", 0), CONFIG_NOT_FOUND);
    publish(&n, "shop", "a=1");
    assert_true(out(&n)->version == 1 && out(&n)->revision > revision);
    show(&n, &seen, "other", 0);
    assert_string_equal(seen.text, "a=1");
    native_close(&n);
}

static void bad_arguments_are_refused(void **state) {
    struct native n;
    char long_key[CONFIG_KEY_BYTES_MAX + 4];
    native_open(&n, &config_model, emit);
    memset(long_key, 'k', sizeof long_key);
    memcpy(long_key + CONFIG_KEY_BYTES_MAX, "k=1", 4);
    assert_int_equal(publish(&n, "", "a=1"), CONFIG_BAD_ARGUMENTS);
    assert_int_equal(publish(&n, "shop", "b=1 a=1"), CONFIG_BAD_ARGUMENTS);
    assert_int_equal(publish(&n, "shop", "a=1 a=2"), CONFIG_BAD_ARGUMENTS);
    assert_int_equal(publish(&n, "shop", "=1"), CONFIG_BAD_ARGUMENTS);
    assert_int_equal(publish(&n, "shop", long_key), CONFIG_BAD_ARGUMENTS);
    assert_int_equal(publish(&n, "shop", long_key + 1), 0);
    assert_int_equal(gradually(&n, "shop", "a=1", "zone", 100), CONFIG_BAD_ARGUMENTS);
    assert_int_equal(gradually(&n, "shop", "a=1", "=a", 100), CONFIG_BAD_ARGUMENTS);
    assert_int_equal(gradually(&n, "shop", "a=1", "", 101), CONFIG_BAD_ARGUMENTS);
    assert_int_equal(promote(&n, "none", 1), CONFIG_NOT_FOUND);
    native_close(&n);
}

static void garbage_is_refused(void **state) {
    struct native n;
    native_open(&n, &config_model, emit);
    native_garbage(&n, 1);
    native_close(&n);
}

static void namespaces_are_listed(void **state) {
    struct native n;
    struct seen seen;
    native_open(&n, &config_model, emit);
    publish(&n, "b", "x=1");
    publish(&n, "a", "x=1");
    publish(&n, "a", "x=2");
    struct config_query query = {.page = {.max = 1}, .space = see_space};
    ask(&n, &seen, &query);
    assert_true(bytes_equal(seen.info.name, bytes_of_text("a")) && seen.info.released == 2);
    query.page = (struct items_page){.after = bytes_of_text("a"), .max = 9};
    ask(&n, &seen, &query);
    assert_true(bytes_equal(seen.info.name, bytes_of_text("b")));
    native_close(&n);
}

// ---- random commands against a naive model

enum { SPACES = 3, KEYS = 6, VERSIONS = 3000 };
static const char *const spaces[SPACES] = {"s", "shop", "shop2"};
static const char *const keys[KEYS] = {"a", "a.b", "ab", "b", "b/c", "z"};
struct naive_version {
    bool kept, abandoned;
    char items[KEYS]; // 0: it is not there
};
struct naive_space {
    bool there;
    uint64_t released, gradual, newest;
    bool zone_a; // the gradual release is for zone=a, else for all
    struct naive_version versions[VERSIONS];
};

static void naive_trim(struct naive_space *s) {
    size_t count = 0;
    for (uint64_t v = 1; v <= s->newest; v++) count += s->versions[v].kept;
    for (uint64_t v = 1; v <= s->newest && count > CONFIG_HISTORY_MAX; v++) {
        if (!s->versions[v].kept || v == s->released || v == s->gradual) continue;
        s->versions[v].kept = false;
        count--;
    }
}

static void random_publish(struct native *n, struct naive_space *s, struct prng *prng, const char *name) {
    char words[128] = "", items[KEYS];
    uint64_t base = prng_below(prng, 4) ? 0 : prng_below(prng, 4) ? prng_below(prng, s->newest + 3) : CONFIG_BASE_EMPTY;
    bool gradual = prng_below(prng, 3) == 0, zone_a = prng_below(prng, 2) == 0;
    uint64_t expected = prng_below(prng, 5) ? CONFIG_ANY : prng_below(prng, 4) ? s->released : s->newest;
    memcpy(items, s->versions[base == 0 ? s->released : base <= s->newest ? base : 0].items, sizeof items);
    if (base == CONFIG_BASE_EMPTY) memset(items, 0, sizeof items);
    for (size_t i = 0; i < KEYS; i++) {
        if (prng_below(prng, 3)) continue;
        items[i] = prng_below(prng, 3) ? (char)('0' + prng_below(prng, 3)) : '\0';
        size_t len = strlen(words);
        if (items[i])
            snprintf(words + len, sizeof words - len, "%s=%c ", keys[i], items[i]);
        else
            snprintf(words + len, sizeof words - len, "-%s ", keys[i]);
    }
    struct bytes label = bytes_of_text("zone=a");
    struct config_selector selector = {100, &label, zone_a};
    int error = publish_how(n, name, words, &(struct how){base, expected, gradual ? &selector : NULL});
    bool same = s->released != 0 && memcmp(items, s->versions[s->released].items, sizeof items) == 0;
    bool none = base != 0 && base != CONFIG_BASE_EMPTY && (base > s->newest || !s->versions[base].kept);
    int wanted = expected != CONFIG_ANY && expected != s->released ? CONFIG_VERSION
                 : s->gradual                                      ? CONFIG_RELEASING
                 : none                                            ? CONFIG_NOT_FOUND
                                                                   : 0;
    assert_int_equal(error, wanted);
    assert_true(out(n)->released == (error || same || gradual ? s->released : s->newest + 1));
    if (error != 0) return;
    assert_true(out(n)->changed == !same && (n->events[0] != '\0') == !same);
    if (same) return;
    s->there = true;
    assert_true(out(n)->version == s->newest + 1 && s->newest + 2 < VERSIONS);
    struct naive_version *v = &s->versions[++s->newest];
    *v = (struct naive_version){.kept = true};
    memcpy(v->items, items, sizeof items);
    if (gradual)
        s->gradual = s->newest;
    else
        s->released = s->newest;
    s->zone_a = zone_a;
    naive_trim(s);
}

static void check_items(const struct seen *seen, const struct naive_version *v) {
    char text[256] = "";
    for (size_t i = 0; i < KEYS; i++) {
        size_t len = strlen(text);
        if (v->items[i]) snprintf(text + len, sizeof text - len, "%s%s=%c", len ? " " : "", keys[i], v->items[i]);
    }
    assert_string_equal(seen->text, text);
}

static void random_query(const struct native *n, const struct naive_space *s, struct prng *prng, const char *name) {
    struct seen seen;
    uint64_t version = 1 + prng_below(prng, s->newest + 2), other = prng_below(prng, s->newest + 2);
    bool kept = version <= s->newest && s->versions[version].kept;
    assert_int_equal(show(n, &seen, name, version), kept ? 0 : CONFIG_NOT_FOUND);
    if (kept) check_items(&seen, &s->versions[version]);
    bool both = kept && (other == 0 || (other <= s->newest && s->versions[other].kept));
    assert_int_equal(diff(n, &seen, name, version, other), both ? 0 : CONFIG_NOT_FOUND);
    char text[512] = "";
    for (size_t i = 0; both && i < KEYS; i++) {
        char from = s->versions[version].items[i], to = s->versions[other].items[i];
        size_t len = strlen(text);
        if (from && from != to) snprintf(text + len, sizeof text - len, "%s<%s=%c", len ? " " : "", keys[i], from);
        len = strlen(text);
        if (to && from != to) snprintf(text + len, sizeof text - len, "%s>%s=%c", len ? " " : "", keys[i], to);
    }
    assert_string_equal(seen.text, text);
    if (!s->there) return;
    bool selected = prng_below(prng, 2) == 0;
    uint64_t has = s->gradual && (selected || !s->zone_a) ? s->gradual : s->released;
    assert_true(shall_have(n, &seen, name, "i", selected ? "zone=a" : "zone=b") == has);
    check_items(&seen, &s->versions[has]);
    history(n, &seen, name, 0, 1000);
    size_t count = 0;
    for (uint64_t v = 1; v <= s->newest; v++) count += s->versions[v].kept;
    assert_true(seen.releases == count);
}

static void random_step(struct native *n, struct naive_space *s, struct prng *prng, const char *name) {
    uint64_t version = prng_below(prng, 4) ? s->gradual : s->released;
    int ended = !s->there ? CONFIG_NOT_FOUND : s->gradual && version == s->gradual ? 0 : CONFIG_NOT_RELEASING;
    switch (prng_below(prng, 16)) {
    case 0: {
        bool promoted = s->there && version != 0 && version == s->released;
        assert_int_equal(promote(n, name, version), promoted ? 0 : ended);
        if (ended == 0 || promoted) s->released = version;
        if (ended == 0) s->gradual = 0;
        break;
    }
    case 1:
    case 2:
        assert_int_equal(abandon(n, name, version), ended);
        if (ended == 0) s->versions[version].abandoned = true;
        if (ended == 0) s->gradual = 0;
        break;
    case 3: {
        bool zone_a = prng_below(prng, 2) == 0;
        assert_int_equal(selects(n, name, version, zone_a ? "zone=a" : "", 100), ended);
        if (ended == 0) s->zone_a = zone_a;
        break;
    }
    case 4:
        if (prng_below(prng, 20)) break;
        assert_int_equal(forget(n, name, CONFIG_ANY), !s->there ? CONFIG_NOT_FOUND : s->gradual ? CONFIG_RELEASING : 0);
        if (s->there && s->gradual == 0) memset(s, 0, sizeof *s);
        break;
    default:
        random_publish(n, s, prng, name);
    }
}

static void random_commands_match_a_naive_model(void **state) {
    struct naive_space *m = test_malloc(SPACES * sizeof *m);
    struct native n, copy;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct prng prng;
        prng_seed(&prng, seed);
        memset(m, 0, SPACES * sizeof *m);
        native_open(&n, &config_model, emit);
        for (int i = 0; i < 3000; i++) {
            size_t k = prng_below(&prng, SPACES);
            random_step(&n, &m[k], &prng, spaces[k]);
            random_query(&n, &m[k], &prng, spaces[k]);
            if (i % 16 == 0) native_check(&n);
            if (prng_below(&prng, 200) != 0) continue;
            native_copy(&n, &copy, 6000); // goes on from what was saved
            native_close(&n);
            n = copy;
            n.apply.emit_context = &n;
        }
        native_close(&n);
    }
    test_free(m);
}

static void damage_is_refused_or_harmless(void **state) {
    struct native n;
    struct seen seen;
    native_open(&n, &config_model, emit);
    publish(&n, "shop", "a=1 b=2 c=3");
    publish(&n, "shop", "a=2 -b");
    gradually(&n, "shop", "a=3 d=9", "zone=a zone=b", 30);
    publish(&n, "other", "x=1");
    native_damage(&n, 7);
    show(&n, &seen, "shop", 0);
    native_close(&n);
}

// A namespace whose records were damaged in a way that no check finds: each operation still ends.
static void damaged_state_can_be_used(void **state) {
    static uint8_t saved[1 << 16], bad[1 << 16];
    struct native n;
    struct prng prng;
    struct seen seen;
    prng_seed(&prng, 3);
    native_open(&n, &config_model, emit);
    publish(&n, "shop", "a=1 b=2 c=3");
    publish(&n, "shop", "a=2 -b");
    gradually(&n, "shop", "a=3 d=9", "zone=a", 30);
    struct save_cursor cursor = {0};
    size_t len = n.ops->save(n.state, &cursor, saved, sizeof saved), used = 0;
    for (int i = 0; i < 6000; i++) {
        struct native other = n;
        memcpy(bad, saved, len);
        bad[prng_below(&prng, len)] ^= (uint8_t)(1u << prng_below(&prng, 8));
        other.state = n.ops->create();
        other.apply.emit_context = &other;
        if (n.ops->load(other.state, bad, len) == 0) {
            used++;
            promote(&other, "shop", 3);
            abandon(&other, "shop", 3);
            publish(&other, "shop", "a=8 e=1");
            rollback(&other, "shop", 1);
            history(&other, &seen, "shop", 0, 100);
            native_check(&other);
        }
        n.ops->destroy(other.state);
    }
    assert_true(used > 100);
    native_close(&n);
}

static void cost_of_a_publish(void **state) {
    struct native n;
    struct timespec begin;
    char words[32];
    native_open(&n, &config_model, NULL);
    for (int i = 0; i < 1000; i++) {
        snprintf(words, sizeof words, "key-%d=0123456789", i);
        publish(&n, "many", words);
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 1000; i++) {
        snprintf(words, sizeof words, "key-%d=%d", i, i);
        assert_int_equal(publish(&n, "many", words), 0);
    }
    native_rate("config publish of one of 1000 items", 1000, &begin);
    native_close(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publish_changes_several_items_in_one_step),
        cmocka_unit_test(publish_that_changes_nothing_gives_no_version),
        cmocka_unit_test(publish_at_another_version_is_refused),
        cmocka_unit_test(rollback_publishes_an_old_version_again),
        cmocka_unit_test(gradual_release_is_for_whom_its_labels_name),
        cmocka_unit_test(percentage_grows_over_the_same_clients),
        cmocka_unit_test(gradual_release_ends_by_promote_or_abandon),
        cmocka_unit_test(first_release_may_be_gradual),
        cmocka_unit_test(history_is_bounded_by_count),
        cmocka_unit_test(history_is_bounded_by_bytes),
        cmocka_unit_test(deleted_namespace_is_gone_and_may_come_again),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(namespaces_are_listed),
        cmocka_unit_test(random_commands_match_a_naive_model),
        cmocka_unit_test(damage_is_refused_or_harmless),
        cmocka_unit_test(damaged_state_can_be_used),
        cmocka_unit_test(cost_of_a_publish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
