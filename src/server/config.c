// Reads the configuration: defaults, then the file, then the flags, then the rules that hold between settings.
#include "server/config.h"
#include "base/alloc.h"
#include "base/assert.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_FILE_BYTES_MAX (1u << 20)

static const struct setting_row rows[] = {
#define SECTION(title) {.section = title},
#define SETTING(identifier, name_, type_, standard_, low_, high_, argument_, help_, reason_)                           \
    {NULL, name_, SETTING_TYPE_##type_, standard_, low_, high_, argument_, help_, reason_},
#include "server/settings.def"
};

static size_t row_of(enum setting setting) {
    size_t left = (size_t)setting;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].name != NULL && left-- == 0) return i;
    UNREACHABLE();
}

const struct setting_row *setting_row(enum setting setting) {
    return &rows[row_of(setting)];
}

const char *setting_section(enum setting setting) {
    size_t at = row_of(setting);
    return at > 0 ? rows[at - 1].section : NULL;
}

// ---- messages
__attribute__((format(printf, 2, 3))) static void line(struct writer *w, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    write_span(w, bytes_of_text(text));
    write_u8(w, '\n');
}

static const char *ended(struct writer *w) {
    if (w->len == 0) return "";
    writer_reserve(w, 1);
    w->data[w->len] = 0;
    return (const char *)w->data;
}
const char *config_errors(struct config *config) {
    return ended(&config->errors);
}
const char *config_notes(struct config *config) {
    return ended(&config->notes);
}

// Names that a later part brings: their flags are known, and answered so.
static const char *const later[] = {"etcd", "memcached"};

static bool comes_later(const char *name) {
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        size_t len = strlen(later[i]);
        if (strncmp(name, later[i], len) == 0 && (name[len] == 0 || name[len] == '-')) return true;
    }
    return false;
}

static int find_setting(const char *name) {
    int at = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].name == NULL) continue;
        if (strcmp(rows[i].name, name) == 0) return at;
        at++;
    }
    return -1;
}

// where: "--" for a flag, "parley.conf:3: " for a line of the file
static void unknown(struct config *config, const char *where, const char *name) {
    const char *names[SETTING_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].name != NULL) names[count++] = rows[i].name;
    const char *near = config_nearest(name, names, count);
    const char *dashes = strcmp(where, "--") == 0 ? "--" : "";
    if (comes_later(name))
        line(&config->errors, "%s%s comes with a later part of Parley: this build serves ZooKeeper, Redis and HTTP",
             where, name);
    else if (near != NULL)
        line(&config->errors, "%s%s is unknown; did you mean %s%s?", where, name, dashes, near);
    else
        line(&config->errors, "%s%s is unknown; `parley server --help` lists all settings", where, name);
}

// ---- one value
static void set(struct config_value *value, const char *text, uint64_t number) {
    char *copy = mem_strdup(text);
    mem_free(value->text);
    value->text = copy;
    value->number = number;
}

static void show_amount(enum setting_type type, uint64_t n, char out[32]) {
    static const char *const bytes[] = {"", "K", "M", "G", "T"};
    const char *unit = type == SETTING_TYPE_DURATION ? "ms" : "";
    if (type == SETTING_TYPE_BYTES) {
        size_t i = 0;
        while (i < 4 && n >= 1024 && n % 1024 == 0) {
            n /= 1024;
            i++;
        }
        unit = bytes[i];
    } else if (type == SETTING_TYPE_DURATION && n >= 1000 && n % 1000 == 0) {
        n /= 1000;
        unit = "s";
    } else if (type == SETTING_TYPE_DURATION && n == 0) {
        unit = "";
    }
    snprintf(out, 32, "%llu%s", (unsigned long long)n, unit);
}

static bool parse_amount(struct config *config, const char *source, const struct setting_row *row, const char *text,
                         uint64_t *n) {
    bool parsed = row->type == SETTING_TYPE_DURATION ? config_parse_duration(text, n) : config_parse_bytes(text, n);
    if (parsed && row->type != SETTING_TYPE_DURATION && row->type != SETTING_TYPE_BYTES)
        parsed = text[strspn(text, "0123456789")] == 0;
    char low[32], high[32];
    show_amount(row->type, row->low, low);
    show_amount(row->type, row->high, high);
    const char *kind = row->type == SETTING_TYPE_DURATION ? "a duration (such as 500ms, 2s or 5m)"
                       : row->type == SETTING_TYPE_BYTES  ? "a size in bytes (such as 4096, 64K or 1G)"
                       : row->type == SETTING_TYPE_POWER  ? "a power of two"
                                                          : "a number";
    bool power = row->type != SETTING_TYPE_POWER || (parsed && (*n & (*n - 1)) == 0);
    if (!parsed || !power) {
        line(&config->errors, "%s: '%s' is not %s; allowed: %s to %s", source, text, kind, low, high);
        return false;
    }
    if (*n < row->low || *n > row->high) {
        line(&config->errors, "%s: %s is out of range; allowed: %s to %s", source, text, low, high);
        return false;
    }
    return true;
}

static bool parse_choice(const char *words, const char *text, uint64_t *place) {
    size_t len = strlen(text);
    *place = 0;
    for (const char *at = words; len > 0; (*place)++) {
        const char *end = strchr(at, '|');
        size_t word = end == NULL ? strlen(at) : (size_t)(end - at);
        if (word == len && memcmp(at, text, len) == 0) return true;
        if (end == NULL) return false;
        at = end + 1;
    }
    return false;
}

static bool parse_bool(const char *text, uint64_t *on) {
    static const char *const yes[] = {"on", "true", "yes", "1"}, *const no[] = {"off", "false", "no", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(text, yes[i]) != 0 && strcmp(text, no[i]) != 0) continue;
        *on = strcmp(text, yes[i]) == 0;
        return true;
    }
    return false;
}

static void parse_cluster(struct config *config, const char *source, const char *text) {
    static const char shape[] =
        "allowed: ID=HOST:PORT with commas between, such as 1=hostA:7451,2=hostB:7451,3=hostC:7451";
    char copy[MEMBERS_MAX * (ADDRESS_TEXT_MAX + 8)], error[256];
    config->peer_count = 0;
    if (strlen(text) >= sizeof copy) {
        line(&config->errors, "%s: the list is too long", source);
        return;
    }
    snprintf(copy, sizeof copy, "%s", text);
    char *rest = copy, *one;
    while ((one = strsep(&rest, ",")) != NULL) {
        one += strspn(one, " ");
        uint64_t id;
        struct core_peer peer = {0};
        char *equals = strchr(one, '=');
        if (equals != NULL) *equals = 0;
        bool number = one[0] != 0 && one[strspn(one, "0123456789")] == 0 && config_parse_bytes(one, &id);
        if (equals == NULL || !number || id < 1 || id > 255) {
            if (equals != NULL) *equals = '=';
            line(&config->errors, "%s: '%s' is no member (ids are 1 to 255); %s", source, one, shape);
            return;
        }
        peer.id = (uint32_t)id;
        if (!config_parse_address(equals + 1, 7451, peer.address, error)) {
            line(&config->errors, "%s: the address '%s' of member %u %s", source, equals + 1, peer.id, error);
            return;
        }
        if (config->peer_count == MEMBERS_MAX) {
            line(&config->errors, "%s: more than %u members", source, MEMBERS_MAX);
            return;
        }
        size_t at = config->peer_count++;
        for (; at > 0 && config->peers[at - 1].id > peer.id; at--) config->peers[at] = config->peers[at - 1];
        config->peers[at] = peer;
    }
    for (size_t i = 1; i < config->peer_count; i++)
        if (config->peers[i].id == config->peers[i - 1].id)
            line(&config->errors, "%s: member %u stands there twice", source, config->peers[i].id);
    for (size_t i = 0; i < config->peer_count; i++)
        for (size_t j = i + 1; j < config->peer_count; j++)
            if (strcmp(config->peers[i].address, config->peers[j].address) == 0)
                line(&config->errors, "%s: members %u and %u have the same address %s", source, config->peers[i].id,
                     config->peers[j].id, config->peers[i].address);
}

static void take(struct config *config, enum setting setting, const char *source, const char *text) {
    const struct setting_row *row = setting_row(setting);
    struct config_value *value = &config->values[setting];
    char address[ADDRESS_TEXT_MAX], error[256];
    uint64_t n = 0;
    if (source != NULL) {
        char *copy = mem_strdup(source);
        mem_free(value->source);
        value->source = copy;
    }
    switch (row->type) {
    case SETTING_TYPE_NUMBER:
    case SETTING_TYPE_POWER:
    case SETTING_TYPE_BYTES:
    case SETTING_TYPE_DURATION:
        if (parse_amount(config, source, row, text, &n)) set(value, text, n);
        return;
    case SETTING_TYPE_LISTEN:
        if (strcmp(text, "off") == 0) {
            set(value, "", 0);
        } else if (config_parse_address(text, (uint32_t)row->low, address, error)) {
            set(value, address, 1);
        } else {
            line(&config->errors, "%s: '%s' %s; `off` closes the listener", source, text, error);
        }
        return;
    case SETTING_TYPE_ADDRESS:
        if (text[0] == 0 && source == NULL) {
            set(value, "", 0);
        } else if (!config_parse_address(text, 0, address, error)) {
            line(&config->errors, "%s: '%s' %s", source, text, error);
        } else if (address[0] == '*' || strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0) {
            line(&config->errors,
                 "%s: '%s' is no address that others can connect to; allowed: a name or address of this machine with a "
                 "port",
                 source, text);
        } else {
            set(value, address, 0);
        }
        return;
    case SETTING_TYPE_PATH:
    case SETTING_TYPE_TEXT:
        if (text[0] == 0 && source != NULL && row->type == SETTING_TYPE_PATH)
            line(&config->errors, "%s: is empty; allowed: a path", source);
        else
            set(value, text, 0);
        return;
    case SETTING_TYPE_CLUSTER:
        set(value, text, 0);
        if (source != NULL) parse_cluster(config, source, text);
        return;
    case SETTING_TYPE_BOOL:
        if (parse_bool(text, &n))
            set(value, text, n);
        else
            line(&config->errors, "%s: '%s' is neither on nor off", source, text);
        return;
    case SETTING_TYPE_CHOICE:
        if (parse_choice(row->argument, text, &n))
            set(value, text, n);
        else
            line(&config->errors, "%s: '%s' is not one of %s", source, text, row->argument);
        return;
    }
    UNREACHABLE();
}

// ---- flags
struct given { // a flag's value; the file is read before it is taken
    int setting;
    const char *text;
};

static enum config_outcome read_flags(struct config *config, int count, char *const *arguments, struct given *given,
                                      size_t *given_count) {
    *given_count = 0;
    for (int i = 0; i < count; i++) {
        const char *argument = arguments[i];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) return CONFIG_HELP;
        if (argument[0] != '-' || argument[1] != '-' || argument[2] == 0) {
            line(&config->errors, "'%s' is unexpected: a setting is written --name value or --name=value", argument);
            continue;
        }
        char name[128];
        const char *equals = strchr(argument, '=');
        size_t len = equals == NULL ? strlen(argument) - 2 : (size_t)(equals - argument - 2);
        snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), argument + 2);
        int setting = find_setting(name);
        const char *next = i + 1 < count ? arguments[i + 1] : NULL;
        if (setting < 0) {
            unknown(config, "--", name);
            if (equals == NULL && next != NULL && next[0] != '-') i++; // its value is no second mistake
            continue;
        }
        const struct setting_row *row = setting_row((enum setting)setting);
        uint64_t ignored;
        const char *text = equals != NULL ? equals + 1 : NULL;
        if (text == NULL && row->type == SETTING_TYPE_BOOL) {
            text = next != NULL && parse_bool(next, &ignored) ? arguments[++i] : "on";
        } else if (text == NULL) {
            if (next == NULL || (next[0] == '-' && next[1] == '-')) {
                line(&config->errors, "--%s lacks its value; write --%s %s", name, name, row->argument);
                continue;
            }
            text = arguments[++i];
        }
        given[(*given_count)++] = (struct given){setting, text};
    }
    return CONFIG_OK;
}

// ---- the file
static void strip(char *text) {
    size_t len = strlen(text), from = strspn(text, " \t\r");
    while (len > from && strchr(" \t\r", text[len - 1]) != NULL) len--;
    memmove(text, text + from, len - from);
    text[len - from] = 0;
}

static void drop_comment(char *text) { // # at the beginning, or behind a blank: a digest may hold one inside
    for (size_t i = 0; text[i] != 0; i++) {
        if (text[i] != '#' || (i > 0 && text[i - 1] != ' ' && text[i - 1] != '\t')) continue;
        text[i] = 0;
        return;
    }
}

static void take_line(struct config *config, const char *path, size_t number, char *text, size_t seen[SETTING_COUNT]) {
    char where[512], source[640];
    drop_comment(text);
    strip(text);
    if (text[0] == 0) return;
    snprintf(where, sizeof where, "%.480s:%zu: ", path, number);
    size_t len = strcspn(text, " \t=");
    char *value = text + len;
    value += strspn(value, " \t");
    if (value[0] == '=') value++;
    char *name = text;
    char *copy = mem_strdup(value);
    name[len] = 0;
    strip(copy);
    size_t copy_len = strlen(copy);
    if (copy_len >= 2 && copy[0] == '"' && copy[copy_len - 1] == '"') {
        copy[copy_len - 1] = 0;
        memmove(copy, copy + 1, copy_len - 1);
    }
    int setting = find_setting(name);
    snprintf(source, sizeof source, "%s%.100s", where, name);
    if (setting < 0)
        unknown(config, where, name);
    else if (setting == SETTING_CONFIG)
        line(&config->errors, "%s cannot stand in a configuration file", source);
    else if (seen[setting] != 0)
        line(&config->errors, "%s stands in line %zu already", source, seen[setting]);
    else if (copy[0] == 0 && setting_row((enum setting)setting)->type == SETTING_TYPE_BOOL)
        take(config, (enum setting)setting, source, "on");
    else if (copy[0] == 0)
        line(&config->errors, "%s lacks its value; write %s = %s", source, name,
             setting_row((enum setting)setting)->argument);
    else
        take(config, (enum setting)setting, source, copy);
    if (setting >= 0 && seen[setting] == 0) seen[setting] = number;
    mem_free(copy);
}

static void read_file(struct config *config, const char *path) {
    size_t seen[SETTING_COUNT] = {0};
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        line(&config->errors, "--config: cannot read '%s': %s", path, strerror(errno));
        return;
    }
    char text[8192];
    size_t number = 0, bytes = 0;
    // Filled, so that the last zero byte is the one that fgets wrote: one before it stood in the file.
    while (memset(text, '\n', sizeof text), fgets(text, sizeof text, file) != NULL) {
        number++;
        size_t len = (size_t)((const char *)memrchr(text, 0, sizeof text) - text);
        bytes += len;
        if (strlen(text) < len) {
            line(&config->errors, "%s:%zu: a zero byte: this is not a text file", path, number);
            break;
        }
        if ((len == sizeof text - 1 && text[len - 1] != '\n') || bytes > CONFIG_FILE_BYTES_MAX) {
            line(&config->errors, "%s:%zu: the line or the file is too long", path, number);
            break;
        }
        if (len > 0 && text[len - 1] == '\n') text[len - 1] = 0;
        take_line(config, path, number, text, seen);
    }
    if (ferror(file)) line(&config->errors, "--config: cannot read '%s': %s", path, strerror(errno));
    fclose(file);
}

// ---- rules between settings
static const char *source_of(const struct config *config, enum setting setting) {
    static _Thread_local char text[4][700];
    static _Thread_local unsigned at;
    char *out = text[at++ % 4];
    const char *source = config->values[setting].source;
    if (source != NULL)
        snprintf(out, sizeof text[0], "%s", source);
    else
        snprintf(out, sizeof text[0], "--%s (default %s)", setting_row(setting)->name, setting_row(setting)->standard);
    return out;
}

static void check_cluster(struct config *config) {
    uint64_t id = config->values[SETTING_ID].number;
    if (config->peer_count == 0) return;
    const struct core_peer *self = NULL;
    for (size_t i = 0; i < config->peer_count; i++)
        if (config->peers[i].id == id) self = &config->peers[i];
    if (self == NULL) {
        line(&config->errors, "%s: this node, %llu (%s), is not in the list", source_of(config, SETTING_CLUSTER),
             (unsigned long long)id, source_of(config, SETTING_ID));
        return;
    }
    if (config->peer_count > 1 && !config_given(config, SETTING_ID))
        line(&config->errors, "--id is needed with --cluster: which of its members is this node?");
    // The own address in --cluster was named by the user: it is an explicit one.
    if (!config_given(config, SETTING_PEER)) set(&config->values[SETTING_PEER], self->address, 1);
    if (!config_given(config, SETTING_PEER_ADVERTISE)) set(&config->values[SETTING_PEER_ADVERTISE], self->address, 0);
    if (config->peer_count > 1 && config_text(config, SETTING_PEER) == NULL)
        line(&config->errors, "%s: a cluster of several needs the peer listener", source_of(config, SETTING_PEER));
    if (config->peer_count % 2 == 0)
        line(&config->notes, "note: %zu voters survive as many failures as %zu: an odd number is better",
             config->peer_count, config->peer_count - 1);
}

static void check_ports(struct config *config) {
    static const enum setting listeners[] = {SETTING_ZOOKEEPER, SETTING_ZOOKEEPER_TLS, SETTING_REDIS,
                                             SETTING_REDIS_TLS, SETTING_HTTP,          SETTING_PEER};
    static const size_t count = sizeof listeners / sizeof listeners[0];
    for (size_t i = 0; i < count; i++) {
        const char *one = config_text(config, listeners[i]);
        for (size_t j = i + 1; one != NULL && j < count; j++) {
            const char *other = config_text(config, listeners[j]);
            if (other != NULL && strcmp(one, other) == 0)
                line(&config->errors, "%s and %s both want %s", source_of(config, listeners[i]),
                     source_of(config, listeners[j]), one);
        }
    }
}

static void check_readable(struct config *config, enum setting setting) {
    const char *path = config_text(config, setting);
    if (path != NULL && access(path, R_OK) != 0)
        line(&config->errors, "%s: cannot read '%s': %s", source_of(config, setting), path, strerror(errno));
}

static void check_tls(struct config *config) {
    bool cert = config_text(config, SETTING_TLS_CERT) != NULL, key = config_text(config, SETTING_TLS_KEY) != NULL;
    bool missed = false;
    static const enum setting doors[] = {SETTING_ZOOKEEPER_TLS, SETTING_REDIS_TLS};
    for (size_t i = 0; i < 2 && !(cert && key); i++) {
        if (config_text(config, doors[i]) == NULL) continue;
        line(&config->errors, "%s needs --tls-cert and --tls-key", source_of(config, doors[i]));
        missed = true;
    }
    if (!missed && cert != key) line(&config->errors, "--tls-cert and --tls-key are needed together");
    bool peer_cert = config_text(config, SETTING_PEER_TLS_CERT) != NULL,
         peer_key = config_text(config, SETTING_PEER_TLS_KEY) != NULL,
         peer_ca = config_text(config, SETTING_PEER_TLS_CA) != NULL;
    if ((peer_cert || peer_key || peer_ca) && !(peer_cert && peer_key && peer_ca))
        line(&config->errors,
             "--peer-tls-cert, --peer-tls-key and --peer-tls-ca are needed together: peers check each other");
    static const enum setting files[] = {SETTING_TLS_CERT,      SETTING_TLS_KEY,      SETTING_TLS_CA,
                                         SETTING_PEER_TLS_CERT, SETTING_PEER_TLS_KEY, SETTING_PEER_TLS_CA};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) check_readable(config, files[i]);
}

static void check_rules(struct config *config) {
    check_cluster(config);
    check_ports(config);
    check_tls(config);
    uint64_t heartbeat = config_number(config, SETTING_HEARTBEAT);
    if (config_number(config, SETTING_ELECTION_TIMEOUT) < 3 * heartbeat)
        line(&config->errors, "%s must be at least 3 times %s: %llums", source_of(config, SETTING_ELECTION_TIMEOUT),
             source_of(config, SETTING_HEARTBEAT), (unsigned long long)(3 * heartbeat));
    if (config_number(config, SETTING_SEGMENT_SIZE) % config_number(config, SETTING_JOURNAL_ALIGN) != 0)
        line(&config->errors, "%s must be a multiple of %s", source_of(config, SETTING_SEGMENT_SIZE),
             source_of(config, SETTING_JOURNAL_ALIGN));
    uint64_t tick = config_number(config, SETTING_ZOOKEEPER_TICK_TIME),
             low = config_number(config, SETTING_ZOOKEEPER_MIN_SESSION_TIMEOUT),
             high = config_number(config, SETTING_ZOOKEEPER_MAX_SESSION_TIMEOUT);
    if (low == 0) low = 2 * tick;
    if (high == 0) high = 20 * tick;
    if (low > high)
        line(&config->errors, "%s (%llums) is above %s (%llums)",
             source_of(config, SETTING_ZOOKEEPER_MIN_SESSION_TIMEOUT), (unsigned long long)low,
             source_of(config, SETTING_ZOOKEEPER_MAX_SESSION_TIMEOUT), (unsigned long long)high);
    const char *super = config_text(config, SETTING_ZOOKEEPER_SUPER_DIGEST);
    if (super != NULL && (strncmp(super, "super:", 6) != 0 || strlen(super) != 34))
        line(&config->errors, "%s: a digest is super: and 28 characters of base64",
             source_of(config, SETTING_ZOOKEEPER_SUPER_DIGEST));
}

// ---- all of it
enum config_outcome config_load(struct config *config, int count, char *const *arguments) {
    ENSURE(config != NULL && count >= 0);
    *config = (struct config){0};
    for (int i = 0; i < SETTING_COUNT; i++) take(config, (enum setting)i, NULL, setting_row((enum setting)i)->standard);
    ENSURE(config->errors.len == 0); // a default that is not allowed
    struct given *given = mem_alloc(((size_t)count + 1) * sizeof *given);
    size_t given_count;
    enum config_outcome outcome = read_flags(config, count, arguments, given, &given_count);
    for (size_t i = 0; outcome == CONFIG_OK && i < given_count; i++)
        if (given[i].setting == SETTING_CONFIG) take(config, SETTING_CONFIG, "--config", given[i].text);
    if (outcome == CONFIG_OK && config_text(config, SETTING_CONFIG) != NULL)
        read_file(config, config_text(config, SETTING_CONFIG));
    for (size_t i = 0; outcome == CONFIG_OK && i < given_count; i++) {
        if (given[i].setting == SETTING_CONFIG) continue;
        char source[160];
        snprintf(source, sizeof source, "--%s", setting_row((enum setting)given[i].setting)->name);
        take(config, (enum setting)given[i].setting, source, given[i].text);
    }
    mem_free(given);
    if (outcome == CONFIG_HELP) return outcome;
    if (config->errors.len == 0) check_rules(config); // they speak of good values only
    return config->errors.len == 0 ? CONFIG_OK : CONFIG_BAD;
}

void config_free(struct config *config) {
    for (int i = 0; i < SETTING_COUNT; i++) {
        mem_free(config->values[i].text);
        mem_free(config->values[i].source);
    }
    writer_free(&config->errors);
    writer_free(&config->notes);
}

const char *config_text(const struct config *config, enum setting setting) {
    ENSURE(setting < SETTING_COUNT);
    const char *text = config->values[setting].text;
    return text == NULL || text[0] == 0 ? NULL : text;
}

uint64_t config_number(const struct config *config, enum setting setting) {
    ENSURE(setting < SETTING_COUNT);
    return config->values[setting].number;
}

bool config_given(const struct config *config, enum setting setting) {
    return config->values[setting].source != NULL;
}
