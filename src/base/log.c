#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

// A longer line is cut and says so. PIPE_BUF: one write of this is not torn by other writers of a pipe.
#define LOG_LINE_BYTES 4096
#define LOG_PREFIX_BYTES 48 // "2026-01-31T23:59:59.999Z error " and the newline
#define LOG_CUT_MARK "[cut]"

struct log {
    _Atomic int least; // may be changed from any thread
    log_sink_fn sink;
    void *context;
};

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

struct log *log_new(enum log_level least, log_sink_fn sink, void *context) {
    struct log *log = mem_zalloc(sizeof *log);
    atomic_init(&log->least, (int)least);
    log->sink = sink;
    log->context = context;
    return log;
}

void log_free(struct log *log) {
    mem_free(log);
}

void log_set_level(struct log *log, enum log_level least) {
    ENSURE(least >= LOG_LEVEL_DEBUG && least <= LOG_LEVEL_OFF);
    atomic_store_explicit(&log->least, (int)least, memory_order_relaxed);
}

bool log_level_parse(const char *text, enum log_level *level) {
    for (int i = LOG_LEVEL_DEBUG; i <= (int)LOG_LEVEL_OFF; i++) {
        if (strcmp(text, level_names[i]) != 0) continue;
        *level = (enum log_level)i;
        return true;
    }
    return false;
}

// Some of the text comes from strangers: a newline in it must not pass for a line of ours, nor an escape reach a
// terminal.
static void defuse(char *text) {
    for (; *text != 0; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) *text = '?';
}

static void stderr_line(enum log_level level, const char *text) {
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char line[LOG_LINE_BYTES];
    size_t len = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(line + len, sizeof line - len, ".%03dZ %s %s\n", (int)(now.tv_nsec / 1000000),
                        level_names[level], text);
    ENSURE(more > 0 && len + (size_t)more < sizeof line);
    len += (size_t)more;
    // A full pipe or a closed stderr loses the line; a log never stops the node.
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written;
}

void log_line(struct log *log, enum log_level level, const char *format, ...) {
    if (log == NULL || (int)level < atomic_load_explicit(&log->least, memory_order_relaxed)) return;
    ENSURE(level >= LOG_LEVEL_DEBUG && level < LOG_LEVEL_OFF);
    char text[LOG_LINE_BYTES - LOG_PREFIX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (len < 0) snprintf(text, sizeof text, "a log line could not be formatted");
    if (len >= (int)sizeof text) memcpy(text + sizeof text - sizeof LOG_CUT_MARK, LOG_CUT_MARK, sizeof LOG_CUT_MARK);
    defuse(text);
    if (log->sink != NULL)
        log->sink(log->context, level, text);
    else
        stderr_line(level, text);
}

bool log_limit_pass(struct log_limit *limit, uint32_t burst, uint64_t now_ms, uint32_t *dropped) {
    *dropped = 0;
    if (now_ms < limit->window_ms || now_ms - limit->window_ms >= 1000) { // a clock set back opens a window too
        limit->window_ms = now_ms;
        limit->passed = 0;
    }
    if (limit->passed >= burst) {
        if (limit->dropped < UINT32_MAX) limit->dropped++;
        return false;
    }
    limit->passed++;
    *dropped = limit->dropped;
    limit->dropped = 0;
    return true;
}
