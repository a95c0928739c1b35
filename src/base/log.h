// Structured log lines on stderr (or a sink): `time level message key=value ...`. One sink per process, chosen by main
// before threads start; in the simulator a sink that stamps simulated time. Lines that strangers can cause are
// rate-limited.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };

struct log; // where a node's lines go; carried by each node, so that several nodes live in one process
typedef void (*log_sink_fn)(void *context, enum log_level level, const char *line); // line without time and newline

struct log *log_new(enum log_level least, log_sink_fn sink, void *context); // sink NULL: stderr with an ISO time
void log_free(struct log *log);
void log_set_level(struct log *log, enum log_level least);
bool log_level_parse(const char *text, enum log_level *level); // "debug" "info" "warn" "error" "off"
__attribute__((format(printf, 3, 4))) void log_line(struct log *log, enum log_level level, const char *format,
                                                    ...); // log NULL: dropped

#define LOG_DEBUG(log, ...) log_line(log, LOG_LEVEL_DEBUG, __VA_ARGS__)
#define LOG_INFO(log, ...) log_line(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_WARN(log, ...) log_line(log, LOG_LEVEL_WARN, __VA_ARGS__)
#define LOG_ERROR(log, ...) log_line(log, LOG_LEVEL_ERROR, __VA_ARGS__)

// For lines that outside bytes can cause: at most `burst` lines a second of now_ms pass; the next one that passes says
// how many were dropped.
struct log_limit {
    uint64_t window_ms;
    uint32_t passed, dropped;
};
bool log_limit_pass(struct log_limit *limit, uint32_t burst, uint64_t now_ms, uint32_t *dropped);
