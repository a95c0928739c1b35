// Plays transcripts: script [--rewrite] FILE... The last line is `script: N passed, N failed, 0 skipped`.
#include "base/bytes.h"
#include "test/script/script.h"
#include <stdlib.h>
#include <string.h>

static const struct room *const rooms[] = {&raft_room,   &zookeeper_room, &lock_room,  &barrier_room,
                                           &config_room, &topic_room,     &naming_room};

int split_words(char *line, char *words[WORDS_MAX]) {
    int count = 0;
    char *save = NULL;
    for (char *word = strtok_r(line, " ", &save); word && count < WORDS_MAX; word = strtok_r(NULL, " ", &save))
        words[count++] = word;
    return count;
}

struct play {
    const char *file;
    const struct room *room;
    void *state;
    char *shown, *at; // of the last command: all of it, and what is still to be compared
    size_t shown_len;
    FILE *rewritten; // NULL: compare
    int line, differences;
};

static void differ(struct play *play, const char *want, const char *got) {
    play->differences++;
    printf("%s:%d:\n  expected %s\n  saw      %s\n", play->file, play->line, want, got);
}

static char *next_shown(struct play *play) { // NULL: no more
    if (play->at == NULL || *play->at == '\0') return NULL;
    char *line = play->at, *end = strchr(line, '\n');
    if (end) *end++ = '\0';
    play->at = end;
    return line;
}

static void finish_command(struct play *play) { // what was shown beyond what was expected
    for (char *line; (line = next_shown(play)) != NULL;) {
        if (play->rewritten)
            fprintf(play->rewritten, "%s\n", line);
        else
            differ(play, "nothing more", line);
    }
    free(play->shown);
    play->shown = play->at = NULL;
}

static bool choose_room(struct play *play, const char *name) {
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        if (strcmp(rooms[i]->name, name) == 0) play->room = rooms[i];
    if (play->room == NULL) return false;
    play->state = play->room->open();
    return true;
}

static bool run_command(struct play *play, const char *text) {
    char line[1024];
    snprintf(line, sizeof line, "%s", text);
    FILE *out = open_memstream(&play->shown, &play->shown_len);
    bool good = play->room != NULL && play->room->command(play->state, line, out);
    fclose(out);
    play->at = play->shown;
    if (!good) differ(play, "a command of the room", text);
    return good;
}

static bool run_line(struct play *play, char *line) {
    line[strcspn(line, "\n")] = '\0';
    play->line++;
    bool expected = line[0] != '\0' && line[0] != '#' && line[0] != '>' && line[0] != '@';
    if (expected) {
        if (play->rewritten) return true;
        char *shown = next_shown(play);
        if (shown == NULL || strcmp(shown, line) != 0) differ(play, line, shown ? shown : "nothing");
        return true;
    }
    finish_command(play);
    if (play->rewritten) fprintf(play->rewritten, "%s\n", line);
    if (line[0] == '@') return choose_room(play, line + 1);
    return line[0] != '>' || run_command(play, line + 1 + (line[1] == ' '));
}

static bool play_file(const char *file, bool rewrite) {
    struct play play = {.file = file};
    char *text = NULL, line[1024];
    size_t len = 0;
    FILE *in = fopen(file, "r");
    if (in == NULL) {
        perror(file);
        return false;
    }
    if (rewrite) play.rewritten = open_memstream(&text, &len);
    bool good = true;
    while (good && fgets(line, sizeof line, in)) good = run_line(&play, line);
    finish_command(&play);
    if (play.room) play.room->close(play.state);
    if (play.room == NULL) printf("%s: names no room\n", file);
    fclose(in);
    if (rewrite) {
        fclose(play.rewritten);
        in = good ? fopen(file, "w") : NULL;
        if (in) fwrite(text, 1, len, in), fclose(in);
        free(text);
    }
    return good && play.room && play.differences == 0;
}

int main(int argc, char **argv) {
    bool rewrite = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
    int passed = 0, failed = 0;
    for (int i = 1 + rewrite; i < argc; i++) {
        bool good = play_file(argv[i], rewrite);
        printf("%-56s %s\n", argv[i], good ? "passed" : "FAILED");
        passed += good, failed += !good;
    }
    printf("script: %d passed, %d failed, 0 skipped\n", passed, failed);
    return failed > 0 || passed == 0;
}
