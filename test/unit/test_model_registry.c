// The registry: named cases, and random commands held against a naive model.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "registry_kit.h"

static void an_instance_dies_with_its_session(void **state) {
    struct native n;
    native_open(&n, &registry_model, registry_line);
    struct registry_registration q = registration("web", "a1");
    assert_int_equal(enter(&n, 7, &q), 0);
    assert_string_equal(n.events, "registered web/a1 now\n");
    q.id = bytes_of_text("a2");
    assert_int_equal(enter(&n, 8, &q), 0);
    assert_string_equal(show(&n, "web")->text, "a1 a2");
    uint64_t version = show(&n, "web")->service.version;
    native_end_session(&n, 7);
    assert_string_equal(n.events, "removed web/a1 now\n"); // in the entry that ends it
    assert_string_equal(show(&n, "web")->text, "a2");
    assert_true(show(&n, "web")->service.version > version);
    q.binding = REGISTRY_BY_SESSION;
    assert_int_equal(enter(&n, 0, &q), REGISTRY_BAD_ARGUMENTS); // nothing would ever end it
    native_end_session(&n, 8);
    assert_string_equal(show(&n, "web")->text, "");
    native_close(&n);
}

static void an_instance_that_nobody_renews_goes(void **state) {
    struct native n;
    native_open(&n, &registry_model, registry_line);
    assert_int_equal(enter_ttl(&n, "web", "a1", 1000), 0);
    uint64_t number = out(&n)->registration, version = out(&n)->version;
    native_pass(&n, 900);
    assert_int_equal(renew(&n, "web", "a1", number, 0), 0);
    assert_true(show(&n, "web")->service.version == version); // a renewal is no change
    assert_int_equal(renew(&n, "web", "a1", number + 1, 0), REGISTRY_OLD);
    native_pass(&n, 999);
    assert_string_equal(show(&n, "web")->text, "a1");
    assert_int_equal(native_pass(&n, 1), 1);
    assert_string_equal(n.events, "removed web/a1 now\n");
    assert_int_equal(renew(&n, "web", "a1", number, 0), REGISTRY_NOT_FOUND);
    native_close(&n);
}

static void the_newest_registration_of_an_id_counts(void **state) {
    struct native n;
    native_open(&n, &registry_model, registry_line);
    struct registry_registration q = registration("web", "a1");
    assert_int_equal(enter(&n, 7, &q), 0);
    uint64_t old = out(&n)->registration;
    q.address = bytes_of_text("10.0.0.9:80");
    assert_int_equal(enter(&n, 8, &q), 0); // restarted, while its old session still lives
    assert_true(out(&n)->replaced == old && out(&n)->registration > old);
    assert_string_equal(n.events, "registered web/a1 now\n");
    assert_int_equal(leave(&n, "web", "a1", old), REGISTRY_OLD); // what the old process does late is void
    assert_int_equal(report(&n, "web", "a1", old, 0, REGISTRY_FAILING), REGISTRY_OLD);
    native_end_session(&n, 7);
    assert_string_equal(n.events, "");
    assert_string_equal(show(&n, "web")->text, "a1");
    assert_memory_equal(show(&n, "web")->last.address.data, "10.0.0.9:80", 11);
    assert_int_equal(leave(&n, "web", "a1", 0), 0); // an operator need not know it
    native_close(&n);
}

static void versions_never_go_back(void **state) {
    struct native n;
    native_open(&n, &registry_model, registry_line);
    uint64_t before = show(&n, "web")->service.version; // of a service that never was
    assert_true(before == 1);
    enter_ttl(&n, "web", "a1", 1000);
    uint64_t first = out(&n)->version;
    assert_true(first > before && first == n.apply.index);
    drain(&n, "web", "a1", true);
    uint64_t second = out(&n)->version;
    assert_true(second > first);
    enter_ttl(&n, "other", "b1", 1000);
    assert_true(show(&n, "web")->service.version == second); // others' changes are not its own
    leave(&n, "web", "a1", 0);
    uint64_t third = show(&n, "web")->service.version;
    assert_true(third > second);
    enter_ttl(&n, "web", "a1", 1000);
    assert_true(out(&n)->version > third);
    native_close(&n);
}

static void a_deposed_leaders_report_is_void(void **state) {
    struct native n;
    native_open(&n, &registry_model, registry_line);
    struct registry_registration q = registration("web", "a1");
    q.binding = REGISTRY_PERMANENT;
    assert_int_equal(enter(&n, 0, &q), REGISTRY_BAD_ARGUMENTS); // permanent wants a check
    q.check = TCP_CHECK;
    assert_int_equal(enter(&n, 0, &q), 0);
    uint64_t number = out(&n)->registration;
    assert_string_equal(show(&n, "web")->text, "a1-"); // nobody has looked yet
    assert_int_equal(report(&n, "web", "a1", number, 5, REGISTRY_PASSING), 0);
    assert_true(out(&n)->changed);
    assert_string_equal(n.events, "changed web/a1 now\n");
    assert_string_equal(show(&n, "web")->text, "a1");
    assert_int_equal(report(&n, "web", "a1", number, 4, REGISTRY_FAILING), REGISTRY_OLD);
    assert_string_equal(show(&n, "web")->text, "a1");
    assert_int_equal(report(&n, "web", "a1", number, 6, REGISTRY_PASSING), 0); // says nothing new
    assert_true(!out(&n)->changed && n.events[0] == '\0');
    assert_int_equal(report(&n, "web", "a1", number, 5, REGISTRY_FAILING), REGISTRY_OLD);
    assert_int_equal(report(&n, "web", "a1", number, 0, REGISTRY_FAILING), REGISTRY_BAD_ARGUMENTS); // it is checked
    assert_int_equal(enter(&n, 0, &q), 0);
    assert_string_equal(show(&n, "web")->text, "a1-"); // begins anew
    native_close(&n);
}

static void who_is_not_checked_says_it_of_himself(void **state) {
    struct native n;
    native_open(&n, &registry_model, registry_line);
    enter_ttl(&n, "web", "a1", 1000);
    uint64_t number = out(&n)->registration;
    assert_int_equal(report(&n, "web", "a1", number, 3, REGISTRY_FAILING), REGISTRY_BAD_ARGUMENTS);
    assert_int_equal(report(&n, "web", "a1", number, 0, REGISTRY_FAILING), 0);
    assert_string_equal(show(&n, "web")->text, "a1-");
    assert_int_equal(report(&n, "web", "a1", number, 0, REGISTRY_UNKNOWN), REGISTRY_BAD_ARGUMENTS);
    assert_int_equal(report(&n, "web", "a1", number, 0, REGISTRY_PASSING), 0);
    assert_string_equal(show(&n, "web")->text, "a1");
    native_close(&n);
}

static void an_update_changes_only_what_it_names(void **state) {
    struct native n;
    struct writer pairs = {0};
    native_open(&n, &registry_model, registry_line);
    enter_ttl(&n, "web", "a1", 1000);
    registry_metadata_write(&pairs, bytes_of_text("rack"), bytes_of_text("r 12"));
    registry_metadata_write(&pairs, bytes_of_text("build"), bytes_of_text(""));
    struct registry_update update = {.service = bytes_of_text("web"),
                                     .id = bytes_of_text("a1"),
                                     .what = REGISTRY_SET_METADATA,
                                     .weight = 7,
                                     .drain = true,
                                     .metadata = bytes_of(pairs.data, pairs.len)};
    uint64_t memory = n.ops->memory(n.state);
    assert_int_equal(change(&n, &update), 0);
    assert_true(n.ops->memory(n.state) == memory + pairs.len);
    struct registry_info info = show(&n, "web")->last;
    assert_true(info.weight == 1 && !info.draining);
    assert_memory_equal(registry_metadata_get(info.metadata, bytes_of_text("rack")).data, "r 12", 4);
    assert_true(registry_metadata_get(info.metadata, bytes_of_text("build")).data != NULL);
    assert_true(registry_metadata_get(info.metadata, bytes_of_text("none")).data == NULL);
    update.what = REGISTRY_SET_WEIGHT | REGISTRY_SET_DRAIN;
    update.metadata = bytes_of(NULL, 0);
    assert_int_equal(change(&n, &update), 0);
    info = show(&n, "web")->last;
    assert_true(info.weight == 7 && info.draining && info.metadata.len == pairs.len);
    assert_string_equal(picked(&n, "web", &(struct registry_pick){.strategy = REGISTRY_RANDOM}), "none"); // drained
    writer_free(&pairs);
    native_close(&n);
}

static void only_safe_names_addresses_and_metadata(void **state) {
    static const char *const bad[] = {"",     "10.0.0.1", "10.0.0.1:",   ":80",   "h:0",     "h:65536", "h:080",
                                      "h:8x", "a b:80",   "x;}evil{:80", "[]:80", "[::1:80", "::1]:80", "h\n:80"};
    static const char *const good[] = {"10.0.0.1:1", "h:65535", "[::1]:80", "[fe80::1%eth0]:80", "a.b-c_d:443"};
    static const char *const names[] = {"", "a b", "a\n", "a;", "a{", "a\"", "\xc3\xa9"};
    struct native n;
    native_open(&n, &registry_model, registry_line);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(registry_address_good(bytes_of_text(bad[i])));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(registry_address_good(bytes_of_text(good[i])));
    struct registry_registration q = registration("web", "a1");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        q = registration(names[i], "a1");
        assert_int_equal(enter(&n, 7, &q), REGISTRY_BAD_ARGUMENTS);
        q = registration("web", names[i]);
        assert_int_equal(enter(&n, 7, &q), REGISTRY_BAD_ARGUMENTS);
    }
    static const char *const metadata[] = {"\x01k\x01v\x01k\x01w", "\x01k\x01\n", "\x02k", "\x01 \x01v", "\x00\x01v"};
    for (size_t i = 0; i < sizeof metadata / sizeof metadata[0]; i++) {
        q = registration("web", "a1");
        q.metadata = bytes_of(metadata[i], i == 4 ? 3 : strlen(metadata[i]));
        assert_int_equal(enter(&n, 7, &q), REGISTRY_BAD_ARGUMENTS);
    }
    q = registration("web", "a1");
    q.check = TCP_CHECK;
    q.check.kind = REGISTRY_CHECK_HTTP;
    q.check.path = bytes_of_text("/a b HTTP/1.1"); // it goes into a request line
    assert_int_equal(enter(&n, 7, &q), REGISTRY_BAD_ARGUMENTS);
    q.check.path = bytes_of_text("/health?x=1");
    assert_int_equal(enter(&n, 7, &q), 0);
    native_close(&n);
}

static void one_session_and_one_service_are_bounded(void **state) {
    struct native n;
    char id[32];
    native_open(&n, &registry_model, NULL);
    for (unsigned i = 0; i < REGISTRY_SESSION_MAX; i++) {
        snprintf(id, sizeof id, "i%u", i);
        struct registry_registration q = registration("web", id);
        assert_int_equal(enter(&n, 7, &q), 0);
    }
    struct registry_registration more = registration("web", "more"), again = registration("web", "i5");
    assert_int_equal(enter(&n, 7, &more), REGISTRY_LIMIT);
    assert_int_equal(enter(&n, 7, &again), 0); // takes its own place
    assert_int_equal(lease(&n, 7, "web", 1000), REGISTRY_LIMIT);
    for (unsigned i = REGISTRY_SESSION_MAX; i < REGISTRY_SERVICE_MAX; i++) {
        snprintf(id, sizeof id, "i%u", i);
        assert_int_equal(enter_ttl(&n, "web", id, 1000), 0);
    }
    assert_int_equal(enter_ttl(&n, "web", "more", 1000), REGISTRY_LIMIT);
    assert_int_equal(enter_ttl(&n, "web", "i0", 1000), 0);
    native_end_session(&n, 7);
    assert_true(show(&n, "web")->service.instances == REGISTRY_SERVICE_MAX - REGISTRY_SESSION_MAX + 1);
    native_close(&n);
}

static void leases_count_who_is_at_work(void **state) {
    struct native n;
    native_open(&n, &registry_model, registry_line);
    assert_int_equal(lease(&n, 0, "web", 1000), REGISTRY_NONE);
    enter_ttl(&n, "web", "a1", 100000);
    enter_ttl(&n, "web", "a2", 100000);
    uint64_t version = out(&n)->version, tokens[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(lease(&n, i == 3 ? 9 : 0, "web", i == 0 ? 500 : 5000), 0);
        tokens[i] = out(&n)->token;
        assert_memory_equal(out(&n)->instance.id.data, i % 2 == 0 ? "a1" : "a2", 2);
    }
    assert_true(show(&n, "web")->service.leases == 4 && show(&n, "web")->service.version == version);
    assert_int_equal(release(&n, tokens[1]), 0);
    assert_int_equal(release(&n, tokens[1]), REGISTRY_NOT_FOUND);
    assert_int_equal(lease(&n, 0, "web", 5000), 0); // a1 has two, a2 has one
    assert_memory_equal(out(&n)->instance.id.data, "a2", 2);
    native_pass(&n, 500); // the first one's caller never came back
    assert_int_equal(lease(&n, 0, "web", 5000), 0);
    assert_memory_equal(out(&n)->instance.id.data, "a1", 2);
    native_end_session(&n, 9); // a2 has one again
    assert_true(show(&n, "web")->last.active == 1);
    assert_int_equal(enter_ttl(&n, "web", "a2", 100000), 0); // another process: its leases are void
    assert_true(show(&n, "web")->last.active == 0);
    leave(&n, "web", "a2", 0);
    leave(&n, "web", "a1", 0);
    assert_int_equal(release(&n, tokens[2]), REGISTRY_NOT_FOUND);
    native_close(&n);
}

static void a_lease_goes_by_weight(void **state) {
    struct native n;
    int heavy = 0;
    native_open(&n, &registry_model, NULL);
    struct registry_registration q = registration("web", "heavy");
    q.weight = 3;
    enter(&n, 7, &q);
    enter_ttl(&n, "web", "light", 1000000);
    for (int i = 0; i < 400; i++) {
        assert_int_equal(lease(&n, 0, "web", 100000), 0);
        heavy += out(&n)->instance.id.data[0] == 'h';
    }
    assert_int_equal(heavy, 300);
    native_close(&n);
}

// ---- random commands against a model that is written apart: a flat list, looked through from end to end

#define NAIVE_MAX 24
struct naive_instance {
    bool there, draining;
    int service, id, weight, health, binding;
    uint64_t registration, session, ttl_ms, due_ms, term, given;
    bool checked;
};
struct naive_lease {
    uint64_t token, session, due_ms;
    int at; // whose
};
struct naive {
    struct naive_instance all[NAIVE_MAX];
    struct naive_lease leases[4096];
    size_t lease_count;
    uint64_t versions[3];
};
static const char *const SERVICES[] = {"a", "a-b", "web/1"};
static const char *const IDS[] = {"1", "10", "2", "x:80", "y", "z"};

static struct naive_instance *naive_at(struct naive *m, int service, int id) {
    return &m->all[service * 6 + id];
}

static void naive_forget_leases(struct naive *m, int at) {
    for (size_t i = 0; i < m->lease_count;) {
        if (m->leases[i].at == at)
            m->leases[i] = m->leases[--m->lease_count];
        else
            i++;
    }
}

static void naive_drop(struct naive *m, int at, uint64_t index) {
    naive_forget_leases(m, at);
    m->versions[m->all[at].service] = index;
    m->all[at].there = false;
}

static size_t naive_active(const struct naive *m, int at) {
    size_t count = 0;
    for (size_t i = 0; i < m->lease_count; i++) count += m->leases[i].at == at;
    return count;
}

static void naive_check(struct naive *m, const struct native *n) {
    for (int s = 0; s < 3; s++) {
        char wanted[256] = "";
        size_t leases = 0;
        for (int i = 0; i < 6; i++) {
            const struct naive_instance *one = naive_at(m, s, i);
            if (!one->there) continue;
            if (wanted[0] != '\0') strcat(wanted, " ");
            strcat(wanted, IDS[i]);
            if (one->draining || one->health != REGISTRY_PASSING) strcat(wanted, "-");
            leases += naive_active(m, s * 6 + i);
        }
        const struct shown *shown = show(n, SERVICES[s]);
        assert_string_equal(shown->text, wanted);
        assert_int_equal(shown->service.leases, leases);
        if (wanted[0] != '\0') assert_true(shown->service.version == m->versions[s]);
        assert_true(shown->service.version >= m->versions[s]);
    }
    native_check(n);
}

static void random_register(struct naive *m, struct native *n, struct prng *p) {
    int s = (int)prng_below(p, 3), i = (int)prng_below(p, 6);
    struct registry_registration q = registration(SERVICES[s], IDS[i]);
    uint64_t session = 1 + prng_below(p, 3);
    q.weight = 1 + (uint32_t)prng_below(p, 4);
    q.binding = (enum registry_binding)prng_below(p, 3);
    if (q.binding == REGISTRY_BY_TTL) q.ttl_ms = 1 + prng_below(p, 3000);
    if (q.binding == REGISTRY_PERMANENT || prng_below(p, 3) == 0) q.check = TCP_CHECK;
    assert_int_equal(enter(n, session, &q), 0);
    struct naive_instance *one = naive_at(m, s, i);
    assert_true(out(n)->replaced == (one->there ? one->registration : 0));
    naive_forget_leases(m, s * 6 + i);
    *one = (struct naive_instance){.there = true, .service = s, .id = i, .weight = (int)q.weight};
    one->binding = q.binding;
    one->checked = q.check.kind != REGISTRY_CHECK_NONE;
    one->health = one->checked ? REGISTRY_UNKNOWN : REGISTRY_PASSING;
    one->registration = out(n)->registration;
    one->session = q.binding == REGISTRY_BY_SESSION ? session : 0;
    one->ttl_ms = q.ttl_ms;
    one->due_ms = q.binding == REGISTRY_BY_TTL ? n->apply.log_time_ms + q.ttl_ms : UINT64_MAX;
    m->versions[s] = n->apply.index;
}

static int naive_find(struct naive_instance *one, uint64_t number) {
    if (!one->there) return REGISTRY_NOT_FOUND;
    return number != 0 && number != one->registration ? REGISTRY_OLD : 0;
}

static void random_instance_command(struct naive *m, struct native *n, struct prng *p) {
    int s = (int)prng_below(p, 3), i = (int)prng_below(p, 6);
    struct naive_instance *one = naive_at(m, s, i);
    uint64_t number = one->registration - (prng_below(p, 5) == 0), term = prng_below(p, 4);
    int wanted = naive_find(one, number);
    bool on = prng_below(p, 2) == 0;
    switch (prng_below(p, 4)) {
    case 0:
        assert_int_equal(leave(n, SERVICES[s], IDS[i], number), wanted);
        if (wanted == 0) naive_drop(m, s * 6 + i, n->apply.index);
        break;
    case 1:
        if (number == 0 || (wanted == 0 && one->binding != REGISTRY_BY_TTL)) wanted = REGISTRY_BAD_ARGUMENTS;
        assert_int_equal(renew(n, SERVICES[s], IDS[i], number, 0), wanted);
        if (wanted == 0) one->due_ms = n->apply.log_time_ms + one->ttl_ms;
        break;
    case 2:
        wanted = naive_find(one, 0);
        assert_int_equal(drain(n, SERVICES[s], IDS[i], on), wanted);
        if (wanted != 0) break;
        one->draining = on;
        m->versions[s] = n->apply.index;
        break;
    default: {
        int health = on ? REGISTRY_PASSING : REGISTRY_FAILING;
        if (number == 0 || (wanted == 0 && (term != 0) != one->checked)) wanted = REGISTRY_BAD_ARGUMENTS;
        if (wanted == 0 && term < one->term) wanted = REGISTRY_OLD;
        assert_int_equal(report(n, SERVICES[s], IDS[i], number, term, (enum registry_health)health), wanted);
        if (wanted != 0) break;
        one->term = term;
        if (one->health != health) m->versions[s] = n->apply.index;
        one->health = health;
    }
    }
}

static void random_lease(struct naive *m, struct native *n, struct prng *p) {
    int s = (int)prng_below(p, 3), best = -1;
    for (int at = s * 6; at < s * 6 + 6; at++) {
        const struct naive_instance *one = &m->all[at], *than = best < 0 ? NULL : &m->all[best];
        if (!one->there || one->draining || one->health != REGISTRY_PASSING) continue;
        double mine = (double)(naive_active(m, at) + 1) / one->weight;
        double its = than ? (double)(naive_active(m, best) + 1) / than->weight : 1e9;
        if (mine < its - 1e-9 || (mine < its + 1e-9 && one->given < than->given)) best = at;
    }
    uint64_t session = prng_below(p, 3), ttl_ms = 1 + prng_below(p, 2000);
    assert_int_equal(lease(n, session, SERVICES[s], ttl_ms), best < 0 ? REGISTRY_NONE : 0);
    if (best < 0) return;
    assert_true(out(n)->instance.registration == m->all[best].registration);
    m->all[best].given = out(n)->token;
    m->leases[m->lease_count++] = (struct naive_lease){
        .token = out(n)->token, .session = session, .due_ms = n->apply.log_time_ms + ttl_ms, .at = best};
}

static void random_end(struct naive *m, struct native *n, struct prng *p) {
    uint64_t session = 1 + prng_below(p, 3);
    native_end_session(n, session);
    for (int at = 0; at < 18; at++)
        if (m->all[at].there && m->all[at].session == session) naive_drop(m, at, n->apply.index);
    for (size_t i = 0; i < m->lease_count;) {
        if (m->leases[i].session == session)
            m->leases[i] = m->leases[--m->lease_count];
        else
            i++;
    }
}

static void random_pass(struct naive *m, struct native *n, struct prng *p) {
    native_pass(n, prng_below(p, 400));
    for (int at = 0; at < 18; at++)
        if (m->all[at].there && m->all[at].due_ms <= n->apply.log_time_ms) naive_drop(m, at, n->apply.index);
    for (size_t i = 0; i < m->lease_count;) {
        if (m->leases[i].due_ms <= n->apply.log_time_ms)
            m->leases[i] = m->leases[--m->lease_count];
        else
            i++;
    }
}

static void random_step(struct naive *m, struct native *n, struct prng *p) {
    uint64_t kind = prng_below(p, 100);
    if (kind < 20) {
        random_register(m, n, p);
    } else if (kind < 60) {
        random_instance_command(m, n, p);
    } else if (kind < 75) {
        random_lease(m, n, p);
    } else if (kind < 82) {
        if (m->lease_count == 0) return;
        size_t i = (size_t)prng_below(p, m->lease_count);
        assert_int_equal(release(n, m->leases[i].token), 0);
        m->leases[i] = m->leases[--m->lease_count];
    } else if (kind < 85) {
        random_end(m, n, p);
    } else {
        random_pass(m, n, p);
    }
}

static void random_commands_agree_with_the_naive_model(void **state) {
    static struct native n, copy;
    static struct naive m;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng p;
        prng_seed(&p, seed);
        memset(&m, 0, sizeof m);
        native_open(&n, &registry_model, registry_line);
        for (int i = 0; i < 1500; i++) {
            random_step(&m, &n, &p);
            naive_check(&m, &n);
            if (prng_below(&p, 100) > 0) continue;
            native_copy(&n, &copy, 8192); // goes on from a copy
            native_close(&n);
            n = copy;
            n.apply.emit_context = &n;
        }
        native_ends_alike(&n);
        native_close(&n);
    }
}

static void damaged_bytes_never_crash(void **state) {
    static struct native n;
    struct prng p;
    static struct naive m;
    prng_seed(&p, 99);
    native_open(&n, &registry_model, registry_line);
    native_garbage(&n, 5);
    for (int i = 0; i < 200; i++) random_register(&m, &n, &p);
    for (int i = 0; i < 30; i++) lease(&n, 2, SERVICES[i % 3], 500);
    native_damage(&n, 11);
    native_close(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_instance_dies_with_its_session),
        cmocka_unit_test(an_instance_that_nobody_renews_goes),
        cmocka_unit_test(the_newest_registration_of_an_id_counts),
        cmocka_unit_test(versions_never_go_back),
        cmocka_unit_test(a_deposed_leaders_report_is_void),
        cmocka_unit_test(who_is_not_checked_says_it_of_himself),
        cmocka_unit_test(an_update_changes_only_what_it_names),
        cmocka_unit_test(only_safe_names_addresses_and_metadata),
        cmocka_unit_test(one_session_and_one_service_are_bounded),
        cmocka_unit_test(leases_count_who_is_at_work),
        cmocka_unit_test(a_lease_goes_by_weight),
        cmocka_unit_test(random_commands_agree_with_the_naive_model),
        cmocka_unit_test(damaged_bytes_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
