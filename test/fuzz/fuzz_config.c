// server/config: a settings file and flags of any bytes. Both are either taken or refused with lines that say why.
//   first byte: 0 the rest is the file of --config; 1 the rest are flags, one a line; else a file, a line of dashes,
//   flags
#include "server/config.h"
#include "test/fuzz/fuzz.h"
#include <sys/mman.h>
#include <unistd.h>

static void check(struct config *config, enum config_outcome outcome) {
    const char *errors = config_errors(config);
    if (outcome == CONFIG_BAD) {
        ENSURE(errors[0] != 0 && errors[strlen(errors) - 1] == '\n');
    } else if (outcome == CONFIG_OK) {
        ENSURE(errors[0] == 0);
        for (int s = 0; s < SETTING_COUNT; s++) {
            const struct setting_row *row = setting_row((enum setting)s);
            const char *text = config_text(config, (enum setting)s);
            uint64_t number = config_number(config, (enum setting)s);
            if (row->type == SETTING_TYPE_NUMBER || row->type == SETTING_TYPE_POWER) {
                ENSURE(number >= row->low && number <= row->high);
            }
            if (row->type == SETTING_TYPE_POWER) ENSURE((number & (number - 1)) == 0);
            if (row->type == SETTING_TYPE_LISTEN && text != NULL) ENSURE(strlen(text) < ADDRESS_TEXT_MAX);
        }
        ENSURE(config->peer_count <= MEMBERS_MAX);
        for (size_t i = 1; i < config->peer_count; i++) ENSURE(config->peers[i - 1].id < config->peers[i].id);
    }
    config_notes(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct take t = take_of(data, size);
    uint8_t mode = take_u8(&t);
    struct bytes file = bytes_of(NULL, 0), flags = bytes_of(NULL, 0);
    if (mode == 0) {
        file = take_bytes(&t, t.left);
    } else if (mode == 1) {
        flags = take_bytes(&t, t.left);
    } else {
        const uint8_t *cut = t.left ? memmem(t.data, t.left, "\n--\n", 4) : NULL;
        file = take_bytes(&t, cut ? (size_t)(cut - t.data) : t.left);
        take_bytes(&t, 4);
        flags = take_bytes(&t, t.left);
    }
    char path[64] = "";
    int fd = -1;
    char *arguments[34];
    int count = 0;
    if (mode != 1) {
        fd = memfd_create("config", 0);
        ENSURE(fd >= 0);
        ENSURE(write(fd, file.data, file.len) == (ssize_t)file.len);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        arguments[count++] = mem_strdup("--config");
        arguments[count++] = mem_strdup(path);
    }
    struct take words = take_of(flags.data, flags.len);
    while (words.left > 0 && count < 34) {
        const uint8_t *end = memchr(words.data, '\n', words.left);
        struct bytes word = take_bytes(&words, end ? (size_t)(end - words.data) : words.left);
        take_u8(&words);
        char *argument = mem_alloc(word.len + 1);
        if (word.len > 0) memcpy(argument, word.data, word.len);
        argument[word.len] = 0;
        if (strncmp(argument, "--config", 8) == 0 || argument[0] == '/') argument[0] = '_'; // no files of this machine
        arguments[count++] = argument;
    }
    struct config config;
    enum config_outcome outcome = config_load(&config, count, arguments);
    check(&config, outcome);
    config_free(&config);
    for (int i = 0; i < count; i++) mem_free(arguments[i]);
    if (fd >= 0) close(fd);
    return 0;
}
